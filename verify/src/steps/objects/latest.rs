//! Latest values: a reader never sees half of one, and the next writer goes on from the last.

use anyhow::{Context, Result};
use quoit::Error;
use quoit::sync::{Latest, LatestOptions, LatestReader};

use super::stage::{BEGIN, FIRST, Stage, Value, whole};
use super::{Case, End, Scene, Word, soon};
use crate::tracee::mark;

pub(super) const CASES: &[Case] = &[
    Case::new("latest-set", |stage| make(stage, 2), reading, |stage| set(stage, 1)),
    Case::new("latest-set-three-times", |stage| make(stage, 3), reading, |stage| set(stage, 3)),
    Case::new("latest-set-wake", |stage| make(stage, 2), reading, |stage| set(stage, 1)).asleep(follow),
    Case::new("latest-take-over", |stage| make(stage, 2), reading, take_over),
    Case::new("latest-get", |stage| make(stage, 2), reading, get),
    Case::new("latest-next-time-out", |stage| make(stage, 2), reading, next_time_out),
];

fn make(stage: &Stage, cells: u32) -> Result<()> {
    drop(Latest::create(stage.path(), &LatestOptions::new().cells(cells), &BEGIN)?);
    Ok(())
}

fn set(stage: &Stage, times: u64) {
    let mut latest = Latest::<Value>::open(stage.path()).expect("become the writer");
    mark();
    for turn in 1..=times {
        stage.set(Word::Begun, turn);
        let version = latest.set(&[FIRST + turn; 8]);
        stage.set(Word::Done, turn);
        version.expect("set");
    }
    mark();
    stage.stay();
}

fn take_over(stage: &Stage) {
    mark();
    let latest = Latest::<Value>::open(stage.path());
    mark();
    let latest = latest.expect("become the writer");
    assert_eq!(latest.version(), 1);
    stage.stay();
}

fn get(stage: &Stage) {
    let mut reader = LatestReader::<Value>::open(stage.path()).expect("open");
    mark();
    let value = reader.get();
    mark();
    whole(&value.expect("a value")).expect("whole");
    stage.stay();
}

fn next_time_out(stage: &Stage) {
    let mut reader = LatestReader::<Value>::open(stage.path()).expect("open");
    reader.get().expect("the first value");
    mark();
    let next = reader.next_deadline(std::time::Instant::now() + super::SHORT);
    mark();
    assert!(matches!(next, Ok(None)) || stage.is_let_go(), "{next:?}");
    stage.stay();
}

/// Sleeps until the value changes.
fn follow(stage: &Stage) {
    let mut reader = LatestReader::<Value>::open(stage.path()).expect("open");
    reader.get().expect("the first value");
    stage.set(Word::Ready, 1);
    let next = reader.next_deadline(soon()).expect("read").expect("a change in time");
    stage.set(Word::Others, whole(&next).expect("whole"));
    stage.set(Word::Through, 1);
}

struct Reading<'a> {
    stage: &'a Stage,
    reader: LatestReader<Value>,
    seen: u64,
}

fn reading(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let mut reader = LatestReader::open(stage.path())?;
    let seen = whole(&reader.get()?)?;
    Ok(Box::new(Reading { stage, reader, seen }))
}

impl Reading<'_> {
    /// The value is whole, one that was begun, and none from before what was done.
    fn check(&mut self) -> Result<u64> {
        let stage = self.stage;
        let least = FIRST + stage.get(Word::Done);
        let number = whole(&self.reader.get()?)?;
        let most = FIRST + stage.get(Word::Begun);
        stage.is((least..=most).contains(&number), || format!("{number} instead of {least} to {most}"))?;
        stage.is(number >= self.seen, || format!("{number} after {}", self.seen))?;
        self.seen = number;
        Ok(number)
    }
}

impl Scene for Reading<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        self.check()?;
        if self.stage.get(Word::Begun) > 0 {
            let second = Latest::<Value>::open(self.stage.path()).map(drop);
            self.stage.is(second.is_err(), || "a second writer beside a stopped one".to_owned())?;
        }
        Ok(())
    }

    fn afterwards(mut self: Box<Self>, _: End) -> Result<()> {
        let stage = self.stage;
        let number = self.check()?;
        let sleeper = stage.get(Word::Ready) == 1;
        if sleeper && number > FIRST {
            // Its author may have died before it woke the sleeper.
            stage.until_through()?;
            stage.is(stage.get(Word::Others) == number, || "the sleeper read another value".to_owned())?;
        }
        let is_alive = self.reader.writer_alive();
        stage.is(!is_alive, || "a dead writer looks alive".to_owned())?;
        let mut next = Latest::<Value>::open(stage.path()).context("the next writer")?;
        let version = number - FIRST + 1;
        stage.is(next.version() == version, || format!("version {} of {number}", next.version()))?;
        stage.is(whole(&next.get()?)? == number, || "the writer finds another value".to_owned())?;
        for more in 1..=3 {
            let now: Result<u64, Error> = next.set(&[number + more; 8]);
            stage.is(now? == version + more, || "a version was left out".to_owned())?;
            let read = whole(&self.reader.next_deadline(soon())?.context("the next value")?)?;
            stage.is(read == number + more, || format!("{read} after {}", number + more))?;
        }
        if sleeper {
            stage.until_through()?;
        }
        Ok(())
    }
}
