//! The outcome for people.

use std::fmt::Write as _;

use super::document::{Document, Outcome, Times};
use super::plan::{Ratio, Workload};

pub(crate) fn table(document: &Document) -> String {
    let machine = &document.machine;
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    let [first, second] = machine.used;
    line(format_args!("machine     {}, {} CPUs, Linux {}", machine.cpu, machine.cpus, machine.kernel));
    line(format_args!("placement   CPUs {first} and {second}: {}", machine.placement));
    line(format_args!("security    {}", machine.mitigations));
    line(format_args!("load        {:.2} at the start; 0 is a machine of one's own", machine.load));
    line(format_args!(
        "rounds      floor, quoit, floor; discarded if the floor moved or others took the CPU away"
    ));
    let mut workload = None;
    for outcome in &document.results {
        if workload != Some(outcome.workload) {
            workload = Some(outcome.workload);
            line(format_args!("\n{}", title(outcome.workload)));
            line(format_args!("{}", if has_tail(outcome.workload) { TRIPS } else { RECORDS }));
        }
        if has_tail(outcome.workload) {
            trip(&mut line, outcome);
        } else {
            record(&mut line, outcome);
        }
    }
    text
}

const TRIPS: &str =
    "                        p50       p99     p99.9       max   quartiles     target      rounds";
const RECORDS: &str = "                      floor     quoit     ratio   quartiles     target      rounds";

fn title(workload: Workload) -> &'static str {
    match workload {
        Workload::Pingpong => "Round trip, both sides busy. Floor: the same bytes between two fixed areas",
        Workload::Stream => {
            "Stream, single sends, every byte read; ratio of throughputs. Floor: a ring with a sequence per slot"
        }
        Workload::Batch => {
            "Stream, batches of 64, every byte read; ratio of throughputs. Floor: Lamport's ring, a cursor per batch"
        }
        Workload::Asleep => "Round trip, both sides asleep. Floor: two futex words",
        Workload::Price => {
            "What being able to sleep costs a stream of single sends. Floor: the same ring in mode spin"
        }
        Workload::Flood => "A producer that never waits. Floor: a copy into hot memory",
    }
}

fn has_tail(workload: Workload) -> bool {
    matches!(workload, Workload::Pingpong | Workload::Asleep)
}

fn trip(line: &mut impl FnMut(std::fmt::Arguments<'_>), outcome: &Outcome) {
    let times = |times: Option<Times>| {
        let tail = times.and_then(|times| times.tail);
        [times.map(|times| times.typical), tail.map(|t| t.p99), tail.map(|t| t.p999), tail.map(|t| t.max)]
            .map(nanos)
    };
    let [p50, p99, p999, max] = times(outcome.floor_ns);
    line(format_args!("{:>10}  floor {p50:>9} {p99:>9} {p999:>9} {max:>9}", outcome.label));
    let [p50, p99, p999, max] = times(outcome.quoit_ns);
    line(format_args!("            quoit {p50:>9} {p99:>9} {p999:>9} {max:>9}"));
    let median = number(outcome.ratio.map(|ratio| ratio.median));
    let p99 = number(outcome.tail_ratio.map(|tail| tail.p99));
    let p999 = number(outcome.tail_ratio.map(|tail| tail.p999));
    line(format_args!("            ratio {median:>9} {p99:>9} {p999:>9}           {}", verdict(outcome)));
}

fn record(line: &mut impl FnMut(std::fmt::Arguments<'_>), outcome: &Outcome) {
    let floor = nanos(outcome.floor_ns.map(|times| times.typical));
    let quoit = nanos(outcome.quoit_ns.map(|times| times.typical));
    let ratio = number(outcome.ratio.map(|ratio| ratio.median));
    let share = outcome.share.map_or_else(String::new, |share| format!(", received {:.1} %", 100.0 * share));
    line(format_args!(
        "{:>10}        {floor:>9} {quoit:>9} {ratio:>9} {}{share}",
        outcome.label,
        verdict(outcome)
    ));
}

/// Quartiles, target, rounds.
fn verdict(outcome: &Outcome) -> String {
    let quartiles = match outcome.ratio {
        Some(ratio) => format!("{:.2}–{:.2}", ratio.lower_quartile, ratio.upper_quartile),
        None => "–".to_owned(),
    };
    let sign = if outcome.ratio_of == Ratio::Time { "≤" } else { "≥" };
    let target = outcome.target.map_or_else(String::new, |target| format!("{sign} {target:.2}"));
    let met = match outcome.met {
        Some(true) => "met",
        Some(false) => "no",
        None => "",
    };
    let mut text = format!("{quartiles:>11}   {target:>6} {met:<3} {:>8}", outcome.kept);
    if outcome.discarded > 0 {
        let _ = write!(text, " and {} discarded", outcome.discarded);
    }
    text
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// Three figures or so.
fn nanos(nanos: Option<f64>) -> String {
    match nanos {
        None => "–".to_owned(),
        Some(nanos) if nanos < 100.0 => format!("{nanos:.1} ns"),
        Some(nanos) if nanos < 10_000.0 => format!("{nanos:.0} ns"),
        Some(nanos) if nanos < 10_000_000.0 => format!("{:.1} us", nanos / 1e3),
        Some(nanos) => format!("{:.1} ms", nanos / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let shown = [1.234, 99.9, 250.4, 12_345.0, 12_345_678.0].map(|value| nanos(Some(value)));
        assert_eq!(shown, ["1.2 ns", "99.9 ns", "250 ns", "12.3 us", "12.3 ms"]);
    }
}
