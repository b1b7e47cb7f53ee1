//! Barriers.

use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::Barrier;

use super::{all_seats, begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    Barrier::create(stage.object(), &options(), 1)?.wait()?;
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    Barrier::create(stage.object(), &options(), 2)?;
    Ok(())
}

pub(super) fn arrive(stage: &Stage) -> Ended {
    begin();
    Barrier::open(stage.object())?.wait_deadline(soon())?;
    Ok(())
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    match Barrier::open(stage.object())?.wait_timeout(Duration::from_millis(3)) {
        // Where a failed call has kept the victim, the other one has given up before.
        Err(Error::TimedOut | Error::Broken) => Ok(()),
        Ok(pass) => wrong!("{pass:?} without the other"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn broken(stage: &Stage) -> Ended {
    begin();
    match Barrier::open(stage.object())?.wait_deadline(soon()) {
        Err(Error::Broken) => Ok(()),
        Ok(pass) => wrong!("{pass:?} beside one that never arrived"),
        Err(error) => Err(error.into()),
    }
}

/// The victim may never come, or leave: then the round is broken.
pub(super) fn come_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let barrier = Barrier::open(stage.object())?;
    cue.ready();
    cue.await_go();
    moment();
    match barrier.wait_deadline(Instant::now() + Duration::from_millis(100)) {
        Ok(_) | Err(Error::Broken | Error::TimedOut) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn leave(stage: &Stage, cue: &mut Cue) -> Ended {
    let barrier = Barrier::open(stage.object())?;
    cue.ready();
    cue.await_go();
    // A party that leaves before the victim has arrived breaks nothing, so this waits for it: not for ever, since it may never
    // arrive.
    let patience = Instant::now() + Duration::from_millis(300);
    while barrier.missing() == barrier.parties() && Instant::now() < patience {
        moment();
    }
    std::mem::forget(barrier);
    Ok(())
}

pub(super) fn afresh(stage: &Stage) -> Found {
    match Barrier::open(stage.object()) {
        Err(Error::NotFound { .. }) => make(stage)?,
        found => drop(found?),
    }
    let first = Barrier::open(stage.object())?;
    let all = all_seats(first.parties() - 1, || Barrier::open(stage.object()))?;
    // Those who left have broken it, or have not: whoever asks first is told.
    let _ = first.try_wait();
    first.reset()?;
    if first.parties() > 1 && first.try_wait()?.is_some() {
        wrong!("passed without the others");
    }
    drop(all);
    Ok((first.parties().into(), true))
}
