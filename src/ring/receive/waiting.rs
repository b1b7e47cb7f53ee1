//! Waiting for the next event, and detecting the end of the stream.

use super::{Received, Receiver, Remaining};
use crate::atomics::{at, spin};
use crate::error::RecvError;
use crate::ring::protocol::own_slot::OwnSlot;
use crate::ring::protocol::reader::Overwritable;
use crate::ring::protocol::record::Status;
use crate::ring::stream::{is_closed, mode};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

mod source;

/// Polls of `published` before blocking.
const SPINS: u32 = if cfg!(loom) { 0 } else { 2000 };

/// The shortest time between two checks of the producer's lock by one handle, ns.
const PROBE_NS: u64 = 1_000_000;

/// After the end of the stream was reported: how long another call waits for a producer before it reports the end
/// again, ns.
const AGAIN_NS: u64 = doorbell::SLICE_NS;

/// What a receiver remembers from one wait to the next.
#[derive(Debug)]
pub(super) struct Waiting {
    spins: u32,
    /// The position at which `spins` polls found nothing. At this position there is no more polling, in this wait or
    /// the next.
    looked_at: Option<u64>,
    /// The position at which the end of the stream was reported. A wait at this position is for another producer.
    told_at: Option<u64>,
    /// The last check of the producer's lock: when, in which epoch, and whether the producer was gone.
    probe: Option<(u64, u64, bool)>,
    /// The position at which the last wait found nothing, and since when.
    idle: Option<(u64, u64)>,
    /// The position at which the end of the stream last made a wait for many things ready, and when.
    shown: Option<(u64, u64)>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { spins: SPINS, looked_at: None, told_at: None, probe: None, idle: None, shown: None }
    }

    pub(super) fn set_spins(&mut self, spins: u32) {
        self.spins = spins;
        self.looked_at = None;
    }

    /// There may be something at a place where nothing was before.
    pub(super) fn moved_on(&mut self) {
        (self.looked_at, self.told_at) = (None, None);
    }

    /// How long a sleep between two polls may last at this position, at this time.
    fn nap_ns(&mut self, position: u64, now: u64) -> u64 {
        let since = match self.idle {
            Some((at, since)) if at == position => since,
            _ => now,
        };
        self.idle = Some((position, since));
        doorbell::nap_ns(now.saturating_sub(since))
    }
}

impl Receiver {
    /// Waits for the next event. `None`: `until_ns` on the monotonic clock has passed.
    #[inline(never)]
    pub(super) fn wait(
        &mut self,
        mut remaining: Remaining,
        until_ns: u64,
    ) -> Result<Option<Received>, RecvError> {
        let mut again_ns = None;
        loop {
            if let Some(received) = self.take_any(remaining)? {
                return Ok(Some(received));
            }
            remaining = Remaining::All;
            if self.spin(until_ns) {
                continue;
            }
            if clock::is_past(until_ns) {
                return self.ended().map_or(Ok(None), Err);
            }
            let now = clock::monotonic_ns();
            let told = self.waiting.told_at == Some(self.reader.next().position);
            let waits_ns = if told {
                *again_ns.get_or_insert(now.saturating_add(doorbell::armed_ns(AGAIN_NS)))
            } else {
                u64::MAX
            };
            self.sleep(until_ns.min(waits_ns), now, told);
            if (!told || clock::is_past(waits_ns))
                && let Some(end) = self.ended()
            {
                return Err(end);
            }
        }
    }

    /// Waits for the next event, however long that takes.
    pub(super) fn wait_for_ever(&mut self, mut remaining: Remaining) -> Result<Received, RecvError> {
        loop {
            if let Some(received) = self.wait(remaining, u64::MAX)? {
                return Ok(received);
            }
            remaining = Remaining::All;
        }
    }

    /// Polls. True: something was published. False: nothing was, or `until_ns` has passed.
    #[inline]
    fn spin(&mut self, until_ns: u64) -> bool {
        let position = self.reader.next().position;
        if self.waiting.looked_at == Some(position) {
            return false;
        }
        let areas = self.region.areas();
        for turn in 0..self.waiting.spins {
            if self.has_new(areas) {
                self.reader.found_nothing(turn);
                return true;
            }
            if turn % clock::TURNS == clock::TURNS - 1 && clock::is_past(until_ns) {
                self.reader.found_nothing(turn + 1);
                return false;
            }
            spin();
        }
        self.reader.found_nothing(self.waiting.spins);
        // Under `Spin` no process sleeps, so polling goes on.
        if self.region.geometry().wait != WaitMode::Spin {
            self.waiting.looked_at = Some(position);
        }
        false
    }

    /// One slice of sleep. `told`: the end of the stream was reported, so it is no reason to wake up.
    #[cold]
    fn sleep(&mut self, until_ns: u64, now: u64, told: bool) {
        if self.region.geometry().wait == WaitMode::Spin {
            // The producer never wakes a consumer in this mode: yield the core, but do not sleep.
            return std::thread::yield_now();
        }
        self.reader.will_sleep();
        let nap_ns = self.waiting.nap_ns(self.reader.next().position, now);
        let areas = self.region.areas();
        let stage = self.following.stage();
        let word = self.word();
        let is_true = || self.has_more() || (!told && self.may_have_ended()) || self.region.memory_gone();
        if self.own_slot.is_some() {
            doorbell::sleep_or_nap(
                word,
                |word| {
                    doorbell::heavy_for(word, stage.map_or_else(|| mode(areas), |_| Some(WaitMode::Fence)))
                },
                is_true,
                until_ns,
                nap_ns,
            );
        } else {
            doorbell::doze(word, is_true, until_ns.min(now.saturating_add(nap_ns)));
        }
    }

    /// Whether there may be an event. Padding alone, which is no event, also counts.
    pub(crate) fn has_more(&self) -> bool {
        let areas = self.region.areas();
        let evicted = |own_slot: &OwnSlot| own_slot.is_newly_evicted(areas);
        self.has_new(areas)
            || self.untold.is_some()
            || (self.gate.wanted
                && self.reader.overwritable() == Overwritable::Always
                && self.own_slot.as_ref().is_some_and(evicted))
    }

    /// The state of the stream.
    pub(crate) fn status(&mut self) -> Status {
        // A permanent error of this handle is not the end of the stream; the receiving calls report it.
        if self.region.broken() || self.corrupt.is_some() || self.has_more() {
            return Status::Streaming;
        }
        let areas = self.region.areas();
        // In this order, so that records published just before the end are seen first.
        let closed = is_closed(areas);
        let gone = !closed && self.is_gone();
        let ended = (closed || gone) && !self.has_more();
        let left = self.is_stage_gone() && !self.has_more();
        let ended = ended && !self.waits_for_stage();
        // If the file was cut short, the words mean nothing.
        if !(ended || left) || self.region.memory_gone() {
            return Status::Streaming;
        }
        if !ended {
            return Status::StageGone;
        }
        // A producer sets the flag and then unlocks, so a free lock may also mean a clean end: check the flag again.
        if closed || is_closed(self.region.areas()) { Status::Closed } else { Status::ProducerGone }
    }

    /// Whether the last producer died. Checks the lock at most once in `PROBE_NS`.
    fn is_gone(&mut self) -> bool {
        let epoch = self.region.areas().head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        // No producer has opened the ring.
        if epoch == 0 {
            return false;
        }
        let now = clock::monotonic_ns();
        // The models have no time, so they always check.
        if let Some((looked, of, gone)) = self.waiting.probe
            && !cfg!(loom)
            && of == epoch
            && now.saturating_sub(looked) < PROBE_NS
        {
            return gone;
        }
        let gone = !self.producer_alive();
        self.waiting.probe = Some((now, epoch, gone));
        gone
    }

    /// The end of the stream, if it has come. It then counts as reported.
    fn ended(&mut self) -> Option<RecvError> {
        let end = match self.status() {
            Status::Streaming => None,
            Status::Closed => Some(RecvError::Closed),
            Status::ProducerGone => Some(RecvError::ProducerGone),
            Status::StageGone => Some(RecvError::StageGone),
        };
        self.waiting.told_at = end.map(|_| self.reader.next().position);
        end
    }
}
