//! Wait sets: whoever dies armed for several things is in nobody's way, takes nothing, and a set sleeps through nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::unistd::Pid;
use quoit::sync::{Event, Reset};
use quoit::{Attach, Consumer, Options, Producer, RecvError, WaitSet};

use super::stage::{SEATS, Stage, options, sleeps};
use super::{Case, End, MOMENT, SHORT, Scene, Word, soon};
use crate::tracee::mark;

pub(super) const CASES: &[Case] = &[
    Case::new("waitset-found", |stage| make(stage, true), found, wait),
    Case::new("waitset-wait", |stage| make(stage, false), found, wait).beside(set_in_a_while),
    Case::new("waitset-wait-record", |stage| make(stage, false), found, wait_for_record)
        .beside(send_in_a_while),
    Case::new("waitset-time-out", |stage| make(stage, false), found, time_out),
    Case::new("waitset-set-wake", |stage| make(stage, false), found, set).asleep(wait_beside),
];

/// An event that one waiter takes, another one that is never set, and a ring.
fn make(stage: &Stage, is_set: bool) -> Result<()> {
    let event = Event::create(stage.path(), &options(), Reset::Auto)?;
    if is_set {
        event.set()?;
    }
    Event::create(stage.at("never"), &options(), Reset::Auto)?;
    Ok(Options::new().capacity(4096).slots(SEATS).create(stage.at("ring"))?)
}

/// What is waited for.
struct Things {
    event: Event,
    never: Event,
    consumer: Consumer,
    set: WaitSet,
}

const EVENT: usize = 1;
const RING: usize = 2;

impl Things {
    fn open(stage: &Stage) -> Self {
        let event = Event::open(stage.path()).expect("open");
        let never = Event::open(stage.at("never")).expect("open");
        let consumer = Consumer::open(stage.at("ring"), &Attach::gated()).expect("attach");
        let mut set = WaitSet::new();
        set.set_spins(0);
        Self { event, never, consumer, set }
    }

    /// Waits for all of them; what is ready first, without the news that a ring has no producer.
    fn wait(&mut self, deadline: Instant) -> Option<usize> {
        loop {
            let Self { event, never, consumer, set } = self;
            match set.wait_deadline(&mut [never, event, consumer], deadline).into_iter().next() {
                Some(RING) if !is_record(consumer) => {}
                token => return token,
            }
        }
    }
}

/// Takes a record, if there is one.
fn is_record(consumer: &mut Consumer) -> bool {
    match consumer.recv_timeout(Duration::ZERO) {
        Ok(event) => event.record().is_some(),
        Err(RecvError::TimedOut | RecvError::Closed | RecvError::ProducerGone) => false,
        Err(error) => panic!("{error}"),
    }
}

/// It knows that the event is set, and has taken the signal, or the record.
const KNOWS: u64 = 1;
const TOOK: u64 = 2;

fn wait(stage: &Stage) {
    let mut things = Things::open(stage);
    stage.set(Word::Second, std::process::id().into());
    mark();
    let token = things.wait(soon());
    stage.set(Word::Come, KNOWS);
    let taken = things.event.try_wait();
    stage.set(Word::Come, TOOK);
    mark();
    assert!(token == Some(EVENT) && matches!(taken, Ok(true)), "{token:?}, {taken:?}");
    stage.stay();
}

fn wait_for_record(stage: &Stage) {
    let mut things = Things::open(stage);
    stage.set(Word::Second, std::process::id().into());
    mark();
    let token = things.wait(soon());
    mark();
    assert_eq!(token, Some(RING));
    stage.stay();
}

fn time_out(stage: &Stage) {
    let mut things = Things::open(stage);
    mark();
    let token = things.wait(Instant::now() + SHORT);
    mark();
    assert_eq!(token, None);
    stage.stay();
}

fn set(stage: &Stage) {
    let event = Event::open(stage.path()).expect("open");
    mark();
    let is_new = event.set();
    stage.set(Word::Done, 1);
    mark();
    assert!(matches!(is_new, Ok(true)), "{is_new:?}");
    stage.stay();
}

/// The event is set when the victim sleeps; or has died; or does not come to that, as it is stopped.
fn set_in_a_while(stage: &Stage) {
    let event = Event::open(stage.path()).expect("open");
    stage.set(Word::Ready, 1);
    until_it_sleeps(stage);
    event.set().expect("set");
    stage.set(Word::Others, 1);
    stage.set(Word::Through, 1);
}

fn until_it_sleeps(stage: &Stage) {
    let end = Instant::now() + Duration::from_millis(60);
    while Instant::now() < end {
        let pid = stage.get(Word::Second) as i32;
        let is_gone = pid != 0 && !std::path::Path::new(&format!("/proc/{pid}")).exists();
        if is_gone || (pid != 0 && sleeps(Pid::from_raw(pid))) {
            return;
        }
        std::thread::sleep(MOMENT);
    }
}

fn send_in_a_while(stage: &Stage) {
    let mut producer = Producer::open(stage.at("ring")).expect("open");
    stage.set(Word::Ready, 1);
    until_it_sleeps(stage);
    producer.send_deadline(b"a record", soon()).expect("send");
    stage.set(Word::Through, 1);
}

/// Sleeps in a set until the event is set, and takes the signal.
fn wait_beside(stage: &Stage) {
    let mut things = Things::open(stage);
    stage.set(Word::Ready, 1);
    let token = things.wait(soon());
    let taken = things.event.try_wait().expect("look");
    assert!(token == Some(EVENT) && taken, "{token:?}, {taken}");
    stage.set(Word::Told, 1);
    stage.set(Word::Through, 1);
}

struct Looking<'a> {
    stage: &'a Stage,
    event: Event,
    was_set: bool,
}

fn found(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let event = Event::open(stage.path())?;
    let was_set = event.is_set()?;
    Ok(Box::new(Looking { stage, event, was_set }))
}

impl Scene for Looking<'_> {
    fn afterwards(self: Box<Self>, _: End) -> Result<()> {
        let Self { stage, event, was_set } = *self;
        // Whoever set it may have died before it woke the sleeper, which then looks for itself; or before it set it.
        if stage.get(Word::Ready) == 1 {
            if stage.get(Word::Through) == 0 && stage.get(Word::Done) == 0 && event.count()? == 0 {
                let is_beside = stage.get(Word::Others) == 0;
                if is_beside {
                    // Set twice is set once, whoever else is about to do it.
                    event.set()?;
                }
            }
            stage.until_through()?;
        }
        let (come, is_set) = (stage.get(Word::Come), event.is_set()?);
        let was_given = was_set || stage.get(Word::Others) == 1;
        if was_given {
            stage.is(is_set || come != 0, || "a wait that took the signal".to_owned())?;
            stage.is(!is_set || come != TOOK, || "a signal that was taken twice".to_owned())?;
        }
        // Everything works for those who come: every seat, every slot, and a set that sleeps.
        let events = stage.take_seats(SEATS - 2, || Event::open(stage.path()))?;
        drop(events);
        drop(stage.take_seats(SEATS - 2, || Consumer::open(stage.at("ring"), &Attach::gated()))?);
        event.reset()?;
        let mut things = Things::open(stage);
        let token = things.wait(Instant::now() + SHORT);
        stage.is(token.is_none(), || format!("{token:?} is ready, and nothing happened"))?;
        event.set()?;
        let token = things.wait(soon());
        stage.is(token == Some(EVENT) && things.event.try_wait()?, || format!("{token:?} after a signal"))
    }
}
