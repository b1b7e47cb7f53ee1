//! The processes of a scene: started, killed at random moments, and replaced. Their supervisor has one thread.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, setpgid};
use support::dice::mix;

use super::page::{Page, Phase, Role};
use super::victims::PATIENCE;
use crate::child::{self, leave};

#[derive(Debug)]
pub(super) struct Troupe {
    pub(super) page: &'static Page,
    pids: Vec<Option<Pid>>,
    /// The dead that are zombies still: who succeeds them must not take them for alive.
    corpses: Vec<Pid>,
    dice: u64,
}

impl Troupe {
    pub(super) fn new(page: &'static Page, members: usize, seed: u64) -> Self {
        Self { page, pids: vec![None; members], corpses: Vec::new(), dice: seed }
    }

    pub(super) fn members(&self) -> Range<usize> {
        0..self.pids.len()
    }

    pub(super) fn role(&self, number: usize) -> &'static Role {
        &self.page.roles[number]
    }

    pub(super) fn is_there(&self, number: usize) -> bool {
        self.pids[number].is_some()
    }

    pub(super) fn roll(&mut self, limit: u64) -> u64 {
        self.dice = mix(self.dice);
        self.dice % limit
    }

    /// How long a life goes on: mostly a fraction of a millisecond.
    pub(super) fn moment(&mut self) -> Duration {
        let most = match self.roll(64) {
            0 => 4_000,
            1..16 => 30,
            _ => 400,
        };
        Duration::from_nanos(self.roll(most * 1000))
    }

    /// One or more of the first `victims`.
    pub(super) fn choose(&mut self, victims: usize) -> Vec<usize> {
        let chosen = match victims {
            1 => 1,
            victims => self.roll((1 << victims) - 1) + 1,
        };
        (0..victims).filter(|number| chosen >> number & 1 == 1).collect()
    }

    /// The words of one who failed, if there is one.
    pub(super) fn trouble(&self, what: impl std::fmt::Display) -> anyhow::Error {
        match self.page.failure() {
            Some(said) => anyhow!("{what}: {said}"),
            None => anyhow!("{what}"),
        }
    }

    /// A new life. A panic in it is told to the supervisor. `group`: in the process group of the first member.
    pub(super) fn start(
        &mut self,
        number: usize,
        what: impl std::fmt::Debug,
        group: bool,
        body: impl FnOnce(u64),
    ) -> Result<()> {
        let (page, role) = (self.page, self.role(number));
        let dice = self.roll(u64::MAX);
        let what = format!("{what:?}");
        let group = match (group, number) {
            (false, _) => None,
            (true, 0) => Some(Pid::from_raw(0)),
            (true, _) => Some(self.group()?),
        };
        role.reach(Phase::Born);
        role.inside.store(0, Relaxed);
        let pid = child::fork(|| {
            std::panic::set_hook(Box::new(move |panic| {
                page.fail(&format!("{what}: {panic}"));
                leave(101);
            }));
            // The supervisor strikes when it means to.
            let _ = rustix::process::nice(19);
            body(dice);
            role.reach(Phase::Done);
            0
        })?;
        if let Some(group) = group {
            setpgid(pid, group).context("a process group")?;
        }
        self.pids[number] = Some(pid);
        Ok(())
    }

    fn group(&self) -> Result<Pid> {
        self.pids[0].context("a leader")
    }

    /// Reaps those that were killed by the last strike, and kills these: all are struck before the death of any is
    /// awaited. `at_once`: as one process group.
    pub(super) fn strike(&mut self, struck: &[usize], at_once: bool, what: &str) -> Result<()> {
        for corpse in self.corpses.drain(..) {
            waitpid(corpse, None)?;
        }
        if at_once {
            killpg(self.group()?, Signal::SIGKILL).context("kill a process group")?;
        } else {
            for number in struck {
                let pid = self.pids[*number].context("a victim that lives")?;
                kill(pid, Signal::SIGKILL).context("kill")?;
            }
        }
        struck.iter().try_for_each(|number| self.await_death(*number, what))
    }

    /// It stays a zombie until the next strike.
    fn await_death(&mut self, number: usize, what: &str) -> Result<()> {
        let pid = self.pids[number].take().context("no victim to wait for")?;
        self.corpses.push(pid);
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)? {
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => Ok(()),
            other => {
                Err(self.trouble(format_args!("{what} {number} did not live until it was killed: {other:?}")))
            }
        }
    }

    pub(super) fn wait_until_working(&self, members: Range<usize>) -> Result<()> {
        let began = Instant::now();
        for number in members {
            while !self.role(number).reached(Phase::Working) {
                sleep(Duration::from_micros(20));
                let pid = self.pids[number].context("a process that lives")?;
                let waited = began.elapsed();
                if waited > Duration::from_millis(5) {
                    let status = waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT));
                    if self.page.failure().is_some() || !matches!(status, Ok(WaitStatus::StillAlive) | Err(_))
                    {
                        return Err(self.trouble(format_args!("process {number} ended")));
                    }
                }
                ensure!(waited < PATIENCE, "BLOCKED: process {number} is not in its loop after {waited:?}");
            }
        }
        Ok(())
    }

    /// Waits until all that are there have come to their end.
    pub(super) fn await_the_end(&mut self) -> Result<()> {
        let began = Instant::now();
        for number in self.members() {
            let Some(pid) = self.pids[number] else { continue };
            loop {
                match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
                    WaitStatus::StillAlive => sleep(Duration::from_millis(1)),
                    WaitStatus::Exited(_, 0) => break,
                    other => {
                        self.pids[number] = None;
                        return Err(self.trouble(format_args!("process {number}: {other:?}")));
                    }
                }
                ensure!(began.elapsed() < 2 * PATIENCE, "BLOCKED: process {number} does not come to the end");
            }
            self.pids[number] = None;
        }
        Ok(())
    }
}

impl Drop for Troupe {
    fn drop(&mut self) {
        let living = self.pids.iter_mut().filter_map(Option::take);
        for pid in living.chain(self.corpses.drain(..)) {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}
