//! Groups: members are killed beside a producer. Each record is acknowledged once, to the record; or it is told as lost, or
//! put aside, where a group may do that.

mod aside;
mod limited;
mod losing;
mod plain;
mod records;
mod timed;

use std::path::Path;

use anyhow::Result;
use quoit::{Group, GroupMember, Options, Producer};

use self::records::{end, is_over, produce};
use super::{Play, nothing};

/// Bytes of the ring.
const CAPACITY: u64 = 1 << 14;

pub(super) const PLAYS: &[Play] = &[
    Play {
        what: "groups",
        share: 250,
        make: |path| make(path, &plain::group()),
        victims: &[plain::work, plain::work, plain::work],
        steady: &[plain::work, produce],
        after: nothing,
        tells_each: false,
        end: |site| end(site, &plain::group(), is_over),
    },
    Play {
        what: "groups with a limit",
        share: 80,
        make: |path| make(path, &limited::group()),
        victims: &[limited::work, limited::work, limited::work],
        steady: &[limited::work, produce],
        after: nothing,
        tells_each: false,
        end: limited::end,
    },
    Play {
        what: "groups with a lease time",
        share: 120,
        make: |path| make(path, &timed::group()),
        victims: &[timed::work, timed::work, timed::work],
        steady: &[timed::work, timed::produce],
        after: nothing,
        tells_each: false,
        end: timed::end,
    },
    Play {
        what: "lossy groups",
        share: 120,
        make: |path| make_of(path, &losing::lossy(), losing::CAPACITY),
        victims: &[losing::work_lossy, losing::work_lossy, losing::work_lossy],
        steady: &[losing::work_lossy, losing::produce],
        after: losing::note_the_dead,
        tells_each: false,
        end: |site| losing::end(site, &losing::lossy()),
    },
    Play {
        what: "groups over their budget",
        share: 120,
        make: |path| make_of(path, &losing::budgeted(), losing::CAPACITY),
        victims: &[losing::work_budgeted, losing::work_budgeted, losing::work_budgeted],
        steady: &[losing::work_budgeted, losing::produce],
        after: losing::note_the_dead,
        tells_each: false,
        end: |site| losing::end(site, &losing::budgeted()),
    },
    Play {
        what: "groups with dead letters",
        share: 110,
        make: aside::make,
        victims: &[aside::work, aside::work, aside::work],
        steady: &[aside::work, aside::produce, aside::read],
        after: nothing,
        tells_each: false,
        end: aside::end,
    },
];

/// The group of every play, but for what is its own.
fn workers() -> Group {
    Group::new("workers").members(12)
}

fn make(path: &Path, group: &Group) -> Result<()> {
    make_of(path, group, CAPACITY)
}

fn make_of(path: &Path, group: &Group, capacity: u64) -> Result<()> {
    let producer = Producer::create(path, &Options::new().capacity(capacity))?;
    drop(GroupMember::join(path, group)?);
    drop(producer);
    Ok(())
}
