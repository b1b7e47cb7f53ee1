//! The producer: the one handle that writes.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::Instant;

use crate::atomics::at;
use crate::error::{Error, SendError};
#[cfg(not(loom))]
use crate::memory::file::Owners;
#[cfg(not(loom))]
use crate::memory::prepare::{Memory, MemoryReport};
#[cfg(not(loom))]
use crate::memory::region::Access;
use crate::ring::Region;
use crate::ring::claim::{Batch, Claim};
use crate::ring::layout::Areas;
use crate::ring::locks;
#[cfg(not(loom))]
use crate::ring::options::Options;
use crate::ring::protocol::Place;
use crate::ring::protocol::stalls::Stalls;
use crate::ring::protocol::writer::{Claimed, Writer};
#[cfg(not(loom))]
use crate::ring::rings::open_or_create;
use crate::ring::takeover::{self, Succession};
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

mod attached;
mod space;

/// Publishes records. A ring has one producer at a time: this handle holds its lock while it lives.
///
/// Dropping it ends the stream cleanly: consumers receive what is left, then `Closed`. If its process dies they
/// receive what is left, then `ProducerGone`. Either way another producer may open the ring and go on.
/// One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`). It must not be used
/// from a signal handler that may have interrupted it. After a `fork` only the parent may use it.
pub struct Producer {
    region: Region,
    writer: Writer,
    mode: WaitMode,
    epoch: u64,
    stalls: Stalls,
    /// A claim was refused and none has succeeded since.
    refused: bool,
    /// Who was in its way, as the ring shows it.
    blocked: Option<space::Blocked>,
    totals: Totals,
    spins: u32,
    /// `Send`, not `Sync`.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

/// The counters of the ring, kept here and shown there. Begun with what stood there, so they wrap.
#[derive(Clone, Copy, Debug)]
struct Totals {
    full: u64,
    stall_ns: u64,
    wakes: u64,
    evictions: u64,
    reclaims: u64,
}

impl Totals {
    fn shown(areas: Areas<'_>) -> Self {
        let counters = &areas.head.counters;
        Self {
            full: counters.full.load(at!(C_READ, Relaxed)),
            stall_ns: counters.stall_ns.load(at!(C_READ, Relaxed)),
            wakes: counters.wakes.load(at!(C_READ, Relaxed)),
            evictions: counters.evictions.load(at!(C_READ, Relaxed)),
            reclaims: counters.reclaims.load(at!(C_READ, Relaxed)),
        }
    }
}

/// How long a send may wait for space.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeLimit {
    Zero,
    Until(Instant),
    Infinite,
}

/// Looks for space before going to sleep.
const SPINS: u32 = if cfg!(loom) { 0 } else { 500 };

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
        producer.region.publish(draft)?;
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
        open_or_create(path, options.owners(), open, || Self::create(path, options))
    }

    #[cfg(not(loom))]
    fn open_of(path: &Path, owners: Owners) -> Result<Self, Error> {
        Self::take_over(Region::open_of(path, Access::Writer, owners)?)
    }

    pub(crate) fn take_over(region: Region) -> Result<Self, Error> {
        let Succession { writer, mode, epoch } = region.or_memory_gone(takeover::take_over(&region))?;
        let totals = Totals::shown(region.areas());
        Ok(Self {
            region,
            writer,
            mode,
            epoch,
            stalls: Stalls::default(),
            refused: false,
            blocked: None,
            totals,
            spins: SPINS,
            _not_sync: std::marker::PhantomData,
        })
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
        self.transmit(payload, TimeLimit::Infinite)
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] while a gated consumer holds the space; [`SendError::TooLarge`], [`SendError::Forked`].
    #[inline]
    pub fn try_send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        self.transmit(payload, TimeLimit::Zero)
    }

    /// As [`send`](Self::send), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// [`SendError::TimedOut`]; [`SendError::TooLarge`], [`SendError::Forked`].
    pub fn send_deadline(&mut self, payload: &[u8], deadline: Instant) -> Result<u64, SendError> {
        self.transmit(payload, TimeLimit::Until(deadline))
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

    #[inline(always)]
    fn transmit(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        match self.claim_fast(payload.len()) {
            Some(claimed) if !self.writer.in_batch() => self.deliver::<true>(claimed, payload),
            _ => self.send_slow(payload, time_limit),
        }
    }

    /// Room for a record, where that takes next to nothing.
    #[inline(always)]
    pub(crate) fn claim_fast(&self, len: usize) -> Option<Claimed> {
        // A refused claim leaves no room for the fast way, so nothing is `refused` where this succeeds.
        self.writer.claim_fast(self.region.geometry(), len).filter(|_| !self.region.broken())
    }

    #[cold]
    #[inline(never)]
    fn send_slow(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        self.drop_forgotten();
        let claimed = self.obtain(payload.len(), time_limit)?;
        self.deliver::<false>(claimed, payload)
    }

    /// Fills a claim with `payload` and publishes it.
    #[inline(always)]
    fn deliver<const FAST: bool>(&mut self, claimed: Claimed, payload: &[u8]) -> Result<u64, SendError> {
        let areas = self.region.areas();
        let staged = self.writer.stage::<FAST>(areas, claimed);
        self.writer.fill(areas, claimed, staged, payload);
        self.make_visible::<FAST>(staged)?;
        Ok(staged.sequence.wrapping_sub(1))
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
        self.drop_forgotten();
        let claimed = self.obtain(len, time_limit)?;
        Ok(Claim::new(self, claimed))
    }

    /// Begins a batch: records that become visible together.
    pub fn batch(&mut self) -> Batch<'_> {
        self.drop_forgotten();
        self.writer.begin_batch();
        Batch::new(self)
    }

    /// What a batch staged that was passed to `mem::forget` must not come out with the next record.
    #[inline]
    fn drop_forgotten(&mut self) {
        if self.writer.in_batch() {
            self.writer.end_batch();
        }
    }

    /// Room for a record, waiting for it as long as `time_limit` lasts.
    #[inline]
    pub(crate) fn obtain(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        match self.claim_fast(len) {
            Some(claimed) => Ok(claimed),
            None => self.obtain_slow(len, time_limit),
        }
    }

    /// The claim begins a segment, or more is the matter.
    #[cold]
    fn obtain_slow(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        let max = self.region.geometry().max_len();
        if len > max {
            return Err(SendError::TooLarge { len, max });
        }
        // At most 2^31 - 8, so it fits.
        let len = len as u32;
        match self.writer.claim(self.region.areas(), len) {
            Ok(claimed) => {
                if self.refused {
                    self.lift(None);
                }
                Ok(claimed)
            }
            Err(refused) => self.obtain_refused(len, refused, time_limit),
        }
    }

    /// Staged records become visible, and whoever sleeps for them is woken. `FAST`: they begin no segment, and memory of
    /// this ring does not go unseen: where it might, there is no fast way.
    #[inline(always)]
    pub(crate) fn make_visible<const FAST: bool>(&mut self, staged: Place) -> Result<(), SendError> {
        // What was written to memory that is gone is in no file: nobody may be led there.
        if !FAST && self.region.memory_gone() {
            self.writer.withhold();
            return Err(self.region.fault().into());
        }
        self.writer.publish(self.region.areas(), staged);
        if !FAST && self.writer.has_notes() {
            self.write_notes();
        }
        if doorbell::notify(&self.region.areas().control.data.word, self.mode) {
            self.count_wake();
        }
        // Nor did anybody see it if that memory is gone.
        if !FAST && self.region.memory_gone() {
            return Err(self.region.fault().into());
        }
        Ok(())
    }

    #[cold]
    fn count_wake(&mut self) {
        self.totals.wakes = self.totals.wakes.wrapping_add(1);
        let counters = &self.region.areas().head.counters;
        counters.wakes.store(self.totals.wakes, at!(C_WRITE, Relaxed));
    }

    #[cold]
    fn write_notes(&mut self) {
        self.writer.write_notes(self.region.areas());
    }

    pub(crate) fn areas(&self) -> Areas<'_> {
        self.region.areas()
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The claimed record is complete. Returns the place behind it. `FAST`: the claim came from `claim_fast`.
    #[inline(always)]
    pub(crate) fn stage<const FAST: bool>(&mut self, claimed: Claimed) -> Place {
        self.writer.stage::<FAST>(self.region.areas(), claimed)
    }

    /// Stages records for as long as that takes next to nothing. Returns how many, and the payload that did not follow.
    #[inline(always)]
    pub(crate) fn stage_run<P: AsRef<[u8]>>(
        &mut self,
        payloads: &mut impl Iterator<Item = P>,
    ) -> (u64, Option<P>) {
        let region = &self.region;
        self.writer.stage_run(region.areas(), payloads, || !region.broken())
    }

    /// The inline copy of a record that was filled in place.
    pub(crate) fn inline_claimed(&mut self, claimed: Claimed, staged: Place) {
        self.writer.repeat(self.region.areas(), claimed, staged);
    }

    pub(crate) fn end_batch(&mut self) {
        self.writer.end_batch();
    }

    pub(crate) fn gated_only(&self) -> bool {
        self.region.geometry().gated_only
    }

    /// How often to look for space before going to sleep: a number of pauses of the processor, 10 to 50 ns each, with
    /// a look at the gates after every 16. 500 unless set; 0 sleeps at once. A deadline ends the looks early; that a
    /// gated consumer died or is overdue is noticed after them.
    pub fn set_spins(&mut self, spins: u32) {
        self.spins = spins;
    }

    /// Sequence of the next record to be published.
    pub fn next_sequence(&self) -> u64 {
        self.writer.published().sequence
    }

    /// The number of this producer: 1 for the first that opened the ring.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes of the data area.
    pub fn capacity(&self) -> u64 {
        self.region.geometry().capacity
    }

    /// Most payload bytes of one record.
    pub fn max_len(&self) -> usize {
        self.region.geometry().max_len()
    }

    /// How this producer lets consumers sleep: as the ring was created, or `Fence` where the kernel has no
    /// `membarrier` for it.
    pub fn wait_mode(&self) -> WaitMode {
        self.mode
    }

    /// Has the kernel fault in, lock, join into huge pages, or move to a NUMA node the memory of this handle, as far as
    /// it lets it. Nothing else changes, whatever comes of it. It may take half a second for each GiB, and everybody on
    /// the ring stumbles while pages are joined or moved: call it before the records that matter.
    #[cfg(not(loom))]
    pub fn prepare(&self, memory: &Memory) -> MemoryReport {
        self.region.prepare(memory)
    }

    /// Was the file removed, renamed, replaced, overwritten or cut short? Then newcomers at its path do not come to this
    /// ring. Three system calls.
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // Where memory is gone nobody is told: the lock goes with the region, and says that this producer has.
        if self.region.broken() {
            return;
        }
        self.show_blocked(None);
        let areas = self.region.areas();
        // [T3] Release. Pairs with the consumers' look at the flag.
        // Orders: the last `published` before the flag.
        // Without it: a consumer takes the stream for ended with a record still to come.
        areas.head.reserve.closed.store(1, at!(T3_CLOSE, Release));
        doorbell::announce(&areas.control.data.word);
        self.region.unlock(locks::PRODUCER);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("epoch", &self.epoch)
            .field("next_sequence", &self.next_sequence())
            .finish_non_exhaustive()
    }
}
