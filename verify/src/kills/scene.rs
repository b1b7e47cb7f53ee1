//! One ring, its processes, and the supervisor that kills them and checks the result of each kill. The supervisor
//! forks its children and has one thread.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, setpgid};
use quoit::{Inspector, Options, WaitMode};
use support::dice::mix;

use super::page::{NAMES, Page, Phase, Role};
use super::victims::{self, Kind, PATIENCE};
use crate::child::{self, Shared, leave};

/// What a process of a scene is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Produce,
    Consume(Kind),
    Visit,
    Create,
}

/// One kind of scene.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) what: &'static str,
    pub(super) disk: bool,
    pub(super) mode: WaitMode,
    pub(super) victims: &'static [Part],
    /// Processes that are never killed.
    pub(super) steady: &'static [Part],
    /// Everybody is killed at once, as one process group.
    pub(super) at_once: bool,
    /// Of a thousand kills.
    pub(super) share: u64,
}

/// When a scene has run for long enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    Kills(u64),
    Time(Duration),
}

/// What came of a scene.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kills {
    /// Victims that were in their loop.
    pub(super) working: u64,
    /// Of these, by the call they were in.
    pub(super) inside: [u64; NAMES.len()],
    /// Producers and consumers that were still opening the ring: in a takeover or an attach.
    pub(super) opening: u64,
    /// Victims that had not begun.
    pub(super) unborn: u64,
    pub(super) producers: u64,
    pub(super) consumers: u64,
    pub(super) visitors: u64,
    pub(super) creators: u64,
    /// Records published.
    pub(super) records: u64,
    /// Events received and held against the oracle.
    pub(super) events: u64,
    pub(super) gaps: u64,
    pub(super) resumed: u64,
    pub(super) accounts: u64,
}

impl Kills {
    pub(super) fn add(&mut self, other: &Self) {
        let add = |to: &mut u64, more: u64| *to += more;
        for (to, more) in self.inside.iter_mut().zip(other.inside) {
            *to += more;
        }
        add(&mut self.working, other.working);
        add(&mut self.opening, other.opening);
        add(&mut self.unborn, other.unborn);
        add(&mut self.producers, other.producers);
        add(&mut self.consumers, other.consumers);
        add(&mut self.visitors, other.visitors);
        add(&mut self.creators, other.creators);
        add(&mut self.records, other.records);
        add(&mut self.events, other.events);
        add(&mut self.gaps, other.gaps);
        add(&mut self.resumed, other.resumed);
        add(&mut self.accounts, other.accounts);
    }
}

/// A process of the scene, or the place of one.
#[derive(Debug)]
struct Member {
    part: Part,
    number: usize,
    pid: Option<Pid>,
}

#[derive(Debug)]
pub(super) struct Scene {
    plan: Plan,
    page: &'static Page,
    directory: PathBuf,
    ring: PathBuf,
    inspector: Inspector,
    members: Vec<Member>,
    victims: usize,
    /// The dead that are zombies still: who succeeds them must not take them for alive.
    corpses: Vec<Pid>,
    dice: u64,
    kills: Kills,
    /// Events of the steady ones when they were last seen to go on, and when that was.
    moved: (u64, Instant),
}

impl Scene {
    pub(super) fn set(plan: Plan, directory: &Path, seed: u64) -> Result<Self> {
        let ring = directory.join("ring");
        Options::new().capacity(1 << 15).slots(12).wait(plan.mode).create(&ring)?;
        let parts = plan.victims.iter().chain(plan.steady);
        let member = |(number, part): (usize, &Part)| Member { part: *part, number, pid: None };
        Ok(Self {
            plan,
            page: Shared::<Page>::new()?.kept(),
            directory: directory.to_owned(),
            inspector: Inspector::open(&ring)?,
            ring,
            members: parts.enumerate().map(member).collect(),
            victims: plan.victims.len(),
            corpses: Vec::new(),
            dice: seed,
            kills: Kills::default(),
            moved: (0, Instant::now()),
        })
    }

    /// Kills until the goal is reached, then lets everybody finish and adds up.
    pub(super) fn run(mut self, goal: Goal, mut progress: impl FnMut(u64)) -> Result<Kills> {
        let began = Instant::now();
        // Readers come before the producer among the steady ones: they are there from the beginning.
        for number in self.victims..self.members.len() {
            self.start(number)?;
            self.wait_until_working(number..number + 1)?;
        }
        loop {
            for number in 0..self.victims {
                if self.members[number].pid.is_none() {
                    self.start(number)?;
                }
            }
            let enough = match goal {
                Goal::Kills(kills) => self.kills.working >= kills,
                Goal::Time(time) => began.elapsed() >= time,
            };
            if enough {
                break;
            }
            // One life in eight may end before its loop.
            if self.roll(8) > 0 {
                self.wait_until_working(0..self.victims)?;
            }
            sleep(self.moment());
            self.strike()?;
            self.check_the_steady()?;
            progress(self.kills.working);
        }
        self.finish()?;
        Ok(self.kills)
    }

    fn roll(&mut self, limit: u64) -> u64 {
        self.dice = mix(self.dice);
        self.dice % limit
    }

    /// How long a life goes on: mostly a fraction of a millisecond.
    fn moment(&mut self) -> Duration {
        let most = match self.roll(64) {
            0 => 4_000,
            1..16 => 30,
            _ => 400,
        };
        Duration::from_nanos(self.roll(most * 1000))
    }

    fn role(&self, number: usize) -> &'static Role {
        &self.page.roles[number]
    }

    /// The words of one who failed, if there is one.
    fn trouble(&self, what: impl std::fmt::Display) -> anyhow::Error {
        match self.page.failure() {
            Some(said) => anyhow!("{what}: {said}"),
            None => anyhow!("{what}"),
        }
    }

    /// Kills one or more victims: all of them struck before the death of any is awaited. Then looks at what they left.
    fn strike(&mut self) -> Result<()> {
        for corpse in self.corpses.drain(..) {
            waitpid(corpse, None)?;
        }
        let chosen = match self.victims {
            1 => 1,
            victims => self.roll((1 << victims) - 1) + 1,
        };
        let struck: Vec<_> =
            (0..self.victims).filter(|number| self.plan.at_once || chosen >> number & 1 == 1).collect();
        if self.plan.at_once {
            killpg(self.group()?, Signal::SIGKILL).context("kill a process group")?;
        } else {
            for number in &struck {
                let pid = self.members[*number].pid.context("a victim that lives")?;
                kill(pid, Signal::SIGKILL).context("kill")?;
            }
        }
        for number in &struck {
            self.await_death(*number)?;
        }
        for number in struck {
            match self.members[number].part {
                Part::Produce => self.check_published(number)?,
                Part::Create => self.check_directory()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The victims' process group: its first member's id.
    fn group(&self) -> Result<Pid> {
        self.members[0].pid.context("a leader")
    }

    /// Counts a kill once the victim is dead. It stays a zombie until the next strike.
    fn await_death(&mut self, number: usize) -> Result<()> {
        let Some(pid) = self.members[number].pid.take() else { bail!("no victim to wait for") };
        let part = self.members[number].part;
        self.corpses.push(pid);
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)? {
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => {}
            other => {
                return Err(
                    self.trouble(format_args!("{part:?} did not live until it was killed: {other:?}"))
                );
            }
        }
        let role = self.role(number);
        if !role.reached(Phase::Working) {
            let counted =
                if role.reached(Phase::Opening) { &mut self.kills.opening } else { &mut self.kills.unborn };
            *counted += 1;
            return Ok(());
        }
        self.kills.working += 1;
        self.kills.inside[role.inside.load(Relaxed) as usize] += 1;
        let counted = match part {
            Part::Produce => &mut self.kills.producers,
            Part::Consume(_) => &mut self.kills.consumers,
            Part::Visit => &mut self.kills.visitors,
            Part::Create => &mut self.kills.creators,
        };
        *counted += 1;
        Ok(())
    }

    /// A producer died: everything acknowledged is there, and nothing that was never sent.
    fn check_published(&self, number: usize) -> Result<()> {
        let role = self.role(number);
        let snapshot = self.inspector.snapshot().context("a snapshot after a producer's death")?;
        let (acknowledged, begun) = (role.acknowledged.load(Relaxed), role.begun.load(Relaxed));
        let published = snapshot.next_sequence;
        ensure!(!snapshot.producer_alive, "a dead producer looks alive");
        ensure!(
            published >= acknowledged,
            "LOST: {acknowledged} records acknowledged, {published} are there"
        );
        ensure!(published <= begun, "{published} records are there, {begun} were sent");
        role.expected.store(published, Relaxed);
        Ok(())
    }

    /// Creators leave nothing but rings at their own paths.
    fn check_directory(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            ensure!(name == "ring" || name.starts_with("made-"), "a dead creator left {name}");
        }
        Ok(())
    }

    fn start(&mut self, number: usize) -> Result<()> {
        let (page, role, part) = (self.page, self.role(number), self.members[number].part);
        let steady = number >= self.victims;
        let dice = self.roll(u64::MAX);
        let group = match (self.plan.at_once && !steady, number) {
            (false, _) => None,
            (true, 0) => Some(Pid::from_raw(0)),
            (true, _) => Some(self.group()?),
        };
        role.reach(Phase::Born);
        role.inside.store(0, Relaxed);
        let pid = child::fork(|| {
            std::panic::set_hook(Box::new(move |panic| {
                page.fail(&format!("{part:?}: {panic}"));
                leave(101);
            }));
            // The supervisor strikes when it means to.
            let _ = rustix::process::nice(19);
            match part {
                Part::Produce => victims::produce(page, role, &self.ring, dice),
                Part::Consume(kind) => victims::consume(role, &self.ring, kind, number, steady),
                Part::Visit => victims::visit(role, &self.ring, dice),
                Part::Create => victims::create(role, &self.directory, number, dice),
            }
            role.reach(Phase::Done);
            0
        })?;
        if let Some(group) = group {
            setpgid(pid, group).context("a process group")?;
        }
        self.members[number].pid = Some(pid);
        Ok(())
    }

    fn wait_until_working(&self, members: std::ops::Range<usize>) -> Result<()> {
        let began = Instant::now();
        for member in &self.members[members] {
            while !self.role(member.number).reached(Phase::Working) {
                sleep(Duration::from_micros(20));
                let pid = member.pid.context("a process that lives")?;
                let (pid, waited) = (pid, began.elapsed());
                if waited > Duration::from_millis(5) {
                    let status = waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT));
                    if self.page.failure().is_some() || !matches!(status, Ok(WaitStatus::StillAlive) | Err(_))
                    {
                        return Err(self.trouble(format_args!("{:?} ended", member.part)));
                    }
                }
                ensure!(waited < PATIENCE, "BLOCKED: {:?} is not in its loop after {waited:?}", member.part);
            }
        }
        Ok(())
    }

    /// Nobody who is not killed ends or stands still.
    fn check_the_steady(&mut self) -> Result<()> {
        if self.page.failure().is_some() {
            return Err(self.trouble("a process failed"));
        }
        let readers = self.members[self.victims..].iter().filter(|member| member.part != Part::Produce);
        let counts: Vec<_> = readers.map(|member| self.role(member.number).events.load(Relaxed)).collect();
        let Some(least) = counts.into_iter().min() else { return Ok(()) };
        if least != self.moved.0 {
            self.moved = (least, Instant::now());
        }
        ensure!(self.moved.1.elapsed() < PATIENCE, "BLOCKED: a reader stands still at {least} events");
        Ok(())
    }

    /// The last producer closes the ring; everybody accounts for what they saw.
    fn finish(&mut self) -> Result<()> {
        let is_last = |member: &Member| member.part == Part::Produce;
        self.wait_until_working(0..self.victims)?;
        // Those who would go on for ever, and the producer, which is not to look at the order to stop too late.
        for number in 0..self.victims {
            if !matches!(self.members[number].part, Part::Consume(_)) {
                let pid = self.members[number].pid.context("a victim that lives")?;
                kill(pid, Signal::SIGKILL).context("kill")?;
                self.await_death(number)?;
            }
        }
        self.page.stop.store(true, Relaxed);
        if let Some(number) = self.members[..self.victims].iter().position(is_last) {
            self.check_published(number)?;
            self.plan.at_once = false;
            self.start(number)?;
        }
        let began = Instant::now();
        for number in 0..self.members.len() {
            let Some(pid) = self.members[number].pid else { continue };
            loop {
                match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
                    WaitStatus::StillAlive => sleep(Duration::from_millis(1)),
                    WaitStatus::Exited(_, 0) => break,
                    other => {
                        self.members[number].pid = None;
                        return Err(self.trouble(format_args!("{:?}: {other:?}", self.members[number].part)));
                    }
                }
                let part = self.members[number].part;
                ensure!(began.elapsed() < 2 * PATIENCE, "BLOCKED: {part:?} does not come to the end");
            }
            self.members[number].pid = None;
        }
        self.account()
    }

    fn account(&mut self) -> Result<()> {
        let snapshot = self.inspector.snapshot().context("the last snapshot")?;
        let end = snapshot.next_sequence;
        let mut names = 0;
        for member in &self.members {
            let role = self.role(member.number);
            let (part, events) = (member.part, role.events.load(Relaxed));
            self.kills.events += events;
            self.kills.gaps += role.gaps.load(Relaxed);
            self.kills.resumed += role.resumed.load(Relaxed);
            self.kills.accounts += role.accounts.load(Relaxed);
            let Part::Consume(kind) = part else { continue };
            names += usize::from(!matches!(kind, Kind::Gated | Kind::Lossy));
            let next = role.processed.load(Relaxed) - 1;
            ensure!(next == end, "{part:?} received everything below {next}, {end} were sent");
            let gaps = role.gaps.load(Relaxed);
            ensure!(kind.may_lose() || gaps == 0, "LOST: {part:?} was told of {gaps} losses");
        }
        self.kills.records = end;
        ensure!(snapshot.records == end, "{} records counted, {end} sent", snapshot.records);
        let kept = snapshot.consumers.iter().filter(|consumer| consumer.name.is_some()).count();
        ensure!(
            kept == names && snapshot.consumers.len() == names,
            "only names keep slots: {:?}",
            snapshot.consumers
        );
        for member in self.members.iter().filter(|member| member.part == Part::Create) {
            victims::check_left(&self.directory.join(format!("made-{}", member.number)));
        }
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let living = self.members.iter_mut().filter_map(|member| member.pid.take());
        for pid in living.chain(self.corpses.drain(..)) {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}
