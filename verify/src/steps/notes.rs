//! What is known about a ring in a state from outside the ring: its options, its names, and what was sent.

use std::time::Duration;

use quoit::{Options, WaitMode};
use serde::{Deserialize, Serialize};

use super::oracle::Sent;

/// Bytes of most rings: the least there is, so that laps are short.
pub(crate) const CAPACITY: u64 = 4096;

/// What the options of a state come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) capacity: u64,
    pub(crate) slots: u32,
    pub(crate) inline: bool,
    pub(crate) wait: WaitMode,
    pub(crate) gated_only: bool,
    pub(crate) hard_limit: bool,
    pub(crate) origin: (u64, u64),
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            slots: 6,
            inline: true,
            wait: WaitMode::Membarrier,
            gated_only: false,
            hard_limit: false,
            origin: (0, 0),
        }
    }
}

impl Shape {
    pub(crate) fn options(&self) -> Options {
        let options = Options::new().capacity(self.capacity).slots(self.slots).inline(self.inline);
        let options = options.wait(self.wait).gated_only(self.gated_only);
        let options = options.origin(self.origin.0, self.origin.1);
        if self.hard_limit { options.hard_limit(Duration::from_secs(3600)) } else { options }
    }

    pub(crate) fn sent(&self) -> Sent {
        Sent::new(self.origin.0, self.origin.1, self.capacity)
    }
}

/// A name of the ring whose consumer is away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
    /// The record it goes on with.
    pub(crate) sequence: u64,
    pub(crate) gated: bool,
    /// Its gate stays shut.
    pub(crate) held: bool,
}

/// What is known of a state outside its ring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Notes {
    pub(crate) lens: Vec<usize>,
    pub(crate) names: Vec<Name>,
    pub(crate) epoch: u64,
    /// A dead producer may have been writing up to here.
    pub(crate) dirt: Option<u64>,
}
