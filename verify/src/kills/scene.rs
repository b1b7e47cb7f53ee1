//! One ring, its processes, and the supervisor that kills them and checks the result of each kill. The supervisor
//! forks its children and has one thread.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quoit::{Inspector, Options, WaitMode};

use super::page::{NAMES, Page, Phase, Role};
use super::troupe::Troupe;
use super::victims::{self, Kind, PATIENCE};
use crate::child::Shared;

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

#[derive(Debug)]
pub(super) struct Scene {
    plan: Plan,
    directory: PathBuf,
    ring: PathBuf,
    inspector: Inspector,
    /// What each process is: victims first.
    parts: Vec<Part>,
    victims: usize,
    troupe: Troupe,
    kills: Kills,
    /// Events of the steady ones when they were last seen to go on, and when that was.
    moved: (u64, Instant),
}

impl Scene {
    pub(super) fn set(plan: Plan, directory: &Path, seed: u64) -> Result<Self> {
        let ring = directory.join("ring");
        Options::new().capacity(1 << 15).slots(12).wait(plan.mode).create(&ring)?;
        let parts: Vec<_> = plan.victims.iter().chain(plan.steady).copied().collect();
        Ok(Self {
            plan,
            directory: directory.to_owned(),
            inspector: Inspector::open(&ring)?,
            ring,
            victims: plan.victims.len(),
            troupe: Troupe::new(Shared::<Page>::new()?.kept(), parts.len(), seed),
            parts,
            kills: Kills::default(),
            moved: (0, Instant::now()),
        })
    }

    /// Kills until the goal is reached, then lets everybody finish and adds up.
    pub(super) fn run(mut self, goal: Goal, mut progress: impl FnMut(u64)) -> Result<Kills> {
        let began = Instant::now();
        // Readers come before the producer among the steady ones: they are there from the beginning.
        for number in self.victims..self.parts.len() {
            self.start(number)?;
            self.troupe.wait_until_working(number..number + 1)?;
        }
        loop {
            for number in 0..self.victims {
                if !self.troupe.is_there(number) {
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
            if self.troupe.roll(8) > 0 {
                self.troupe.wait_until_working(0..self.victims)?;
            }
            sleep(self.troupe.moment());
            self.strike()?;
            self.check_the_steady()?;
            progress(self.kills.working);
        }
        self.finish()?;
        Ok(self.kills)
    }

    fn role(&self, number: usize) -> &'static Role {
        self.troupe.role(number)
    }

    /// Kills one or more victims: all of them struck before the death of any is awaited. Then looks at what they left.
    fn strike(&mut self) -> Result<()> {
        let struck: Vec<_> = match self.plan.at_once {
            true => (0..self.victims).collect(),
            false => self.troupe.choose(self.victims),
        };
        self.troupe.strike(&struck, self.plan.at_once, self.plan.what)?;
        for number in &struck {
            self.count(*number);
        }
        for number in struck {
            match self.parts[number] {
                Part::Produce => self.check_published(number)?,
                Part::Create => self.check_directory()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Counts a kill whose victim is dead.
    fn count(&mut self, number: usize) {
        let role = self.role(number);
        if !role.reached(Phase::Working) {
            let counted =
                if role.reached(Phase::Opening) { &mut self.kills.opening } else { &mut self.kills.unborn };
            *counted += 1;
            return;
        }
        self.kills.working += 1;
        self.kills.inside[role.inside.load(Relaxed) as usize] += 1;
        let counted = match self.parts[number] {
            Part::Produce => &mut self.kills.producers,
            Part::Consume(_) => &mut self.kills.consumers,
            Part::Visit => &mut self.kills.visitors,
            Part::Create => &mut self.kills.creators,
        };
        *counted += 1;
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
        let (page, role, part) = (self.troupe.page, self.role(number), self.parts[number]);
        let steady = number >= self.victims;
        let (ring, directory) = (&self.ring, &self.directory);
        self.troupe.start(number, part, self.plan.at_once && !steady, |dice| match part {
            Part::Produce => victims::produce(page, role, ring, dice),
            Part::Consume(kind) => victims::consume(role, ring, kind, number, steady),
            Part::Visit => victims::visit(role, ring, dice),
            Part::Create => victims::create(role, directory, number, dice),
        })
    }

    /// Nobody who is not killed ends or stands still.
    fn check_the_steady(&mut self) -> Result<()> {
        if self.troupe.page.failure().is_some() {
            return Err(self.troupe.trouble("a process failed"));
        }
        let readers = (self.victims..self.parts.len()).filter(|number| self.parts[*number] != Part::Produce);
        let counts: Vec<_> = readers.map(|number| self.role(number).events.load(Relaxed)).collect();
        let Some(least) = counts.into_iter().min() else { return Ok(()) };
        if least != self.moved.0 {
            self.moved = (least, Instant::now());
        }
        ensure!(self.moved.1.elapsed() < PATIENCE, "BLOCKED: a reader stands still at {least} events");
        Ok(())
    }

    /// The last producer closes the ring; everybody accounts for what they saw.
    fn finish(&mut self) -> Result<()> {
        self.troupe.wait_until_working(0..self.victims)?;
        // Those who would go on for ever, and the producer, which is not to look at the order to stop too late.
        let endless: Vec<_> =
            (0..self.victims).filter(|number| !matches!(self.parts[*number], Part::Consume(_))).collect();
        self.troupe.strike(&endless, false, self.plan.what)?;
        for number in endless {
            self.count(number);
        }
        self.troupe.page.stop.store(true, Relaxed);
        if let Some(number) = self.parts[..self.victims].iter().position(|part| *part == Part::Produce) {
            self.check_published(number)?;
            self.plan.at_once = false;
            self.start(number)?;
        }
        self.troupe.await_the_end()?;
        self.account()
    }

    fn account(&mut self) -> Result<()> {
        let snapshot = self.inspector.snapshot().context("the last snapshot")?;
        let end = snapshot.next_sequence;
        let mut names = 0;
        for (number, part) in self.parts.iter().enumerate() {
            let role = self.role(number);
            let events = role.events.load(Relaxed);
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
        for number in (0..self.parts.len()).filter(|number| self.parts[*number] == Part::Create) {
            victims::check_left(&self.directory.join(format!("made-{number}")));
        }
        Ok(())
    }
}
