//! What a measuring process has: its side, its CPU, the ground it shares with the other one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use quoit::{Attach, Consumer, Event, Options, Producer, WaitMode};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::ground::Ground;

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Sends first, produces.
    Left,
    /// Answers, consumes.
    Right,
}

pub(crate) struct Scene {
    pub(crate) side: Side,
    pub(crate) ground: Ground,
    directory: PathBuf,
    /// Where the kernel tells how often it took the CPU away; `None` where it does not.
    status: Option<File>,
}

impl Scene {
    pub(crate) fn enter(side: Side, directory: PathBuf, cpu: usize) -> Result<Self> {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("could not pin a process to CPU {cpu}"))?;
        let ground = Ground::open(&directory.join(GROUND)).context("could not map the floors' memory")?;
        Ok(Self { side, ground, directory, status: File::open("/proc/thread-self/status").ok() })
    }

    /// How often the kernel took the CPU away from this thread for others.
    pub(crate) fn preemptions(&self) -> u64 {
        let mut text = [0; 4096];
        let len = self.status.as_ref().and_then(|status| status.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..len]);
        let count = text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until both sides are here.
    pub(crate) fn meet(&self) {
        let (left, right) = self.ground.meeting();
        let (mine, other) = if self.side == Side::Left { (left, right) } else { (right, left) };
        let turn = mine.get() + 1;
        mine.release(turn);
        while other.acquire() < turn {
            std::hint::spin_loop();
        }
    }

    /// Tells the other side something, and returns what both have told: the left side's first.
    pub(crate) fn tell(&self, word: u64) -> [u64; 2] {
        let (left, right) = self.ground.told();
        let mine = if self.side == Side::Left { left } else { right };
        mine.set(word);
        self.meet();
        let both = [left.get(), right.get()];
        // Nobody tells the next before both have read this.
        self.meet();
        both
    }

    /// A ring for each direction, and this side's two ends of them. Nothing is left of their files.
    pub(crate) fn both_ways(&self, options: &Options) -> Result<(Producer, Consumer)> {
        let [mine, other] = if self.side == Side::Left { RINGS } else { [RINGS[1], RINGS[0]] };
        let producer = Producer::create(self.directory.join(mine), options)?;
        self.meet();
        let consumer = Consumer::open(self.directory.join(other), &Attach::gated())?;
        self.meet();
        self.remove(mine)?;
        Ok((producer, consumer))
    }

    /// One ring from left to right: this side's end of it.
    pub(crate) fn one_way(&self, options: &Options, attach: Option<&Attach>) -> Result<End> {
        let path = self.directory.join(RINGS[0]);
        let end = match (self.side, attach) {
            (Side::Left, _) => {
                let producer = Producer::create(path, options)?;
                self.meet();
                End::Producer(producer)
            }
            (Side::Right, Some(attach)) => {
                self.meet();
                End::Consumer(Consumer::open(path, attach)?)
            }
            (Side::Right, None) => {
                self.meet();
                End::Nobody
            }
        };
        self.meet();
        if self.side == Side::Left {
            self.remove(RINGS[0])?;
        }
        Ok(end)
    }

    fn remove(&self, ring: &str) -> Result<()> {
        std::fs::remove_file(self.directory.join(ring)).context("could not remove a ring")
    }
}

/// One side's end of a ring.
#[allow(clippy::large_enum_variant, reason = "a side has one")]
pub(crate) enum End {
    Producer(Producer),
    Consumer(Consumer),
    Nobody,
}

/// The file that the floors share.
pub(crate) const GROUND: &str = "ground";
const RINGS: [&str; 2] = ["there", "back"];

/// How the rings are made, but for their size.
pub(crate) fn options(capacity: usize, wait: WaitMode) -> Options {
    Options::new().capacity(capacity as u64).slots(4).wait(wait)
}

/// For whom an event is no record: nothing else can happen to a gated consumer of a living producer.
pub(crate) fn unexpected(event: &Event<'_>) -> anyhow::Error {
    anyhow::anyhow!("a consumer was told {event:?} in the middle of a measurement")
}
