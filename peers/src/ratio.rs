//! A time by the floor's of the same round, over all rounds.

use quoit_floors::figures::Figures;
use quoit_floors::rounds::Series;
use quoit_floors::stats::{SLOW, Spread};
use serde::{Deserialize, Serialize};

/// 1 is the floor, less is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// Of the worst round kept.
    pub(crate) worst: f64,
    /// The worst round had less than 0.7 of the median's throughput.
    pub(crate) slow_mode: bool,
}

impl Ratio {
    /// Of something that every round yields of floor and row. Latencies have no slow mode.
    pub(crate) fn of(series: &Series, latency: bool, of: impl Fn(Figures) -> Option<f64>) -> Option<Self> {
        let ratio = |floor, row| Some(of(row)? / of(floor)?);
        let (spread, worst) = (series.spread(ratio)?, series.highest(ratio)?);
        Some(Self { spread, worst, slow_mode: !latency && spread.median < SLOW * worst })
    }

    pub(crate) fn median(self) -> f64 {
        self.spread.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: [f64; 3], latency: bool) -> Ratio {
        let figures = |typical| Figures { typical, ..Figures::default() };
        let kept = times.map(|time| (figures(10.0), figures(time))).into();
        let series = Series { kept, ..Series::default() };
        Ratio::of(&series, latency, |figures| Some(figures.typical)).unwrap()
    }

    #[test]
    fn the_worst_round_is_told() {
        let steady = of([20.0, 28.0, 21.0], false);
        assert_eq!((steady.median(), steady.worst, steady.slow_mode), (2.1, 2.8, false));
        assert!(of([20.0, 31.0, 21.0], false).slow_mode);
        assert!(!of([20.0, 31.0, 21.0], true).slow_mode);
    }
}
