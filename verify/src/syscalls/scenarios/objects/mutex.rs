//! Mutexes.

use std::time::Duration;

use quoit::Error;
use quoit::sync::Mutex;

use super::{SEATS, all_seats, begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

type Value = [u64; 4];

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    let mut mutex = Mutex::create(stage.object(), &options(), &[7_u64; 4])?;
    change(&mut mutex)
}

pub(super) fn open_or_create(stage: &Stage) -> Ended {
    begin();
    let mut mutex = Mutex::open_or_create(stage.object(), &options(), &[7_u64; 4])?;
    change(&mut mutex)
}

pub(super) fn make(stage: &Stage) -> Ended {
    Mutex::create(stage.object(), &options(), &[7_u64; 4])?;
    Ok(())
}

pub(super) fn make_dead(stage: &Stage) -> Ended {
    let mut mutex = Mutex::create(stage.object(), &options(), &[7_u64; 4])?;
    std::mem::forget(mutex.lock()?);
    std::mem::forget(mutex);
    Ok(())
}

fn open(stage: &Stage) -> Result<Mutex<Value>, Error> {
    Mutex::open(stage.object())
}

fn change(mutex: &mut Mutex<Value>) -> Ended {
    let mut guard = mutex.lock_deadline(soon())?;
    *guard = [8; 4];
    Ok(guard.commit()?)
}

pub(super) fn lock(stage: &Stage) -> Ended {
    begin();
    change(&mut open(stage)?)
}

pub(super) fn clone(stage: &Stage) -> Ended {
    let mutex = open(stage)?;
    begin();
    change(&mut mutex.try_clone()?)
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    let mut mutex = open(stage)?;
    match mutex.lock_timeout(Duration::from_millis(3)).map(drop) {
        Err(Error::TimedOut) => Ok(()),
        Ok(()) => wrong!("a lock that another has"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn recover(stage: &Stage) -> Ended {
    begin();
    let mut mutex = open(stage)?;
    match mutex.lock_deadline(soon()).map(drop) {
        Err(Error::Abandoned) => {}
        Ok(()) => wrong!("nobody says that its holder died"),
        Err(error) => return Err(error.into()),
    }
    let mut guard = mutex.recover_deadline(soon())?;
    guard.recovered();
    *guard = [8; 4];
    Ok(guard.commit()?)
}

pub(super) fn seats_taken(stage: &Stage) -> Ended {
    begin();
    match open(stage).map(drop) {
        Err(Error::SeatsTaken { .. }) => Ok(()),
        Ok(()) => wrong!("a seat more than there are"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn hold(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut mutex = open(stage)?;
    let guard = mutex.lock()?;
    cue.ready();
    cue.await_go();
    moment();
    drop(guard);
    cue.stay()
}

pub(super) fn stay(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut mutex = open(stage)?;
    let _guard = mutex.lock()?;
    cue.ready();
    cue.stay()
}

pub(super) fn sit(stage: &Stage, cue: &mut Cue) -> Ended {
    let _all = all_seats(SEATS, || open(stage))?;
    cue.ready();
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    match open(stage) {
        Err(Error::NotFound { .. }) => make(stage)?,
        found => drop(found?),
    }
    let mut all = all_seats(SEATS, || open(stage))?;
    let mut guard = all[0].recover_deadline(soon())?;
    guard.recovered();
    let found = *guard;
    if found != [found[0]; 4] || !(7..=8).contains(&found[0]) {
        wrong!("{found:?} in the mutex");
    }
    *guard = [9; 4];
    guard.commit()?;
    match *all[1].lock_deadline(soon())? {
        [9, 9, 9, 9] => {}
        other => wrong!("{other:?} after a commit"),
    }
    let mut guard = all[0].lock_deadline(soon())?;
    *guard = found;
    guard.commit()?;
    Ok((found[0], true))
}
