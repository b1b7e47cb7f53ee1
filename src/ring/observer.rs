//! The observer: reads along without a slot, without write access, unseen.

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
use crate::memory::region::Access;
use crate::ring::Region;
use crate::ring::attach::{self, Start, until_found};
use crate::ring::protocol::reader::{Overwritable, Reader};
use crate::ring::receive::Receiver;

/// Reads records as a lossy consumer does, from a mapping it cannot write.
///
/// The producer does not know of it and never wakes it: waiting is a series of naps. They take 1 ms, and longer where
/// nothing has come for a while: a 16th of that while, 20 ms at most. So what comes after a silence is seen that much
/// late, and an idle observer uses some thousandths of a core at most. On a ring made with [`WaitMode::Spin`](crate::WaitMode)
/// it looks all the time instead. One thread at a time may use a handle; it may move between threads. After a `fork`
/// only the parent may use it.
pub struct Observer {
    pub(super) receiver: Receiver,
    /// `Send`, not `Sync`.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl Observer {
    /// Opens the ring at `path` read-only, to receive from `start` on: [`Start::Newest`], the default of that type, is the
    /// next record to be published, and [`Start::Oldest`] all that the ring holds. The file may be read-only for this
    /// process.
    ///
    /// # Errors
    ///
    /// Whatever keeps the file from being opened as a ring; [`Error::StartGone`]; [`Error::GatedOnly`].
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>, start: Start) -> Result<Self, Error> {
        Self::attach(Region::open(path.as_ref(), Access::Reader)?, start)
    }

    /// As [`open`](Self::open), of a ring that may not be there yet: waits until `deadline` for somebody to make it, as
    /// [`Consumer::open_wait`](crate::Consumer::open_wait) does.
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
        let reader = Reader::new(place, Overwritable::Always, epoch);
        Ok(Self { receiver: Receiver::new(region, reader, None, false), _not_sync: std::marker::PhantomData })
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("next_sequence", &self.next_sequence()).finish_non_exhaustive()
    }
}
