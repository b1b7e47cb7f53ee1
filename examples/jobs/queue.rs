//! What submitter and workers agree on.

use quoit::{Group, Start};

/// Where the queue is, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-jobs";

/// The group of workers. Held without an end: a job is kept until somebody has done it.
pub(crate) fn workers() -> Group {
    Group::new("workers").start(Start::Oldest).hold_forever()
}
