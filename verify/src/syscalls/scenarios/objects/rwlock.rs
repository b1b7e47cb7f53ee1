//! Reader-writer locks.

use std::time::Duration;

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

/// Neither a reader nor a writer comes in beside a writer.
pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    let mut lock = RwLock::<u64>::open(stage.object())?;
    let limit = Duration::from_millis(3);
    for ended in [lock.read_timeout(limit).map(drop), lock.write_timeout(limit).map(drop)] {
        match ended {
            Err(Error::TimedOut) => {}
            Ok(()) => wrong!("a lock that another has"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) fn write_and_stay(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut lock = RwLock::<u64>::open(stage.object())?;
    let _guard = lock.write()?;
    cue.ready();
    cue.stay()
}

/// A writer died: readers and writers are told, until one of them has looked at the value.
pub(super) fn recover(stage: &Stage) -> Ended {
    begin();
    let mut lock = RwLock::<u64>::open(stage.object())?;
    match lock.write_deadline(soon()).map(drop) {
        Err(Error::Abandoned) => {}
        Ok(()) => wrong!("nobody says that its writer died"),
        Err(error) => return Err(error.into()),
    }
    if *lock.read_anyway_deadline(soon())? != 7 {
        wrong!("another value");
    }
    lock.recover_deadline(soon())?.recovered();
    drop(lock.read_deadline(soon())?);
    Ok(())
}

pub(super) fn make_dead(stage: &Stage) -> Ended {
    let mut lock = RwLock::create(stage.object(), &options(), &7_u64)?;
    std::mem::forget(lock.write()?);
    std::mem::forget(lock);
    Ok(())
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
