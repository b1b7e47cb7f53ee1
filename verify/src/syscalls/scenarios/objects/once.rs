//! `Once`.

use quoit::sync::Once;

use super::{SEATS, all_seats, begin, options};
use crate::syscalls::stage::{Ended, Found, Stage, soon, wrong};

pub(super) fn all(stage: &Stage) -> Ended {
    begin();
    let mut once = Once::open_or_create(stage.object(), &options())?;
    if !once.call(|_| {})? {
        wrong!("done, and nobody did it");
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
