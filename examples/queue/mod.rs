//! What submitter and workers agree on.

use quoit::{Error, Group, Options, Ring, Start};

/// Where the queue is, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-queue";

/// The group of workers. Held without an end: a job is kept until somebody has done it, or until it has failed three times
/// and is put aside, beside the queue.
pub(crate) fn workers(path: &str) -> Result<Group, Error> {
    let dead = Ring::open_or_create(format!("{path}.dead"), &Options::new().capacity(64 << 10))?;
    Ok(Group::new("workers").start(Start::Oldest).hold_forever().max_deliveries(3, &dead))
}
