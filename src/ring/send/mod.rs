//! Sending, for a producer, its claims and its batches. `receive/` is the other side.
//!
//! A record is sent in one of three ways. A way that cannot handle a case changes nothing, and leaves it to the next.
//!
//! | path | what it does | function |
//! |---|---|---|
//! | fast | one comparison; header, payload and inline copy; `published`; wake check | `send_fast`, here and in the writer |
//! | slow | checks the length; padding, `reserve`; header, payload and inline copy; checks whether memory is gone; `published`; the index; wake check | `send_slow`, `claim` |
//! | refused | scans the gates; takes those of consumers that are dead, over their budget, or to be evicted; waits; then as slow | `claim_refused` |
//!
//! | condition | fast | slow | refused |
//! |---|---|---|---|
//! | the record ends before the limit of the gates, `reserve`, and the end of its segment | takes it | only if fast did not | never |
//! | it begins a segment, or does not fit before the end of the ring | declines | takes it | never |
//! | a gate may block it | declines | declines | takes it, or waits, or refuses |
//! | the batch would span more than half the ring | declines | declines | refuses |
//! | a batch was forgotten (`mem::forget`) | declines | drops the batch | never |
//! | a guard against truncation is on | declines | takes it | as without |
//! | records carry times | declines | takes it; with one comparison, too, if fast would have taken it (`send_timed`, `claim_timed`, `add_run_timed`) | as without |
//! | the handle is broken: after a fork, or without its memory | declines | returns the error | returns the error |
//!
//! Records of a batch take the same ways up to the store of `published`, which is made once, with the wake check,
//! when the batch is published. Consecutive records that take the fast way stay in one loop (`add_run`). A claim
//! takes the fast or the slow way twice, when it is made and when it is published (`publish_fast`, `publish_slow`).
//!
//! `docs/receiving.md` has the same tables; a test compares them.

use crate::atomics::at;
use crate::error::{Error, SendError};
use crate::ring::Region;
use crate::ring::locks;
use crate::ring::protocol::stage;
use crate::ring::protocol::stalls::Stalls;
use crate::ring::protocol::writer::{Claimed, Writer};
use crate::ring::takeover::{self, Succession};
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

mod attached;
mod publisher;
mod space;
mod timed;
mod totals;

pub(crate) use publisher::Publisher;
use space::Blocked;
use totals::Totals;

/// A writing handle: the ring, the private state of writing, and the consumer that blocks it.
pub(crate) struct Sender {
    region: Region,
    writer: Writer,
    mode: WaitMode,
    epoch: u64,
    stalls: Stalls,
    /// A claim was refused and none has succeeded since.
    refused: bool,
    /// The consumer that blocked it, as the ring shows it.
    blocked: Option<Blocked>,
    totals: Totals,
    spins: u32,
}

/// How long a send may wait for space.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeLimit {
    Zero,
    Until(std::time::Instant),
    Infinite,
}

/// Polls for space before blocking.
const SPINS: u32 = if cfg!(loom) { 0 } else { 500 };

impl Sender {
    /// Becomes the ring's next producer.
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
        })
    }

    /// Publishes a copy of `payload` alone, and returns its sequence.
    #[inline(always)]
    pub(crate) fn send(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        match self.send_fast(payload) {
            Some(sequence) => Ok(sequence),
            None if self.writer.is_timed() => match self.send_timed(payload) {
                Some(sequence) => Ok(sequence),
                None => self.send_timed_slow(payload, time_limit),
            },
            None => self.send_slow(payload, time_limit),
        }
    }

    /// A whole send, if it can take the fast way. `None`: nothing was done.
    #[inline(always)]
    fn send_fast(&mut self, payload: &[u8]) -> Option<u64> {
        // Checked first: after a fork the areas are not mapped.
        if self.region.broken() {
            return None;
        }
        let sequence = self.writer.send_fast(self.region.areas(), payload)?;
        self.publisher().wake();
        Some(sequence)
    }

    #[cold]
    #[inline(never)]
    fn send_slow(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        let claimed = self.claim_alone_slow(payload.len(), time_limit)?;
        let areas = self.region.areas();
        let staged = self.writer.stage(areas, claimed);
        self.writer.fill(areas, claimed, staged, claimed.words(areas), payload);
        self.publisher().publish(staged)?;
        Ok(staged.sequence.wrapping_sub(1))
    }

    /// Adds a copy of `payload` to the batch, and returns the sequence it will have.
    #[inline(always)]
    pub(crate) fn add(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        match self.add_fast(payload) {
            Some(sequence) => Ok(sequence),
            None => self.add_slow(payload, time_limit),
        }
    }

    #[inline(always)]
    fn add_fast(&mut self, payload: &[u8]) -> Option<u64> {
        // As in `send_fast`.
        if self.region.broken() {
            return None;
        }
        self.writer.add_fast(self.region.areas(), payload)
    }

    /// As `add`, for a payload that the fast way refused.
    #[cold]
    #[inline(never)]
    pub(crate) fn add_slow(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        let claimed = self.claim(payload.len(), time_limit)?;
        let areas = self.region.areas();
        crate::atomics::copy::write(claimed.words(areas), payload);
        Ok(self.writer.stage(areas, claimed.whole()).sequence.wrapping_sub(1))
    }

    /// Adds records to the batch while they can take the fast way. Returns how many, and the first payload that could
    /// not.
    #[inline(always)]
    pub(crate) fn add_run<P: AsRef<[u8]>>(
        &mut self,
        payloads: &mut impl Iterator<Item = P>,
    ) -> (u64, Option<P>) {
        let region = &self.region;
        self.writer.add_run(region.areas(), payloads, || !region.broken())
    }

    /// Whether records carry times. A run declines there, and `add_run_timed` takes it.
    pub(crate) fn is_timed(&self) -> bool {
        self.writer.is_timed()
    }

    /// Room for a record that is published alone.
    #[inline(always)]
    pub(crate) fn claim_alone(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        let is_fast = !self.region.broken() && self.writer.has_room_alone(self.region.geometry(), len);
        if !is_fast {
            self.claim_alone_slow(len, time_limit)?;
        }
        // Both ways claim at the place staged, and with this length: so a length that the compiler knows stays known.
        let (areas, len) = (self.region.areas(), len as u32);
        Ok(if is_fast {
            self.writer.claimed_alone(areas, len)
        } else {
            self.writer.claimed_payload(areas, len)
        })
    }

    #[cold]
    #[inline(never)]
    fn claim_alone_slow(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        self.drop_forgotten();
        // Checked, and not compared with the end of the segment: only that lets the next one be fast again, and measures the pace.
        self.writer.forbid_fast();
        self.claim(len, time_limit)
    }

    /// Claims room for a record, waiting for it until `time_limit`.
    #[inline]
    pub(crate) fn claim(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        // After a refused claim there is no room for the fast way, so `refused` is false if this succeeds.
        match self.writer.claim_fast(self.region.geometry(), len) {
            Some(claimed) => Ok(claimed),
            None => self.claim_slow(len, time_limit),
        }
    }

    /// The claim begins a segment, needs padding, or is blocked.
    #[cold]
    fn claim_slow(&mut self, len: usize, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        let max = self.region.geometry().max_len();
        if len > max {
            return Err(SendError::TooLarge { len, max });
        }
        // At most 2^31 - 8, so it fits.
        let len = len as u32;
        if self.writer.is_timed() {
            return self.claim_timed(len, time_limit);
        }
        self.claim_checked(len, time_limit)
    }

    /// `len`: all bytes that the header counts.
    fn claim_checked(&mut self, len: u32, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        match self.writer.claim(self.region.areas(), len) {
            Ok(claimed) => {
                if self.refused {
                    self.lift(None);
                }
                Ok(claimed)
            }
            Err(refused) => self.claim_refused(len, refused, time_limit),
        }
    }

    /// The parts that publish.
    #[inline(always)]
    pub(crate) fn publisher(&mut self) -> Publisher<'_> {
        Publisher {
            region: &self.region,
            writer: &mut self.writer,
            totals: &mut self.totals,
            mode: self.mode,
        }
    }

    /// Records added from here on are published together.
    pub(crate) fn begin_batch(&mut self) {
        self.drop_forgotten();
        self.writer.begin_batch();
    }

    /// Publishes the batch. Returns the sequence of its last record.
    pub(crate) fn publish_batch(&mut self) -> Result<u64, SendError> {
        if self.writer.is_timed() && !self.region.broken() {
            self.writer.stamp_batch(self.region.areas());
        }
        let staged = self.writer.staged();
        self.publisher().publish(staged)?;
        Ok(self.next_sequence().wrapping_sub(1))
    }

    /// Ends the batch, and discards what it has not published.
    pub(crate) fn end_batch(&mut self) {
        self.writer.end_batch();
    }

    /// Records staged by a batch that was passed to `mem::forget` must not be published with the next record.
    #[inline]
    fn drop_forgotten(&mut self) {
        if self.writer.in_batch() {
            self.writer.end_batch();
        }
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(crate) fn mode(&self) -> WaitMode {
        self.mode
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sequence of the next record to be published.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.writer.published().sequence
    }

    pub(crate) fn set_spins(&mut self, spins: u32) {
        self.spins = spins;
    }

    /// Ends the stream: sets the flag, then releases the producer's lock.
    pub(crate) fn close(&mut self) {
        // If the file was cut short, the flag cannot be set. The lock is released with the region, which shows that
        // the producer is gone.
        if self.region.broken() {
            return;
        }
        self.show_blocked(None);
        let areas = self.region.areas();
        // [T3] Release. Pairs with the consumers' load of the flag.
        // Orders: the last `published` before the flag.
        // Without it: a consumer reports the end of the stream while a record is still to be received.
        areas.head.reserve.closed.store(1, at!(T3_CLOSE, Release));
        doorbell::announce(&areas.control.data);
        self.region.unlock(locks::PRODUCER);
        stage::wake_followers(areas);
    }
}
