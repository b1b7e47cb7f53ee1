//! Reader-writer locks: as mutexes, and dead readers keep nobody out.

use anyhow::{Context, Result, ensure};
use nix::sys::wait::WaitStatus;
use quoit::Error;
use quoit::sync::{RwLock, WriteGuard};

use super::stage::{BEGIN, FIRST, SEATS, Stage, Value, options, whole};
use super::{Case, End, MOMENT, SHORT, Scene, Word, soon};
use crate::child::Child;
use crate::tracee::mark;

pub(super) const CASES: &[Case] = &[
    Case::new("rwlock-read", make, idle, read),
    Case::new("rwlock-read-wake", make, idle, read_held).beside(write_after),
    Case::new("rwlock-read-wait", make, idle, read).beside(write_a_while),
    Case::new("rwlock-read-time-out", make, writing, read_time_out),
    Case::new("rwlock-get", make, writing, get),
    Case::new("rwlock-write-commit", make, idle, write),
    Case::new("rwlock-write-wake", make, idle, write_held).beside(read_after),
    Case::new("rwlock-write-wait", make, idle, write).beside(read_a_while),
    Case::new("rwlock-write-time-out", make, reading, write_time_out),
    Case::new("rwlock-try-read", make, idle, try_read),
    Case::new("rwlock-try-write", make, idle, try_write),
    Case::new("rwlock-try-held", make, writing, try_held),
    Case::new("rwlock-recover", make_abandoned, idle, recover),
    Case::new("rwlock-read-anyway", make_abandoned, idle, read_anyway),
    Case::new("rwlock-abandoned", make_abandoned, idle, refused_as_abandoned),
];

fn make(stage: &Stage) -> Result<()> {
    drop(RwLock::create(stage.path(), &options(), &BEGIN)?);
    Ok(())
}

/// Its last writer died, and nobody has looked after it since.
fn make_abandoned(stage: &Stage) -> Result<()> {
    let path = stage.path();
    let mut writer = Child::start(move || {
        let mut lock = RwLock::create(path, &options(), &BEGIN).expect("create");
        std::mem::forget(lock.write().expect("write"));
        std::mem::forget(lock);
    })?;
    ensure!(matches!(writer.end()?, WaitStatus::Exited(_, 0)), "the writer that is to die");
    let mut lock = open(stage)?;
    let told = lock.write_deadline(soon()).map(|guard| guard.discard());
    ensure!(matches!(told, Err(Error::Abandoned)), "nobody is told that its writer died: {told:?}");
    Ok(())
}

fn open(stage: &Stage) -> Result<RwLock<Value>, Error> {
    RwLock::open(stage.path())
}

const READS: u64 = 1;
const WRITES: u64 = 2;
const COMMITS: u64 = 3;
const GAVE_BACK: u64 = 4;
/// It has read, or tried to, and the lock is as abandoned as it was.
const LOOKED: u64 = 5;

fn read(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let guard = lock.read().expect("read");
    stage.set(Word::Come, READS);
    let value = *guard;
    stage.set(Word::Come, COMMITS);
    drop(guard);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    whole(&value).expect("whole");
    stage.stay();
}

fn try_read(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let guard = lock.try_read().expect("read").expect("nobody writes");
    stage.set(Word::Come, READS);
    let value = *guard;
    stage.set(Word::Come, COMMITS);
    drop(guard);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    whole(&value).expect("whole");
    stage.stay();
}

fn try_write(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let guard = lock.try_write().expect("write").expect("nobody has it");
    let committed = change(stage, guard);
    mark();
    committed.expect("commit");
    stage.stay();
}

/// The check writes, so there is nothing to be had.
fn try_held(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let tried = (lock.try_read().map(|guard| guard.is_some()), lock.try_write().map(|guard| guard.is_some()));
    mark();
    assert!(matches!(tried, (Ok(false), Ok(false))), "{tried:?}");
    stage.stay();
}

fn recover(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let mut guard = lock.recover().expect("write");
    guard.recovered();
    let committed = change(stage, guard);
    mark();
    committed.expect("commit");
    stage.stay();
}

/// Adds one to the value.
fn change(stage: &Stage, mut guard: WriteGuard<'_, Value>) -> Result<(), Error> {
    stage.set(Word::Come, WRITES);
    let next = guard[0] + 1;
    *guard = [next; 8];
    stage.set(Word::Begun, 1);
    stage.set(Word::Come, COMMITS);
    let committed = guard.commit();
    stage.set(Word::Done, 1);
    stage.set(Word::Come, GAVE_BACK);
    committed
}

fn read_anyway(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let guard = lock.read_anyway().expect("read");
    let value = (*guard, guard.is_abandoned());
    drop(guard);
    stage.set(Word::Come, LOOKED);
    mark();
    assert!(value.1 && whole(&value.0).is_ok(), "{value:?}");
    stage.stay();
}

fn refused_as_abandoned(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let told = (lock.read().map(drop), lock.try_write().map(drop));
    stage.set(Word::Come, LOOKED);
    mark();
    assert!(matches!(told, (Err(Error::Abandoned), Err(Error::Abandoned))), "{told:?}");
    stage.stay();
}

/// The victim reads already, and a writer sleeps until it has done.
fn read_held(stage: &Stage) {
    let (mut lock, look) = (open(stage).expect("open"), open(stage).expect("open"));
    let guard = lock.read().expect("read");
    stage.set(Word::Come, READS);
    stage.set(Word::First, 1);
    while look.waiting().is_empty() {
        std::thread::sleep(MOMENT);
    }
    mark();
    stage.set(Word::Come, COMMITS);
    drop(guard);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    stage.stay();
}

fn read_time_out(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let waited = lock.read_timeout(SHORT).map(drop);
    mark();
    assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
    stage.stay();
}

fn get(stage: &Stage) {
    let lock = open(stage).expect("open");
    mark();
    let value = lock.get();
    mark();
    whole(&value.expect("a value without the lock")).expect("whole");
    stage.stay();
}

fn write(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let mut guard = lock.write().expect("write");
    stage.set(Word::Come, WRITES);
    let next = guard[0] + 1;
    *guard = [next; 8];
    stage.set(Word::Begun, 1);
    stage.set(Word::Come, COMMITS);
    let committed = guard.commit();
    stage.set(Word::Done, 1);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    committed.expect("commit");
    stage.stay();
}

/// The victim writes already, and a reader sleeps until it has done.
fn write_held(stage: &Stage) {
    let (mut lock, look) = (open(stage).expect("open"), open(stage).expect("open"));
    let mut guard = lock.write().expect("write");
    stage.set(Word::Come, WRITES);
    stage.set(Word::First, 1);
    while look.waiting().is_empty() {
        std::thread::sleep(MOMENT);
    }
    mark();
    let next = guard[0] + 1;
    *guard = [next; 8];
    stage.set(Word::Begun, 1);
    stage.set(Word::Come, COMMITS);
    let committed = guard.commit();
    stage.set(Word::Done, 1);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    committed.expect("commit");
    stage.stay();
}

fn write_time_out(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    mark();
    let waited = lock.write_timeout(SHORT).map(drop);
    mark();
    assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
    stage.stay();
}

fn write_after(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    stage.until_first();
    let mut guard = lock.write_deadline(soon()).expect("write");
    let next = guard[0] + 1;
    *guard = [next; 8];
    guard.commit().expect("commit");
    stage.set(Word::Others, 1);
    stage.set(Word::Through, 1);
}

fn read_after(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    stage.until_first();
    match lock.read_deadline(soon()) {
        Ok(guard) => drop(whole(&guard).expect("whole")),
        Err(Error::Abandoned) => stage.set(Word::Told, 1),
        Err(error) => panic!("{error}"),
    }
    stage.set(Word::Through, 1);
}

/// Writes when the victim comes, and ends a moment later, without a change.
fn write_a_while(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    let guard = lock.write().expect("write");
    stage.keep_a_while(guard);
}

fn read_a_while(stage: &Stage) {
    let mut lock = open(stage).expect("open");
    let guard = lock.read().expect("read");
    stage.keep_a_while(guard);
}

struct Locked<'a> {
    stage: &'a Stage,
    lock: RwLock<Value>,
    /// What this process has forgotten that it has.
    holds: Option<Held>,
    was_abandoned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Read,
    Write,
}

fn scene(stage: &'static Stage, holds: Option<Held>) -> Result<Box<dyn Scene>> {
    let mut lock = open(stage)?;
    match holds {
        Some(Held::Read) => std::mem::forget(lock.read()?),
        Some(Held::Write) => std::mem::forget(lock.write()?),
        None => {}
    }
    let was_abandoned = lock.is_abandoned();
    Ok(Box::new(Locked { stage, lock, holds, was_abandoned }))
}

fn idle(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    scene(stage, None)
}

fn reading(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    scene(stage, Some(Held::Read))
}

fn writing(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    scene(stage, Some(Held::Write))
}

impl Scene for Locked<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        let (stage, come) = (self.stage, self.stage.get(Word::Come));
        if self.was_abandoned {
            return Ok(());
        }
        whole(&self.lock.get()?)?;
        if self.holds.is_some() {
            return Ok(());
        }
        let may_write = self.lock.try_write()?.map(|guard| guard.discard()).is_some();
        stage.is(!may_write || ![READS, WRITES].contains(&come), || {
            format!("one writes beside one that is stopped: {come}")
        })?;
        let may_read = self.lock.try_read()?.is_some();
        stage.is(!may_read || come != WRITES, || "one reads beside a stopped writer".to_owned())
    }

    fn afterwards(self: Box<Self>, end: End) -> Result<()> {
        let Self { stage, mut lock, holds, was_abandoned } = *self;
        let come = stage.get(Word::Come);
        if holds.is_some() {
            // With the handle goes what it forgot.
            drop(lock);
            lock = open(stage)?;
        }
        if stage.get(Word::Ready) == 1 {
            stage.until_through()?;
        }
        let mut others = if stage.point().is_multiple_of(2) {
            stage.take_seats(SEATS - 2, || open(stage))?
        } else {
            vec![open(stage)?]
        };
        let Some(first) = others.first_mut() else { return Ok(()) };
        let is_abandoned = match first.write_deadline(soon()).map(|guard| guard.discard()) {
            Ok(()) => false,
            Err(Error::Abandoned) => true,
            Err(error) => return Err(error).context("the lock after the victim"),
        };
        let mut guard = lock.recover_deadline(soon()).context("nobody has the lock")?;
        stage.is(guard.is_abandoned() == is_abandoned, || "not everybody is told".to_owned())?;
        let is_told = is_abandoned || stage.get(Word::Told) == 1;
        let died = end == End::Killed;
        stage.is(is_told || !(died && come == WRITES), || "the death of a writer was not told".to_owned())?;
        // A reader that dies in its turn behind a writer counts as a writer.
        let may_tell = died && come != READS || was_abandoned;
        stage.is(!is_told || (may_tell && come != GAVE_BACK), || {
            format!("a death is told, and no writer died: {come}")
        })?;
        stage.is(is_told || !was_abandoned || [COMMITS, GAVE_BACK].contains(&come), || {
            format!("the death before was not told: {come}")
        })?;
        if is_told {
            stage.note_told();
        }
        let number = whole(&guard)?;
        let least = FIRST + stage.get(Word::Others) + stage.get(Word::Done);
        let most = least + stage.get(Word::Begun) - stage.get(Word::Done);
        stage.is((least..=most).contains(&number), || format!("{number} instead of {least} to {most}"))?;
        guard.recovered();
        *guard = [number + 1; 8];
        guard.commit()?;
        let seen = whole(&*first.read_deadline(soon()).context("a reader afterwards")?)?;
        stage.is(seen == number + 1, || format!("{seen} after {}", number + 1))?;
        let (writer, readers) = (lock.writer()?, lock.readers()?);
        stage.is(writer.is_none() && readers.is_empty(), || {
            format!("written by {writer:?}, read by {readers:?}")
        })
    }
}
