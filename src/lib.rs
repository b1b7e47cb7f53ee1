//! A ring in shared memory: one producer, many consumers, one memory-mapped file.

#[cfg(not(all(
    target_os = "linux",
    target_endian = "little",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!("quoit runs on 64-bit little-endian Linux, on x86-64 and AArch64 only");

mod attach;
mod claim;
mod clock;
mod consumer;
mod copy;
mod error;
#[cfg(not(loom))]
mod file;
#[cfg(not(loom))]
mod fork;
mod futex;
mod gate;
mod identity;
mod index;
mod inspect;
mod layout;
mod local;
mod lock;
mod observer;
mod options;
mod producer;
mod receive;
mod record;
#[cfg(not(loom))]
mod region;
#[cfg(loom)]
#[path = "region_loom.rs"]
mod region;
mod ring;
mod sync;
mod wait;

pub use attach::{Attach, Start};
pub use claim::{Batch, BatchClaim, Claim, OutOfClaim};
pub use consumer::Consumer;
pub use error::{Corruption, Error, RecvError, SendError};
#[cfg(not(loom))]
pub use inspect::forget;
pub use inspect::{ConsumerInfo, ConsumerState, Hold, Inspector, Snapshot};
pub use layout::WaitMode;
pub use local::Local;
pub use observer::Observer;
pub use options::Options;
pub use producer::Producer;
pub use record::{Event, Loss, LossAccount, LossCause, Record, Resumed};

/// What the models can do that processes do to each other.
#[cfg(loom)]
#[doc(hidden)]
pub mod fate {
    /// Runs `work`, killed just before its `stores`-th store (from 0). `None`: it died.
    pub fn crash_after<T>(stores: usize, work: impl FnOnce() -> T) -> Option<T> {
        crate::sync::crash_after(stores, work)
    }

    /// Begins a run of a model at time 0.
    pub fn restart_clock() {
        crate::clock::restart();
    }

    /// Kills the owner of a handle: its locks go, and nothing else happens.
    pub fn kill<T>(handle: T) {
        crate::sync::crash_after(0, move || drop(handle));
    }
}
