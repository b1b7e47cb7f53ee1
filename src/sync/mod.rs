//! Objects by which processes share values and coordinate.

mod barrier;
mod bell;
mod cells;
mod condvar;
mod event;
mod guarded;
mod latch;
mod latest;
mod member;
mod mutex;
mod once;
mod options;
mod owned;
mod owner;
mod rounds;
mod rwlock;
mod semaphore;
mod shape;
mod table;
mod threads;
mod watch;

pub use barrier::{Barrier, BarrierPass};
pub use condvar::Condvar;
pub use event::{Event, Reset};
pub use latch::{Latch, LatchParty};
pub use latest::{Latest, LatestOptions, LatestReader};
pub use member::LockHolder;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use options::SyncOptions;
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::{Permit, Semaphore};
pub use table::{Table, TableOptions, TableReader, TableRow};
