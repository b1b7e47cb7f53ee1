//! `Once`.

use std::time::Duration;

use quoit::Error;
use quoit::sync::Once;

use super::{SEATS, all_seats, begin, moment, options};
use crate::syscalls::stage::{Cue, Ended, Found, Problem, Stage, soon, wrong};

pub(super) fn all(stage: &Stage) -> Ended {
    begin();
    let mut once = Once::open_or_create(stage.object(), &options())?;
    if !once.call(|_| {})? {
        wrong!("done, and nobody did it");
    }
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    drop(Once::create(stage.object(), &options())?);
    Ok(())
}

/// Another is at it, and does it.
pub(super) fn wait(stage: &Stage) -> Ended {
    begin();
    match Once::open(stage.object())?.call_deadline(soon(), |_| {})? {
        false => Ok(()),
        true => wrong!("done twice"),
    }
}

pub(super) fn do_slowly(stage: &Stage, cue: &mut Cue) -> Ended {
    Once::open(stage.object())?.call(|_| {
        cue.ready();
        cue.await_go();
        moment();
    })?;
    cue.stay()
}

/// Another is at it, and does not come to an end.
pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    match Once::open(stage.object())?.call_timeout(Duration::from_millis(3), |_| {}) {
        Err(Error::TimedOut) => Ok(()),
        Ok(is_mine) => wrong!("done beside one that is at it: {is_mine}"),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn never_end(stage: &Stage, cue: &mut Cue) -> Ended {
    Once::open(stage.object())?.call(|_| {
        cue.ready();
        cue.stay()
    })?;
    Ok(())
}

/// Whoever was at it died.
pub(super) fn make_dead(stage: &Stage) -> Ended {
    let mut once = Once::create(stage.object(), &options())?;
    let (at_it, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        once.call(|_| {
            let _ = at_it.send(());
            loop {
                std::thread::park();
            }
        })
    });
    tells.recv().map_err(|error| Problem::Wrong(error.to_string()))
}

pub(super) fn again(stage: &Stage) -> Ended {
    begin();
    let mut attempts = 0;
    let is_mine = Once::open(stage.object())?.call_deadline(soon(), |state| attempts = state.attempts)?;
    if !is_mine || attempts != 1 {
        wrong!("{attempts} attempts before this one, mine: {is_mine}");
    }
    Ok(())
}

pub(super) fn afresh(stage: &Stage) -> Found {
    drop(Once::open_or_create(stage.object(), &options())?);
    let mut all: Vec<_> = all_seats(SEATS, || Once::open(stage.object()))?;
    let was_done = all[0].is_done()?;
    if all[0].call_deadline(soon(), |_| {})? == was_done || !all[1].is_done()? {
        wrong!("not done once");
    }
    Ok((was_done.into(), true))
}
