//! The tables in a page of Markdown, each between two marks. Everything else of the page is somebody's text.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use quoit_floors::distance::Distance;
use quoit_floors::marks;
use quoit_floors::rounds::Times;

use crate::document::{Document, Judged, Outcome, Verdict};
use crate::plan::Workload;
use crate::words;

/// A table of the page, of some of the workloads.
struct Section {
    name: &'static str,
    has: fn(Workload) -> bool,
    table: fn(&Document) -> String,
}

impl Section {
    /// Where it goes. What was asked for of CPUs far from each other has a place of its own, beside that of the targets.
    fn place(&self, distance: Option<Distance>) -> &'static str {
        if self.name == "bench" && distance == Some(Distance::Far) { "far" } else { self.name }
    }
}

const SECTIONS: [Section; 4] = [
    Section { name: "bench", has: |workload| Workload::usual().contains(&workload), table },
    Section { name: "times", has: |workload| workload == Workload::Times, table },
    Section { name: "backoff", has: |workload| workload == Workload::Backoff, table: backoffs },
    Section { name: "kit", has: Workload::is_of_the_kit, table },
];

/// Whether there is a place for the tables of these workloads.
pub(crate) fn check(path: &Path, workloads: &[Workload], distance: Option<Distance>) -> Result<()> {
    with(path, workloads, distance, |_| String::new()).map(drop)
}

/// Puts the tables of this outcome in the places of those before.
pub(crate) fn renew(path: &Path, document: &Document) -> Result<()> {
    let text = |section: &Section| (section.table)(&document.part(section.has));
    let page = with(path, &document.workloads(), document.distance, text)?;
    crate::write(path, &page)
}

/// The page with a text in each section that has some of the workloads.
fn with(
    path: &Path,
    workloads: &[Workload],
    distance: Option<Distance>,
    text: impl Fn(&Section) -> String,
) -> Result<String> {
    let shown = path.display();
    let mut page = fs::read_to_string(path).with_context(|| format!("could not read {shown}"))?;
    for section in &SECTIONS {
        if workloads.iter().any(|workload| (section.has)(*workload)) {
            let place = section.place(distance);
            let [begin, end] = marks::marks(place);
            page = marks::put(&page, place, &text(section)).with_context(|| {
                format!("{shown} has no place for a table; put a line {begin} and a line {end} into it")
            })?;
        }
    }
    Ok(page)
}

/// What the figures were taken on, and what is to be said of them.
fn head(document: &Document) -> String {
    let mut text = String::new();
    for (name, value) in words::machine(document) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "* {name}: {value}");
    }
    for warning in words::warnings(document) {
        let _ = writeln!(text, "* **{warning}**");
    }
    text + "\n" + &words::met(document) + ".\n"
}

/// A line for each record in a ring, a column for each reader.
fn backoffs(document: &Document) -> String {
    let place = |outcome: &Outcome| outcome.label.split_once(", ").map(|(_, place)| place.to_owned());
    let mut text = head(document);
    let lines = document.results.chunk_by(|one, next| place(one) == place(next));
    for (number, line) in lines.enumerate() {
        let cells = |cell: &dyn Fn(&Outcome) -> String| line.iter().map(cell).collect::<Vec<_>>().join(" | ");
        // Writing to a string cannot fail.
        if number == 0 {
            let reader = |outcome: &Outcome| outcome.label.split(", ").next().unwrap_or_default().to_owned();
            let _ = writeln!(text, "\n| record in ring | {} |", cells(&reader));
            let _ = writeln!(text, "|---|{}", "---:|".repeat(line.len()));
        }
        let _ = writeln!(text, "| {} | {} |", place(&line[0]).unwrap_or_default(), cells(&backoff));
    }
    text
}

/// Median, worst round, time of a record with back-off, and what became of the target unless it was met.
fn backoff(outcome: &Outcome) -> String {
    let Some(ratio) = outcome.ratio else { return "–".into() };
    let verdict = outcome.verdict.filter(|verdict| !verdict.is_met());
    format!(
        "**{:.2}** ({:.2}), {}{}",
        ratio.spread.median,
        ratio.worst,
        words::nanos(outcome.quoit_ns.map(|times| times.typical)),
        verdict.map_or_else(String::new, |verdict| format!(", {}", verdict.word()))
    )
}

fn table(document: &Document) -> String {
    let mut text = head(document);
    // Writing to a string cannot fail.
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{words}");
    };
    let judged = document.judged();
    if let Some(modes) = words::slow_modes(document) {
        line(format_args!("\n{modes}."));
    }
    line(format_args!("\n| what | floor | quoit | ratio | worst | quartiles | target | verdict | rounds |"));
    line(format_args!("|---|---:|---:|---:|---:|---:|---:|---|---:|"));
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
            "| {}{what}{share} | {} | {} | **{}** | {} | {} | {} {:.2} | {}{} | {}{} |",
            words::row(outcome),
            time(outcome.floor_ns),
            time(outcome.quoit_ns),
            words::ratio(ratio.map(|ratio| ratio.spread.median)),
            words::ratio(ratio.map(|ratio| ratio.worst)),
            words::quartiles(*ratio),
            judged.sign(),
            target,
            verdict.map_or("not measured", Verdict::word),
            if judged.has_slow_mode() { ", slow mode" } else { "" },
            outcome.kept,
            if outcome.discarded > 0 { format!(", {} discarded", outcome.discarded) } else { String::new() },
        ));
    }
    let others: Vec<_> = document.results.iter().filter(|outcome| outcome.target.is_none()).collect();
    if !others.is_empty() {
        line(format_args!("\nWithout a target:\n"));
        line(format_args!("| what | floor | quoit | ratio | worst | quartiles | rounds |"));
        line(format_args!("|---|---:|---:|---:|---:|---:|---:|"));
    }
    for outcome in others {
        line(format_args!(
            "| {} | {} | {} | {} | {}{} | {} | {} |",
            words::row(outcome),
            words::nanos(outcome.floor_ns.map(|times| times.typical)),
            words::nanos(outcome.quoit_ns.map(|times| times.typical)),
            words::ratio(outcome.ratio.map(|ratio| ratio.spread.median)),
            words::ratio(outcome.ratio.map(|ratio| ratio.worst)),
            if outcome.slow_mode == Some(true) { ", slow mode" } else { "" },
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
