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
use crate::memory::prepare::{Memory, MemoryReport};
#[cfg(not(loom))]
use crate::memory::region::Access;
use crate::ring::Region;
use crate::ring::blocker::Blocker;
use crate::ring::claim::{Batch, Claim};
#[cfg(not(loom))]
use crate::ring::layout::Geometry;
#[cfg(not(loom))]
use crate::ring::options::Options;
use crate::ring::send::{Sender, TimeLimit};
use crate::wait::mode::WaitMode;

/// Publishes records. A ring has one producer at a time: this handle holds its lock while it lives.
///
/// Dropping it ends the stream cleanly: consumers receive what is left, then `Closed`. If its process dies they
/// receive what is left, then `ProducerGone`. Either way another producer may open the ring and go on.
/// One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`). It must not be used
/// from a signal handler that may have interrupted it. After a `fork` only the parent may use it.
pub struct Producer {
    pub(in crate::ring) sender: Sender,
    /// `Send`, not `Sync`.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl Producer {
    /// Creates a ring at `path` and becomes its producer. Nobody ever sees the file half made; every block of it
    /// is allocated.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`], [`Error::NotRegular`], [`Error::NoSpace`], [`Error::Permission`], [`Error::Filesystem`],
    /// [`Error::Capacity`], [`Error::BadOption`], [`Error::Io`]. Nothing is left behind.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let geometry = options.geometry()?;
        let (region, draft) = Region::create(path.as_ref(), &geometry, options.file_mode())?;
        // First the producer, then the name: whatever fails leaves nothing behind, and whoever sees the ring finds
        // its producer there.
        let producer = Self::take_over(region)?;
        producer.sender.region().publish(draft)?;
        Ok(producer)
    }

    /// Opens the ring at `path` as its next producer. Sequences go on where the last producer left off, whether it
    /// ended or died, and consumers stay attached.
    ///
    /// # Errors
    ///
    /// [`Error::ProducerAlive`] while another lives, running or stopped; whatever keeps the file from being opened
    /// as a ring; [`Error::Corrupt`] if its cursors contradict each other.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::take_over(Region::open(path.as_ref(), Access::Writer)?)
    }

    /// Opens the ring at `path`, or creates it if there is none. Of several processes that do so at once, one
    /// becomes the producer.
    ///
    /// A ring that is there keeps the options and the mode that it was made with. One that belongs to another
    /// unprivileged user is refused, unless [`Options::any_owner`] says otherwise: in a directory that everybody may
    /// write, anybody can be there first. A leftover of an earlier boot that nobody holds a lock on is removed, and the
    /// ring made anew; [`epoch`](Self::epoch) is 1 then.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`];
    /// [`Error::EarlierBoot`] only where another process has been removing the leftover for long.
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
    /// A record sent alone is meant to arrive early; many at once go through [`batch`](Self::batch) faster.
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

    /// Claims room for a record of `len` payload bytes, to be filled in place and published. Waits while a gated
    /// consumer holds the space.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Infinite)
    }

    /// As [`claim`](Self::claim), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
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

    fn claim_with(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claim<'_>, SendError> {
        let claimed = self.sender.claim_alone(len, time_limit)?;
        Ok(Claim::new(&mut self.sender, claimed))
    }

    /// Begins a batch: records that become visible together.
    pub fn batch(&mut self) -> Batch<'_> {
        self.sender.begin_batch();
        Batch::new(&mut self.sender)
    }

    /// Waits until so many living consumers are attached, of whatever policy, and returns true; false: `deadline` passed
    /// before, however early it is: there is always one look. All of them receive what is published from then on, or
    /// are told of its loss. A look is a system call for each consumer, and while it waits there is one every
    /// millisecond. Observers cannot be counted.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if the ring has fewer slots than that; [`Error::Forked`], [`Error::Truncated`].
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

    /// Takes the gate from the consumer in a slot, living, stopped, or away and held. One that lives goes on as a lossy
    /// one and is told so, [`Event::Evicted`](crate::Event::Evicted); a name that is away keeps its place. Other
    /// processes ask for it by [`quoit::evict`](crate::ring::evict).
    ///
    /// # Errors
    ///
    /// [`Error::NotGated`] if nobody in the slot holds the producer back; [`Error::NotEvictable`] for a living consumer
    /// that was promised not to be overwritten ([`Attach::gated`](crate::Attach::gated) on a ring without a hard
    /// limit, which reads records where they lie); [`Error::Forked`], [`Error::Truncated`].
    pub fn evict(&mut self, slot: u32) -> Result<(), Error> {
        self.sender.evict(slot)
    }

    /// Who holds the producer up: the consumer furthest back of those that are in the way of the claim that was refused
    /// last. `None`: nobody any more, or a claim has succeeded since. A system call or two, and a look into `/proc`.
    pub fn held_by(&self) -> Option<Blocker> {
        self.sender.held_by()
    }

    /// How often to look for space before going to sleep: a number of pauses of the processor, 10 to 50 ns each, with
    /// a look at the gates after every 16. 500 unless set; 0 sleeps at once. A deadline ends the looks early; that a
    /// gated consumer died or is overdue is noticed after them.
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

    /// Most payload bytes of one record.
    pub fn max_len(&self) -> usize {
        self.sender.region().geometry().max_len()
    }

    /// How this producer lets consumers sleep: as the ring was created, or `Fence` where the kernel has no
    /// `membarrier` for it.
    pub fn wait_mode(&self) -> WaitMode {
        self.sender.mode()
    }

    /// Has the kernel fault in, lock, join into huge pages, or move to a NUMA node the memory of this handle, as far as
    /// it lets it. Nothing else changes, whatever comes of it. It may take half a second for each GiB, and everybody on
    /// the ring stumbles while pages are joined or moved: call it before the records that matter.
    #[cfg(not(loom))]
    pub fn prepare(&self, memory: &Memory) -> MemoryReport {
        self.sender.region().prepare(memory)
    }

    /// Was the file removed, renamed, replaced, overwritten or cut short? Then newcomers at its path do not come to this
    /// ring. Three system calls.
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
