//! Events.

use std::time::Duration;

use quoit::Error;
use quoit::sync::{Event, Reset};

use super::{SEATS, all_seats, begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    Event::create(stage.object(), &options(), Reset::Auto)?.set()?;
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    Event::create(stage.object(), &options(), Reset::Auto)?;
    Ok(())
}

pub(super) fn set_and_take(stage: &Stage) -> Ended {
    begin();
    let event = Event::open(stage.object())?;
    event.set()?;
    Ok(event.wait_deadline(soon())?)
}

pub(super) fn wait(stage: &Stage) -> Ended {
    begin();
    Ok(Event::open(stage.object())?.wait_deadline(soon())?)
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    match Event::open(stage.object())?.wait_timeout(Duration::from_millis(3)) {
        Err(Error::TimedOut) => Ok(()),
        Ok(()) => wrong!("a signal that nobody gave"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn set_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let event = Event::open(stage.object())?;
    cue.ready();
    cue.await_go();
    moment();
    event.set()?;
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    match Event::open(stage.object()) {
        Err(Error::NotFound { .. }) => make(stage)?,
        found => drop(found?),
    }
    let all = all_seats(SEATS, || Event::open(stage.object()))?;
    let was_set = all[0].try_wait()?;
    all[0].set()?;
    if !all[1].try_wait()? || all[2].try_wait()? {
        wrong!("not one signal for one that waits");
    }
    Ok((was_set.into(), true))
}
