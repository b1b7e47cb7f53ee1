//! What one measurement yields.

use serde::{Deserialize, Serialize};

/// Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Of latencies the median; of everything else the mean per record.
    pub typical: f64,
    /// Of latencies only.
    pub tail: Option<Tail>,
    /// How much of what was published a consumer received, from 0 to 1.
    pub share: Option<f64>,
    /// Other processes took a CPU away meanwhile.
    pub disturbed: bool,
    /// Windows that were left out because of that.
    pub windows_left_out: u32,
}

/// The high percentiles, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Of a hundred, one is slower.
    pub p99: f64,
    /// Of a thousand, one is slower.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Figures {
    /// One process measures the times, the same or another what was received.
    pub fn joined(self, other: Self) -> Self {
        Self {
            typical: self.typical.max(other.typical),
            tail: self.tail.or(other.tail),
            share: self.share.or(other.share),
            disturbed: self.disturbed || other.disturbed,
            windows_left_out: self.windows_left_out.max(other.windows_left_out),
        }
    }
}

/// What one process has measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// All that most want to know.
    pub figures: Figures,
    /// Every single latency, where they were timed one by one.
    pub latencies: Option<Samples>,
}

/// Latencies as the clock told them, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Nanoseconds of each, looking at the clock included.
    pub nanos: Vec<u32>,
    /// What looking at the clock took of each, ns.
    pub clock: f64,
}

impl From<Figures> for Measured {
    fn from(figures: Figures) -> Self {
        Self { figures, latencies: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_make_one_figure() {
        let left = Figures { typical: 20.0, windows_left_out: 3, ..Figures::default() };
        let right = Figures { share: Some(0.5), disturbed: true, ..Figures::default() };
        let both = Figures { share: Some(0.5), disturbed: true, ..left };
        assert_eq!(left.joined(right), both);
        assert_eq!(right.joined(left), both);
    }
}
