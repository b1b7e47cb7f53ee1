//! Semaphores: no permit is lost, and none is there twice.

use anyhow::{Context, Result};
use quoit::Error;
use quoit::sync::{Permit, Semaphore};

use super::stage::{SEATS, Stage, options};
use super::{Case, End, MOMENT, SHORT, Scene, Word, soon};
use crate::tracee::mark;

const PERMITS: u32 = 3;

pub(super) const CASES: &[Case] = &[
    Case::new("semaphore-acquire-release", make, idle, |stage| acquire(stage, 1)),
    Case::new("semaphore-acquire-many", make, idle, |stage| acquire(stage, PERMITS)),
    Case::new("semaphore-acquire-the-rest", make, holding, |stage| acquire(stage, 1)),
    Case::new("semaphore-release-wake", make, idle, release).beside(wait_for_all),
    Case::new("semaphore-try-none", make, holding, try_none),
    Case::new("semaphore-time-out", make, holding, time_out),
    Case::new("semaphore-wait", make, idle, |stage| acquire(stage, PERMITS)).beside(hold_a_while),
];

fn make(stage: &Stage) -> Result<()> {
    drop(Semaphore::create(stage.path(), &options(), PERMITS)?);
    Ok(())
}

fn open(stage: &Stage) -> Result<Semaphore, Error> {
    Semaphore::open(stage.path())
}

const HAS: u64 = 1;
const GIVES_BACK: u64 = 2;
const GAVE_BACK: u64 = 3;

fn acquire(stage: &Stage, count: u32) {
    let semaphore = open(stage).expect("open");
    mark();
    let permit = semaphore.acquire_many(count).expect("permits");
    stage.set(Word::Begun, u64::from(count));
    stage.set(Word::Come, HAS);
    give_back(stage, permit);
    mark();
    stage.stay();
}

#[inline(always)]
fn give_back(stage: &Stage, permit: Permit<'_>) {
    stage.set(Word::Come, GIVES_BACK);
    drop(permit);
    stage.set(Word::Come, GAVE_BACK);
}

/// The victim has two permits already, and another sleeps for all of them.
fn release(stage: &Stage) {
    let (semaphore, look) = (open(stage).expect("open"), open(stage).expect("open"));
    let permit = semaphore.acquire_many(2).expect("permits");
    stage.set(Word::Begun, 2);
    stage.set(Word::Come, HAS);
    stage.set(Word::First, 1);
    while look.waiting().is_empty() {
        std::thread::sleep(MOMENT);
    }
    mark();
    give_back(stage, permit);
    mark();
    stage.stay();
}

fn try_none(stage: &Stage) {
    let semaphore = open(stage).expect("open");
    mark();
    let refused = semaphore.try_acquire_many(2).map(|permit| permit.map(drop));
    mark();
    assert!(matches!(refused, Ok(None)), "{refused:?}");
    stage.stay();
}

/// It collects the one that is left, waits for another, and gives up.
fn time_out(stage: &Stage) {
    let semaphore = open(stage).expect("open");
    mark();
    let refused = semaphore.acquire_many_deadline(2, std::time::Instant::now() + SHORT).map(drop);
    mark();
    assert!(matches!(refused, Err(Error::TimedOut)), "{refused:?}");
    stage.stay();
}

fn wait_for_all(stage: &Stage) {
    let semaphore = open(stage).expect("open");
    stage.until_first();
    let permit = semaphore.acquire_many_deadline(PERMITS, soon()).expect("all permits");
    stage.set(Word::Told, permit.is_abandoned().into());
    drop(permit);
    stage.set(Word::Through, 1);
}

/// Has a permit when the victim comes for all of them, and gives it back a moment later.
fn hold_a_while(stage: &Stage) {
    let semaphore = open(stage).expect("open");
    let permit = semaphore.acquire().expect("a permit");
    stage.keep_a_while(permit);
}

struct Permits<'a> {
    stage: &'a Stage,
    semaphore: Semaphore,
    /// How many this process has, until it says that they were forgotten.
    held: u32,
}

fn idle(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Permits { stage, semaphore: open(stage)?, held: 0 }))
}

/// Two of the three are taken.
fn holding(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let semaphore = open(stage)?;
    std::mem::forget(semaphore.acquire_many(2)?);
    Ok(Box::new(Permits { stage, semaphore, held: 2 }))
}

impl Scene for Permits<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        let stage = self.stage;
        let taken = if stage.get(Word::Come) == HAS { stage.get(Word::Begun) as u32 } else { 0 };
        let left = PERMITS - self.held - taken;
        let tried = self.semaphore.try_acquire_many(left + 1).map(|permit| permit.is_some());
        // More than there are at all, or besides its own.
        let is_refused = matches!(tried, Ok(false) | Err(Error::BadOption { .. }));
        let is_sure = stage.get(Word::Come) == HAS || self.held + left == PERMITS;
        stage.is(is_refused || !is_sure, || format!("{} permits of {PERMITS}, {tried:?}", left + 1))
    }

    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let (stage, come) = (self.stage, self.stage.get(Word::Come));
        self.semaphore.give_back_forgotten();
        if stage.get(Word::Ready) == 1 {
            stage.until_through()?;
        }
        let others = if stage.point().is_multiple_of(2) {
            stage.take_seats(SEATS - 2, || open(stage))?
        } else {
            vec![open(stage)?]
        };
        let Some(first) = others.first() else { return Ok(()) };
        let all = first.acquire_many_deadline(PERMITS, soon()).context("a permit is lost")?;
        let is_told = all.is_abandoned() || stage.get(Word::Told) == 1;
        let (must_tell, may_tell) = (come == HAS, come != GAVE_BACK);
        stage.is(is_told || end != End::Killed || !must_tell, || {
            "the death of a holder was not told".to_owned()
        })?;
        stage.is(!is_told || (end == End::Killed && may_tell), || {
            format!("a death is told, and nobody died with a permit: {come}")
        })?;
        if is_told {
            stage.note_told();
        }
        let more = self.semaphore.try_acquire()?;
        stage.is(more.is_none(), || "there is a permit more than there are".to_owned())?;
        drop(all);
        let (available, holders) = (self.semaphore.available(), self.semaphore.holders()?);
        stage.is(available == PERMITS && holders.is_empty(), || {
            format!("{available} free, held by {holders:?}")
        })?;
        let again = self.semaphore.try_acquire_many(PERMITS)?;
        stage.is(again.is_some_and(|permit| !permit.is_abandoned()), || "not all of them again".to_owned())
    }
}
