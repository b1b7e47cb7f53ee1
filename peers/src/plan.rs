//! What is measured, over which systems, against which floor.

use quoit_floors::building::Building;
use quoit_floors::rounds;

use crate::job::Job;
use crate::system::System;
use crate::titles::title;
use crate::work::{Work, Workload};

/// Things that share a floor. A round measures the floor, each of them, and the floor again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    /// Round trips or records of a window over shared memory.
    count: u64,
}

impl Group {
    pub(crate) fn systems(&self, only: &[System], all: &[System]) -> Vec<System> {
        let wanted = |system: &System| only.is_empty() || only.contains(system);
        all.iter().copied().filter(|system| wanted(system) && self.work.suits(*system)).collect()
    }

    /// As it is played over these systems.
    pub(crate) fn jobs(&self, systems: &[System]) -> rounds::Group<Job> {
        rounds::Group {
            name: title(self.work, self.bytes),
            floor: self.job(None),
            rows: systems.iter().map(|system| self.job(Some(*system))).collect(),
        }
    }

    fn job(&self, system: Option<System>) -> Job {
        // A tenth of the records where each takes system calls or nearly as long, unless a clock tells when each is due, or
        // each is a round trip of sleepers over every system.
        let slow = system.is_some_and(|system| system.syscalls() || system == System::Iceoryx2);
        let count =
            if slow && !matches!(self.work, Work::Open | Work::Event) { self.count / 10 } else { self.count };
        Job { system, work: self.work, bytes: self.bytes, count }
    }
}

/// Everything, in the order in which it is shown. Windows have so many records, times `scale`.
pub(crate) fn plan(only: &[Workload], scale: f64) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut group = |work: Work, bytes, count: u64| {
        let count = ((count as f64 * scale) as u64).max(100);
        groups.push(Group { work, bytes, count });
    };
    for (bytes, count) in [(8, 4000), (64, 4000), (256, 3000), (1024, 2000)] {
        group(Work::Pingpong, bytes, count);
    }
    for building in Building::ALL {
        for (bytes, count) in STREAMS {
            group(Work::Stream { building }, bytes, count);
        }
    }
    for (bytes, count) in STREAMS {
        group(Work::Batch, bytes, 2 * count);
    }
    for batched in [false, true] {
        for consumers in [1, 2, 4, 8] {
            group(Work::Fanout { consumers, batched }, 64, 40_000);
        }
    }
    for consumers in [0, 1] {
        for batched in [false, true] {
            group(Work::Flood { consumers, batched }, 64, 60_000);
        }
    }
    group(Work::Open, 64, 10_000);
    for (bytes, count) in [(64, 4000), (1024, 2000)] {
        group(Work::Call, bytes, count);
    }
    group(Work::Event, 1, 200);
    groups.retain(|group| only.is_empty() || only.contains(&group.work.workload()));
    groups
}

/// Bytes, and the records of a window: a millisecond or so.
const STREAMS: [(usize, u64); 5] = [(8, 120_000), (64, 80_000), (256, 40_000), (1024, 16_000), (4096, 4000)];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn only_what_was_asked_for() {
        let some = plan(&[Workload::Batch, Workload::Flood], 1.0);
        assert_eq!(some.len(), 9);
        let all = System::value_variants();
        assert!(!some[0].systems(&[], all).contains(&System::Bcast));
        assert_eq!(some[5].systems(&[System::Quoit, System::Rtrb], all), [System::Quoit]);
        let all = plan(&[], 1.0);
        assert!(
            Workload::value_variants()
                .iter()
                .all(|workload| { all.iter().any(|group| group.work.workload() == *workload) })
        );
    }

    /// `measure` has a list of systems for each work. One that is missing here would be left out of the tables without a word.
    #[test]
    fn every_system_is_measured_in_all_that_it_can_do() {
        let all = System::value_variants();
        let rows = |work: fn(Work) -> bool| -> usize {
            let groups = plan(&[], 1.0).into_iter().filter(|group| work(group.work));
            groups.map(|group| group.systems(&[], all).len()).sum()
        };
        assert_eq!(rows(|work| work == Work::Pingpong), 4 * 11);
        assert_eq!(rows(|work| work == Work::Stream { building: Building::Copied }), 5 * 11);
        assert_eq!(rows(|work| work == Work::Stream { building: Building::ByWord }), 5 * 11);
        assert_eq!(rows(|work| work == Work::Stream { building: Building::ByField }), 5 * 7);
        assert_eq!(rows(|work| work == Work::Stream { building: Building::InPlace }), 5 * 6);
        assert_eq!(rows(|work| work == Work::Batch), 5 * 7);
        assert_eq!(rows(|work| matches!(work, Work::Fanout { batched: false, .. })), 4 * 7);
        assert_eq!(rows(|work| matches!(work, Work::Fanout { batched: true, .. })), 4 * 4);
        assert_eq!(rows(|work| matches!(work, Work::Flood { batched: false, .. })), 2 * 5);
        assert_eq!(rows(|work| matches!(work, Work::Flood { batched: true, .. })), 2 * 2);
        assert_eq!(rows(|work| work == Work::Open), 11);
        assert_eq!(rows(|work| work == Work::Call), 2 * 2);
        assert_eq!(rows(|work| work == Work::Event), 4);
    }

    #[test]
    fn a_title_says_what_it_is() {
        let groups = plan(&[], 1.0);
        let titles: std::collections::HashSet<_> =
            groups.iter().map(|group| title(group.work, group.bytes)).collect();
        assert_eq!(titles.len(), groups.len());
    }
}
