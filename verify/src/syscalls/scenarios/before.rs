//! What exists before the victim begins.

use quoit::{Attach, Consumer, Producer};

use crate::syscalls::stage::{Ended, Problem, Stage, fill, publish, receive};

pub(super) fn nothing(_: &Stage) -> Ended {
    Ok(())
}

/// Ten records, ended cleanly.
pub(super) fn closed(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    publish(&mut producer, 10)
}

/// The same, aligned to huge pages.
pub(super) fn huge(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options().huge_pages(true))?;
    publish(&mut producer, 10)
}

/// A few laps, and the producer dies.
pub(super) fn died(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    publish(&mut producer, 500)?;
    std::mem::forget(producer);
    Ok(())
}

pub(super) fn garbage(stage: &Stage) -> Ended {
    std::fs::write(stage.folder.join("garbage"), [0x5a; 8192])
        .map_err(|error| Problem::Wrong(error.to_string()))
}

/// A name that has received two of five.
pub(super) fn named(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("kept"))?;
    publish(&mut producer, 5)?;
    receive(&mut consumer, 0, 2)?;
    consumer.release();
    Ok(())
}

/// A full ring, kept so by a name whose consumer died.
pub(super) fn held(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated().name("held").hold_forever())?;
    publish(&mut producer, 5)?;
    receive(&mut consumer, 0, 2)?;
    consumer.release();
    std::mem::forget(consumer);
    fill(&mut producer)
}

/// A full ring whose consumer and producer died.
pub(super) fn full_of_the_dead(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    std::mem::forget(Consumer::open(stage.ring(), &Attach::gated())?);
    fill(&mut producer)?;
    std::mem::forget(producer);
    Ok(())
}
