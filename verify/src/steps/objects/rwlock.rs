//! Reader-writer locks: as mutexes, and dead readers keep nobody out.

use anyhow::{Context, Result};
use quoit::Error;
use quoit::sync::RwLock;

use super::stage::{BEGIN, FIRST, SEATS, Stage, Value, options, whole};
use super::{Case, End, MOMENT, SHORT, Scene, Word, soon};
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
];

fn make(stage: &Stage) -> Result<()> {
    drop(RwLock::create(stage.path(), &options(), &BEGIN)?);
    Ok(())
}

fn open(stage: &Stage) -> Result<RwLock<Value>, Error> {
    RwLock::open(stage.path())
}

const READS: u64 = 1;
const WRITES: u64 = 2;
const COMMITS: u64 = 3;
const GAVE_BACK: u64 = 4;

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
    Ok(Box::new(Locked { stage, lock, holds }))
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
        let Self { stage, mut lock, holds } = *self;
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
        stage.is(!is_told || (died && come != READS && come != GAVE_BACK), || {
            format!("a death is told, and no writer died: {come}")
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
