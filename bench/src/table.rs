//! The outcome for a terminal.

use std::fmt::{Arguments, Write as _};

use crate::document::{Document, Outcome, Verdict};
use crate::words;

pub(crate) fn table(document: &Document) -> String {
    let mut text = String::new();
    let mut line = |words: Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    for (name, value) in words::machine(document) {
        line(format_args!("{name:<12}{value}"));
    }
    for warning in words::warnings(document) {
        line(format_args!("WARNING     {warning}"));
    }
    let (mut workload, mut width) = (None, NARROW);
    for outcome in &document.results {
        let has_tail = outcome.quoit_ns.is_some_and(|times| times.tail.is_some());
        if workload != Some(outcome.workload) {
            workload = Some(outcome.workload);
            let labels = document.results.iter().filter(|other| other.workload == outcome.workload);
            width = labels.map(|other| other.label.chars().count()).fold(NARROW, usize::max);
            line(format_args!("\n{}", words::title(outcome.workload)));
            line(format_args!(
                "floor: {}; ratio: {}",
                words::floor(outcome.workload),
                words::ratio_of(outcome.ratio_of)
            ));
            if has_tail {
                line(format_args!("{TRIPS}"));
            } else {
                line(format_args!("{:width$}{RECORDS}", ""));
            }
        }
        if has_tail {
            latency(&mut line, outcome);
        } else {
            record(&mut line, outcome, width);
        }
    }
    line(format_args!(""));
    if let Some(modes) = words::slow_modes(document) {
        line(format_args!("{modes}"));
    }
    line(format_args!("{}", words::met(document)));
    text
}

const TRIPS: &str = "                              p50       p99     p99.9       max   quartiles     target                rounds";
const RECORDS: &str = "     floor     quoit     ratio     worst   quartiles     target                rounds";

fn latency(line: &mut impl FnMut(Arguments<'_>), outcome: &Outcome) {
    let [p50, p99, p999, max] = words::percentiles(outcome.floor_ns);
    line(format_args!("{:>18}  floor {p50:>9} {p99:>9} {p999:>9} {max:>9}", outcome.label));
    let [p50, p99, p999, max] = words::percentiles(outcome.quoit_ns);
    line(format_args!("                    quoit {p50:>9} {p99:>9} {p999:>9} {max:>9}"));
    let tail = outcome.tail.as_ref();
    let ratios = [outcome.ratio, tail.and_then(|tail| tail.p99), tail.and_then(|tail| tail.p999)];
    let [p50, p99, p999] = ratios.map(|ratio| words::ratio(ratio.map(|ratio| ratio.spread.median)));
    line(format_args!(
        "                    ratio {p50:>9} {p99:>9} {p999:>9}           {}",
        verdict(outcome)
    ));
    let [p50, p99, p999] = ratios.map(|ratio| words::ratio(ratio.map(|ratio| ratio.worst)));
    line(format_args!("                    worst {p50:>9} {p99:>9} {p999:>9}"));
}

/// What a column of labels is wide at least.
const NARROW: usize = 25;

fn record(line: &mut impl FnMut(Arguments<'_>), outcome: &Outcome, width: usize) {
    let floor = words::nanos(outcome.floor_ns.map(|times| times.typical));
    let quoit = words::nanos(outcome.quoit_ns.map(|times| times.typical));
    let ratio = words::ratio(outcome.ratio.map(|ratio| ratio.spread.median));
    let worst = words::ratio(outcome.ratio.map(|ratio| ratio.worst));
    let share = outcome.share.map_or_else(String::new, |share| format!(", received {:.1} %", 100.0 * share));
    line(format_args!(
        "{:>width$} {floor:>9} {quoit:>9} {ratio:>9} {worst:>9} {}{share}",
        outcome.label,
        verdict(outcome)
    ));
}

/// Quartiles, target, rounds.
fn verdict(outcome: &Outcome) -> String {
    let quartiles = words::quartiles(outcome.ratio);
    let sign = outcome.ratio_of.sign();
    let target = outcome.target.map_or_else(String::new, |target| format!("{sign} {target:.2}"));
    let verdict = outcome.verdict.map_or("", Verdict::word);
    let mut text = format!("{quartiles:>11}   {target:>6} {verdict:<11} {:>6}", outcome.kept);
    if outcome.discarded > 0 {
        let _ = write!(text, " and {} discarded", outcome.discarded);
    }
    if outcome.slow_mode == Some(true) {
        text.push_str(", SLOW MODE");
    }
    text
}
