//! What a pair of processes can be asked to measure. Orders go down the child's stdin as lines of JSON, figures
//! come up its stdout.

use anyhow::Result;
use quoit::WaitMode;
use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::scene::Scene;
use super::{bounce, flood, sleepers, stream};

/// One measurement. `count`: round trips or records in a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Floor: bytes between two fixed areas.
    BounceLines { bytes: usize, count: u64 },
    /// The same between two rings.
    BounceRings { bytes: usize, count: u64 },
    /// Floor: a stream through a ring with a sequence in every slot.
    StreamSlots { bytes: usize, count: u64 },
    /// Floor: a stream through a ring with two cursors, stored once per batch.
    StreamCursors { bytes: usize, count: u64, batch: usize },
    /// The same through our ring; a batch of 1 is a single send.
    StreamRing { bytes: usize, count: u64, batch: usize, wait: Wait },
    /// Floor: two futex words.
    BounceFutexes { count: u64 },
    /// The same between two rings whose consumers sleep at once.
    BounceAsleep { count: u64 },
    /// Floor: a hot copy of 64 bytes.
    Copy { count: u64 },
    /// A producer that never waits, with or without a lossy consumer.
    Flood { count: u64, reader: bool },
}

/// [`WaitMode`] as it goes over a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Wait {
    Membarrier,
    Fence,
    Spin,
}

impl From<Wait> for WaitMode {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Membarrier => Self::Membarrier,
            Wait::Fence => Self::Fence,
            Wait::Spin => Self::Spin,
        }
    }
}

impl Job {
    /// One side's part of it. Who has nothing to tell tells zeros.
    pub(crate) fn run(self, scene: &Scene) -> Result<Figures> {
        match self {
            Self::BounceLines { bytes, count } => bounce::lines(scene, bytes, count),
            Self::BounceRings { bytes, count } => bounce::rings(scene, bytes, count),
            Self::StreamSlots { bytes, count } => stream::slots(scene, bytes, count),
            Self::StreamCursors { bytes, count, batch } => stream::cursors(scene, bytes, count, batch),
            Self::StreamRing { bytes, count, batch, wait } => {
                stream::ring(scene, bytes, count, batch, wait.into())
            }
            Self::BounceFutexes { count } => sleepers::futexes(scene, count),
            Self::BounceAsleep { count } => sleepers::rings(scene, count),
            Self::Copy { count } => flood::copies(scene, count),
            Self::Flood { count, reader } => flood::flood(scene, count, reader),
        }
    }
}
