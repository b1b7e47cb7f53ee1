//! Mutexes: whoever is killed, the last committed value is found, and the lock is nobody's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quoit::Error;
use quoit::sync::{Mutex, MutexGuard};

use super::stage::{BEGIN, FIRST, SEATS, Stage, Value, options, whole};
use super::{Case, End, MOMENT, SHORT, Scene, Word, soon};
use crate::tracee::mark;

pub(super) const CASES: &[Case] = &[
    Case::new("mutex-lock-commit", make, idle, |stage| change(stage, Lock::Plain)),
    Case::new("mutex-lock-commit-wake", make, idle, change_held).beside(wait_and_add),
    Case::new("mutex-save-twice", make, idle, save_twice),
    Case::new("mutex-try-commit", make, idle, |stage| change(stage, Lock::Try)),
    Case::new("mutex-discard", make, idle, discard),
    Case::new("mutex-recover", make_abandoned, idle, |stage| change(stage, Lock::Recover)),
    Case::new("mutex-abandoned", make_abandoned, idle, refused_as_abandoned),
    Case::new("mutex-try-held", make, holding, try_held),
    Case::new("mutex-time-out", make, holding, time_out),
    Case::new("mutex-wait", make, idle, |stage| change(stage, Lock::Plain)).beside(hold_a_while),
    Case::new("mutex-close", make, idle, close),
];

fn make(stage: &Stage) -> Result<()> {
    drop(Mutex::create(stage.path(), &options(), &BEGIN)?);
    Ok(())
}

/// Its last holder gave up, and nobody has looked after it since.
fn make_abandoned(stage: &Stage) -> Result<()> {
    let mut mutex = Mutex::create(stage.path(), &options(), &BEGIN)?;
    mutex.lock()?.abandon();
    Ok(())
}

fn open(stage: &Stage) -> Result<Mutex<Value>, Error> {
    Mutex::open(stage.path())
}

/// How the victim locks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Plain,
    Try,
    Recover,
}

/// How far a victim that locks and commits has come.
const HAS: u64 = 1;
const COMMITS: u64 = 2;
const GAVE_BACK: u64 = 3;

/// Adds one to the value.
fn add_one(guard: &mut MutexGuard<'_, Value>) {
    let next = guard[0] + 1;
    **guard = [next; 8];
}

fn change(stage: &Stage, how: Lock) {
    let mut mutex = open(stage).expect("open");
    mark();
    let guard = match how {
        Lock::Plain => mutex.lock().map(Some),
        Lock::Try => mutex.try_lock(),
        Lock::Recover => mutex.recover().map(Some),
    };
    let mut guard = guard.expect("lock").expect("nobody has it");
    stage.set(Word::Come, HAS);
    guard.recovered();
    add_one(&mut guard);
    commit(stage, guard);
    mark();
    stage.stay();
}

#[inline(always)]
fn commit(stage: &Stage, guard: MutexGuard<'_, Value>) {
    stage.set(Word::Begun, 1);
    stage.set(Word::Come, COMMITS);
    let committed = guard.commit();
    stage.set(Word::Done, 1);
    stage.set(Word::Come, GAVE_BACK);
    committed.expect("commit");
}

/// The victim has the lock already, and another sleeps for it.
fn change_held(stage: &Stage) {
    let (mut mutex, look) = (open(stage).expect("open"), open(stage).expect("open"));
    let mut guard = mutex.lock().expect("lock");
    stage.set(Word::Come, HAS);
    stage.set(Word::First, 1);
    while look.waiting().is_empty() {
        std::thread::sleep(MOMENT);
    }
    add_one(&mut guard);
    mark();
    commit(stage, guard);
    mark();
    stage.stay();
}

fn save_twice(stage: &Stage) {
    let mut mutex = open(stage).expect("open");
    mark();
    let mut guard = mutex.lock().expect("lock");
    stage.set(Word::Come, HAS);
    for turn in 1..=2 {
        add_one(&mut guard);
        stage.set(Word::Begun, turn);
        let saved = guard.save();
        stage.set(Word::Done, turn);
        saved.expect("save");
    }
    stage.set(Word::Come, COMMITS);
    drop(guard);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    stage.stay();
}

fn discard(stage: &Stage) {
    let mut mutex = open(stage).expect("open");
    mark();
    let mut guard = mutex.lock().expect("lock");
    stage.set(Word::Come, HAS);
    *guard = [99; 8];
    stage.set(Word::Come, COMMITS);
    guard.discard();
    stage.set(Word::Come, GAVE_BACK);
    mark();
    stage.stay();
}

fn refused_as_abandoned(stage: &Stage) {
    let mut mutex = open(stage).expect("open");
    mark();
    let refused = mutex.lock().map(drop);
    mark();
    assert!(matches!(refused, Err(Error::Abandoned)) || stage.is_let_go(), "{refused:?}");
    stage.stay();
}

fn try_held(stage: &Stage) {
    let mut mutex = open(stage).expect("open");
    mark();
    let refused = mutex.try_lock().map(|guard| guard.map(drop));
    mark();
    assert!(matches!(refused, Ok(None)), "{refused:?}");
    stage.stay();
}

fn time_out(stage: &Stage) {
    let mut mutex = open(stage).expect("open");
    mark();
    let refused = mutex.lock_timeout(SHORT).map(drop);
    mark();
    assert!(matches!(refused, Err(Error::TimedOut)), "{refused:?}");
    stage.stay();
}

fn close(stage: &Stage) {
    let mutex = open(stage).expect("open");
    mark();
    drop(mutex);
    mark();
    stage.stay();
}

/// Sleeps for the lock, and adds one when it has it.
fn wait_and_add(stage: &Stage) {
    let mut mutex = open(stage).expect("open");
    stage.until_first();
    let mut guard = mutex.recover_deadline(soon()).expect("the lock");
    whole(&guard).expect("whole");
    stage.set(Word::Told, guard.is_abandoned().into());
    guard.recovered();
    add_one(&mut guard);
    guard.commit().expect("commit");
    stage.set(Word::Others, 1);
    stage.set(Word::Through, 1);
}

/// Has the lock when the victim comes, and gives it back a moment later.
fn hold_a_while(stage: &Stage) {
    let mut mutex = open(stage).expect("open");
    let guard = mutex.lock().expect("lock");
    stage.keep_a_while(guard);
}

struct Locked<'a> {
    stage: &'a Stage,
    mutex: Mutex<Value>,
    /// This process has the lock.
    holds: bool,
    /// What it committed while the victim was stopped.
    commits: u64,
    was_abandoned: bool,
}

fn idle(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let mutex = open(stage)?;
    let was_abandoned = mutex.is_abandoned();
    Ok(Box::new(Locked { stage, mutex, holds: false, commits: 0, was_abandoned }))
}

fn holding(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let mut mutex = open(stage)?;
    // Until the handle's next operation.
    std::mem::forget(mutex.lock()?);
    Ok(Box::new(Locked { stage, mutex, holds: true, commits: 0, was_abandoned: false }))
}

impl Locked<'_> {
    fn come(&self) -> u64 {
        self.stage.get(Word::Come)
    }
}

impl Scene for Locked<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        let (stage, come) = (self.stage, self.come());
        if self.holds || self.was_abandoned {
            return Ok(());
        }
        if let Some(mut guard) = self.mutex.try_lock()? {
            stage.is(come != HAS, || "the lock of a stopped holder was taken".to_owned())?;
            add_one(&mut guard);
            guard.commit()?;
            self.commits += 1;
            return Ok(());
        }
        let holder = self.mutex.holder()?;
        stage.is(holder.is_none_or(|holder| holder.is_alive), || "a stopped holder is dead".into())?;
        if come == HAS {
            let waited = self.mutex.lock_timeout(Duration::from_micros(1500)).map(drop);
            stage.is(matches!(waited, Err(Error::TimedOut)), || {
                format!("the lock of a stopped holder: {waited:?}")
            })?;
        }
        Ok(())
    }

    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let (stage, come) = (self.stage, self.come());
        if self.holds {
            // Takes its own lock again: the guard was forgotten.
            drop(self.mutex.lock_deadline(soon()).context("its own lock")?);
        }
        if stage.get(Word::Ready) == 1 {
            stage.until_through()?;
        }
        let must_tell = end == End::Killed && come == HAS;
        let was_told_beside = stage.get(Word::Told) == 1;
        // By a handle from before, or by one in the seat of the dead.
        let mut others = if stage.point().is_multiple_of(2) {
            stage.take_seats(SEATS - 2, || open(stage))?
        } else {
            vec![open(stage)?]
        };
        let Some(first) = others.first_mut() else { return Ok(()) };
        let is_abandoned = match first.lock_deadline(soon()).map(drop) {
            Ok(()) => false,
            Err(Error::Abandoned) => true,
            Err(error) => return Err(error).context("the lock after the victim"),
        };
        let guard = self.mutex.recover_deadline(soon()).context("nobody has the lock")?;
        stage.is(guard.is_abandoned() == is_abandoned, || "not everybody is told".to_owned())?;
        let told = is_abandoned || was_told_beside;
        stage.is(told || !must_tell, || "the death of a holder was not told".to_owned())?;
        let may_tell = self.was_abandoned || (end == End::Killed && come != GAVE_BACK);
        stage.is(!told || may_tell, || format!("a death is told, and nobody died with the lock: {come}"))?;
        if told {
            stage.note_told();
        }
        let number = whole(&guard)?;
        let least = FIRST + self.commits + stage.get(Word::Others) + stage.get(Word::Done);
        let most = least + stage.get(Word::Begun) - stage.get(Word::Done);
        stage.is((least..=most).contains(&number), || format!("{number} instead of {least} to {most}"))?;
        let version = guard.version()?;
        stage.is(version == number - FIRST + 1, || format!("version {version} of {number}"))?;
        let mut guard = guard;
        guard.recovered();
        add_one(&mut guard);
        guard.commit()?;
        let seen = *first.lock_deadline(soon()).context("after it was recovered")?;
        stage.is(whole(&seen)? == number + 1, || format!("{seen:?} after {}", number + 1))?;
        ensure!(self.mutex.holder()?.is_none(), "somebody still has it");
        Ok(())
    }
}
