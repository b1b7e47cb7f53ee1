//! What one measurement yields.

use serde::{Deserialize, Serialize};

/// Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of round trips the median; of everything else the mean per record.
    pub(crate) typical: f64,
    pub(crate) tail: Option<Tail>,
    /// How much of what was published a consumer received, from 0 to 1.
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
