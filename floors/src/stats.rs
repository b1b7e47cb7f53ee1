//! Medians, quartiles, percentiles, and which rounds count.

use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Tail};

/// By how much the floor may differ before and after a measurement.
const MOVED: f64 = 0.15;

/// A throughput below this part of its median belongs to a slow mode, not to the spread.
pub const SLOW: f64 = 0.7;

/// The smallest sample that so large a part of all samples does not exceed. They are sorted.
pub fn percentile(sorted: &[u32], quantile: f64) -> u32 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// A median between its quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// A quarter of all is below.
    pub lower_quartile: f64,
    /// Half of all is below.
    pub median: f64,
    /// Three quarters of all are below.
    pub upper_quartile: f64,
}

impl Spread {
    /// `None`: there is nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |quantile: f64| {
            let place = quantile * (values.len().checked_sub(1)?) as f64;
            let (low, part) = (place as usize, place.fract());
            let high = (low + 1).min(values.len() - 1);
            Some(values[low] + (values[high] - values[low]) * part)
        };
        Some(Self { lower_quartile: at(0.25)?, median: at(0.5)?, upper_quartile: at(0.75)? })
    }
}

/// The floor of a round, measured before and after: `None` if it moved in between, or others disturbed it.
pub fn settled(before: Figures, after: Figures) -> Option<Figures> {
    let (low, high) = (before.typical.min(after.typical), before.typical.max(after.typical));
    if high > low * (1.0 + MOVED) || before.disturbed || after.disturbed {
        return None;
    }
    let mean = |a: f64, b: f64| f64::midpoint(a, b);
    let tail = before.tail.zip(after.tail).map(|(a, b)| Tail {
        p99: mean(a.p99, b.p99),
        p999: mean(a.p999, b.p999),
        max: a.max.max(b.max),
    });
    let typical = mean(before.typical, after.typical);
    let windows_left_out = before.windows_left_out + after.windows_left_out;
    Some(Figures { typical, tail, windows_left_out, ..Figures::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typical(typical: f64) -> Figures {
        Figures { typical, ..Figures::default() }
    }

    #[test]
    fn percentiles() {
        let samples: Vec<u32> = (1..=1000).collect();
        let shown = [0.0, 0.5, 0.99, 0.999, 1.0].map(|quantile| percentile(&samples, quantile));
        assert_eq!(shown, [1, 500, 990, 999, 1000]);
        assert_eq!(percentile(&[7], 0.5), 7);
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn quartiles() {
        let spread = Spread::of([5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (2.0, 3.0, 4.0));
        let spread = Spread::of([1.0, 2.0]).unwrap();
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (1.25, 1.5, 1.75));
        assert_eq!(Spread::of([7.0]).unwrap().lower_quartile, 7.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_floor_that_moved_is_no_floor() {
        assert_eq!(settled(typical(100.0), typical(114.0)), Some(typical(107.0)));
        assert_eq!(settled(typical(100.0), typical(116.0)), None);
        assert_eq!(settled(typical(116.0), typical(100.0)), None);
    }

    #[test]
    fn a_disturbed_floor_is_none_either() {
        let disturbed = Figures { disturbed: true, ..typical(100.0) };
        assert_eq!(settled(typical(100.0), disturbed), None);
        assert_eq!(settled(disturbed, typical(100.0)), None);
    }

    #[test]
    fn tails_of_a_floor() {
        let tail = |p99, max| Some(Tail { p99, p999: p99, max });
        let figures = |tail| Figures { typical: 1.0, tail, ..Figures::default() };
        let floor = settled(figures(tail(10.0, 50.0)), figures(tail(20.0, 40.0))).unwrap();
        assert_eq!(floor.tail, tail(15.0, 50.0));
        assert_eq!(settled(figures(tail(1.0, 1.0)), figures(None)).unwrap().tail, None);
    }
}
