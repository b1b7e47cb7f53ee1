//! Condition variables.

use std::time::Duration;

use quoit::Error;
use quoit::sync::{Condvar, Mutex};

use super::{SEATS, all_seats, begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

pub(super) fn make(stage: &Stage) -> Ended {
    Mutex::create(stage.object(), &options(), &0_u64)?;
    Condvar::create(stage.folder.join("condvar"), &options())?;
    Ok(())
}

fn open(stage: &Stage) -> Result<(Mutex<u64>, Condvar), Error> {
    Ok((Mutex::open(stage.object())?, Condvar::open(stage.folder.join("condvar"))?))
}

pub(super) fn wait(stage: &Stage) -> Ended {
    begin();
    let (mut mutex, condvar) = open(stage)?;
    let guard = mutex.lock_deadline(soon())?;
    drop(condvar.wait_while_deadline(guard, soon(), |value| *value == 0)?);
    Ok(())
}

pub(super) fn change(stage: &Stage) -> Ended {
    begin();
    let (mut mutex, condvar) = open(stage)?;
    *mutex.lock_deadline(soon())? = 1;
    condvar.notify_one()?;
    Ok(condvar.notify_all()?)
}

pub(super) fn change_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let (mut mutex, condvar) = open(stage)?;
    cue.ready();
    cue.await_go();
    moment();
    *mutex.recover_deadline(soon())? = 1;
    condvar.notify_all()?;
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    let mut locks = all_seats(SEATS, || open(stage))?;
    let (mutex, condvar) = &mut locks[0];
    let mut guard = mutex.recover_deadline(soon())?;
    guard.recovered();
    let found = *guard;
    match condvar.wait_while_timeout(guard, Duration::from_micros(100), |_| true).map(drop) {
        Err(Error::TimedOut) => Ok((found, true)),
        Ok(()) => wrong!("a wait that ends without what it waits for"),
        Err(error) => Err(error.into()),
    }
}
