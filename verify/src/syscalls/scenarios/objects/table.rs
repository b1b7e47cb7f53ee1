//! Tables.

use quoit::Error;
use quoit::sync::{Table, TableOptions, TableReader};

use super::{SEATS, all_seats, begin, moment};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

fn rows() -> TableOptions {
    TableOptions::new(2).seats(SEATS)
}

pub(super) fn create(stage: &Stage) -> Ended {
    begin();
    Table::create(stage.object(), &rows(), &7_u64)?.set(1, &8)?;
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    Table::create(stage.object(), &rows(), &7_u64)?;
    Ok(())
}

pub(super) fn set(stage: &Stage) -> Ended {
    begin();
    let table = Table::<u64>::open(stage.object())?;
    table.set(1, &8)?;
    if TableReader::<u64>::open(stage.object())?.get(1)? != 8 {
        wrong!("another value");
    }
    Ok(())
}

pub(super) fn next(stage: &Stage) -> Ended {
    begin();
    let mut reader = TableReader::<u64>::open(stage.object())?;
    for row in 0..2 {
        reader.get(row)?;
    }
    match reader.next_deadline(soon())? {
        Some((1, 8)) => Ok(()),
        other => wrong!("{other:?} is next"),
    }
}

pub(super) fn set_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let table = Table::<u64>::open(stage.object())?;
    cue.ready();
    cue.await_go();
    moment();
    moment();
    moment();
    table.set(1, &8)?;
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    match Table::<u64>::open(stage.object()) {
        Err(Error::NotFound { .. }) => make(stage)?,
        found => drop(found?),
    }
    let all = all_seats(SEATS, || Table::<u64>::open(stage.object()))?;
    let found = all[0].get(1)?;
    let mut row = all[1].row_deadline(1, soon())?;
    row.set(&9)?;
    if all[2].get(1)? != 9 || all[2].get(0)? != 7 {
        wrong!("not what is set, or another row");
    }
    row.set(&found)?;
    Ok((found, true))
}
