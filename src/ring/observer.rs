//! The observer: reads records without a slot and without write access; the participants do not notice it.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
#[cfg(not(loom))]
use std::time::Instant;

use crate::atomics::at;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::attach::{self, Start, until_found};
use crate::ring::protocol::reader::{Overwritable, Reader};
use crate::ring::receive::Receiver;

/// Reads records as a lossy consumer does, from a mapping it cannot write.
///
/// The producer does not know of an observer and never wakes it, so an observer that waits polls. It sleeps 1 ms
/// between polls. When nothing has come for a while, it sleeps a 16th of that while, 20 ms at most. So the first
/// record after a pause is received with that delay, and an idle observer uses a few thousandths of a core at most.
/// On a ring made with [`WaitMode::Spin`](crate::WaitMode) it polls continuously. One thread at a time may use a
/// handle; it may move between threads. After a `fork` only the parent may use it.
pub struct Observer {
    pub(super) receiver: Receiver,
    /// `Send`, not `Sync`.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl Observer {
    /// Opens the ring at `path` read-only, to receive from `start` on. The default, [`Start::Newest`], is the next
    /// record to be published; [`Start::Oldest`] receives all that the ring holds. The file may be read-only for this
    /// process.
    ///
    /// # Errors
    ///
    /// Any error of opening the file as a ring; [`Error::StartGone`]; [`Error::GatedOnly`].
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>, start: Start) -> Result<Self, Error> {
        Self::attach(Region::open(path.as_ref(), Access::Reader)?, start)
    }

    /// As [`open`](Self::open), for a ring that may not exist yet: waits until `deadline` for a process to create it,
    /// as [`Consumer::open_wait`](crate::Consumer::open_wait) does.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was no ring by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, start: Start, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path, start))
    }

    pub(crate) fn attach(region: Region, start: Start) -> Result<Self, Error> {
        if region.geometry().gated_only {
            return Err(Error::GatedOnly);
        }
        let areas = region.areas();
        let place = region.or_memory_gone(until_found(areas.geometry.capacity, |effort| {
            attach::find(areas, start, effort)
        }))?;
        let epoch = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        let reader = Reader::new(place, Overwritable::Always, epoch, areas.geometry.capacity);
        Ok(Self { receiver: Receiver::new(region, reader, None, false), _not_sync: std::marker::PhantomData })
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("next_sequence", &self.next_sequence()).finish_non_exhaustive()
    }
}
