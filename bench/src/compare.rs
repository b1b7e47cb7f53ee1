//! What changed between two runs, and what of it is more than the spread.

use std::fmt::Write as _;

use quoit_floors::stats::Spread;

use crate::document::{Document, Outcome};
use crate::ratio::Ratio;
use crate::words;

/// One row that both runs have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) outcome: &'a Outcome,
    pub(crate) old: Spread,
    pub(crate) new: Spread,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Better,
    Worse,
    /// One of the medians lies between the other run's quartiles.
    Spread,
}

impl Verdict {
    fn of(ratio: Ratio, old: Spread, new: Spread) -> Self {
        let within =
            |value: f64, spread: Spread| (spread.lower_quartile..=spread.upper_quartile).contains(&value);
        if within(new.median, old) || within(old.median, new) {
            return Self::Spread;
        }
        let is_more = new.median > old.median;
        if is_more == ratio.more_is_better() { Self::Better } else { Self::Worse }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Spread => "within the spread",
        }
    }
}

impl Change<'_> {
    /// Of the ratio, in per cent; of a difference to the floor, in nanoseconds.
    pub(crate) fn amount(&self) -> String {
        match self.outcome.ratio_of {
            Ratio::Extra => format!("{:+.2} ns", self.new.median - self.old.median),
            _ => format!("{:+.1} %", 100.0 * (self.new.median / self.old.median - 1.0)),
        }
    }
}

fn same(a: &Outcome, b: &Outcome) -> bool {
    a.workload == b.workload && a.label == b.label
}

pub(crate) fn changes<'a>(old: &Document, new: &'a Document) -> Vec<Change<'a>> {
    let pairs = new.results.iter().filter_map(|outcome| {
        let before = old.results.iter().find(|other| same(other, outcome))?;
        let (old, new) = (before.ratio?.spread, outcome.ratio?.spread);
        Some(Change { outcome, old, new, verdict: Verdict::of(outcome.ratio_of, old, new) })
    });
    pairs.collect()
}

/// Rows that only one of the runs has figures for.
pub(crate) fn alone(old: &Document, new: &Document) -> Vec<String> {
    let missing = |here: &Document, there: &Document, words: &str| {
        let has = |outcome: &&Outcome| outcome.ratio.is_some();
        let missing =
            |outcome: &&Outcome| !there.results.iter().filter(has).any(|other| same(other, outcome));
        let rows: Vec<String> = here.results.iter().filter(has).filter(missing).map(words::row).collect();
        (!rows.is_empty()).then(|| format!("{words}: {}", rows.join("; ")))
    };
    [missing(old, new, "only in the old run"), missing(new, old, "only in the new run")]
        .into_iter()
        .flatten()
        .collect()
}

/// In what the two runs differ besides what is measured: their ratios are then no measure of a change of the code.
pub(crate) fn differences(old: &Document, new: &Document) -> Vec<String> {
    let (a, b) = (&old.machine, &new.machine);
    let pairs = [
        ("CPU", &a.cpu, &b.cpu),
        ("kernel", &a.kernel, &b.kernel),
        ("placement", &a.placement, &b.placement),
        ("mitigations", &a.mitigations, &b.mitigations),
        ("compiler", &old.rustc, &new.rustc),
    ];
    let differ = pairs.into_iter().filter(|(_, old, new)| old != new);
    let mut differences: Vec<String> =
        differ.map(|(what, old, new)| format!("{what}: {old} then, {new} now")).collect();
    if a.cpus != b.cpus {
        differences.push(format!("CPUs: {} then, {} now", a.cpus, b.cpus));
    }
    if old.debug_build != new.debug_build {
        differences.push("one of the builds is not optimised".to_owned());
    }
    differences
}

pub(crate) fn text(old: &Document, new: &Document) -> String {
    let mut text = format!("Since {} UTC, quoit {}\n", old.date, old.quoit);
    // Writing to a string cannot fail.
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{words}");
    };
    let differences = differences(old, new);
    if !differences.is_empty() {
        line(format_args!("DIFFERENT MACHINES, KERNELS OR BUILDS: what follows compares them too"));
        for difference in differences {
            line(format_args!("  {difference}"));
        }
    }
    line(format_args!(
        "{:<38} {:>20} {:>20} {:>8}",
        "", "old ratio, quartiles", "new ratio, quartiles", "change"
    ));
    let both = |spread: Spread| format!("{:.2} {}", spread.median, words::between(spread));
    let changes = changes(old, new);
    for change in &changes {
        line(format_args!(
            "{:<38} {:>20} {:>20} {:>8}  {}",
            words::row(change.outcome),
            both(change.old),
            both(change.new),
            change.amount(),
            change.verdict.word()
        ));
    }
    for words in alone(old, new) {
        line(format_args!("{words}"));
    }
    let count = |verdict| changes.iter().filter(|change| change.verdict == verdict).count();
    line(format_args!(
        "{} better, {} worse, {} within the spread",
        count(Verdict::Better),
        count(Verdict::Worse),
        count(Verdict::Spread)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Workload;

    fn spread(lower_quartile: f64, median: f64, upper_quartile: f64) -> Spread {
        Spread { lower_quartile, median, upper_quartile }
    }

    #[test]
    fn a_change_is_one_if_both_medians_left_the_other_spread() {
        let old = spread(1.0, 1.1, 1.2);
        assert_eq!(Verdict::of(Ratio::Time, old, spread(1.3, 1.4, 1.5)), Verdict::Worse);
        assert_eq!(Verdict::of(Ratio::Throughput, old, spread(1.3, 1.4, 1.5)), Verdict::Better);
        assert_eq!(Verdict::of(Ratio::Time, old, spread(0.8, 0.9, 1.0)), Verdict::Better);
        assert_eq!(Verdict::of(Ratio::Throughput, old, spread(0.8, 0.9, 1.0)), Verdict::Worse);
        assert_eq!(Verdict::of(Ratio::Time, old, spread(1.1, 1.15, 1.9)), Verdict::Spread);
        assert_eq!(Verdict::of(Ratio::Time, old, spread(1.05, 1.4, 1.9)), Verdict::Spread);
    }

    /// Of a difference to the floor a quotient says nothing: it may be of nothing, or of less.
    #[test]
    fn a_difference_to_the_floor_changes_by_nanoseconds() {
        let outcome = Outcome {
            workload: Workload::Times,
            label: String::new(),
            bytes: 8,
            floor_ns: None,
            quoit_ns: None,
            ratio_of: Ratio::Extra,
            ratio: None,
            slow_mode: None,
            target: None,
            verdict: None,
            tail: None,
            share: None,
            kept: 1,
            discarded: 0,
            windows_left_out: 0,
            floor_latencies: None,
            quoit_latencies: None,
        };
        let change = |old, new| {
            let verdict = Verdict::of(Ratio::Extra, old, new);
            let change = Change { outcome: &outcome, old, new, verdict };
            (change.verdict, change.amount())
        };
        let old = spread(-1.0, -0.5, 0.0);
        assert_eq!(change(old, spread(1.0, 1.25, 1.5)), (Verdict::Worse, "+1.75 ns".to_owned()));
        assert_eq!(change(old, spread(-3.0, -2.5, -2.0)), (Verdict::Better, "-2.00 ns".to_owned()));
        assert_eq!(change(old, spread(-1.0, -0.25, 0.5)), (Verdict::Spread, "+0.25 ns".to_owned()));
        let ratio = Outcome { ratio_of: Ratio::Time, ..outcome.clone() };
        let verdict = Verdict::Worse;
        let change =
            Change { outcome: &ratio, old: spread(1.0, 1.0, 1.0), new: spread(1.5, 1.5, 1.5), verdict };
        assert_eq!(change.amount(), "+50.0 %");
    }
}
