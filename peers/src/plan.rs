//! What is measured, over which systems, against which floor.

use clap::ValueEnum;
use quoit_floors::rounds;
use quoit_floors::units;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::peers::{System, Work};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Round trips, both sides busy
    Pingpong,
    /// One way, single sends, a consumer that reads every byte
    Stream,
    /// The same in batches of 64
    Batch,
    /// A producer that never waits, one busy consumer
    Flood,
}

impl Workload {
    fn work(self) -> Work {
        match self {
            Self::Pingpong => Work::Pingpong,
            Self::Stream => Work::Stream { batched: false },
            Self::Batch => Work::Stream { batched: true },
            Self::Flood => Work::Flood,
        }
    }

    /// Bytes of a record, and how many make a window of some milliseconds over shared memory.
    fn sizes(self) -> &'static [(usize, u64)] {
        match self {
            Self::Pingpong => &[(8, 4000), (64, 4000), (256, 3000), (1024, 2000)],
            Self::Stream => &[(64, 40_000), (256, 20_000), (1024, 10_000)],
            Self::Batch => &[(64, 80_000)],
            Self::Flood => &[(64, 60_000)],
        }
    }

    fn has(self, system: System) -> bool {
        match self {
            Self::Pingpong | Self::Stream => true,
            Self::Batch => system.batches(),
            Self::Flood => system.floods(),
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Pingpong => "Round trip, both sides busy",
            Self::Stream => "Stream of single sends, every byte read",
            Self::Batch => "Stream in batches of 64, every byte read",
            Self::Flood => "A producer that never waits, one busy consumer",
        }
    }

    pub(crate) fn floor(self) -> &'static str {
        match self {
            Self::Pingpong => "the same bytes between two fixed areas of plain atomics",
            Self::Stream => "a textbook ring with a sequence in every slot",
            Self::Batch => "a textbook ring with two cursors, each stored once a batch",
            Self::Flood => "a copy of the record into hot memory, nobody reading",
        }
    }
}

/// Things that share a floor. A round measures the floor, each of them, and the floor again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) workload: Workload,
    pub(crate) bytes: usize,
    count: u64,
}

impl Group {
    pub(crate) fn systems(&self, only: &[System]) -> Vec<System> {
        let all = System::value_variants().iter().copied();
        all.filter(|system| (only.is_empty() || only.contains(system)) && self.workload.has(*system))
            .collect()
    }

    /// As it is played over these systems.
    pub(crate) fn jobs(&self, systems: &[System]) -> rounds::Group<Job> {
        rounds::Group {
            name: format!("{}, {}", self.workload.title(), units::bytes(self.bytes as u64)),
            floor: self.job(None),
            rows: systems.iter().map(|system| self.job(Some(*system))).collect(),
        }
    }

    fn job(&self, system: Option<System>) -> Job {
        // A tenth of the records where each takes system calls or nearly as long.
        let slow = matches!(system, Some(System::Pipe | System::Socket | System::Iceoryx2));
        let count = if slow { self.count / 10 } else { self.count };
        Job { system, work: self.workload.work(), bytes: self.bytes, count }
    }
}

/// Everything, in the order in which it is shown.
pub(crate) fn plan(only: &[Workload], scale: f64) -> Vec<Group> {
    let wanted = |workload: &&Workload| only.is_empty() || only.contains(workload);
    let groups = Workload::value_variants().iter().filter(wanted).flat_map(|workload| {
        workload.sizes().iter().map(move |(bytes, count)| Group {
            workload: *workload,
            bytes: *bytes,
            count: (*count as f64 * scale) as u64,
        })
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for() {
        let some = plan(&[Workload::Batch, Workload::Flood], 1.0);
        assert_eq!(some.len(), 2);
        assert!(!some[0].systems(&[]).contains(&System::Bcast));
        assert_eq!(some[1].systems(&[System::Quoit, System::Rtrb]), [System::Quoit]);
        assert_eq!(plan(&[], 1.0).len(), 9);
    }
}
