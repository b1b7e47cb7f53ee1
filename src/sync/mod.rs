//! Objects by which processes share values and coordinate.

mod bell;
mod cells;
mod event;
#[cfg(not(loom))]
mod inspect;
mod latest;
#[cfg(not(loom))]
mod look;
mod member;
mod mutex;
mod options;
mod owned;
mod semaphore;
mod shape;
mod threads;

pub use event::{Event, Reset};
#[cfg(not(loom))]
pub use inspect::Inspector;
pub use latest::{Bytes, Latest, LatestBytes, LatestBytesReader, LatestOptions, LatestReader};
#[cfg(not(loom))]
pub use look::{Participant, Snapshot, State};
pub use member::LockHolder;
pub use mutex::{Mutex, MutexGuard};
pub use options::SyncOptions;
pub use semaphore::{Permit, Semaphore};
