//! The outcome as one page that needs nothing else: no script, no font, no picture from anywhere.

use std::fmt::Write as _;

use quoit_floors::svg::escape;

use crate::compare::{self, Verdict as Change};
use crate::document::{Document, Judged, Outcome, Verdict};
use crate::plan::Workload;
use crate::{svg, words};

const STYLE: &str = include_str!("style.css");

pub(crate) fn page(document: &Document, old: Option<&Document>) -> String {
    let mut page = String::new();
    put(&mut page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>");
    put(&mut page, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>");
    put(&mut page, "<meta name=\"color-scheme\" content=\"light dark\"/>");
    put(
        &mut page,
        &format!("<title>quoit bench, {}</title>\n<style>\n{STYLE}</style>", escape(&document.date)),
    );
    put(&mut page, "</head>\n<body>\n<main>");
    head(&mut page, document);
    if let Some(old) = old {
        changes(&mut page, old, document);
    }
    targets(&mut page, document);
    let mut rest = &document.results[..];
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|outcome| outcome.workload == first.workload).count();
        let (these, others) = rest.split_at(count);
        workload(&mut page, first.workload, these);
        rest = others;
    }
    put(&mut page, NOTES);
    put(&mut page, "</main>\n</body>\n</html>");
    page
}

const NOTES: &str = "<section>\n<h2>How to read this</h2>\n<p>A floor is plain atomics, futexes or copies that do the \
same work with none of a ring's duties. Every round measures the floor, quoit, and the floor again, in processes pinned to \
two CPUs; a ratio is taken within a round. A round in which the floor moved by more than 15 %, or in which the kernel gave a \
CPU to others, is discarded. Shown are medians over the rounds, as whiskers their quartiles, and as a circle the worst round: \
the longest time, or the lowest throughput. A stream has a slow mode if its worst round is below 0.7 of its median.</p>\n<p>A target is met \
if the median meets it; <em>just</em> met or missed if one of the quartiles stands on the other side. Latencies of the open \
loop count from when a record was due, not from when it was sent.</p>\n</section>";

fn head(page: &mut String, document: &Document) {
    put(page, "<header>\n<h1>quoit bench</h1>");
    let judged = document.judged();
    let count = |verdict| judged.iter().filter(|judged| judged.verdict == Some(verdict)).count();
    put(page, "<p class=\"tiles\">");
    for (verdict, class) in [
        (Verdict::Met, "good"),
        (Verdict::JustMet, "good"),
        (Verdict::JustMissed, "bad"),
        (Verdict::Missed, "bad"),
    ] {
        let count = count(verdict);
        put(page, &format!("<span class=\"tile {class}\"><b>{count}</b> {}</span>", verdict.word()));
    }
    // The tiles before it add up to the last.
    let missing = judged.iter().filter(|judged| judged.verdict.is_none()).count();
    put(page, &format!("<span class=\"tile\"><b>{missing}</b> not measured</span>"));
    put(page, &format!("<span class=\"tile sum\">of <b>{}</b> targets</span>\n</p>", judged.len()));
    for warning in words::warnings(document) {
        put(page, &format!("<p class=\"warning\">{}</p>", escape(&warning)));
    }
    if let Some(modes) = words::slow_modes(document) {
        put(page, &format!("<p>{}.</p>", escape(&modes)));
    }
    put(page, "<dl>");
    for (name, value) in words::machine(document) {
        put(page, &format!("<dt>{name}</dt><dd>{}</dd>", escape(&value)));
    }
    put(page, "</dl>\n</header>");
}

fn targets(page: &mut String, document: &Document) {
    put(page, "<section>\n<h2>Targets</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>what</th>");
    for name in ["ratio", "worst", "quartiles", "target", "verdict", "rounds"] {
        put(page, &format!("<th class=\"number\">{name}</th>"));
    }
    put(page, "</tr></thead>\n<tbody>");
    for judged in document.judged() {
        let Judged { outcome, what, ratio, target, verdict } = judged;
        let (word, class) = match verdict {
            None => ("not measured", ""),
            Some(verdict) if verdict.is_met() => (verdict.word(), "good"),
            Some(verdict) => (verdict.word(), "bad"),
        };
        let share = words::received(outcome);
        put(page, &format!("<tr><td>{}{what}{share}</td>", escape(&words::row(outcome))));
        put(page, &number(&words::ratio(ratio.map(|ratio| ratio.spread.median))));
        put(page, &number(&words::ratio(ratio.map(|ratio| ratio.worst))));
        put(page, &number(&words::quartiles(ratio)));
        put(page, &number(&format!("{} {:.2}", judged.sign(), target)));
        let slow = if judged.has_slow_mode() { ", slow mode" } else { "" };
        put(page, &format!("<td class=\"number {class}\">{word}{slow}</td>"));
        put(page, &(number(&rounds(outcome)) + "</tr>"));
    }
    put(page, "</tbody>\n</table></div>\n</section>");
}

fn workload(page: &mut String, workload: Workload, outcomes: &[Outcome]) {
    put(page, &format!("<section>\n<h2>{}</h2>", escape(words::title(workload))));
    let Some(first) = outcomes.first() else { return };
    put(
        page,
        &format!(
            "<p>Floor: {}. Ratio: {}.</p>",
            escape(words::floor(workload)),
            escape(words::ratio_of(first.ratio_of))
        ),
    );
    put(page, &format!("<figure>\n<figcaption>{}</figcaption>", svg::caption(first.ratio_of)));
    put(page, &svg::bars(&outcomes.iter().collect::<Vec<_>>()));
    put(page, LEGEND);
    put(page, "</figure>");
    times(page, outcomes);
    let curves: Vec<String> = outcomes.iter().filter_map(svg::curves).collect();
    if !curves.is_empty() {
        put(
            page,
            "<figure>\n<figcaption>Latency by percentile, all rounds together</figcaption>\n<div class=\"curves\">",
        );
        curves.iter().for_each(|curve| put(page, curve));
        put(page, "</div>\n<p class=\"legend\"><span class=\"key quoit-key\"></span>quoit");
        put(page, "<span class=\"key floor-key\"></span>floor</p>\n</figure>");
    }
    put(page, "</section>");
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"key met-key\"></span>met<span class=\"key missed-key\"></span>\
missed<span class=\"key worst-key\"></span>the worst round<span class=\"key target-key\"></span>target<span class=\"key one-key\"></span>the floor</p>";

fn times(page: &mut String, outcomes: &[Outcome]) {
    let has_tail = outcomes.iter().any(|outcome| outcome.quoit_ns.is_some_and(|times| times.tail.is_some()));
    let names: &[&str] = if has_tail {
        &["", "p50", "p99", "p99.9", "max"]
    } else {
        &["floor", "quoit", "ratio", "worst", "rounds"]
    };
    put(page, "<div class=\"wide\"><table>\n<thead><tr><th></th>");
    names.iter().for_each(|name| put(page, &format!("<th class=\"number\">{name}</th>")));
    put(page, "</tr></thead>\n<tbody>");
    for outcome in outcomes {
        if !has_tail {
            put(page, &format!("<tr><td>{}</td>", escape(&outcome.label)));
            for times in [outcome.floor_ns, outcome.quoit_ns] {
                put(page, &number(&words::nanos(times.map(|times| times.typical))));
            }
            put(page, &number(&words::ratio(outcome.ratio.map(|ratio| ratio.spread.median))));
            put(page, &number(&words::ratio(outcome.ratio.map(|ratio| ratio.worst))));
            put(page, &(number(&rounds(outcome)) + "</tr>"));
            continue;
        }
        for (who, times) in [("floor", outcome.floor_ns), ("quoit", outcome.quoit_ns)] {
            let label = if who == "floor" { escape(&outcome.label) } else { String::new() };
            put(page, &format!("<tr><td>{label}</td>{}", number(who)));
            words::percentiles(times).iter().for_each(|time| put(page, &number(time)));
            put(page, "</tr>");
        }
    }
    put(page, "</tbody>\n</table></div>");
}

fn changes(page: &mut String, old: &Document, document: &Document) {
    put(page, &format!("<section>\n<h2>Since {} UTC, quoit {}</h2>", escape(&old.date), escape(&old.quoit)));
    let differences = compare::differences(old, document);
    if !differences.is_empty() {
        put(
            page,
            "<div class=\"warning\">Different machines, kernels or builds: what follows compares them too.\n<ul>",
        );
        differences.iter().for_each(|words| put(page, &format!("<li>{}</li>", escape(words))));
        put(page, "</ul></div>");
    }
    put(page, "<div class=\"wide\"><table>\n<thead><tr><th>what</th>");
    for name in ["old ratio", "quartiles", "new ratio", "quartiles", "change", ""] {
        put(page, &format!("<th class=\"number\">{name}</th>"));
    }
    put(page, "</tr></thead>\n<tbody>");
    for change in compare::changes(old, document) {
        put(page, &format!("<tr><td>{}</td>", escape(&words::row(change.outcome))));
        for spread in [change.old, change.new] {
            put(page, &number(&format!("{:.2}", spread.median)));
            put(page, &number(&words::between(spread)));
        }
        put(page, &number(&change.amount()));
        let class = match change.verdict {
            Change::Better => "good",
            Change::Worse => "bad",
            Change::Spread => "",
        };
        put(
            page,
            &format!("<td class=\"number {class}\">{}</td></tr>", change.verdict.word().to_lowercase()),
        );
    }
    put(page, "</tbody>\n</table></div>");
    for words in compare::alone(old, document) {
        put(page, &format!("<p>{}</p>", escape(&words)));
    }
    put(page, "</section>");
}

fn rounds(outcome: &Outcome) -> String {
    match outcome.discarded {
        0 => outcome.kept.to_string(),
        discarded => format!("{} (−{discarded})", outcome.kept),
    }
}

fn number(text: &str) -> String {
    format!("<td class=\"number\">{}</td>", escape(text))
}

fn put(page: &mut String, part: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "{part}");
}
