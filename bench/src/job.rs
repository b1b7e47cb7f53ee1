//! What the processes can be asked to measure.

use anyhow::Result;
use quoit::WaitMode;
use quoit_floors::building::Building;
use quoit_floors::copies::copies;
use quoit_floors::crew;
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;
use serde::{Deserialize, Serialize};

use crate::backoff::Case;
use crate::claims::Call;
use crate::kit;
use crate::large::Way;
use crate::{backoff, bounce, claims, fan, flood, gates, large, open, sleepers, stream, times};

/// One measurement. `count`: round trips or records in a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Floor: bytes between two fixed areas.
    BounceLines { bytes: usize, count: u64 },
    /// The same between two rings.
    BounceRings { bytes: usize, count: u64 },
    /// Floor: a stream through a ring with a sequence in every slot.
    StreamSlots { bytes: usize, count: u64, building: Building },
    /// Floor: a stream through a ring with two cursors, stored once per batch.
    StreamCursors { bytes: usize, count: u64, batch: usize },
    /// Single sends through our ring.
    StreamRing { bytes: usize, count: u64, wait: Wait, building: Building },
    /// Batches through our ring.
    StreamBatches { bytes: usize, count: u64, batch: usize },
    /// Floor: two futex words.
    BounceFutexes { count: u64 },
    /// The same between two rings whose consumers sleep at once.
    BounceAsleep { count: u64 },
    /// Sending with nobody reading.
    Call { bytes: usize, count: u64, call: Call },
    /// Floor: a hot copy of 64 bytes.
    Copy { count: u64 },
    /// A producer that never waits, with or without a lossy consumer; a batch of 1 is a single send.
    Flood { count: u64, reader: bool, batch: usize },
    /// A stream of 64-byte records to so many consumers, a process each.
    Fan { count: u64, readers: usize },
    /// Publishing 64-byte records with so many gated slots attached; `laps` of the ring make a window.
    Gates { laps: u64, slots: usize },
    /// Floor: 1 MiB copied into shared memory and read there, again and again.
    LargeCopy { count: u64 },
    /// The same bytes through our ring.
    LargeRing { count: u64, way: Way },
    /// Floor: half a round trip of `BounceLines` with 64 bytes.
    BounceHalf { count: u64 },
    /// Floor: 64 bytes every so many nanoseconds through cache lines of their own, with a sequence each.
    OpenLines { count: u64, interval: u64 },
    /// The same through our ring.
    OpenRing { count: u64, interval: u64 },
    /// Sending with nobody reading, on a ring with publish times; or, as the floor, on one without, with a look at the clock for
    /// each record or batch.
    Times { bytes: usize, count: u64, batch: usize, timed: bool },
    /// A reader with or, as the floor, without back-off.
    Backoff(Case),
    /// Something of the kit, or its floor.
    Kit(kit::Task),
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

impl crew::Job for Job {
    fn members(self) -> usize {
        match self {
            Self::Fan { readers, .. } => 1 + readers,
            Self::Kit(task) => task.members(),
            _ => 2,
        }
    }
}

impl Job {
    /// One process's part of it. A process that has measured nothing returns zeros.
    pub(crate) fn run(self, scene: &Scene) -> Result<Measured> {
        match self {
            Self::BounceLines { bytes, count } => quoit_floors::bounce::lines(scene, bytes, count),
            Self::BounceRings { bytes, count } => bounce::rings(scene, bytes, count),
            Self::StreamSlots { bytes, count, building } => {
                quoit_floors::stream::slots_built(scene, bytes, count, building)
            }
            Self::StreamCursors { bytes, count, batch } => {
                quoit_floors::stream::cursors(scene, bytes, count, batch)
            }
            Self::StreamRing { bytes, count, wait, building } => {
                stream::ring(scene, bytes, count, wait.into(), building)
            }
            Self::StreamBatches { bytes, count, batch } => stream::batches(scene, bytes, count, batch),
            Self::Call { bytes, count, call } => claims::calls(scene, bytes, count, call),
            Self::BounceFutexes { count } => sleepers::futexes(scene, count),
            Self::BounceAsleep { count } => sleepers::rings(scene, count),
            Self::Copy { count } => copies::<8>(scene, count),
            Self::Flood { count, reader, batch } => flood::flood(scene, count, reader, batch),
            Self::Fan { count, readers } => fan::fan(scene, count, readers),
            Self::Gates { laps, slots } => gates::gates(scene, laps, slots),
            Self::LargeCopy { count } => large::copies(scene, count),
            Self::LargeRing { count, way } => large::ring(scene, count, way),
            Self::BounceHalf { count } => open::half_bounce(scene, count),
            Self::OpenLines { count, interval } => quoit_floors::open::lines(scene, count, interval),
            Self::OpenRing { count, interval } => open::ring(scene, count, interval),
            Self::Times { bytes, count, batch, timed } => times::sends(scene, bytes, count, batch, timed),
            Self::Backoff(case) => backoff::case(scene, case),
            Self::Kit(task) => task.run(scene),
        }
    }
}
