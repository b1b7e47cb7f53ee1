//! Latest values.

use quoit::Error;
use quoit::sync::{Latest, LatestOptions, LatestReader};

use super::{begin, moment};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    let mut latest = Latest::create(stage.object(), &LatestOptions::new(), &7_u64)?;
    latest.set(&8)?;
    Ok(())
}

pub(super) fn get(stage: &Stage) -> Ended {
    begin();
    match LatestReader::<u64>::open(stage.object())?.get()? {
        7 => Ok(()),
        other => wrong!("{other} is the latest value"),
    }
}

pub(super) fn make(stage: &Stage) -> Ended {
    Latest::create(stage.object(), &LatestOptions::new(), &7_u64)?;
    Ok(())
}

pub(super) fn next(stage: &Stage) -> Ended {
    begin();
    let mut reader = LatestReader::<u64>::open(stage.object())?;
    reader.get()?;
    match reader.next_deadline(soon())? {
        Some(8) => Ok(()),
        other => wrong!("{other:?} is next"),
    }
}

pub(super) fn set_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut latest = Latest::<u64>::open(stage.object())?;
    cue.ready();
    cue.await_go();
    // Later than any other neighbour: the victim has to have read the first value.
    moment();
    moment();
    moment();
    latest.set(&8)?;
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    match LatestReader::<u64>::open(stage.object()).map(drop) {
        Err(Error::NotFound { .. }) => make(stage)?,
        found => found?,
    }
    let mut reader = LatestReader::<u64>::open(stage.object())?;
    let found = reader.get()?;
    let mut latest = Latest::<u64>::open(stage.object())?;
    latest.set(&9)?;
    if reader.get()? != 9 {
        wrong!("a reader that does not see what is set");
    }
    latest.set(&found)?;
    Ok((found, true))
}
