//! What one measurement yields.

use serde::{Deserialize, Serialize};

use super::latencies::Latencies;

/// Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of latencies the median; of everything else the mean per record.
    pub(crate) typical: f64,
    pub(crate) tail: Option<Tail>,
    /// How much of what was published a consumer received, from 0 to 1.
    pub(crate) share: Option<f64>,
    /// Other processes took a CPU away meanwhile.
    pub(crate) disturbed: bool,
    /// Windows that were left out because of that.
    pub(crate) windows_left_out: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// What one process tells of a measurement, or all of them together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) figures: Figures,
    /// Every single one, where they were timed one by one.
    pub(crate) latencies: Option<Latencies>,
}

impl From<Figures> for Report {
    fn from(figures: Figures) -> Self {
        Self { figures, latencies: None }
    }
}

impl Report {
    /// One process measures the times, the same or another what was received.
    pub(crate) fn joined(self, other: Self) -> Self {
        let (a, b) = (self.figures, other.figures);
        Self {
            figures: Figures {
                typical: a.typical.max(b.typical),
                tail: a.tail.or(b.tail),
                share: a.share.or(b.share),
                disturbed: a.disturbed || b.disturbed,
                windows_left_out: a.windows_left_out.max(b.windows_left_out),
            },
            latencies: self.latencies.or(other.latencies),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_make_one_report() {
        let left = Figures { typical: 20.0, windows_left_out: 3, ..Figures::default() };
        let right = Figures { share: Some(0.5), disturbed: true, ..Figures::default() };
        let both = Figures { share: Some(0.5), disturbed: true, ..left };
        let joined = |a: Figures, b: Figures| Report::from(a).joined(b.into()).figures;
        assert_eq!(joined(left, right), both);
        assert_eq!(joined(right, left), both);
    }
}
