//! What is measured, against which floor, and what issue 4 of the project asks of it.

use clap::ValueEnum;
use serde::Serialize;

use super::job::{Job, Wait};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Round trip, both sides busy
    Pingpong,
    /// One way, single sends, one gated consumer that reads every byte
    Stream,
    /// The same in batches of 64
    Batch,
    /// Round trip, both sides asleep
    Asleep,
    /// What being able to sleep costs a stream
    Price,
    /// A producer that never waits
    Flood,
}

/// What a ratio is made of, and which way it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ratio {
    /// Our time by the floor's: less is better.
    Time,
    /// Our throughput by the floor's: more is better.
    Throughput,
}

impl Ratio {
    pub(crate) fn of(self, floor: f64, quoit: f64) -> f64 {
        match self {
            Self::Time => quoit / floor,
            Self::Throughput => floor / quoit,
        }
    }

    pub(crate) fn meets(self, ratio: f64, target: f64) -> bool {
        match self {
            Self::Time => ratio <= target,
            Self::Throughput => ratio >= target,
        }
    }
}

/// One thing measured. Its target is for the median ratio of the typical time.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) job: Job,
    pub(crate) target: Option<f64>,
}

/// Things that share a floor. A round measures the floor, each of them, and the floor again.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) workload: Workload,
    pub(crate) bytes: usize,
    pub(crate) ratio: Ratio,
    pub(crate) floor: Job,
    pub(crate) rows: Vec<Row>,
}

/// Target for the high percentiles of a round trip, by the floor's own.
pub(crate) const TAIL_TARGET: f64 = 1.5;
/// How much a busy lossy consumer is to receive.
pub(crate) const SHARE_TARGET: f64 = 0.99;
const BATCH: usize = 64;

/// Everything, in the order in which it is shown. Counts are those of a window, a millisecond or so, times `scale`.
pub(crate) fn plan(only: &[Workload], scale: f64) -> Vec<Group> {
    let scaled = |count: u64| ((count as f64 * scale) as u64).max(100);
    let mut groups = Vec::new();
    for (bytes, target, count) in [
        (8, 1.25, 4_000),
        (64, 1.25, 4_000),
        (104, 1.25, 4_000),
        (256, 1.15, 3_000),
        (1024, 1.0, 2_000),
        (4096, 1.0, 1_000),
    ] {
        let count = scaled(count);
        groups.push(group(
            Workload::Pingpong,
            bytes,
            Ratio::Time,
            Job::BounceLines { bytes, count },
            vec![row(size(bytes), Job::BounceRings { bytes, count }, Some(target))],
        ));
    }
    let ring = |bytes, count, batch, wait| Job::StreamRing { bytes, count, batch, wait };
    for (bytes, target, count) in STREAMS {
        let count = scaled(count);
        groups.push(group(
            Workload::Stream,
            bytes,
            Ratio::Throughput,
            Job::StreamSlots { bytes, count },
            vec![row(size(bytes), ring(bytes, count, 1, Wait::Membarrier), Some(target))],
        ));
    }
    // A batch spans at most half the ring: 64 KiB records would not fit the rings used here.
    for (bytes, _, count) in STREAMS.into_iter().filter(|(bytes, ..)| *bytes <= 4096) {
        let count = scaled(count * 2);
        groups.push(group(
            Workload::Batch,
            bytes,
            Ratio::Throughput,
            Job::StreamCursors { bytes, count, batch: BATCH },
            vec![row(size(bytes), ring(bytes, count, BATCH, Wait::Membarrier), (bytes > 8).then_some(1.1))],
        ));
    }
    let count = scaled(200);
    groups.push(group(
        Workload::Asleep,
        64,
        Ratio::Time,
        Job::BounceFutexes { count },
        vec![row("64 B", Job::BounceAsleep { count }, Some(1.1))],
    ));
    let count = scaled(40_000);
    groups.push(group(
        Workload::Price,
        64,
        Ratio::Time,
        ring(64, count, 1, Wait::Spin),
        vec![
            row("membarrier", ring(64, count, 1, Wait::Membarrier), Some(1.05)),
            row("fence", ring(64, count, 1, Wait::Fence), None),
        ],
    ));
    let count = scaled(60_000);
    groups.push(group(
        Workload::Flood,
        64,
        Ratio::Time,
        Job::Copy { count },
        vec![
            row("no reader", Job::Flood { count, reader: false }, Some(1.5)),
            row("one lossy", Job::Flood { count, reader: true }, Some(4.5)),
        ],
    ));
    groups.retain(|group| only.is_empty() || only.contains(&group.workload));
    groups
}

/// Bytes of a record, target of single sends, records.
const STREAMS: [(usize, f64, u64); 6] = [
    (8, 0.6, 60_000),
    (64, 1.3, 40_000),
    (256, 1.3, 20_000),
    (1024, 1.0, 10_000),
    (4096, 1.0, 4_000),
    (65_536, 1.0, 300),
];

fn group(workload: Workload, bytes: usize, ratio: Ratio, floor: Job, rows: Vec<Row>) -> Group {
    Group { workload, bytes, ratio, floor, rows }
}

fn row(label: impl Into<String>, job: Job, target: Option<f64>) -> Row {
    Row { label: label.into(), job, target }
}

fn size(bytes: usize) -> String {
    crate::units::bytes(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_point_the_right_way() {
        assert_eq!(Ratio::Time.of(100.0, 125.0), 1.25);
        assert_eq!(Ratio::Throughput.of(100.0, 50.0), 2.0);
        assert!(Ratio::Time.meets(1.2, 1.25) && !Ratio::Time.meets(1.3, 1.25));
        assert!(Ratio::Throughput.meets(1.3, 1.3) && !Ratio::Throughput.meets(1.2, 1.3));
    }

    #[test]
    fn only_what_was_asked_for() {
        let workloads = Workload::value_variants();
        let all = plan(&[], 1.0);
        assert!(workloads.iter().all(|workload| all.iter().any(|group| group.workload == *workload)));
        let some = plan(&[Workload::Price, Workload::Flood], 0.1);
        assert_eq!(some.len(), 2);
        assert!(some.iter().all(|group| group.rows.len() == 2));
    }
}
