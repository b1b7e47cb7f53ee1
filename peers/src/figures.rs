//! What one measurement yields.

use serde::{Deserialize, Serialize};

/// Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of round trips the median; of everything else the mean per record.
    pub(crate) typical: f64,
    pub(crate) tail: Option<Tail>,
    /// How much of what was published the consumer received, from 0 to 1.
    pub(crate) share: Option<f64>,
    /// Other processes took a CPU away meanwhile.
    pub(crate) disturbed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Figures {
    /// One side measures the times, the same or the other what was received.
    pub(crate) fn joined(self, other: Self) -> Self {
        Self {
            typical: self.typical.max(other.typical),
            tail: self.tail.or(other.tail),
            share: self.share.or(other.share),
            disturbed: self.disturbed || other.disturbed,
        }
    }
}

/// The smallest sample that so large a part of all samples does not exceed. They are sorted.
pub(crate) fn percentile(sorted: &[u32], quantile: f64) -> u32 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// A median between its quartiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) lower_quartile: f64,
    pub(crate) median: f64,
    pub(crate) upper_quartile: f64,
}

impl Spread {
    /// `None`: there is nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let samples: Vec<u32> = (1..=1000).collect();
        let shown = [0.0, 0.5, 0.99, 0.999, 1.0].map(|quantile| percentile(&samples, quantile));
        assert_eq!(shown, [1, 500, 990, 999, 1000]);
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn quartiles() {
        let spread = Spread::of([1.0, 2.0]).unwrap();
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (1.25, 1.5, 1.75));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn both_sides_make_one_figure() {
        let left = Figures { typical: 20.0, ..Figures::default() };
        let right = Figures { share: Some(0.5), disturbed: true, ..Figures::default() };
        let both = Figures { typical: 20.0, tail: None, share: Some(0.5), disturbed: true };
        assert_eq!(left.joined(right), both);
        assert_eq!(right.joined(left), both);
    }
}
