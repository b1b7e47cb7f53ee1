//! Objects by which processes share values and coordinate.

mod barrier;
mod bell;
mod cells;
mod condvar;
mod event;
mod guarded;
#[cfg(doctest)]
mod handles;
mod held;
#[cfg(not(loom))]
mod inspect;
mod latch;
mod latest;
#[cfg(not(loom))]
pub(crate) mod look;
mod looks;
pub(crate) mod member;
mod mutex;
mod once;
pub(crate) mod options;
pub(crate) mod owned;
pub(crate) mod owner;
mod rounds;
mod rwlock;
mod semaphore;
pub(crate) mod shape;
mod table;
mod threads;
mod watch;

pub use barrier::{Barrier, BarrierPass};
pub use condvar::Condvar;
pub use event::{Event, Reset};
#[cfg(not(loom))]
pub use inspect::Inspector;
pub use latch::{Latch, LatchParty};
pub use latest::{Bytes, Latest, LatestBytes, LatestBytesReader, LatestOptions, LatestReader};
#[cfg(not(loom))]
pub use look::{Participant, Snapshot, State};
pub use member::LockHolder;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use options::SyncOptions;
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::{Permit, Semaphore};
pub use table::{Table, TableOptions, TableReader, TableRow};
