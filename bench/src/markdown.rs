//! The table of targets in a page of Markdown, between two marks. Everything else of the page is somebody's text.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use quoit_floors::marks;
use quoit_floors::rounds::Times;

use crate::document::{Document, Judged, Verdict};
use crate::words;

const SECTION: &str = "bench";

/// Whether there is a place for the table.
pub(crate) fn check(path: &Path) -> Result<()> {
    with(path, "").map(drop)
}

/// Puts the table of this outcome in the place of the one before.
pub(crate) fn renew(path: &Path, document: &Document) -> Result<()> {
    crate::write(path, &with(path, &table(document))?)
}

fn with(path: &Path, table: &str) -> Result<String> {
    let shown = path.display();
    let page = fs::read_to_string(path).with_context(|| format!("could not read {shown}"))?;
    let [begin, end] = marks::marks(SECTION);
    marks::put(&page, SECTION, table).with_context(|| {
        format!("{shown} has no place for a table; put a line {begin} and a line {end} into it")
    })
}

fn table(document: &Document) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{words}");
    };
    for (name, value) in words::machine(document) {
        line(format_args!("* {name}: {value}"));
    }
    for warning in words::warnings(document) {
        line(format_args!("* **{warning}**"));
    }
    let mut judged = document.judged();
    // 4 before 4b before 5, and within one of them in the order in which they were measured.
    judged.sort_by_key(|judged| place(&judged.target.number));
    line(format_args!("\n{}.\n", words::met(document)));
    line(format_args!("| what | floor | quoit | ratio | quartiles | target | verdict | rounds |"));
    line(format_args!("|---|---:|---:|---:|---:|---:|---|---:|"));
    for judged in &judged {
        let Judged { outcome, what, ratio, target, verdict } = judged;
        let time = |times: Option<Times>| {
            let tail = times.and_then(|times| times.tail);
            words::nanos(match *what {
                "" => times.map(|times| times.typical),
                ", p99" => tail.map(|tail| tail.p99),
                _ => tail.map(|tail| tail.p999),
            })
        };
        let share = words::received(outcome);
        line(format_args!(
            "| {}{what}{share} | {} | {} | **{}** | {} | {} {:.2} | {} | {}{} |",
            words::row(outcome),
            time(outcome.floor_ns),
            time(outcome.quoit_ns),
            words::ratio(ratio.map(|ratio| ratio.median)),
            words::quartiles(*ratio),
            judged.sign(),
            target.ratio,
            verdict.map_or("not measured", Verdict::word),
            outcome.kept,
            if outcome.discarded > 0 { format!(", {} discarded", outcome.discarded) } else { String::new() },
        ));
    }
    let others: Vec<_> = document.results.iter().filter(|outcome| outcome.target.is_none()).collect();
    if !others.is_empty() {
        line(format_args!("\nWithout a target:\n"));
        line(format_args!("| what | floor | quoit | ratio | quartiles | rounds |"));
        line(format_args!("|---|---:|---:|---:|---:|---:|"));
    }
    for outcome in others {
        line(format_args!(
            "| {} | {} | {} | {} | {} | {} |",
            words::row(outcome),
            words::nanos(outcome.floor_ns.map(|times| times.typical)),
            words::nanos(outcome.quoit_ns.map(|times| times.typical)),
            words::ratio(outcome.ratio.map(|ratio| ratio.median)),
            words::quartiles(outcome.ratio),
            outcome.kept,
        ));
    }
    let latencies: Vec<_> =
        document.results.iter().filter(|outcome| outcome.quoit_latencies.is_some()).collect();
    if !latencies.is_empty() {
        line(format_args!("\nLatencies, quoit's and in brackets the floor's:\n"));
        line(format_args!("| what | p50 | p99 | p99.9 | max |"));
        line(format_args!("|---|---:|---:|---:|---:|"));
    }
    for outcome in latencies {
        let [quoit, floor] = [outcome.quoit_ns, outcome.floor_ns].map(words::percentiles);
        let cells: Vec<String> =
            quoit.iter().zip(&floor).map(|(quoit, floor)| format!("{quoit} ({floor})")).collect();
        line(format_args!("| {} | {} |", words::row(outcome), cells.join(" | ")));
    }
    text
}

/// By number, then by letter.
fn place(number: &str) -> (u32, &str) {
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    (number[..digits].parse().unwrap_or(u32::MAX), &number[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_an_order() {
        let mut numbers = ["11", "4b", "10", "4", "5", "3"];
        numbers.sort_by_key(|number| place(number));
        assert_eq!(numbers, ["3", "4", "4b", "5", "10", "11"]);
    }
}
