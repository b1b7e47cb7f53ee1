//! How far the two CPUs are from each other. A hypervisor may move them at any time, and then every transfer between them
//! takes several times as long, or as short.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units;

/// A cache line that takes longer than this to go there and back is between CPUs that share no cache, ns. Those that do take 50
/// to 140, others from 400 on.
pub const FAR_NS: f64 = 250.0;

/// Whether the two CPUs share a cache, by the time that a line takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// They do.
    Near,
    /// They do not.
    Far,
}

impl Distance {
    /// By how long a line takes there and back, ns.
    pub fn of(bounce_ns: f64) -> Self {
        if bounce_ns > FAR_NS { Self::Far } else { Self::Near }
    }
}

/// In words, for the time that a line took in the rounds that count. `None`: there were none.
pub fn described(bounce_ns: Option<f64>) -> String {
    bounce_ns.map_or_else(
        || "unknown: no round counts".to_owned(),
        |ns| format!("{}: a cache line goes there and back in {}", Distance::of(ns), units::nanos(ns, 3)),
    )
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Near => "near",
            Self::Far => "far",
        })
    }
}

impl FromStr for Distance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Near, Self::Far]
            .into_iter()
            .find(|distance| distance.to_string() == text)
            .ok_or_else(|| "the distance is near or far".to_owned())
    }
}
