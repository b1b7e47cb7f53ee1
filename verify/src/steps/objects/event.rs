//! Events: nobody sleeps through a signal, and none is there twice.

use anyhow::Result;
use quoit::Error;
use quoit::sync::{Event, Reset};

use super::stage::{SEATS, Stage, options};
use super::{Case, End, SHORT, Scene, Word, soon};
use crate::tracee::mark;

pub(super) const CASES: &[Case] = &[
    Case::new("event-set", |stage| make(stage, Reset::Manual, false), found, set),
    Case::new("event-set-wake", |stage| make(stage, Reset::Manual, false), found, set).asleep(wait),
    Case::new("event-set-wake-one", |stage| make(stage, Reset::Auto, false), found, set).asleep(wait),
    Case::new("event-reset", |stage| make(stage, Reset::Manual, true), found_set, reset),
    Case::new("event-wait-set", |stage| make(stage, Reset::Manual, true), found_set, wait_for_it),
    Case::new("event-take", |stage| make(stage, Reset::Auto, true), found_set, wait_for_it),
    Case::new("event-time-out", |stage| make(stage, Reset::Auto, false), found, time_out),
];

fn make(stage: &Stage, reset: Reset, is_set: bool) -> Result<()> {
    let event = Event::create(stage.path(), &options(), reset)?;
    if is_set {
        event.set()?;
    }
    Ok(())
}

fn open(stage: &Stage) -> Result<Event, Error> {
    Event::open(stage.path())
}

/// The victim's call has returned.
const RETURNED: u64 = 1;

fn set(stage: &Stage) {
    let event = open(stage).expect("open");
    mark();
    let is_new = event.set();
    stage.set(Word::Done, 1);
    stage.set(Word::Come, RETURNED);
    mark();
    assert!(matches!(is_new, Ok(true)), "{is_new:?}");
    stage.stay();
}

fn reset(stage: &Stage) {
    let event = open(stage).expect("open");
    stage.set(Word::First, 1);
    mark();
    let was_set = event.reset();
    stage.set(Word::Come, RETURNED);
    mark();
    assert!(matches!(was_set, Ok(true)), "{was_set:?}");
    stage.stay();
}

fn wait_for_it(stage: &Stage) {
    let event = open(stage).expect("open");
    mark();
    let waited = event.wait();
    stage.set(Word::Come, RETURNED);
    mark();
    waited.expect("it is set");
    stage.stay();
}

fn time_out(stage: &Stage) {
    let event = open(stage).expect("open");
    mark();
    let waited = event.wait_timeout(SHORT);
    mark();
    assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
    stage.stay();
}

/// Sleeps for a signal, with a time limit that is never reached.
fn wait(stage: &Stage) {
    let event = open(stage).expect("open");
    stage.set(Word::Ready, 1);
    event.wait_deadline(soon()).expect("a signal");
    stage.set(Word::Through, 1);
}

struct Signals<'a> {
    stage: &'a Stage,
    event: Event,
    was_set: bool,
}

fn found(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Signals { stage, event: open(stage)?, was_set: false }))
}

fn found_set(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Signals { stage, event: open(stage)?, was_set: true }))
}

impl Signals<'_> {
    fn is_auto(&self) -> bool {
        self.event.reset_by() == Reset::Auto
    }

    /// Whether what the victim does ends the signal.
    fn ends_signal(&self) -> bool {
        self.is_auto() || self.stage.get(Word::First) == 1
    }
}

impl Scene for Signals<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        // The signal is there for others as soon as the call that gives it has returned; without a process that takes it.
        let is_given = self.stage.get(Word::Done) == 1 && self.stage.get(Word::Ready) == 0;
        if is_given {
            let is_set = self.event.is_set()?;
            self.stage.is(is_set, || "what was set is not".to_owned())?;
        }
        Ok(())
    }

    fn afterwards(self: Box<Self>, _: End) -> Result<()> {
        let (stage, event) = (self.stage, &self.event);
        let (has_returned, sets) = (stage.get(Word::Come) == RETURNED, stage.get(Word::Done) == 1);
        let sleeper = stage.get(Word::Ready) == 1;
        if sleeper && sets {
            stage.until_through()?;
        }
        let others = if stage.point().is_multiple_of(2) {
            let has_gone = u32::from(!sleeper || stage.get(Word::Through) == 1);
            stage.take_seats(SEATS - 3 + has_gone, || open(stage))?
        } else {
            vec![open(stage)?]
        };
        let Some(first) = others.first() else { return Ok(()) };
        let (count, is_set) = (event.count()?, first.is_set()?);
        let was = u64::from(self.was_set);
        if sets {
            stage.is(count == 1 && (is_set || (sleeper && self.is_auto())), || {
                format!("set {count} times, {is_set}")
            })?;
        } else if self.was_set {
            // It was reset or taken, or not yet.
            let ends = has_returned && self.ends_signal();
            stage.is(count == was && (!is_set || !ends), || format!("set {count} times, {is_set}"))?;
            stage.is(is_set || self.ends_signal(), || "a signal went with a look".to_owned())?;
        } else {
            stage.is(count <= 1, || format!("set {count} times"))?;
        }
        // Whoever set it may have died before it woke the sleeper, which then looks for itself.
        if sleeper && count == 1 {
            stage.until_through()?;
        }
        if sleeper && stage.get(Word::Through) == 0 {
            event.set()?;
            stage.until_through()?;
        }
        event.reset()?;
        stage.is(!first.try_wait()?, || "a signal after a reset".to_owned())?;
        event.set()?;
        first.wait_deadline(soon())?;
        let again = first.try_wait()?;
        stage.is(again != self.is_auto(), || format!("a second look after a signal: {again}"))
    }
}
