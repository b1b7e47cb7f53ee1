//! `WaitFd`: many things behind one descriptor.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use crate::error::Error;
use crate::memory::map::{EMPTY, io_error};
use crate::source::Waitable;
use crate::waitset::method::WaitMethod;
use crate::waitset::ready::Ready;
use crate::waitset::watch::Watch;

/// One descriptor that becomes readable when one of many things may be ready: for `poll`, epoll, an async runtime, GLib.
///
/// Before each poll, [`arm`](Self::arm). If it returns something, that is ready now: do not poll. Otherwise poll for
/// readability; then arm again, which says what is ready, if anything, and makes the descriptor unreadable. Never read
/// the descriptor. It becomes readable at the end of a slice, as those of a set, at the latest, so that deaths are noticed.
///
/// See [`Watch`], which this is with an `eventfd(2)`, for helper threads, the things that may be used meanwhile, and the rules
/// for threads and forks.
///
/// ```
/// use quoit::{Attach, Options, Ring, WaitFd};
/// use rustix::event::{PollFd, PollFlags, poll};
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut consumer = ring.consumer(&Attach::gated())?;
/// let publisher = std::thread::spawn(move || drop(ring.producer().unwrap().send(b"x").unwrap()));
///
/// let mut descriptor = WaitFd::new()?;
/// while descriptor.arm(&mut [&mut consumer])?.is_empty() {
///     // Beside any other descriptors.
///     poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None)?;
/// }
/// assert_eq!(consumer.recv_record(|_| {})?.to_vec(), b"x");
/// # publisher.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WaitFd {
    event: Arc<OwnedFd>,
    watch: Watch,
}

impl WaitFd {
    /// A descriptor, not readable yet. It is closed by `exec`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: there is no descriptor left, or the process's forks cannot be guarded.
    pub fn new() -> Result<Self, Error> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|errno| io_error(EMPTY, "make an event descriptor", errno.into()))?;
        let event = Arc::new(event);
        let rung = Arc::clone(&event);
        let watch = Watch::new(move || {
            // Only a counter that is nearly full refuses it, and that is readable.
            let _ = rustix::io::write(&*rung, &1_u64.to_ne_bytes());
        })?;
        Ok(Self { event, watch })
    }

    /// What is ready. If that is nothing, the descriptor becomes readable when one of these things may be.
    ///
    /// # Errors
    ///
    /// As [`Watch::arm`].
    pub fn arm(&mut self, things: &mut [&mut dyn Waitable]) -> Result<Ready<'_>, Error> {
        // The descriptor of a child is its parent's.
        if !self.watch.is_forked() {
            let _ = rustix::io::read(&*self.event, &mut [0_u8; 8]);
        }
        self.watch.arm(things)
    }

    /// How helpers sleep since the last [`arm`](Self::arm).
    pub fn method(&self) -> WaitMethod {
        self.watch.method()
    }
}

impl AsFd for WaitFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl AsRawFd for WaitFd {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

impl fmt::Debug for WaitFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFd").field("fd", &self.event).field("watch", &self.watch).finish()
    }
}
