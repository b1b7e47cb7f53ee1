//! Objects by which processes share values and coordinate.

mod cells;
mod latest;
mod member;
mod mutex;
mod options;
mod owned;
mod semaphore;
mod shape;
mod threads;

pub use latest::{Latest, LatestOptions, LatestReader};
pub use member::LockHolder;
pub use mutex::{Mutex, MutexGuard};
pub use options::SyncOptions;
pub use semaphore::{Permit, Semaphore};
