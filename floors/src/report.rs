//! What one measurement yields, as it goes through a pipe.

use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Measured};
use crate::latencies::Latencies;

/// What one process tells of a measurement, or all of them together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What is compared.
    pub figures: Figures,
    /// Every single one, where they were timed one by one.
    pub latencies: Option<Latencies>,
}

impl From<Measured> for Report {
    fn from(measured: Measured) -> Self {
        let latencies = measured.latencies.map(|samples| Latencies::of(&samples.nanos, samples.clock));
        Self { figures: measured.figures, latencies }
    }
}

impl From<Figures> for Report {
    fn from(figures: Figures) -> Self {
        Self { figures, latencies: None }
    }
}

impl Report {
    /// One process measures the times, the same or another what was received.
    pub fn joined(self, other: Self) -> Self {
        Self { figures: self.figures.joined(other.figures), latencies: self.latencies.or(other.latencies) }
    }
}
