//! The producer: the one handle that writes.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::Instant;

use crate::error::{Error, SendError};
#[cfg(not(loom))]
use crate::memory::arrival::open_or_create;
#[cfg(not(loom))]
use crate::memory::file::Owners;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
#[cfg(not(loom))]
use crate::memory::prepare::{Memory, MemoryReport};
use crate::ring::Region;
use crate::ring::blocker::Blocker;
use crate::ring::claim::{Batch, Claim};
#[cfg(not(loom))]
use crate::ring::geometry::Geometry;
#[cfg(not(loom))]
use crate::ring::options::Options;
use crate::ring::send::{Sender, TimeLimit};
use crate::wait::mode::WaitMode;

/// Publishes records. A ring has one producer at a time: this handle holds the producer's lock until it is dropped.
///
/// Dropping it ends the stream cleanly: consumers receive what is left, then `Closed`. If its process dies they
/// receive what is left, then `ProducerGone`. Either way another producer may open the ring and go on. One thread at
/// a time may use a handle; it may move between threads (`Send`, not `Sync`). Do not use a handle from a signal
/// handler that can interrupt a call on the same handle. After a `fork` only the parent may use it.
pub struct Producer {
    pub(in crate::ring) sender: Sender,
    /// `Send`, not `Sync`.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl Producer {
    /// Creates a ring at `path` and becomes its producer. The file appears at the path only once it is complete, with
    /// every block allocated.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NotRegular`], [`Error::NoSpace`], [`Error::Permission`], [`Error::Filesystem`],
    /// [`Error::Capacity`], [`Error::BadOption`], [`Error::Io`]. An error leaves no file behind.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let geometry = options.geometry()?;
        let (region, draft) = Region::create(path.as_ref(), &geometry, options.file_mode())?;
        // First the producer, then the path: an error leaves nothing behind, and a process that finds the ring finds
        // a live producer.
        let producer = Self::take_over(region)?;
        producer.sender.region().publish(draft)?;
        Ok(producer)
    }

    /// Opens the ring at `path` as its next producer. Sequences continue where the last producer stopped, whether it
    /// ended cleanly or died, and consumers stay attached.
    ///
    /// # Errors
    ///
    /// [`Error::ProducerAlive`] while another producer lives, running or stopped; any error of opening the file as a
    /// ring; [`Error::Corrupt`] if its cursors contradict each other.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::take_over(Region::open(path.as_ref(), Access::Writer)?)
    }

    /// Opens the ring at `path`, or creates it if there is none. If several processes do so at once, one of them
    /// becomes the producer.
    ///
    /// An existing ring keeps the options and the mode that it was made with. A ring of another unprivileged user is
    /// refused unless [`Options::any_owner`] is set, because in a world-writable directory any user can create the
    /// file first. A ring left over from an earlier boot, on which no process holds a lock, is removed and made
    /// again; [`epoch`](Self::epoch) is 1 then.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`];
    /// [`Error::EarlierBoot`] only if another process takes too long to remove the leftover.
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let open = || Self::open_of(path, options.owners());
        open_or_create::<Geometry, _>(path, options.owners(), open, || Self::create(path, options))
    }

    #[cfg(not(loom))]
    fn open_of(path: &Path, owners: Owners) -> Result<Self, Error> {
        Self::take_over(Region::open_of(path, Access::Writer, owners)?)
    }

    pub(crate) fn take_over(region: Region) -> Result<Self, Error> {
        Ok(Self { sender: Sender::take_over(region)?, _not_sync: std::marker::PhantomData })
    }

    /// Publishes a copy of `payload` and returns its sequence. Waits while a gated consumer holds the space.
    ///
    /// This gives the lowest latency for a single record. For throughput, use [`batch`](Self::batch).
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`], [`SendError::Forked`].
    #[inline]
    pub fn send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        self.sender.send(payload, TimeLimit::Infinite)
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] while a gated consumer holds the space; [`SendError::TooLarge`], [`SendError::Forked`].
    #[inline]
    pub fn try_send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        self.sender.send(payload, TimeLimit::Zero)
    }

    /// As [`send`](Self::send), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// [`SendError::TimedOut`]; [`SendError::TooLarge`], [`SendError::Forked`].
    pub fn send_deadline(&mut self, payload: &[u8], deadline: Instant) -> Result<u64, SendError> {
        self.sender.send(payload, TimeLimit::Until(deadline))
    }

    /// Publishes `value` as a record of its bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_typed<T>(&mut self, value: &T) -> Result<u64, SendError>
    where
        T: zerocopy::IntoBytes + zerocopy::Immutable + ?Sized,
    {
        self.send(value.as_bytes())
    }

    /// Claims room for a record of `len` payload bytes, which the caller fills in place and publishes. Waits while a
    /// gated consumer holds the space.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Infinite)
    }

    /// As [`claim`](Self::claim), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    #[inline]
    pub fn try_claim(&mut self, len: usize) -> Result<Claim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Zero)
    }

    /// As [`claim`](Self::claim), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send_deadline`](Self::send_deadline).
    pub fn claim_deadline(&mut self, len: usize, deadline: Instant) -> Result<Claim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Until(deadline))
    }

    #[inline(always)]
    fn claim_with(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claim<'_>, SendError> {
        let claimed = self.sender.claim_alone(len, time_limit)?;
        Ok(Claim::new(&mut self.sender, claimed))
    }

    /// Begins a batch: records that are published together.
    pub fn batch(&mut self) -> Batch<'_> {
        self.sender.begin_batch();
        Batch::new(&mut self.sender)
    }

    /// Waits until at least `count` living consumers, of any policy, are attached, and returns true. Returns false
    /// once `deadline` has passed; a deadline in the past still checks once. Each of these consumers receives every
    /// record published from then on, or reports its loss. A check takes one system call per consumer, and is
    /// repeated every millisecond. Observers cannot be counted.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if the ring has fewer slots than `count`; [`Error::Forked`], [`Error::Truncated`].
    pub fn wait_for_consumers(&self, count: u32, deadline: Instant) -> Result<bool, Error> {
        self.sender.wait_for_consumers(count, deadline)
    }

    /// As [`wait_for_consumers`](Self::wait_for_consumers), for a living consumer that is attached under `name`.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`]; [`Error::BadOption`] on a sealed ring, which has no names; [`Error::Forked`],
    /// [`Error::Truncated`].
    pub fn wait_for_name(&self, name: &str, deadline: Instant) -> Result<bool, Error> {
        self.sender.wait_for_name(name, deadline)
    }

    /// Takes the gate from the consumer in a slot, which may be running, stopped, or away with its gate held. A
    /// living consumer goes on as a lossy one and receives [`Event::Evicted`](crate::Event::Evicted); a name that is
    /// away keeps its place. Other processes request an eviction with [`quoit::evict`](crate::evict).
    ///
    /// # Errors
    ///
    /// [`Error::NotGated`] if the slot has no open gate; [`Error::NotEvictable`] for a living consumer that is
    /// guaranteed not to be overwritten ([`Attach::gated`](crate::Attach::gated) on a ring without a hard limit,
    /// which reads records in place); [`Error::Forked`], [`Error::Truncated`].
    pub fn evict(&mut self, slot: u32) -> Result<(), Error> {
        self.sender.evict(slot)
    }

    /// The consumer that holds the producer up: of those that block the claim refused last, the one furthest back.
    /// `None`: no consumer blocks it any more, or a claim has succeeded since. Takes a system call or two, and reads
    /// `/proc`.
    pub fn held_by(&self) -> Option<Blocker> {
        self.sender.held_by()
    }

    /// Polls for space before blocking (default 500; 0 blocks at once). Each is one pause of the processor, 10 to 50
    /// ns; the gates are read after every 16. A deadline ends polling early. A gated consumer that died or is over
    /// its budget is noticed only after polling.
    pub fn set_spins(&mut self, spins: u32) {
        self.sender.set_spins(spins);
    }

    /// Sequence of the next record to be published.
    pub fn next_sequence(&self) -> u64 {
        self.sender.next_sequence()
    }

    /// The number of this producer: 1 for the first that opened the ring.
    pub fn epoch(&self) -> u64 {
        self.sender.epoch()
    }

    /// Bytes of the data area.
    pub fn capacity(&self) -> u64 {
        self.sender.region().geometry().capacity
    }

    /// The largest payload of a record, in bytes.
    pub fn max_len(&self) -> usize {
        self.sender.region().geometry().max_len()
    }

    /// The wait mode in use: the one the ring was created with, or `Fence` if the kernel offers no suitable
    /// `membarrier`.
    pub fn wait_mode(&self) -> WaitMode {
        self.sender.mode()
    }

    /// Asks the kernel to prefault, lock, merge into huge pages, or move to a NUMA node the memory of this handle.
    /// The report says what was done and what was refused; nothing else changes. This may take half a second for each
    /// GiB. While pages are merged or moved, every process on the ring is delayed, so call it before latency matters.
    #[cfg(not(loom))]
    pub fn prepare(&self, memory: &Memory) -> MemoryReport {
        self.sender.region().prepare(memory)
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the
    /// path now does not get this ring. Takes three system calls.
    pub fn is_stale(&self) -> bool {
        self.sender.region().is_stale()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.close();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("epoch", &self.epoch())
            .field("next_sequence", &self.next_sequence())
            .finish_non_exhaustive()
    }
}
