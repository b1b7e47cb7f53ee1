//! What `jobs_run` and `jobs_watch` share.

/// Where the permits are, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-jobs";

/// How many jobs run at a time, over all processes of the machine.
pub(crate) const AT_ONCE: u32 = 2;
