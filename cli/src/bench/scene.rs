//! What a measuring process has: its number, its side, its CPU, the ground it shares with the others.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use quoit::{Attach, Consumer, Event, Options, Producer, WaitMode};
use rustix::thread::{CpuSet, sched_setaffinity, sched_yield};
use rustix::time::{ClockId, clock_gettime};

use super::ground::{Ground, MOST_MEMBERS};
use super::job::Order;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Sends first, produces. Process 0.
    Left,
    /// Answers, consumes. All others.
    Right,
}

pub(crate) struct Scene {
    pub(crate) side: Side,
    pub(crate) ground: Ground,
    number: usize,
    /// How many take part in this measurement.
    members: Cell<usize>,
    /// How often they have met.
    turn: Cell<u64>,
    directory: PathBuf,
    /// Where the kernel tells how often it took the CPU away; `None` where it does not.
    status: Option<File>,
}

impl Scene {
    pub(crate) fn enter(number: usize, directory: PathBuf, cpu: usize) -> Result<Self> {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("could not pin a process to CPU {cpu}"))?;
        let ground = Ground::open(&directory.join(GROUND)).context("could not map the floors' memory")?;
        Ok(Self {
            side: if number == 0 { Side::Left } else { Side::Right },
            ground,
            number,
            members: Cell::new(0),
            turn: Cell::new(0),
            directory,
            status: File::open("/proc/thread-self/status").ok(),
        })
    }

    /// Makes ready for a measurement. Who was left out of the one before counts on from where the others are.
    pub(crate) fn begin(&self, order: &Order) {
        self.members.set(order.job.members().min(MOST_MEMBERS));
        self.turn.set(order.number << 32);
    }

    /// Whether this process shares its CPU with others of the measurement, and so has to let them run.
    pub(crate) fn is_crowded(&self) -> bool {
        self.side == Side::Right && self.members.get() > 2
    }

    /// How many take part.
    pub(crate) fn members(&self) -> usize {
        self.members.get()
    }

    /// Passes the time until the next look: at full alert, or by letting the others of a crowd run.
    #[inline]
    pub(crate) fn pass(&self) {
        if self.is_crowded() {
            sched_yield();
        } else {
            std::hint::spin_loop();
        }
    }

    /// How long this thread has run, ns.
    pub(crate) fn ran(&self) -> u64 {
        nanos(ClockId::ThreadCPUTime)
    }

    /// How often the kernel took the CPU away from this thread for others.
    pub(crate) fn preemptions(&self) -> u64 {
        let mut text = [0; 4096];
        let len = self.status.as_ref().and_then(|status| status.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..len]);
        let count = text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until all are here.
    pub(crate) fn meet(&self) {
        let turn = self.turn.get() + 1;
        self.turn.set(turn);
        self.ground.meeting(self.number).release(turn);
        for member in 0..self.members.get() {
            while self.ground.meeting(member).acquire() < turn {
                self.pass();
            }
        }
    }

    /// Tells the others something, and returns what all have told: the left side's first.
    pub(crate) fn tell(&self, word: u64) -> [u64; MOST_MEMBERS] {
        self.ground.told(self.number).set(word);
        self.meet();
        let mut all = [0; MOST_MEMBERS];
        for (member, told) in all.iter_mut().enumerate().take(self.members.get()) {
            *told = self.ground.told(member).get();
        }
        // Nobody tells the next before all have read this.
        self.meet();
        all
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

    /// One ring from left to right: this process's end of it.
    pub(crate) fn one_way(&self, options: &Options, attach: Option<&Attach>) -> Result<End> {
        let path = self.ring();
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
        self.forget_ring()?;
        Ok(end)
    }

    /// Where the ring from left to right is made.
    pub(crate) fn ring(&self) -> PathBuf {
        self.directory.join(RINGS[0])
    }

    /// Removes its file, once everybody is attached.
    pub(crate) fn forget_ring(&self) -> Result<()> {
        if self.side == Side::Left { self.remove(RINGS[0]) } else { Ok(()) }
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

/// A clock, in nanoseconds.
#[inline]
pub(crate) fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How the rings are made, but for their size.
pub(crate) fn options(capacity: usize, wait: WaitMode) -> Options {
    Options::new().capacity(capacity as u64).slots(4).wait(wait)
}

/// For whom an event is no record: nothing else can happen to a gated consumer of a living producer.
pub(crate) fn unexpected(event: &Event<'_>) -> anyhow::Error {
    anyhow::anyhow!("a consumer was told {event:?} in the middle of a measurement")
}
