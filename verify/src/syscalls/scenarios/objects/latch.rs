//! Latches.

use std::time::Duration;

use quoit::Error;
use quoit::sync::Latch;

use super::{begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    drop(Latch::create(stage.object(), &options(), 1)?);
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    Latch::create(stage.object(), &options(), 1)?;
    Ok(())
}

pub(super) fn arrive(stage: &Stage) -> Ended {
    begin();
    let latch = Latch::open(stage.object())?;
    if !latch.join()?.arrive()? {
        wrong!("its only party did not open it");
    }
    Ok(latch.wait_deadline(soon())?)
}

pub(super) fn wait(stage: &Stage) -> Ended {
    begin();
    Ok(Latch::open(stage.object())?.wait_deadline(soon())?)
}

pub(super) fn arrive_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let party = Latch::open(stage.object())?.join()?;
    cue.ready();
    cue.await_go();
    moment();
    party.arrive()?;
    cue.stay()
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    match Latch::open(stage.object())?.wait_timeout(Duration::from_millis(3)) {
        Err(Error::TimedOut) => Ok(()),
        Ok(()) => wrong!("open before its party arrived"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn join_and_stay(stage: &Stage, cue: &mut Cue) -> Ended {
    let _party = Latch::open(stage.object())?.join()?;
    cue.ready();
    cue.stay()
}

/// Its party dies before it has arrived.
pub(super) fn make_dead(stage: &Stage) -> Ended {
    let latch = Latch::create(stage.object(), &options(), 1)?;
    std::mem::forget(latch.join()?);
    Ok(())
}

pub(super) fn broken(stage: &Stage) -> Ended {
    begin();
    let latch = Latch::open(stage.object())?;
    match latch.wait_deadline(soon()) {
        Err(Error::Broken) => Ok(latch.reset()?),
        Ok(()) => wrong!("open although its party died"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn afresh(stage: &Stage) -> Found {
    let latch = match Latch::open(stage.object()) {
        Err(Error::NotFound { .. }) => Latch::create(stage.object(), &options(), 1)?,
        found => found?,
    };
    let party = latch.join()?;
    let was_open = match latch.try_wait() {
        Err(Error::Broken) => false,
        is_open => is_open?,
    };
    latch.reset()?;
    party.arrive()?;
    latch.wait_deadline(soon())?;
    Ok((was_open.into(), true))
}
