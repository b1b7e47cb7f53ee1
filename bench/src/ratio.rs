//! What is shown of floor and quoit: their ratio, in the middle of all rounds and in the worst of them.

use quoit_floors::figures::Figures;
use quoit_floors::rounds::Series;
use quoit_floors::stats::{SLOW, Spread};
use serde::{Deserialize, Serialize};

/// What a ratio is made of, and which way it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ratio {
    /// Our time by the floor's: less is better.
    Time,
    /// Our throughput by the floor's: more is better.
    Throughput,
}

impl Ratio {
    pub(crate) fn of(self, floor: f64, quoit: f64) -> f64 {
        match self {
            Self::Time => quoit / floor,
            Self::Throughput => floor / quoit,
        }
    }

    /// Which way a target is to be reached.
    pub(crate) fn sign(self) -> &'static str {
        if self == Self::Time { "≤" } else { "≥" }
    }

    pub(crate) fn meets(self, ratio: f64, target: f64) -> bool {
        match self {
            Self::Time => ratio <= target,
            Self::Throughput => ratio >= target,
        }
    }
}

/// The ratios of all rounds kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratios {
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// That of the worst round: the highest of times, the lowest of throughputs.
    pub(crate) worst: f64,
}

impl Ratios {
    /// `None`: there is not one.
    pub(crate) fn of(
        ratio_of: Ratio,
        series: &Series,
        ratio: impl Fn(Figures, Figures) -> Option<f64>,
    ) -> Option<Self> {
        let worst = match ratio_of {
            Ratio::Time => series.highest(&ratio),
            Ratio::Throughput => series.lowest(&ratio),
        };
        Some(Self { spread: series.spread(&ratio)?, worst: worst? })
    }

    /// Of throughputs: whether the worst round was one of a slow mode.
    pub(crate) fn has_slow_mode(self) -> bool {
        self.worst < SLOW * self.spread.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_point_the_right_way() {
        assert_eq!(Ratio::Time.of(100.0, 125.0), 1.25);
        assert_eq!(Ratio::Throughput.of(100.0, 50.0), 2.0);
        assert!(Ratio::Time.meets(1.2, 1.25) && !Ratio::Time.meets(1.3, 1.25));
        assert!(Ratio::Throughput.meets(1.3, 1.3) && !Ratio::Throughput.meets(1.2, 1.3));
    }

    #[test]
    fn the_worst_is_the_highest_time_and_the_lowest_throughput() {
        let round = |quoit| {
            let figures = |typical| Figures { typical, ..Figures::default() };
            (figures(100.0), figures(quoit))
        };
        let series = Series { kept: [80.0, 100.0, 200.0].map(round).into(), ..Series::default() };
        let ratios = |ratio_of: Ratio| {
            let of = |floor: Figures, row: Figures| Some(ratio_of.of(floor.typical, row.typical));
            Ratios::of(ratio_of, &series, of).unwrap()
        };
        let (time, throughput) = (ratios(Ratio::Time), ratios(Ratio::Throughput));
        assert_eq!((time.spread.median, time.worst), (1.0, 2.0));
        assert_eq!((throughput.spread.median, throughput.worst), (1.0, 0.5));
        assert!(throughput.has_slow_mode());
        assert!(!Ratios { worst: 0.7, ..throughput }.has_slow_mode());
        assert_eq!(Ratios::of(Ratio::Time, &Series::default(), |_, _| Some(1.0)), None);
    }
}
