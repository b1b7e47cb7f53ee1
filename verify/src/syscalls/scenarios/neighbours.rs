//! The processes beside the victim.

use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Inspector, Producer, RecvError};

use crate::syscalls::stage::{Cue, Ended, SLOTS, Stage, check, fill, publish, soon, wrong};

pub(super) fn producing(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    cue.ready();
    cue.stay()
}

pub(super) fn naming(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    let _consumer = Consumer::open(stage.ring(), &Attach::gated().name("taken"))?;
    cue.ready();
    cue.stay()
}

pub(super) fn sitting(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut consumers = Vec::new();
    for _ in 0..SLOTS {
        consumers.push(Consumer::open(stage.ring(), &Attach::lossy())?);
    }
    cue.ready();
    cue.stay()
}

pub(super) fn sending(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    cue.ready();
    cue.await_go();
    // Consumers arm; observers and spinning ones sleep unseen.
    std::thread::sleep(Duration::from_millis(5));
    publish(&mut producer, 1)?;
    cue.stay()
}

pub(super) fn succeeding(stage: &Stage, cue: &mut Cue) -> Ended {
    cue.ready();
    cue.await_go();
    std::thread::sleep(Duration::from_millis(5));
    let mut producer = Producer::open(stage.ring())?;
    publish(&mut producer, 1)?;
    cue.stay()
}

/// Reads on once the producer sleeps for it.
pub(super) fn reading_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    cue.ready();
    cue.await_go();
    stage.until_producer_sleeps();
    loop {
        let next = consumer.next_sequence();
        match consumer.recv() {
            Ok(Event::ProducerChanged { .. }) | Err(RecvError::Closed | RecvError::ProducerGone) => {}
            other => check(&other?, next)?,
        }
    }
}

pub(super) fn not_reading(stage: &Stage, cue: &mut Cue) -> Ended {
    let _consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    cue.ready();
    cue.stay()
}

pub(super) fn not_reading_for_long(stage: &Stage, cue: &mut Cue) -> Ended {
    let _consumer = Consumer::open(stage.ring(), &Attach::gated_for(Duration::from_millis(2)))?;
    cue.ready();
    cue.stay()
}

/// Sleeps until the victim sends.
pub(super) fn waiting(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    consumer.set_spins(0);
    cue.ready();
    loop {
        let next = consumer.next_sequence();
        match consumer.recv() {
            Ok(Event::ProducerChanged { .. }) | Err(RecvError::Closed | RecvError::ProducerGone) => {}
            other => return check(&other?, next),
        }
    }
}

/// Fills the ring behind the victim and sleeps until there is space.
pub(super) fn blocking(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    producer.set_spins(0);
    cue.ready();
    let end = soon();
    let inspector = Inspector::open(stage.ring())?;
    while inspector.snapshot()?.consumers.is_empty() {
        if Instant::now() >= end {
            wrong!("the victim does not come");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    fill(&mut producer)?;
    publish(&mut producer, 1)
}
