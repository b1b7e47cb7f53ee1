//! Words and numbers that every form of the outcome has in common.

use quoit_floors::distance;
use quoit_floors::machine::Machine;
use quoit_floors::rounds::Times;
use quoit_floors::stats::Spread;
use quoit_floors::units::{self, count, counted};

use crate::document::{Document, Outcome, Verdict};
use crate::plan::Workload;
use crate::ratio::{Ratio, Ratios};

/// Few rounds say little: the full form wants more than this.
pub(crate) const FEW: usize = 20;

pub(crate) fn title(workload: Workload) -> &'static str {
    match workload {
        Workload::Pingpong => "Round trip, both sides busy",
        Workload::Stream => "Stream, single sends, every byte read",
        Workload::Batch => "Stream, batches of 64, every byte read",
        Workload::Built => "Stream, single sends, records built on the spot in four ways",
        Workload::Asleep => "Round trip, both sides asleep",
        Workload::Price => "What being able to sleep costs a stream of single sends",
        Workload::Flood => "A producer that never waits",
        Workload::Claims => "Claims and typed sends, nobody reading",
        Workload::Fanout => "Stream to several consumers that share a CPU",
        Workload::Slots => "A publish with many gated slots attached",
        Workload::Large => "Records of 1 MiB",
        Workload::Open => "A record every microsecond, latency from when it was due",
        Workload::Times => "Sends with publish times, nobody reading",
        Workload::Backoff => "Readers that back off, by sizes of record and ring",
        Workload::Locks => "Lock and unlock, nobody else there",
        Workload::Contended => "Locks and barriers of several processes at once",
        Workload::Handover => "From an unlock to one who slept; there and back by events",
        Workload::Fairness => "The least share of eight that want a lock all the time",
        Workload::Latest => "Reading a latest value of 64 B",
        Workload::Changed => "Reading a latest value just after a change",
        Workload::Waits => "Round trip to one who sleeps in a set, or as a task",
        Workload::Idle => "A set of rings from which nothing comes, in the first second",
        Workload::Calls => "Round trips of calls, one at a time",
        Workload::Serving => "Calls of many clients, many calls in flight, large calls",
        Workload::Groups => "Records of 64 B, each for one of several, 16 at a time",
        Workload::Kit => "The kit",
    }
}

pub(crate) fn floor(workload: Workload) -> &'static str {
    match workload {
        Workload::Pingpong => "the same bytes between two fixed areas",
        Workload::Stream => "a ring with a sequence per slot",
        Workload::Built => "a ring with a sequence per slot, records built in the same way",
        Workload::Batch => "Lamport's ring, a cursor per batch",
        Workload::Asleep => "two futex words",
        Workload::Price => "the same ring in mode spin",
        Workload::Flood => "a copy into hot memory",
        Workload::Claims => "a plain send of the same record",
        Workload::Fanout => "a ring with a sequence per slot, and one consumer",
        Workload::Slots => "the same with one slot attached",
        Workload::Large => "the same bytes copied into shared memory and read there",
        Workload::Open => {
            "a sequence and the bytes in lines of their own; or half a round trip of plain atomics"
        }
        Workload::Times => "the same on a ring without, and as many looks at the clock",
        Workload::Backoff => "the same reader, which polls at once",
        Workload::Fairness | Workload::Idle => "none",
        Workload::Latest | Workload::Changed => "a bare seqlock",
        Workload::Waits => "a receive that sleeps",
        Workload::Kit
        | Workload::Locks
        | Workload::Contended
        | Workload::Handover
        | Workload::Calls
        | Workload::Serving
        | Workload::Groups => "what the row names after \u{201c}by\u{201d}",
    }
}

/// What a ratio is.
pub(crate) fn ratio_of(ratio: Ratio) -> &'static str {
    match ratio {
        Ratio::Time => "time by the floor's: less is better",
        Ratio::Throughput => "throughput by the floor's: more is better",
        Ratio::Extra => "nanoseconds beyond the floor's: less is better",
        Ratio::Share => "the least share by the mean: more is better",
        Ratio::Part => "percent of a processor: less is better",
    }
}

/// One row in a list of rows of every kind.
pub(crate) fn row(outcome: &Outcome) -> String {
    let name = match outcome.workload {
        Workload::Pingpong => "round trip",
        Workload::Stream => "stream",
        Workload::Batch => "stream, batches of 64",
        Workload::Built => "stream, built",
        Workload::Asleep => "round trip asleep",
        Workload::Price => "being able to sleep",
        Workload::Flood => "never waiting",
        Workload::Claims => "nobody reading",
        Workload::Fanout => "stream to",
        Workload::Slots => "publish with",
        Workload::Large => "1 MiB records",
        Workload::Open => "open loop, 1 M records/s",
        Workload::Times => "with times",
        Workload::Backoff => "back-off",
        Workload::Locks => "lock and unlock",
        Workload::Contended => "contended",
        Workload::Handover => "handed to a sleeper",
        Workload::Fairness => "least share",
        Workload::Latest => "latest value",
        Workload::Changed => "latest value after a change",
        Workload::Waits => "round trip to a sleeper",
        Workload::Idle => "idle, percent of a processor",
        Workload::Calls => "call",
        Workload::Serving => "calls",
        Workload::Groups => "handed out",
        Workload::Kit => "kit",
    };
    let comma = if matches!(outcome.workload, Workload::Fanout | Workload::Slots) { "" } else { "," };
    format!("{name}{comma} {}", outcome.label)
}

pub(crate) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

pub(crate) fn quartiles(ratio: Option<Ratios>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| between(ratio.spread))
}

/// The quartiles that a median is between.
pub(crate) fn between(spread: Spread) -> String {
    format!("{:.2}–{:.2}", spread.lower_quartile, spread.upper_quartile)
}

/// How much was received, after something else, where that matters.
pub(crate) fn received(outcome: &Outcome) -> String {
    outcome.share.map_or_else(String::new, |share| format!(", {:.1} % received", 100.0 * share))
}

/// Median, 99th and 99.9th percentile, maximum.
pub(crate) fn percentiles(times: Option<Times>) -> [String; 4] {
    let tail = times.and_then(|times| times.tail);
    let typical = times.map(|times| times.typical);
    [typical, tail.map(|t| t.p99), tail.map(|t| t.p999), tail.map(|t| t.max)].map(nanos)
}

/// A time, or a dash where none was taken.
pub(crate) fn nanos(nanos: Option<f64>) -> String {
    nanos.map_or_else(|| "–".to_owned(), |nanos| units::nanos(nanos, 3))
}

/// How many targets were met; of which, where some were not measured.
pub(crate) fn met(document: &Document) -> String {
    let judged = document.judged();
    let met = judged.iter().filter(|judged| judged.verdict.is_some_and(Verdict::is_met)).count();
    match judged.iter().filter(|judged| judged.verdict.is_none()).count() {
        0 => format!("{met} of {} targets met", judged.len()),
        missing => {
            format!("{met} of {} measured targets met, {missing} not measured", judged.len() - missing)
        }
    }
}

/// Which streams have a slow mode; `None` if none was measured.
pub(crate) fn slow_modes(document: &Document) -> Option<String> {
    let looked_at = || document.results.iter().filter(|outcome| outcome.slow_mode.is_some());
    let slow: Vec<String> = looked_at().filter(|outcome| outcome.slow_mode == Some(true)).map(row).collect();
    match (looked_at().count(), &slow[..]) {
        (0, _) => None,
        (streams, []) => Some(format!("no slow mode in {}", counted(streams as u64, "stream"))),
        (streams, _) => {
            let streams = counted(streams as u64, "stream");
            Some(format!("slow mode in {} of {streams}: {}", slow.len(), slow.join("; ")))
        }
    }
}

/// What makes the figures less than they seem, the worst first.
pub(crate) fn warnings(document: &Document) -> Vec<String> {
    let mut warnings = Vec::new();
    if document.debug_build {
        warnings.push("compiled without optimisation: no figure means anything; use --release".to_owned());
    }
    let machine = &document.machine;
    if machine.busy > 0.5 {
        let busy = machine.busy;
        warnings.push(format!("others kept {busy:.1} CPUs busy before it began: use a machine of its own"));
    }
    if document.machine.placement.contains("share") && document.is_far() {
        warnings.push(format!(
            "the two CPUs are said to share a cache, but a line takes {} there and back: they sit apart, or a \
             hypervisor does not tell; such figures do not compare with those of cores that do share one",
            nanos(document.bounce_ns)
        ));
    }
    let few = document.results.iter().filter(|outcome| outcome.kept < FEW).count();
    if few > 0 {
        let all = document.results.len();
        warnings
            .push(format!("{few} of {all} rows have fewer than {FEW} rounds: a first look, no measurement"));
    }
    warnings
}

/// What it was measured on: names and values.
pub(crate) fn machine(document: &Document) -> Vec<(&'static str, String)> {
    let machine: &Machine = &document.machine;
    let [first, second] = machine.used;
    let guest = if machine.is_virtual { ", a virtual machine" } else { "" };
    let discarded: u32 = document.results.iter().map(|outcome| outcome.discarded).sum();
    let kept: usize = document.results.iter().map(|outcome| outcome.kept).sum();
    let windows: u32 = document.results.iter().map(|outcome| outcome.windows_left_out).sum();
    vec![
        ("date", format!("{} UTC, quoit {}, {}", document.date, document.quoit, document.rustc)),
        ("machine", format!("{}, {} CPUs{guest}, Linux {}", machine.cpu, machine.cpus, machine.kernel)),
        ("placement", format!("CPUs {first} and {second}: {}", machine.placement)),
        ("distance", distance::described(document.bounce_ns)),
        ("mitigations", machine.mitigations.clone()),
        ("others", format!("kept {:.2} CPUs busy in the half second before", machine.busy)),
        (
            "rounds",
            format!(
                "{} kept over all rows, {} discarded because the floor moved or others took a CPU; within those kept, \
                 {} left out because others took a CPU",
                count(kept as u64),
                count(discarded.into()),
                counted(windows.into(), "window")
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let shown = [1.234, 99.9, 250.4, 4_302_000.0, 12_345_678.0].map(|value| nanos(Some(value)));
        assert_eq!(shown, ["1.23 ns", "99.9 ns", "250 ns", "4.3 ms", "12.3 ms"]);
        assert_eq!(nanos(None), "–");
    }
}
