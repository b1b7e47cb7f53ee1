//! Condition variables: nobody sleeps through a change, and the death of whoever has the mutex is told.

use anyhow::{Context, Result};
use quoit::Error;
use quoit::sync::{Condvar, Mutex};

use super::stage::{BEGIN, FIRST, SEATS, Stage, Value, options, whole};
use super::{Case, End, SHORT, Scene, Word, soon};
use crate::tracee::mark;

pub(super) const CASES: &[Case] = &[
    Case::new("condvar-change-notify-all", make, idle, |stage| change(stage, Condvar::notify_all))
        .asleep(wait),
    Case::new("condvar-change-notify-one", make, idle, |stage| change(stage, Condvar::notify_one))
        .asleep(wait),
    Case::new("condvar-time-out", make, idle, time_out),
    Case::new("condvar-wait", make, idle, wait_for_change).beside(change_later),
];

fn make(stage: &Stage) -> Result<()> {
    drop(Mutex::create(stage.path(), &options(), &BEGIN)?);
    drop(Condvar::create(stage.at("condvar"), &options())?);
    Ok(())
}

fn open(stage: &Stage) -> Result<(Mutex<Value>, Condvar), Error> {
    Ok((Mutex::open(stage.path())?, Condvar::open(stage.at("condvar"))?))
}

const HAS: u64 = 1;
const COMMITS: u64 = 2;
const COMMITTED: u64 = 3;
const NOTIFIED: u64 = 4;

/// What the value is when there is something to wake up for.
const CHANGED: u64 = FIRST + 1;

fn change(stage: &Stage, notify: fn(&Condvar) -> Result<(), Error>) {
    let (mut mutex, condvar) = open(stage).expect("open");
    mark();
    let mut guard = mutex.lock().expect("lock");
    stage.set(Word::Come, HAS);
    *guard = [CHANGED; 8];
    stage.set(Word::Come, COMMITS);
    let committed = guard.commit();
    stage.set(Word::Come, COMMITTED);
    let notified = notify(&condvar);
    stage.set(Word::Come, NOTIFIED);
    mark();
    committed.and(notified).expect("change and notify");
    stage.stay();
}

fn time_out(stage: &Stage) {
    let (mut mutex, condvar) = open(stage).expect("open");
    mark();
    let guard = mutex.lock().expect("lock");
    stage.set(Word::Come, HAS);
    let waited = condvar.wait_while_timeout(guard, SHORT, |value| value[0] == FIRST).map(drop);
    stage.set(Word::Come, NOTIFIED);
    mark();
    assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
    stage.stay();
}

fn wait_for_change(stage: &Stage) {
    let (mut mutex, condvar) = open(stage).expect("open");
    mark();
    let guard = mutex.lock().expect("lock");
    let waited = condvar.wait_while_deadline(guard, soon(), |value| value[0] == FIRST).map(drop);
    stage.set(Word::Come, NOTIFIED);
    mark();
    waited.expect("a change");
    stage.stay();
}

/// Waits for the change, and goes on waiting when it is told of a death.
fn wait(stage: &Stage) {
    let (mut mutex, condvar) = open(stage).expect("open");
    stage.set(Word::Ready, 1);
    loop {
        let mut guard = mutex.recover_deadline(soon()).expect("lock");
        guard.recovered();
        match condvar.wait_while_deadline(guard, soon(), |value| value[0] == FIRST) {
            Ok(guard) => {
                whole(&guard).expect("whole");
                stage.set(Word::Through, 1);
                return;
            }
            Err(Error::Abandoned) => stage.set(Word::Told, 1),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The victim waits for this.
fn change_later(stage: &Stage) {
    let (mut mutex, condvar) = open(stage).expect("open");
    stage.set(Word::Ready, 1);
    std::thread::sleep(std::time::Duration::from_millis(3));
    let mut guard = mutex.recover_deadline(soon()).expect("lock");
    guard.recovered();
    *guard = [CHANGED; 8];
    guard.commit().expect("commit");
    condvar.notify_one().expect("notify");
    stage.set(Word::Through, 1);
}

struct Changes<'a> {
    stage: &'a Stage,
    mutex: Mutex<Value>,
    condvar: Condvar,
}

fn idle(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let (mutex, condvar) = open(stage)?;
    Ok(Box::new(Changes { stage, mutex, condvar }))
}

impl Scene for Changes<'_> {
    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let (stage, come) = (self.stage, self.stage.get(Word::Come));
        // Without a sleeper the victim waits for its own time limit, and changes nothing.
        let sleeper = stage.get(Word::Ready) == 1;
        if sleeper && come == HAS && end == End::Killed {
            // Whoever sleeps is told, whatever it waits for.
            super::until("the sleeper is told of the death", || stage.get(Word::Told) == 1)?;
        }
        let mut guard = self.mutex.recover_deadline(soon()).context("nobody has the mutex")?;
        let is_told = guard.is_abandoned() || stage.get(Word::Told) == 1;
        stage.is(!is_told || (end == End::Killed && come != NOTIFIED), || {
            format!("a death is told, and nobody died with the mutex: {come}")
        })?;
        if is_told {
            stage.note_told();
        }
        guard.recovered();
        let number = whole(&guard)?;
        stage.is(number == FIRST || number == CHANGED, || format!("{number}"))?;
        stage.is(number == CHANGED || come < COMMITTED || !sleeper, || "a commit is lost".to_owned())?;
        if sleeper && number == CHANGED {
            // The change is there, and its author may have died before it said so: the sleeper looks for itself.
            drop(guard);
            stage.until_through()?;
        } else {
            *guard = [CHANGED; 8];
            guard.commit()?;
            self.condvar.notify_all()?;
            if sleeper {
                stage.until_through()?;
            }
        }
        if stage.point().is_multiple_of(2) {
            let handles = stage.take_seats(SEATS - 2, || Condvar::open(stage.at("condvar")))?;
            drop(stage.take_seats(SEATS - 2, || Mutex::<Value>::open(stage.path()))?);
            stage.is(handles.iter().all(|condvar| condvar.notify_one().is_ok()), || "notify".to_owned())?;
        }
        let seen = *self.mutex.lock_deadline(soon()).context("after it was recovered")?;
        stage.is(whole(&seen)? == CHANGED, || format!("{seen:?}"))
    }
}
