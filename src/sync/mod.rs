//! Objects by which processes share values and coordinate.

mod bell;
mod cells;
mod event;
mod latest;
mod member;
mod mutex;
mod options;
mod owned;
mod semaphore;
mod shape;
mod threads;

pub use event::{Event, Reset};
pub use latest::{Latest, LatestOptions, LatestReader};
pub use member::LockHolder;
pub use mutex::{Mutex, MutexGuard};
pub use options::SyncOptions;
pub use semaphore::{Permit, Semaphore};
