//! Semaphores.

use std::time::Duration;

use quoit::Error;
use quoit::sync::Semaphore;

use super::{SEATS, all_seats, begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    let semaphore = Semaphore::create(stage.object(), &options(), 2)?;
    drop(semaphore.acquire_many(2)?);
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    Semaphore::create(stage.object(), &options(), 2)?;
    Ok(())
}

pub(super) fn make_dead(stage: &Stage) -> Ended {
    let semaphore = Semaphore::create(stage.object(), &options(), 2)?;
    std::mem::forget(semaphore.acquire()?);
    std::mem::forget(semaphore);
    Ok(())
}

pub(super) fn acquire(stage: &Stage) -> Ended {
    begin();
    let semaphore = Semaphore::open(stage.object())?;
    let permit = semaphore.acquire_many_deadline(2, soon())?;
    if permit.count() != 2 {
        wrong!("{} permits of two", permit.count());
    }
    Ok(())
}

pub(super) fn hold(stage: &Stage, cue: &mut Cue) -> Ended {
    let semaphore = Semaphore::open(stage.object())?;
    let permit = semaphore.acquire()?;
    cue.ready();
    cue.await_go();
    moment();
    drop(permit);
    cue.stay()
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    match Semaphore::open(stage.object())?.acquire_timeout(Duration::from_millis(3)).map(drop) {
        Err(Error::TimedOut) => Ok(()),
        Ok(()) => wrong!("a permit that another has"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn stay(stage: &Stage, cue: &mut Cue) -> Ended {
    let semaphore = Semaphore::open(stage.object())?;
    let _permits = semaphore.acquire_many(2)?;
    cue.ready();
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    match Semaphore::open(stage.object()) {
        Err(Error::NotFound { .. }) => make(stage)?,
        found => drop(found?),
    }
    // The neighbour, if there was one, is gone by now.
    let all = all_seats(SEATS, || Semaphore::open(stage.object()))?;
    let permits = all[0].acquire_many_deadline(2, soon())?;
    if all[1].try_acquire()?.is_some() {
        wrong!("a permit more than there are");
    }
    drop(permits);
    Ok((all[1].available().into(), true))
}
