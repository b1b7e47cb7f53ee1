//! What is measured, against which floor, and what it is to reach.

use clap::ValueEnum;
use quoit_floors::building::Building;
use quoit_floors::rounds;
use quoit_floors::units;
use serde::{Deserialize, Serialize};

use crate::backoff::{Case, Reader};
use crate::claims::Call;
use crate::job::{Job, Wait};
use crate::large::{self, Way};
use crate::ratio::Ratio;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Round trip, both sides busy polling
    Pingpong,
    /// One way, single sends, one gated consumer that reads every byte
    Stream,
    /// The same, in batches of 64
    Batch,
    /// The same as stream, with records built in four ways
    Built,
    /// Round trip, both sides asleep
    Asleep,
    /// What wake-up support costs a stream
    Price,
    /// A producer that never waits
    Flood,
    /// Claims and typed sends by plain sends, nobody reading
    Claims,
    /// One way to 1, 2, 4 and 8 consumers that share a CPU
    Fanout,
    /// What 64 and 1024 attached gated slots cost a publish
    Slots,
    /// Records of 1 MiB, written and read in place
    Large,
    /// One record per microsecond; latency counts from when it was due
    Open,
    /// What publish times cost sends; this and the rest only if asked for
    Times,
    /// Readers with back-off by readers without, for many sizes of rings and records
    Backoff,
    /// Lock and unlock, nobody else there
    Locks,
    /// Locks and barriers of several processes at once
    Contended,
    /// What a lock takes to get to one who sleeps
    Handover,
    /// The least share of eight that want a lock
    Fairness,
    /// Reading a latest value
    Latest,
    /// The same just after a change
    Changed,
    /// Waiting by a set of rings, and as a task
    Waits,
    /// Processor time of a set of rings from which nothing comes
    Idle,
    /// Round trips of calls
    Calls,
    /// Calls of many clients, many calls in flight, large calls
    Serving,
    /// Records handed out to the members of a group
    Groups,
    /// All of these, from locks on
    Kit,
}

impl Workload {
    /// Those that are measured if nobody asks for others.
    pub(crate) fn usual() -> Vec<Self> {
        let is_usual =
            |workload: &Self| !matches!(workload, Self::Times | Self::Backoff) && !workload.is_of_the_kit();
        Self::value_variants().iter().copied().filter(is_usual).collect()
    }

    /// Whether it is one of those that `Kit` stands for, or `Kit`.
    pub(crate) fn is_of_the_kit(self) -> bool {
        matches!(
            self,
            Self::Locks
                | Self::Contended
                | Self::Handover
                | Self::Fairness
                | Self::Latest
                | Self::Changed
                | Self::Waits
                | Self::Idle
                | Self::Calls
                | Self::Serving
                | Self::Groups
                | Self::Kit
        )
    }

    /// Whether `other` is measured if this is asked for.
    pub(crate) fn has(self, other: Self) -> bool {
        self == other || (self == Self::Kit && other.is_of_the_kit())
    }

    /// A stream to one consumer, whose throughput is to be the same in every round.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Batch | Self::Built)
    }

    /// As the command line and file names have it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// One thing measured.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) job: Job,
    /// What the median of the ratio is to reach.
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
pub(crate) const TAIL_TARGET: f64 = 1.5;
/// How much a busy lossy consumer is to receive.
pub(crate) const SHARE_TARGET: f64 = 0.99;
const BATCH: usize = 64;

/// Those of these workloads that are about rings, in the order in which they are shown. Counts are those of a window of some
/// milliseconds; half of them if it is to be `quick`.
pub(crate) fn plan(workloads: &[Workload], quick: bool) -> Vec<Group> {
    let scaled = |count: u64| if quick { (count / 2).max(100) } else { count };
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
    for (bytes, target, count) in STREAMS {
        let count = scaled(count);
        groups.push(group(
            Workload::Stream,
            bytes,
            Ratio::Throughput,
            slots(bytes, count, Building::Copied),
            vec![row(size(bytes), ring(bytes, count, Wait::Membarrier, Building::Copied), Some(target))],
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
            vec![row(
                size(bytes),
                Job::StreamBatches { bytes, count, batch: BATCH },
                Some(if bytes <= 64 { 1.0 } else { 0.95 }),
            )],
        ));
    }
    groups.extend(built(quick, scaled));
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
        ring(64, count, Wait::Spin, Building::Copied),
        vec![
            row("membarrier", ring(64, count, Wait::Membarrier, Building::Copied), Some(1.05)),
            row("fence", ring(64, count, Wait::Fence, Building::Copied), None),
        ],
    ));
    let count = scaled(60_000);
    groups.push(group(
        Workload::Flood,
        64,
        Ratio::Time,
        Job::Copy { count },
        vec![
            row("no reader", Job::Flood { count, reader: false, batch: 1 }, Some(1.5)),
            row("no reader, batches", Job::Flood { count, reader: false, batch: BATCH }, Some(1.0)),
            row("one lossy", Job::Flood { count, reader: true, batch: 1 }, Some(4.5)),
        ],
    ));
    groups.extend(claims(scaled));
    groups.extend(growth(scaled(40_000)));
    let count = scaled(100);
    groups.push(group(
        Workload::Large,
        large::BYTES,
        Ratio::Throughput,
        Job::LargeCopy { count },
        vec![
            row("in place", Job::LargeRing { count, way: Way::InPlace }, Some(0.9)),
            row("copied", Job::LargeRing { count, way: Way::Copied }, None),
        ],
    ));
    let (count, interval) = (scaled(20_000), 1000);
    for (label, floor) in [
        ("64 B", Job::OpenLines { count, interval }),
        ("by half a bounce", Job::BounceHalf { count: scaled(4_000) }),
    ] {
        let row = row(label, Job::OpenRing { count, interval }, Some(1.2));
        groups.push(group(Workload::Open, 64, Ratio::Time, floor, vec![row]));
    }
    groups.extend(times(scaled));
    groups.extend(backoff(scaled));
    groups.retain(|group| workloads.iter().any(|workload| workload.has(group.workload)));
    groups
}

/// Sends on a ring with publish times, by sends on one without and as many looks at the clock.
fn times(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let mut groups = Vec::new();
    for (bytes, count) in [(8, 30_000), (64, 30_000), (256, 20_000)] {
        for batch in [1, BATCH] {
            let job = |timed| Job::Times { bytes, count: scaled(count), batch, timed };
            let way = if batch == 1 { "singly".to_owned() } else { format!("in batches of {batch}") };
            let row = row(format!("{}, {way}", size(bytes)), job(true), Some(3.0));
            groups.push(group(Workload::Times, bytes, Ratio::Extra, job(false), vec![row]));
        }
    }
    groups
}

/// Readers of every kind, in rings and with records of many sizes.
fn backoff(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let mut groups = Vec::new();
    for capacity in [4 << 10, 64 << 10, 1 << 20, 64 << 20] {
        for (bytes, count) in [(8, 200_000), (64, 100_000), (512, 40_000), (4096, 10_000)] {
            // No record takes more than half the ring.
            if 2 * (bytes + 8) > capacity {
                continue;
            }
            for reader in Reader::ALL {
                let label = format!("{}, {} in {}", reader.name(), size(bytes), size(capacity));
                let without = Case { capacity, bytes, count: scaled(count), reader, backs_off: false };
                let with = Job::Backoff(Case { backs_off: true, ..without });
                groups.push(group(
                    Workload::Backoff,
                    bytes,
                    Ratio::Throughput,
                    Job::Backoff(without),
                    vec![row(label, with, Some(0.97))],
                ));
            }
        }
    }
    groups
}

/// Records built in every way, beside a floor that builds them alike.
fn built(quick: bool, scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let most = if quick { 256 } else { 1024 };
    let mut groups = Vec::new();
    for (bytes, _, count) in STREAMS.into_iter().filter(|(bytes, ..)| *bytes <= most) {
        let count = scaled(count);
        for building in Building::ALL {
            let label = format!("{}, {}", size(bytes), building.name());
            groups.push(group(
                Workload::Built,
                bytes,
                Ratio::Throughput,
                slots(bytes, count, building),
                vec![row(label, ring(bytes, count, Wait::Membarrier, building), None)],
            ));
        }
    }
    groups
}

/// Claims and typed sends by plain sends.
fn claims(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let sizes =
        [(8, 1.1, 60_000), (64, 1.1, 60_000), (104, 1.1, 60_000), (256, 1.0, 40_000), (1024, 1.0, 20_000)];
    let groups = sizes.map(|(bytes, target, count)| {
        let job = |call| Job::Call { bytes, count: scaled(count), call };
        let rows = vec![
            row(format!("claim, {}", size(bytes)), job(Call::Claim), Some(target)),
            row(format!("typed, {}", size(bytes)), job(Call::Typed), Some(1.05)),
        ];
        group(Workload::Claims, bytes, Ratio::Time, job(Call::Send), rows)
    });
    groups.into()
}

fn slots(bytes: usize, count: u64, building: Building) -> Job {
    Job::StreamSlots { bytes, count, building }
}

fn ring(bytes: usize, count: u64, wait: Wait, building: Building) -> Job {
    Job::StreamRing { bytes, count, wait, building }
}

/// More consumers, and more slots.
fn growth(count: u64) -> [Group; 2] {
    let readers = |readers, target| {
        let label = if readers == 1 { "1 consumer".to_owned() } else { format!("{readers} consumers") };
        row(label, Job::Fan { count, readers }, Some(target))
    };
    let many = |slots| row(format!("{slots} slots"), Job::Gates { laps: 1, slots }, Some(1.1));
    let one_slot = Job::Gates { laps: 1, slots: 1 };
    [
        group(
            Workload::Fanout,
            64,
            Ratio::Throughput,
            slots(64, count, Building::Copied),
            vec![readers(1, 1.0), readers(2, 0.9), readers(4, 0.6), readers(8, 0.4)],
        ),
        group(Workload::Slots, 64, Ratio::Time, one_slot, vec![many(64), many(1024)]),
    ]
}

/// Bytes of a record, target of single sends, records.
const STREAMS: [(usize, f64, u64); 6] = [
    (8, 0.6, 300_000),
    (64, 1.3, 100_000),
    (256, 1.3, 50_000),
    (1024, 1.0, 20_000),
    (4096, 1.0, 10_000),
    (65_536, 1.0, 500),
];

pub(crate) fn group(workload: Workload, bytes: usize, ratio: Ratio, floor: Job, rows: Vec<Row>) -> Group {
    Group { workload, bytes, ratio, floor, rows }
}

pub(crate) fn row(label: impl Into<String>, job: Job, target: Option<f64>) -> Row {
    Row { label: label.into(), job, target }
}

fn size(bytes: usize) -> String {
    units::bytes(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(workloads: &[Workload], quick: bool) -> Vec<Group> {
        crate::planned(workloads, quick)
    }

    #[test]
    fn only_what_was_asked_for() {
        for workload in Workload::value_variants() {
            let groups = plan(&[*workload], false);
            assert!(!groups.is_empty() && groups.iter().all(|group| workload.has(group.workload)));
        }
        for workload in [Workload::Times, Workload::Backoff] {
            assert!(!Workload::usual().contains(&workload));
        }
        assert!(Workload::usual().into_iter().all(|workload| !Workload::Kit.has(workload)));
        assert!(Workload::Kit.has(Workload::Locks) && Workload::Kit.has(Workload::Groups));
        let some = plan(&[Workload::Price, Workload::Flood], true);
        assert_eq!(some.iter().map(|group| group.rows.len()).collect::<Vec<_>>(), [2, 3]);
    }

    /// The cells of the lines of a table that begins like this.
    fn lines<'a>(page: &'a str, head: &str) -> Vec<Vec<&'a str>> {
        let (_, rest) = page.split_once(head).expect(head);
        let lines = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
        lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    #[test]
    fn the_page_has_every_workload_and_every_target() {
        let page = include_str!("../../docs/benchmarks.md");
        let name = |workload: &Workload| format!("`{}`", workload.name());
        let workloads = || Workload::value_variants().iter().filter(|workload| **workload != Workload::Kit);
        let mut names: Vec<_> = workloads().map(name).collect();
        names.sort_unstable();
        let mut described: Vec<_> =
            lines(page, "| workload | what | floor |").iter().map(|line| line[0].to_owned()).collect();
        described.sort_unstable();
        assert_eq!(described, names);

        let mut told = lines(page, "| workload | targets |");
        for workload in workloads() {
            let groups = plan(&[*workload], false);
            let rows = groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group.ratio, row)));
            let of =
                |(ratio, row): (Ratio, &Row)| row.target.map(|target| format!("{} {target:?}", ratio.sign()));
            let mut targets: Vec<String> = rows.filter_map(of).collect();
            if *workload == Workload::Pingpong {
                targets.push(format!("{} {TAIL_TARGET:?}", Ratio::Time.sign()));
            }
            targets.sort_unstable();
            targets.dedup();
            let Some(place) = told.iter().position(|line| line[0] == name(workload)) else {
                assert!(targets.is_empty(), "{workload:?} is missing");
                continue;
            };
            let cells = told.swap_remove(place);
            let words = cells[1].split(['≤', '≥']).skip(1).zip(cells[1].matches(['≤', '≥']));
            let mut shown: Vec<String> = words
                .map(|(words, sign)| {
                    let number = words.trim_start().split([' ', ';', ',']).next().unwrap_or_default();
                    format!("{sign} {number}")
                })
                .collect();
            shown.sort_unstable();
            shown.dedup();
            assert_eq!(shown, targets, "{workload:?}");
        }
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn the_readme_counts_targets_as_the_page_does() {
        let (readme, page) = (include_str!("../../README.md"), include_str!("../../docs/benchmarks.md"));
        // The number between two texts.
        let number = |text: &str, before: &str, after: &str| -> usize {
            let (text, _) = text.split_once(after).expect(after);
            text.rsplit_once(before).expect(before).1.parse().unwrap()
        };
        let groups = plan(&Workload::usual(), false);
        let rows = groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group.workload, row)));
        // A round trip has two percentiles more.
        let all = rows.filter(|(_, row)| row.target.is_some());
        let all: usize = all.map(|(workload, _)| if workload == Workload::Pingpong { 3 } else { 1 }).sum();
        let told_of = |table: &str| {
            let (_, table) = page.split_once(&format!("<!-- {table} -->")).expect(table);
            let shown = number(table, " of ", " targets met.");
            (number(table, "\n", &format!(" of {shown} targets met.")), shown)
        };
        let [(met, shown), (kit_met, kit), (times_met, times)] = ["bench", "kit", "times"].map(told_of);
        assert_eq!(shown, all);
        let told = format!(
            "rings met {met} of {all}, everything else {kit_met} of {kit}, publish times {times_met} of {times}."
        );
        assert!(readme.contains(&told), "the page has: {told}");
    }
}
