//! What a measuring process has: its number, its side, its CPU, the ground it shares with the others.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity, sched_yield};
use rustix::time::{ClockId, clock_gettime};

use crate::ground::{Ground, MOST_MEMBERS};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Sends first, produces. Process 0.
    Left,
    /// Answers, consumes. All others.
    Right,
}

/// What one process, or a thread that stands in for one, needs to measure.
#[derive(Debug)]
pub struct Scene {
    /// What it does.
    pub side: Side,
    /// What it shares with the others.
    pub ground: Ground,
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
    /// Pins the calling thread.
    pub fn enter(number: usize, directory: PathBuf, cpu: usize) -> Result<Self> {
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

    /// Makes ready for a measurement that so many take part in. They count on from `turn`, which is the same for all of
    /// them, and no less than what any of them came to before.
    pub fn begin(&self, members: usize, turn: u64) {
        self.members.set(members.min(MOST_MEMBERS));
        self.turn.set(turn);
    }

    /// Whether this process shares its CPU with others of the measurement, and so has to let them run.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.side == Side::Right && self.members.get() > 2
    }

    /// How many take part.
    pub fn members(&self) -> usize {
        self.members.get()
    }

    /// How often they have met.
    pub fn turn(&self) -> u64 {
        self.turn.get()
    }

    /// Passes the time until the next look: at full alert, or by letting the others of a crowd run.
    #[inline]
    pub fn pass(&self) {
        if self.is_crowded() {
            sched_yield();
        } else {
            std::hint::spin_loop();
        }
    }

    /// How long this thread has run, ns.
    pub fn ran(&self) -> u64 {
        nanos(ClockId::ThreadCPUTime)
    }

    /// How often the kernel took the CPU away from this thread for others.
    pub fn preemptions(&self) -> u64 {
        let mut text = [0; 4096];
        let len = self.status.as_ref().and_then(|status| status.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..len]);
        let count = text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until all are here.
    pub fn meet(&self) {
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
    pub fn tell(&self, word: u64) -> [u64; MOST_MEMBERS] {
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

    /// Where something of this name lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The file that the floors share.
pub(crate) const GROUND: &str = "ground";

/// A clock, in nanoseconds.
#[inline]
pub fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
