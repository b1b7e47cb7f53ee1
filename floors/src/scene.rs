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
    cpu: usize,
    /// Whether it runs on the CPUs of all, which it then shares with others.
    roaming: Cell<bool>,
    /// Whether other threads of this process take its CPU.
    helped: Cell<bool>,
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
        pin([cpu])?;
        let ground = Ground::open(&directory.join(GROUND)).context("could not map the floors' memory")?;
        Ok(Self {
            side: if number == 0 { Side::Left } else { Side::Right },
            ground,
            number,
            cpu,
            roaming: Cell::new(false),
            helped: Cell::new(false),
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

    /// Whether this process shares all CPUs of the measurement, and may sleep while others run.
    pub fn is_roaming(&self) -> bool {
        self.roaming.get()
    }

    /// Lets this process run on the CPUs of all, until what is returned goes. Everybody has to.
    pub fn roam(&self) -> Result<Roaming<'_>> {
        pin(self.cpus())?;
        self.roaming.set(true);
        Ok(Roaming(self))
    }

    /// Whether the kernel takes the CPU away from this thread for others of its process, as it does for strangers.
    pub fn is_helped(&self) -> bool {
        self.helped.get()
    }

    /// Threads of this process that this one wakes run on its CPU, until what is returned goes.
    pub fn helped(&self) -> Helped<'_> {
        self.helped.set(true);
        Helped(self)
    }

    /// The CPU of each: the left side's first. Everybody has to ask.
    pub fn cpus(&self) -> Vec<usize> {
        self.tell(self.cpu as u64).iter().take(self.members()).map(|cpu| *cpu as usize).collect()
    }

    /// What makes the scene of a thread that stands in for the member of this number, who has nothing to do. It pins the
    /// thread that calls it.
    pub fn understudy(&self, number: usize, cpu: usize) -> Box<dyn FnOnce() -> Result<Self> + Send> {
        let (directory, members, turn) = (self.directory.clone(), self.members(), self.turn());
        Box::new(move || {
            let scene = Self::enter(number, directory, cpu)?;
            scene.begin(members, turn);
            Ok(scene)
        })
    }

    /// Its number among those that take part.
    pub fn number(&self) -> usize {
        self.number
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
        if self.is_crowded() || self.is_roaming() {
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

/// A process that runs on the CPUs of all members; on its own again when this goes.
#[derive(Debug)]
pub struct Roaming<'a>(&'a Scene);

impl Drop for Roaming<'_> {
    fn drop(&mut self) {
        self.0.roaming.set(false);
        // It was allowed to run there before.
        let _ = pin([self.0.cpu]);
    }
}

/// A process with threads beside the measuring one; without them again when this goes.
#[derive(Debug)]
pub struct Helped<'a>(&'a Scene);

impl Drop for Helped<'_> {
    fn drop(&mut self) {
        self.0.helped.set(false);
    }
}

fn pin(cpus: impl IntoIterator<Item = usize>) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.into_iter().for_each(|cpu| set.set(cpu));
    sched_setaffinity(None, &set).with_context(|| format!("could not pin a process to {set:?}"))
}

/// The file that the floors share.
pub(crate) const GROUND: &str = "ground";

/// A clock, in nanoseconds.
#[inline]
pub fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
