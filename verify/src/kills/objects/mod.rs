//! Kills at random moments of processes that work with locks and values, or with groups and services, under load.
//!
//! Each play has an object, processes that are killed and replaced, and others that never are. What must hold is
//! asked of a board outside the object, on which each process notes what it is about to do, and what it has done.

mod board;
mod condvar;
mod event;
mod group;
mod latest;
mod locks;
mod once;
mod rounds;
mod semaphore;
mod service;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use support::dice::mix;

use self::board::Board;
use super::page::{Page, Phase, Role};
use super::scene::Goal;
use super::troupe::Troupe;
use super::victims::PATIENCE;
use crate::child::Shared;

/// One kind of scene.
pub(super) struct Play {
    pub(super) what: &'static str,
    /// Of a thousand kills of its part.
    pub(super) share: u64,
    make: fn(&Path) -> Result<()>,
    /// Each works until it is told to stop, and then leaves.
    victims: &'static [fn(&Life)],
    /// Never killed.
    steady: &'static [fn(&Life)],
    /// When some have been killed, before they are replaced.
    after: fn(&Site, &[usize]) -> Result<()>,
    /// The death of each that holds something is told, not only that of some.
    tells_each: bool,
    /// When everybody has left.
    end: fn(&Site) -> Result<()>,
}

/// With locks and values.
pub(super) fn plays() -> impl Iterator<Item = &'static Play> {
    [locks::PLAYS, semaphore::PLAYS, event::PLAYS, rounds::PLAYS, once::PLAYS, condvar::PLAYS, latest::PLAYS]
        .into_iter()
        .flatten()
}

/// With groups and services.
pub(super) fn group_plays() -> impl Iterator<Item = &'static Play> {
    [group::PLAYS, service::PLAYS].into_iter().flatten()
}

/// What the check itself looks at.
pub(super) struct Site {
    path: PathBuf,
    page: &'static Page,
    board: &'static Board,
}

impl Site {
    fn role(&self, number: usize) -> &'static Role {
        &self.page.roles[number]
    }
}

/// What a process of a play has.
pub(super) struct Life {
    path: PathBuf,
    page: &'static Page,
    role: &'static Role,
    board: &'static Board,
    number: usize,
    dice: Cell<u64>,
}

impl Life {
    /// It is in its loop from here on.
    fn works(&self) {
        self.role.reach(Phase::Working);
    }

    fn goes_on(&self) -> bool {
        !self.page.stop.load(Relaxed)
    }

    /// Something was done, and what came of it was checked.
    fn done(&self) {
        self.role.events.fetch_add(1, Relaxed);
    }

    fn roll(&self, limit: u64) -> u64 {
        self.dice.set(mix(self.dice.get()));
        self.dice.get() % limit
    }

    /// Runs a call into the library, and lets it be known that it runs.
    #[inline(always)]
    fn inside<T>(&self, call: impl FnOnce() -> T) -> T {
        self.role.inside.store(1, Relaxed);
        let result = call();
        self.role.inside.store(0, Relaxed);
        result
    }

    /// Does something else for a moment, now and then.
    fn dawdle(&self) {
        match self.roll(16) {
            0 => sleep(Duration::from_micros(self.roll(200))),
            1..4 => (0..self.roll(2000)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// Time that nothing takes which happens at all.
fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Between two looks whether to stop, of one that waits for others.
const LOOK: Duration = Duration::from_millis(20);

/// What came of a play.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    /// Victims that were in their loop.
    pub(super) working: u64,
    /// Of these, in a call.
    pub(super) inside: u64,
    /// Victims that were not.
    pub(super) earlier: u64,
    /// Operations that ended and were checked.
    pub(super) done: u64,
    /// Deaths that somebody was told of, and those that somebody had to be told of.
    pub(super) told: u64,
    pub(super) to_tell: u64,
}

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        self.working += other.working;
        self.inside += other.inside;
        self.earlier += other.earlier;
        self.done += other.done;
        self.told += other.told;
        self.to_tell += other.to_tell;
    }
}

pub(super) fn perform(
    play: &'static Play,
    directory: &Path,
    goal: Goal,
    seed: u64,
    mut progress: impl FnMut(u64),
) -> Result<Sum> {
    let path = directory.join("object");
    (play.make)(&path)?;
    let (page, board) = (Shared::<Page>::new()?.kept(), Shared::<Board>::new()?.kept());
    let site = Site { path, page, board };
    let victims = play.victims.len();
    let mut troupe = Troupe::new(page, victims + play.steady.len(), seed);
    let mut sum = Sum::default();
    let began = Instant::now();
    for number in victims..victims + play.steady.len() {
        start(&mut troupe, play, &site, number)?;
        troupe.wait_until_working(number..number + 1)?;
    }
    let mut moved = (0, Instant::now());
    loop {
        for number in 0..victims {
            if !troupe.is_there(number) {
                start(&mut troupe, play, &site, number)?;
            }
        }
        let enough = match goal {
            Goal::Kills(kills) => sum.working >= kills,
            Goal::Time(time) => began.elapsed() >= time,
        };
        if enough {
            break;
        }
        // One life in eight may end before its loop.
        if troupe.roll(8) > 0 {
            troupe.wait_until_working(0..victims)?;
        }
        sleep(troupe.moment());
        let struck = troupe.choose(victims);
        // From here on, what they hold may be taken by others.
        struck.iter().for_each(|number| board.strike(*number));
        troupe.strike(&struck, false, play.what)?;
        for number in &struck {
            let role = site.role(*number);
            let is_inside = role.inside.load(Relaxed) != 0;
            match role.reached(Phase::Working) {
                true => (sum.working, sum.inside) = (sum.working + 1, sum.inside + u64::from(is_inside)),
                false => sum.earlier += 1,
            }
            sum.to_tell += u64::from(board.must_be_told(*number));
        }
        (play.after)(&site, &struck)?;
        struck.iter().for_each(|number| board.bury(*number));
        if page.failure().is_some() {
            return Err(troupe.trouble("a process failed"));
        }
        let steady = (victims..victims + play.steady.len()).map(|number| site.role(number));
        let least = steady.map(|role| role.events.load(Relaxed)).min().unwrap_or(0);
        if least != moved.0 {
            moved = (least, Instant::now());
        }
        ensure!(
            play.steady.is_empty() || moved.1.elapsed() < PATIENCE,
            "BLOCKED: a process stands still after {least} operations"
        );
        progress(sum.working);
    }
    troupe.wait_until_working(0..victims)?;
    page.stop.store(true, Relaxed);
    troupe.await_the_end()?;
    (play.end)(&site)?;
    sum.done = troupe.members().map(|number| site.role(number).events.load(Relaxed)).sum();
    sum.told = board.told();
    ensure!(sum.done > 0, "nobody did anything");
    let least = if play.tells_each { sum.to_tell } else { sum.to_tell.min(1) };
    ensure!(sum.told >= least, "{} deaths were to be told, and {} were", sum.to_tell, sum.told);
    Ok(sum)
}

fn start(troupe: &mut Troupe, play: &'static Play, site: &Site, number: usize) -> Result<()> {
    let work = *play.victims.iter().chain(play.steady).nth(number).expect("a member of the play");
    let (path, page, board) = (site.path.clone(), site.page, site.board);
    troupe.start(number, play.what, false, |dice| {
        let role = &page.roles[number];
        work(&Life { path, page, role, board, number, dice: Cell::new(dice) });
    })
}

/// A play without a check of its own between two strikes.
fn nothing(_: &Site, _: &[usize]) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shares_are_thousandths() {
        assert_eq!(super::plays().map(|play| play.share).sum::<u64>(), 1000);
        assert_eq!(super::group_plays().map(|play| play.share).sum::<u64>(), 1000);
    }
}
