//! The outcome as it is written to JSON and read again; everything that is shown is made of it.

use std::fmt;
use std::fs;
use std::path::Path;

use quoit_floors::distance::Distance;
use quoit_floors::figures::{Figures, Tail};
use quoit_floors::latencies::Latencies;
use quoit_floors::machine::Machine;
use quoit_floors::rounds::{Series, Times, usual_bounce};
use quoit_floors::stats::Spread;
use serde::{Deserialize, Serialize};

use crate::plan::{Group, Row, SHARE_TARGET, TAIL_TARGET, Workload};
use crate::ratio::{Ratio, Ratios};

/// Of this document. Older ones cannot be read: they number their targets, or do not say how far the CPUs were.
const FORMAT: u32 = 5;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) quoit_bench_format: u32,
    /// When it began, UTC.
    pub(crate) date: String,
    /// Version of the command, and what compiled it.
    pub(crate) quoit: String,
    pub(crate) rustc: String,
    /// Compiled without optimisation: no figure means anything.
    pub(crate) debug_build: bool,
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    /// Of the two CPUs, as it was asked for. `None`: that of most rounds.
    pub(crate) distance: Option<Distance>,
    /// How long a cache line took from one CPU to the other and back, ns: the median over the rounds kept. `None`: none was.
    pub(crate) bounce_ns: Option<f64>,
    pub(crate) results: Vec<Outcome>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) workload: Workload,
    pub(crate) label: String,
    pub(crate) bytes: usize,
    /// Medians over the rounds kept, ns; `max` is the highest of all. `None`: no round was kept.
    pub(crate) floor_ns: Option<Times>,
    pub(crate) quoit_ns: Option<Times>,
    pub(crate) ratio_of: Ratio,
    pub(crate) ratio: Option<Ratios>,
    /// Of a stream: whether its worst round was far below its median.
    pub(crate) slow_mode: Option<bool>,
    pub(crate) target: Option<f64>,
    /// Of the ratio, and of how much was received where that matters.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) tail: Option<TailRatios>,
    /// How much was received, from 0 to 1.
    pub(crate) share: Option<f64>,
    /// Rounds.
    pub(crate) kept: usize,
    pub(crate) discarded: u32,
    /// Windows within the rounds kept that others had disturbed.
    pub(crate) windows_left_out: u32,
    /// All latencies of the rounds kept, where they were taken one by one.
    pub(crate) floor_latencies: Option<Latencies>,
    pub(crate) quoit_latencies: Option<Latencies>,
}

/// The high percentiles, by the floor's own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct TailRatios {
    /// `None`: no round was kept.
    pub(crate) p99: Option<Ratios>,
    pub(crate) p999: Option<Ratios>,
    pub(crate) target: Option<f64>,
}

/// How the median of a ratio stands to its target, and whether the quartile next to it stands on the same side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    #[serde(rename = "met")]
    Met,
    #[serde(rename = "just met")]
    JustMet,
    #[serde(rename = "just missed")]
    JustMissed,
    #[serde(rename = "missed")]
    Missed,
}

impl Verdict {
    pub(crate) fn of(ratio_of: Ratio, ratio: Spread, target: f64) -> Self {
        let meets = |ratio| ratio_of.meets(ratio, target);
        match (meets(ratio.median), meets(ratio.lower_quartile) && meets(ratio.upper_quartile)) {
            (true, true) => Self::Met,
            (true, false) => Self::JustMet,
            (false, _) if meets(ratio.lower_quartile) || meets(ratio.upper_quartile) => Self::JustMissed,
            (false, _) => Self::Missed,
        }
    }

    pub(crate) fn is_met(self) -> bool {
        matches!(self, Self::Met | Self::JustMet)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::JustMet => "just met",
            Self::JustMissed => "just missed",
            Self::Missed => "missed",
        }
    }
}

/// Why there is no earlier result to be had.
#[derive(Debug)]
pub enum Unreadable {
    /// The file could not be read.
    Missing(String),
    /// It is no result, or one of another format.
    Unusable(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(why) | Self::Unusable(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for Unreadable {}

impl Document {
    pub(crate) fn of(
        machine: Machine,
        version: &str,
        quick: bool,
        distance: Option<Distance>,
        groups: &[Group],
        series: &[Vec<Series>],
    ) -> Self {
        let results = groups.iter().zip(series).flat_map(|(group, series)| {
            group.rows.iter().zip(series).map(|(row, series)| Outcome::of(group, row, series))
        });
        Self {
            quoit_bench_format: FORMAT,
            date: machine.date.clone(),
            quoit: version.into(),
            rustc: env!("QUOIT_RUSTC").into(),
            debug_build: cfg!(debug_assertions),
            quick,
            machine,
            distance,
            bounce_ns: usual_bounce(series),
            results: results.collect(),
        }
    }

    /// Whether the two CPUs were far from each other.
    pub(crate) fn is_far(&self) -> bool {
        self.bounce_ns.map(Distance::of) == Some(Distance::Far)
    }

    /// What an earlier run has written with `--json`.
    pub(crate) fn read(path: &Path) -> Result<Self, Unreadable> {
        let refuse = |why: String| {
            let advice = "write one with `quoit bench --json > FILE`";
            format!("{}: {why}; {advice}", path.display())
        };
        let unusable = |why: String| Unreadable::Unusable(refuse(why));
        let text =
            fs::read_to_string(path).map_err(|error| Unreadable::Missing(refuse(error.to_string())))?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| unusable(format!("is no result of a benchmark: {error}")))?;
        match value.get("quoit_bench_format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(unusable(format!(
                    "is a result of format {format}, and this build reads {FORMAT}"
                )));
            }
            None => return Err(unusable("is no result of a benchmark".into())),
        }
        serde_json::from_value(value).map_err(|error| unusable(format!("is a damaged result: {error}")))
    }

    /// What it has results of.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        self.results.iter().map(|outcome| outcome.workload).collect()
    }

    /// The same with some of the results.
    pub(crate) fn part(&self, wanted: impl Fn(Workload) -> bool) -> Self {
        let mut part = self.clone();
        part.results.retain(|outcome| wanted(outcome.workload));
        part
    }

    /// Every target there is, and what became of it: of each row the ratio's, and its high percentiles'.
    pub(crate) fn judged(&self) -> Vec<Judged<'_>> {
        let mut judged = Vec::new();
        for outcome in &self.results {
            if let (Some(target), ratio) = (outcome.target, outcome.ratio) {
                judged.push(Judged { outcome, what: "", ratio, target, verdict: outcome.verdict });
            }
            let Some(TailRatios { p99, p999, target: Some(target) }) = outcome.tail else { continue };
            for (what, ratio) in [(", p99", p99), (", p99.9", p999)] {
                let verdict = ratio.map(|ratio| Verdict::of(Ratio::Time, ratio.spread, target));
                judged.push(Judged { outcome, what, ratio, target, verdict });
            }
        }
        judged
    }
}

/// One target of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) outcome: &'a Outcome,
    /// Which ratio of it, if it is not that of the typical time.
    pub(crate) what: &'static str,
    pub(crate) ratio: Option<Ratios>,
    pub(crate) target: f64,
    pub(crate) verdict: Option<Verdict>,
}

impl Judged<'_> {
    /// Whether the ratio is a stream's that has one.
    pub(crate) fn has_slow_mode(&self) -> bool {
        self.outcome.slow_mode == Some(true)
    }

    /// Which way the target is to be reached.
    pub(crate) fn sign(&self) -> &'static str {
        if self.what.is_empty() { self.outcome.ratio_of.sign() } else { Ratio::Time.sign() }
    }
}

impl Outcome {
    fn of(group: &Group, row: &Row, series: &Series) -> Self {
        let ratio = Ratios::of(group.ratio, series, |floor, row| group.ratio.of(floor, row));
        let share = series.median(|_, row| row.share).filter(|_| group.ratio.has_floor());
        let verdict = ratio.zip(row.target).map(|(ratio, target)| {
            let received = share.is_none_or(|share| share >= SHARE_TARGET);
            if received { Verdict::of(group.ratio, ratio.spread, target) } else { Verdict::Missed }
        });
        let left_out = |(floor, row): &(Figures, Figures)| floor.windows_left_out + row.windows_left_out;
        Self {
            workload: group.workload,
            label: row.label.clone(),
            bytes: group.bytes,
            floor_ns: series.times(|floor, _| floor).filter(|_| group.ratio.has_floor()),
            quoit_ns: series.times(|_, row| row),
            ratio_of: group.ratio,
            ratio,
            slow_mode: ratio.filter(|_| group.workload.is_stream()).map(Ratios::has_slow_mode),
            target: row.target,
            verdict,
            tail: tail_ratios(series, group.workload),
            share,
            kept: series.kept.len(),
            discarded: series.discarded,
            windows_left_out: series.kept.iter().map(left_out).sum(),
            floor_latencies: series.floor_latencies().filter(|_| group.ratio.has_floor()),
            quoit_latencies: series.row_latencies(),
        }
    }
}

fn tail_ratios(series: &Series, workload: Workload) -> Option<TailRatios> {
    let ratio = |of: fn(Tail) -> f64| {
        Ratios::of(Ratio::Time, series, |floor, row| Some(of(row.tail?) / of(floor.tail?)))
    };
    let (p99, p999) = (ratio(|tail| tail.p99), ratio(|tail| tail.p999));
    let target = (workload == Workload::Pingpong).then_some(TAIL_TARGET);
    (p99.is_some() || target.is_some()).then_some(TailRatios { p99, p999, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let verdict = |ratio_of, lower_quartile, median, upper_quartile| {
            Verdict::of(ratio_of, Spread { lower_quartile, median, upper_quartile }, 1.25)
        };
        assert_eq!(verdict(Ratio::Time, 1.0, 1.1, 1.2), Verdict::Met);
        assert_eq!(verdict(Ratio::Time, 1.0, 1.2, 1.3), Verdict::JustMet);
        assert_eq!(verdict(Ratio::Time, 1.2, 1.3, 1.4), Verdict::JustMissed);
        assert_eq!(verdict(Ratio::Time, 1.3, 1.4, 1.5), Verdict::Missed);
        assert_eq!(verdict(Ratio::Throughput, 1.3, 1.4, 1.5), Verdict::Met);
        assert_eq!(verdict(Ratio::Throughput, 1.2, 1.3, 1.4), Verdict::JustMet);
        assert_eq!(verdict(Ratio::Throughput, 1.1, 1.2, 1.3), Verdict::JustMissed);
        assert_eq!(verdict(Ratio::Throughput, 1.0, 1.1, 1.2), Verdict::Missed);
    }
}
