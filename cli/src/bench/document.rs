//! The outcome as it is written to JSON; the table is made of the same.

use serde::Serialize;

use super::figures::{Figures, Tail};
use super::machine::Machine;
use super::plan::{Group, Ratio, Row, SHARE_TARGET, TAIL_TARGET, Workload};
use super::rounds::Series;
use super::stats::Spread;

#[derive(Debug, Serialize)]
pub(crate) struct Document {
    pub(crate) quoit: &'static str,
    pub(crate) machine: Machine,
    pub(crate) results: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) workload: Workload,
    pub(crate) label: String,
    pub(crate) bytes: usize,
    /// Medians over the rounds kept, ns; `max` is the highest of all. `None`: no round was kept.
    pub(crate) floor_ns: Option<Times>,
    pub(crate) quoit_ns: Option<Times>,
    pub(crate) ratio_of: Ratio,
    pub(crate) ratio: Option<Spread>,
    pub(crate) target: Option<f64>,
    pub(crate) tail_ratio: Option<TailRatio>,
    /// How much was received, from 0 to 1.
    pub(crate) share: Option<f64>,
    /// Whether every target there is was met.
    pub(crate) met: Option<bool>,
    pub(crate) kept: usize,
    pub(crate) discarded: u32,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Times {
    /// Of round trips the median, of everything else the mean per record.
    pub(crate) typical: f64,
    #[serde(flatten)]
    pub(crate) tail: Option<Tail>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct TailRatio {
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) target: f64,
}

impl Document {
    pub(crate) fn of(machine: Machine, groups: &[Group], series: &[Vec<Series>]) -> Self {
        let results = groups.iter().zip(series).flat_map(|(group, series)| {
            group.rows.iter().zip(series).map(|(row, series)| Outcome::of(group, row, series))
        });
        Self { quoit: env!("CARGO_PKG_VERSION"), machine, results: results.collect() }
    }
}

impl Outcome {
    fn of(group: &Group, row: &Row, series: &Series) -> Self {
        let ratio = series.ratio(group.ratio);
        let tail_ratio = (group.workload == Workload::Pingpong).then(|| tail_ratio(series)).flatten();
        let share = series.median(|_, row| row.share);
        let met = ratio.zip(row.target).map(|(ratio, target)| {
            group.ratio.meets(ratio.median, target)
                && tail_ratio.is_none_or(|tail| tail.p99.max(tail.p999) <= tail.target)
                && share.is_none_or(|share| share >= SHARE_TARGET)
        });
        Self {
            workload: group.workload,
            label: row.label.clone(),
            bytes: group.bytes,
            floor_ns: times(series, |floor, _| floor),
            quoit_ns: times(series, |_, row| row),
            ratio_of: group.ratio,
            ratio,
            target: row.target,
            tail_ratio,
            share,
            met,
            kept: series.kept.len(),
            discarded: series.discarded,
        }
    }
}

fn times(series: &Series, which: impl Fn(Figures, Figures) -> Figures) -> Option<Times> {
    let typical = series.median(|floor, row| Some(which(floor, row).typical))?;
    let tail = |of: fn(Tail) -> f64| move |figures: Figures| figures.tail.map(of);
    let median = |of: fn(Tail) -> f64| series.median(|floor, row| tail(of)(which(floor, row)));
    let max = series.highest(|floor, row| tail(|tail| tail.max)(which(floor, row)));
    let tail = match (median(|tail| tail.p99), median(|tail| tail.p999), max) {
        (Some(p99), Some(p999), Some(max)) => Some(Tail { p99, p999, max }),
        _ => None,
    };
    Some(Times { typical, tail })
}

fn tail_ratio(series: &Series) -> Option<TailRatio> {
    let ratio = |of: fn(Tail) -> f64| series.median(|floor, row| Some(of(row.tail?) / of(floor.tail?)));
    Some(TailRatio { p99: ratio(|tail| tail.p99)?, p999: ratio(|tail| tail.p999)?, target: TAIL_TARGET })
}
