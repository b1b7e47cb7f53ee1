//! Waiting: the clock, the system calls on futex words, and sleeping without losing a wake.

pub(crate) mod clock;
pub(crate) mod doorbell;
pub(crate) mod futex;
pub(crate) mod mode;
#[cfg(not(loom))]
pub(crate) mod namespace;
pub(crate) mod timestamp;
