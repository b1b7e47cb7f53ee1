//! Reader-writer locks.

use quoit::Error;
use quoit::sync::RwLock;

use super::{SEATS, all_seats, begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    let mut lock = RwLock::create(stage.object(), &options(), &7_u64)?;
    if *lock.read()? != 7 {
        wrong!("another value");
    }
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    RwLock::create(stage.object(), &options(), &7_u64)?;
    Ok(())
}

pub(super) fn both(stage: &Stage) -> Ended {
    begin();
    let mut lock = RwLock::<u64>::open(stage.object())?;
    let found = *lock.read_deadline(soon())?;
    let mut guard = lock.write_deadline(soon())?;
    *guard = found + 1;
    guard.commit()?;
    if lock.get()? != found + 1 {
        wrong!("another value");
    }
    Ok(())
}

pub(super) fn read_a_while(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut lock = RwLock::<u64>::open(stage.object())?;
    let guard = lock.read()?;
    cue.ready();
    cue.await_go();
    moment();
    drop(guard);
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    match RwLock::<u64>::open(stage.object()) {
        Err(Error::NotFound { .. }) => make(stage)?,
        found => drop(found?),
    }
    let mut all = all_seats(SEATS, || RwLock::<u64>::open(stage.object()))?;
    let mut guard = all[0].recover_deadline(soon())?;
    guard.recovered();
    let found = *guard;
    drop(guard);
    if *all[1].read_deadline(soon())? != found || !(7..=8).contains(&found) {
        wrong!("{found} in the lock");
    }
    Ok((found, true))
}
