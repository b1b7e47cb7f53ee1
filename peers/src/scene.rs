//! What a measuring side has: its CPU, and the ground it shares with the other one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::ground::Ground;

/// Which of the two this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Sends first, produces.
    Left,
    /// Answers, consumes.
    Right,
}

/// Where everything lies, and the CPU of each side.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) directory: PathBuf,
    pub(crate) cpus: [usize; 2],
}

pub(crate) struct Scene {
    pub(crate) side: Side,
    pub(crate) ground: Ground,
    pub(crate) setting: Setting,
    /// Where the kernel tells how often it took the CPU away; `None` where it does not.
    status: Option<File>,
}

impl Scene {
    /// Pins the calling thread.
    pub(crate) fn enter(side: Side, setting: &Setting) -> Result<Self> {
        let cpu = setting.cpus[side as usize];
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        sched_setaffinity(None, &cpus).with_context(|| format!("could not pin to CPU {cpu}"))?;
        let ground = Ground::open(&setting.directory.join(GROUND)).context("could not map the ground")?;
        let status = File::open("/proc/thread-self/status").ok();
        Ok(Self { side, ground, setting: setting.clone(), status })
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
        let words = self.ground.meeting();
        let (mine, other) = (words[self.side as usize], words[1 - self.side as usize]);
        let turn = mine.get() + 1;
        mine.release(turn);
        while other.acquire() < turn {
            std::hint::spin_loop();
        }
    }

    /// Tells the other side something, and returns what both have told: the left side's first.
    pub(crate) fn tell(&self, word: u64) -> [u64; 2] {
        let words = self.ground.told();
        words[self.side as usize].set(word);
        self.meet();
        let both = words.map(|word| word.get());
        // Nobody tells the next before both have read this.
        self.meet();
        both
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setting.directory.join(name)
    }
}

/// The file that both sides share.
pub(crate) const GROUND: &str = "ground";

/// Makes it.
pub(crate) fn prepare(directory: &Path) -> Result<()> {
    Ground::create(&directory.join(GROUND)).context("could not make the ground")
}
