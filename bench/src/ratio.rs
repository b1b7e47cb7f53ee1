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
    /// Nanoseconds beyond the floor's: less is better.
    Extra,
    /// What the least of several got, by what they got on average. By no floor; more is better.
    Share,
    /// Of a processor's time, in percent. By no floor; less is better.
    Part,
}

impl Ratio {
    /// `None`: a share that was not measured.
    pub(crate) fn of(self, floor: Figures, quoit: Figures) -> Option<f64> {
        match self {
            Self::Time => Some(quoit.typical / floor.typical),
            Self::Throughput => Some(floor.typical / quoit.typical),
            Self::Extra => Some(quoit.typical - floor.typical),
            Self::Share => quoit.share,
            Self::Part => quoit.share.map(|share| 100.0 * share),
        }
    }

    /// Whether the floor has a part in it. Of what has none, a floor is measured all the same: it tells whether the machine
    /// kept still.
    pub(crate) fn has_floor(self) -> bool {
        matches!(self, Self::Time | Self::Throughput | Self::Extra)
    }

    /// Which way is good.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Throughput | Self::Share)
    }

    /// Which way a target is to be reached.
    pub(crate) fn sign(self) -> &'static str {
        if self.more_is_better() { "≥" } else { "≤" }
    }

    pub(crate) fn meets(self, ratio: f64, target: f64) -> bool {
        if self.more_is_better() { ratio >= target } else { ratio <= target }
    }
}

/// The ratios of all rounds kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratios {
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// That of the worst round: the highest where less is better, otherwise the lowest.
    pub(crate) worst: f64,
}

impl Ratios {
    /// `None`: there is not one.
    pub(crate) fn of(
        ratio_of: Ratio,
        series: &Series,
        ratio: impl Fn(Figures, Figures) -> Option<f64>,
    ) -> Option<Self> {
        let worst = if ratio_of.more_is_better() { series.lowest(&ratio) } else { series.highest(&ratio) };
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
        let figures = |typical, share| Figures { typical, share, ..Figures::default() };
        assert_eq!(Ratio::Time.of(figures(100.0, None), figures(125.0, None)), Some(1.25));
        assert_eq!(Ratio::Throughput.of(figures(100.0, None), figures(50.0, None)), Some(2.0));
        assert_eq!(Ratio::Extra.of(figures(100.0, None), figures(98.5, None)), Some(-1.5));
        assert_eq!(Ratio::Share.of(figures(100.0, None), figures(50.0, Some(0.5))), Some(0.5));
        assert_eq!(Ratio::Part.of(figures(100.0, None), figures(50.0, Some(0.001))), Some(0.1));
        assert_eq!(Ratio::Part.of(figures(100.0, None), figures(50.0, None)), None);
        assert!(Ratio::Part.meets(0.1, 0.1) && !Ratio::Share.meets(0.2, 0.25));
        assert!(Ratio::Extra.meets(-1.5, 3.0) && !Ratio::Extra.meets(3.5, 3.0));
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
        let ratios =
            |ratio_of: Ratio| Ratios::of(ratio_of, &series, |floor, row| ratio_of.of(floor, row)).unwrap();
        let (time, throughput) = (ratios(Ratio::Time), ratios(Ratio::Throughput));
        assert_eq!((time.spread.median, time.worst), (1.0, 2.0));
        assert_eq!((throughput.spread.median, throughput.worst), (1.0, 0.5));
        assert!(throughput.has_slow_mode());
        assert!(!Ratios { worst: 0.7, ..throughput }.has_slow_mode());
        assert_eq!(Ratios::of(Ratio::Time, &Series::default(), |_, _| Some(1.0)), None);
    }
}
