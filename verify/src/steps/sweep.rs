//! One operation in one state: counted, and then interrupted at one point after another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};

use super::Points;
use super::ops::Op;
use super::plan::Plan;
use super::scene::Scene;
use super::stage::{Ring, Stage, Word};
use super::states::State;
use super::victim::Victim;
use crate::outcome::{Outcome, grouped};
use crate::tracee::{Next, Stop, Tracee};

/// What was done over all pairs.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) pairs: u64,
    /// Pairs in which every instruction was a kill point.
    pub(crate) complete: u64,
    pub(crate) instructions: u64,
    pub(crate) complete_instructions: u64,
    pub(crate) groups: u64,
    pub(crate) steps: u64,
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) checks: u64,
    /// Deaths that somebody was told of, and had to be in many cases.
    pub(crate) told: u64,
    pub(crate) successors: u64,
    pub(crate) chains: u64,
    pub(crate) failures: Vec<String>,
    /// For each operation: states, fewest and most instructions, kills, stops.
    by_op: BTreeMap<&'static str, [u64; 5]>,
}

impl Totals {
    pub(crate) fn count(&self, outcome: &mut Outcome) {
        outcome.count("pairs of an operation and a state", self.pairs);
        outcome.count("instructions of all pairs together", self.instructions);
        outcome.count("pairs killed at every instruction", self.complete);
        outcome.count("instructions of those", self.complete_instructions);
        outcome.count("groups of instructions that others can tell apart", self.groups);
        outcome.count("kills (SIGKILL)", self.kills);
        outcome.count("stops (SIGSTOP, then SIGCONT)", self.stops);
        outcome.count("single steps made", self.steps);
        outcome.count("checks after kills and stops", self.checks);
    }

    pub(crate) fn swept(&mut self, op: &'static str, instructions: u64, groups: u64) {
        self.instructions += instructions;
        self.groups += groups;
        let row = self.by_op.entry(op).or_insert([0, u64::MAX, 0, 0, 0]);
        row[0] += 1;
        row[1] = row[1].min(instructions);
        row[2] = row[2].max(instructions);
    }

    pub(crate) fn killed(&mut self, op: &'static str) {
        self.kills += 1;
        self.by_op.entry(op).or_insert([0, u64::MAX, 0, 0, 0])[3] += 1;
    }

    pub(crate) fn stopped(&mut self, op: &'static str) {
        self.stops += 1;
        self.by_op.entry(op).or_insert([0, u64::MAX, 0, 0, 0])[4] += 1;
    }

    pub(crate) fn table(&self, every: u64) -> String {
        let mut text = format!(
            "Operations of at most {every} instructions are killed at every one of them.\n\n\
             | operation | states | instructions | kills | stops |\n|---|---|---|---|---|\n"
        );
        for (op, [states, least, most, kills, stops]) in &self.by_op {
            let range = if least == most {
                grouped(*least)
            } else {
                format!("{} to {}", grouped(*least), grouped(*most))
            };
            let line = format!("| {op} | {states} | {range} | {} | {} |\n", grouped(*kills), grouped(*stops));
            text.push_str(&line);
        }
        text
    }
}

/// What a run through the whole operation showed.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) instructions: u64,
    /// The first boundary of each group.
    pub(crate) groups: Vec<u64>,
    /// For each boundary the address of the next instruction, and for how many times it was come to.
    path: Vec<(u64, u64)>,
}

impl Track {
    /// Steps a child from its first mark to its second.
    pub(crate) fn follow(child: &mut Tracee, mut look: impl FnMut() -> Result<bool>) -> Result<Self> {
        let mut track = Self { instructions: 0, groups: vec![0], path: Vec::new() };
        let mut times = HashMap::new();
        look()?;
        loop {
            let (next, at) = child.next()?;
            let time = times.entry(at).or_insert(0);
            *time += 1;
            track.path.push((at, *time));
            if next == Next::Mark {
                return Ok(track);
            }
            child.steps(1)?;
            track.instructions += 1;
            if look()? || next == Next::Syscall {
                track.groups.push(track.instructions);
            }
        }
    }

    /// Takes a fresh child to the boundary `point`: by a breakpoint to some instruction before it, and by single
    /// steps from there. Returns how many steps.
    pub(crate) fn advance(&self, child: &mut Tracee, point: u64) -> Result<u64> {
        let Some(path) = self.path.get(..=point as usize) else {
            child.steps(point)?;
            return Ok(point);
        };
        // A breakpoint that is passed costs as much as a few steps.
        let cost = |at: &usize| point - *at as u64 + 3 * (path[*at].1 - 1);
        let near = (0..path.len()).rev().take(4096).min_by_key(cost).unwrap_or(0);
        if near == 0 {
            child.steps(point)?;
            return Ok(point);
        }
        let (address, time) = path[near];
        child.run_to(address, time)?;
        let rest = point - near as u64;
        child.steps(rest)?;
        Ok(rest + time - 1)
    }

    /// The points to be killed at.
    pub(crate) fn points(&self, points: Points) -> Vec<u64> {
        match points {
            Points::Count => Vec::new(),
            Points::One(point) => vec![point],
            Points::Every(most) if self.instructions <= most => (0..=self.instructions).collect(),
            Points::Groups => self.groups.clone(),
            Points::Every(_) => {
                let mut points: BTreeSet<_> = self.groups.iter().copied().collect();
                points.extend(self.groups.iter().filter(|first| **first > 0).map(|first| first - 1));
                points.insert(self.instructions);
                points.into_iter().collect()
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Sweep<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) state: &'a State,
    pub(crate) ring: &'a Ring,
    pub(crate) op: Op,
    pub(crate) plan: &'a Plan,
}

impl Sweep<'_> {
    /// A scene, and its victim at the first mark.
    fn begin(&self) -> Result<(Scene<'_>, Tracee)> {
        let mut scene = Scene::set(self.stage, self.state, self.ring, self.op, self.plan)?;
        let victim = Victim {
            op: self.op,
            plan: self.plan,
            notes: &self.ring.notes,
            shape: self.state.shape,
            sent: scene.sent().clone(),
            blocked: self.state.live.contains(&super::states::Live::Blocked),
            path: self.ring.path.clone(),
            board: &self.stage.board,
        };
        let child = Tracee::start(move || victim.play())?;
        scene.between()?;
        Ok((scene, child))
    }

    pub(crate) fn run(&self, points: Points, totals: &mut Totals) -> Result<()> {
        let track = self.follow(totals)?;
        totals.swept(self.op.name, track.instructions, track.groups.len() as u64);
        totals.steps += track.instructions;
        let todo = track.points(points);
        if todo.len() as u64 > track.instructions {
            totals.complete += 1;
            totals.complete_instructions += track.instructions;
        }
        let again = |point: u64| format!("--only {}:{}:{point}", self.op.name, self.state.name);
        for point in todo {
            let thorough = track.groups.binary_search(&point).is_ok();
            match self.kill(&track, point, thorough, totals) {
                Ok(checks) => totals.checks += checks,
                Err(error) => totals.failures.push(format!("killed: {error:#}; {}", again(point))),
            }
            totals.killed(self.op.name);
            if totals.failures.len() >= super::ENOUGH {
                return Ok(());
            }
        }
        let stops = match points {
            Points::Count => Vec::new(),
            Points::One(point) => vec![point],
            Points::Groups | Points::Every(_) => track.groups.clone(),
        };
        for point in stops {
            match self.stop(&track, point, totals) {
                Ok(checks) => totals.checks += checks,
                Err(error) => totals.failures.push(format!("stopped: {error:#}; {}", again(point))),
            }
            totals.stopped(self.op.name);
            if totals.failures.len() >= super::ENOUGH {
                break;
            }
        }
        Ok(())
    }

    /// The whole operation, looked at after each step, and killed when it is over.
    fn follow(&self, totals: &mut Totals) -> Result<Track> {
        let (mut scene, mut child) = self.begin()?;
        let mut before = self.ring.bytes()?;
        let mut now = before.clone();
        let track = Track::follow(&mut child, || {
            self.ring.read(&mut now)?;
            let changed = now != before;
            if changed {
                std::mem::swap(&mut before, &mut now);
            }
            Ok(changed)
        })?;
        // On to the next mark: in between the victim looks at what its operation returned.
        ensure!(child.resume()? == Stop::Mark, "the second mark");
        ensure!(child.resume()? == Stop::Mark, "the operation did not end as it should");
        child.kill()?;
        scene.dirtied();
        totals.checks += scene.aftermath(true, true).context("uninterrupted")?;
        Ok(track)
    }

    fn kill(&self, track: &Track, point: u64, thorough: bool, totals: &mut Totals) -> Result<u64> {
        let (mut scene, mut child) = self.begin()?;
        totals.steps += track.advance(&mut child, point)?;
        child.kill()?;
        scene.dirtied();
        scene.aftermath(false, thorough)
    }

    fn stop(&self, track: &Track, point: u64, totals: &mut Totals) -> Result<u64> {
        let (mut scene, mut child) = self.begin()?;
        totals.steps += track.advance(&mut child, point)?;
        self.stage.board.set(Word::LetGo, 1);
        let child = child.leave_stopped()?;
        scene.while_stopped()?;
        child.go_on()?;
        child.finish()?;
        scene.after_stop()
    }
}
