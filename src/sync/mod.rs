//! Objects by which processes share values and coordinate.

mod cells;
mod latest;
mod member;
mod mutex;
mod owned;
mod threads;

pub use latest::{Latest, LatestOptions, LatestReader};
pub use mutex::{LockHolder, Mutex, MutexGuard, MutexOptions};
