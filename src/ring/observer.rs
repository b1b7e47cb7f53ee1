//! The observer: reads along without a slot, without write access, unseen.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomics::at;
use crate::error::{Error, RecvError};
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::prepare::{Memory, MemoryReport};
#[cfg(not(loom))]
use crate::memory::region::Access;
use crate::ring::Region;
use crate::ring::attach::{self, Start, until_found};
use crate::ring::protocol::reader::{Overwritable, Reader};
use crate::ring::protocol::record::{Event, Record, Status};
use crate::ring::receive::Receiver;

/// Reads records as a lossy consumer does, from a mapping it cannot write.
///
/// The producer does not know of it and never wakes it: waiting is a series of naps. They take 1 ms, and longer where
/// nothing has come for a while: a 16th of that while, 20 ms at most. So what comes after a silence is seen that much
/// late, and an idle observer uses some thousandths of a core at most. On a ring made with [`WaitMode::Spin`](crate::WaitMode)
/// it looks all the time instead. One thread at a time may use a handle; it may move between threads. After a `fork`
/// only the parent may use it.
pub struct Observer {
    receiver: Receiver,
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

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`](crate::Consumer::recv).
    #[inline]
    pub fn recv(&mut self) -> Result<Event<'_>, RecvError> {
        self.receiver.recv()
    }

    /// The next event, if there is one. Never waits, and never tells that the stream has ended: ask
    /// [`status`](Self::status) when there was nothing.
    ///
    /// # Errors
    ///
    /// As [`Consumer::try_recv`](crate::Consumer::try_recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError> {
        self.receiver.try_recv()
    }

    /// As [`recv`](Self::recv), until `deadline`; `None`: it passed with nothing new.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv_deadline`](crate::Consumer::recv_deadline).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Option<Event<'_>>, RecvError> {
        self.receiver.recv_deadline(deadline)
    }

    /// As [`recv_deadline`](Self::recv_deadline), `timeout` from now.
    ///
    /// # Errors
    ///
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Event<'_>>, RecvError> {
        self.receiver.recv_timeout(timeout)
    }

    /// The next record. What comes before it and is none goes to `other`. As
    /// [`Consumer::recv_record`](crate::Consumer::recv_record), which has an example.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn recv_record(&mut self, other: impl FnMut(Event<'_>)) -> Result<Record<'_>, RecvError> {
        self.receiver.recv_record(other)
    }

    /// As [`recv_record`](Self::recv_record), without waiting; `None`: there is no record yet.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[inline]
    pub fn try_recv_record(&mut self, other: impl FnMut(Event<'_>)) -> Result<Option<Record<'_>>, RecvError> {
        self.receiver.try_recv_record(other)
    }

    /// As [`recv_record`](Self::recv_record), until `deadline`; `None`: it passed with no record.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_record_deadline(
        &mut self,
        deadline: Instant,
        other: impl FnMut(Event<'_>),
    ) -> Result<Option<Record<'_>>, RecvError> {
        self.receiver.recv_record_deadline(deadline, other)
    }

    /// How the stream stands: as [`Consumer::status`](crate::Consumer::status).
    pub fn status(&mut self) -> Status {
        self.receiver.status()
    }

    /// Hands up to `max` events that are there to `each`, and returns how many there were. Never waits.
    /// The fastest way to receive many; a single one that is waited for comes sooner by [`try_recv`](Self::try_recv) or
    /// [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    #[inline]
    pub fn drain(&mut self, max: usize, each: impl FnMut(Event<'_>)) -> Result<usize, RecvError> {
        self.receiver.drain(max, each)
    }

    /// How often to look before taking a nap: a number of looks at the ring with a pause of the processor after each,
    /// 10 to 50 ns in all. 2000 unless set, some tens of microseconds; 0 naps at once. A deadline ends the looks
    /// early; that the producer ended or died is noticed after them. Whoever has looked that often in vain naps
    /// until something comes, without more looks of this kind, in this wait and in the next.
    pub fn set_spins(&mut self, spins: u32) {
        self.receiver.set_spins(spins);
    }

    /// Sequence of the next record to be received.
    pub fn next_sequence(&self) -> u64 {
        self.receiver.next_sequence()
    }

    /// Does a producer hold the ring? One system call.
    pub fn producer_alive(&self) -> bool {
        self.receiver.producer_alive()
    }

    /// Has the kernel fault in, lock, join into huge pages, or move to a NUMA node the memory of this handle, as far as
    /// it lets it. Nothing else changes, whatever comes of it. It may take half a second for each GiB, and everybody on
    /// the ring stumbles while pages are joined or moved: call it before the records that matter.
    #[cfg(not(loom))]
    pub fn prepare(&self, memory: &Memory) -> MemoryReport {
        self.receiver.region().prepare(memory)
    }

    /// Was the file removed, renamed, replaced, overwritten or cut short? Then newcomers at its path do not come to this
    /// ring. Three system calls.
    pub fn is_stale(&self) -> bool {
        self.receiver.region().is_stale()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("next_sequence", &self.next_sequence()).finish_non_exhaustive()
    }
}
