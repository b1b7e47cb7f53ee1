//! Latches.

use quoit::Error;
use quoit::sync::Latch;

use super::{begin, options};
use crate::syscalls::stage::{Ended, Found, Stage, soon, wrong};

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
