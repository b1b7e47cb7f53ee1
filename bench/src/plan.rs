//! What is measured, against which floor, and what it is to reach.

use clap::ValueEnum;
use quoit_floors::rounds;
use quoit_floors::units;
use serde::{Deserialize, Serialize};

use crate::job::{Job, Wait};
use crate::large::{self, Way};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Round trip, both sides busy polling
    Pingpong,
    /// One way, single sends, one gated consumer that reads every byte
    Stream,
    /// The same, in batches of 64
    Batch,
    /// Round trip, both sides asleep
    Asleep,
    /// What wake-up support costs a stream
    Price,
    /// A producer that never waits
    Flood,
    /// One way to 1, 2, 4 and 8 consumers that share a CPU
    Fanout,
    /// What 64 and 1024 attached gated slots cost a publish
    Slots,
    /// Records of 1 MiB, written and read in place
    Large,
    /// One record per microsecond; latency counts from when it was due
    Open,
}

impl Workload {
    /// As the command line and file names have it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What a ratio is made of, and which way it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Which way a target is to be reached.
    pub(crate) fn sign(self) -> &'static str {
        if self == Self::Time { "≤" } else { "≥" }
    }

    pub(crate) fn meets(self, ratio: f64, target: f64) -> bool {
        match self {
            Self::Time => ratio <= target,
            Self::Throughput => ratio >= target,
        }
    }
}

/// One thing measured.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) job: Job,
    pub(crate) target: Option<Target>,
}

/// What the median of a ratio is to reach, and under which number the project's list of targets has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) number: String,
    pub(crate) ratio: f64,
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

impl Group {
    /// As it is played.
    pub(crate) fn jobs(&self) -> rounds::Group<Job> {
        let workload = self.workload.name();
        let name = match &self.rows[..] {
            [row] => format!("{workload} {}", row.label),
            _ => workload,
        };
        rounds::Group { name, floor: self.floor, rows: self.rows.iter().map(|row| row.job).collect() }
    }
}

/// Target for the high percentiles of a round trip, by the floor's own.
pub(crate) const TAIL_TARGET: (&str, f64) = ("3", 1.5);
/// How much a busy lossy consumer is to receive.
pub(crate) const SHARE_TARGET: f64 = 0.99;
const BATCH: usize = 64;

/// Everything, in the order in which it is shown. Counts are those of a window, a millisecond or so, times `scale`.
pub(crate) fn plan(only: &[Workload], scale: f64) -> Vec<Group> {
    let scaled = |count: u64| ((count as f64 * scale) as u64).max(100);
    let mut groups = Vec::new();
    for (bytes, number, target, count) in [
        (8, "1", 1.25, 4_000),
        (64, "1", 1.25, 4_000),
        (104, "1", 1.25, 4_000),
        (256, "2", 1.15, 3_000),
        (1024, "2", 1.0, 2_000),
        (4096, "2", 1.0, 1_000),
    ] {
        let count = scaled(count);
        groups.push(group(
            Workload::Pingpong,
            bytes,
            Ratio::Time,
            Job::BounceLines { bytes, count },
            vec![row(size(bytes), Job::BounceRings { bytes, count }, to(number, target))],
        ));
    }
    let ring = |bytes, count, batch, wait| Job::StreamRing { bytes, count, batch, wait };
    for (bytes, number, target, count) in STREAMS {
        let count = scaled(count);
        groups.push(group(
            Workload::Stream,
            bytes,
            Ratio::Throughput,
            Job::StreamSlots { bytes, count },
            vec![row(size(bytes), ring(bytes, count, 1, Wait::Membarrier), to(number, target))],
        ));
    }
    // A batch spans at most half the ring: 64 KiB records would not fit the rings used here.
    for (bytes, _, _, count) in STREAMS.into_iter().filter(|(bytes, ..)| *bytes <= 4096) {
        let count = scaled(count * 2);
        groups.push(group(
            Workload::Batch,
            bytes,
            Ratio::Throughput,
            Job::StreamCursors { bytes, count, batch: BATCH },
            vec![row(
                size(bytes),
                ring(bytes, count, BATCH, Wait::Membarrier),
                to("5", 1.1).filter(|_| bytes > 8),
            )],
        ));
    }
    let count = scaled(200);
    groups.push(group(
        Workload::Asleep,
        64,
        Ratio::Time,
        Job::BounceFutexes { count },
        vec![row("64 B", Job::BounceAsleep { count }, to("7", 1.1))],
    ));
    let count = scaled(40_000);
    groups.push(group(
        Workload::Price,
        64,
        Ratio::Time,
        ring(64, count, 1, Wait::Spin),
        vec![
            row("membarrier", ring(64, count, 1, Wait::Membarrier), to("6", 1.05)),
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
            row("no reader", Job::Flood { count, reader: false, batch: 1 }, to("8", 1.5)),
            row("no reader, batches", Job::Flood { count, reader: false, batch: BATCH }, to("8", 1.0)),
            row("one lossy", Job::Flood { count, reader: true, batch: 1 }, to("8", 4.5)),
        ],
    ));
    groups.extend(growth(scaled(40_000)));
    let count = scaled(100);
    groups.push(group(
        Workload::Large,
        large::BYTES,
        Ratio::Throughput,
        Job::LargeCopy { count },
        vec![
            row("in place", Job::LargeRing { count, way: Way::InPlace }, to("10", 0.9)),
            row("copied", Job::LargeRing { count, way: Way::Copied }, None),
        ],
    ));
    let (count, interval) = (scaled(20_000), 1000);
    for (label, floor) in [
        ("64 B", Job::OpenLines { count, interval }),
        ("by half a bounce", Job::BounceHalf { count: scaled(4_000) }),
    ] {
        let row = row(label, Job::OpenRing { count, interval }, to("11", 1.3));
        groups.push(group(Workload::Open, 64, Ratio::Time, floor, vec![row]));
    }
    groups.retain(|group| only.is_empty() || only.contains(&group.workload));
    groups
}

/// More consumers, and more slots.
fn growth(count: u64) -> [Group; 2] {
    let readers = |readers, target| {
        let label = if readers == 1 { "1 consumer".to_owned() } else { format!("{readers} consumers") };
        row(label, Job::Fan { count, readers }, to("9", target))
    };
    let slots = |slots| row(format!("{slots} slots"), Job::Gates { laps: 1, slots }, to("9", 1.1));
    let one_slot = Job::Gates { laps: 1, slots: 1 };
    [
        group(
            Workload::Fanout,
            64,
            Ratio::Throughput,
            Job::StreamSlots { bytes: 64, count },
            vec![readers(1, 1.0), readers(2, 0.9), readers(4, 0.6), readers(8, 0.4)],
        ),
        group(Workload::Slots, 64, Ratio::Time, one_slot, vec![slots(64), slots(1024)]),
    ]
}

/// Bytes of a record, number of the target and target of single sends, records.
const STREAMS: [(usize, &str, f64, u64); 6] = [
    (8, "4b", 0.6, 60_000),
    (64, "4", 1.3, 40_000),
    (256, "4", 1.3, 20_000),
    (1024, "4", 1.0, 10_000),
    (4096, "4", 1.0, 4_000),
    (65_536, "4", 1.0, 300),
];

fn to(number: &str, ratio: f64) -> Option<Target> {
    Some(Target { number: number.into(), ratio })
}

fn group(workload: Workload, bytes: usize, ratio: Ratio, floor: Job, rows: Vec<Row>) -> Group {
    Group { workload, bytes, ratio, floor, rows }
}

fn row(label: impl Into<String>, job: Job, target: Option<Target>) -> Row {
    Row { label: label.into(), job, target }
}

fn size(bytes: usize) -> String {
    units::bytes(bytes as u64)
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
        assert_eq!(some.iter().map(|group| group.rows.len()).collect::<Vec<_>>(), [2, 3]);
    }
}
