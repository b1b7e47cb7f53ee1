//! Waiting for the next event, and knowing that none will come.

use std::time::{Duration, Instant};

use super::{Received, Receiver};
use crate::atomics::{at, spin};
use crate::error::RecvError;
use crate::ring::layout::Areas;
use crate::ring::protocol::gate::Seat;
use crate::ring::protocol::reader::Overwritable;
use crate::ring::protocol::record::{Event, Record, Status};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// Looks at `published` before going to sleep.
const SPINS: u32 = if cfg!(loom) { 0 } else { 2000 };

/// So often, in ns, the producer's lock is looked at by whoever asks again and again.
const PROBE_NS: u64 = 1_000_000;

/// How long whoever was told of the end, and asks again, waits for another producer before it is told the same, ns.
const AGAIN_NS: u64 = doorbell::SLICE_NS;

/// What a receiver remembers from one wait to the next.
#[derive(Debug)]
pub(super) struct Waiting {
    spins: u32,
    /// The position at which looking so often found nothing. Nothing is to be hoped for from more of it there, in this
    /// wait or the next.
    looked_at: Option<u64>,
    /// The position at which the end of the stream was told: a wait there is for another producer.
    told_at: Option<u64>,
    /// The last look at the producer's lock: when, in which epoch, and whether the producer was gone.
    probe: Option<(u64, u64, bool)>,
    /// The position at which the last wait found nothing, and since when.
    idle: Option<(u64, u64)>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { spins: SPINS, looked_at: None, told_at: None, probe: None, idle: None }
    }

    pub(super) fn set_spins(&mut self, spins: u32) {
        self.spins = spins;
        self.looked_at = None;
    }

    /// How long a nap may last at this position, at this time.
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
    pub(crate) fn wait(&mut self, until_ns: u64) -> Result<Option<Received>, RecvError> {
        let mut again_ns = None;
        loop {
            if let Some(step) = self.step()? {
                return Ok(Some(step));
            }
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
    pub(super) fn wait_for_ever(&mut self) -> Result<Received, RecvError> {
        loop {
            if let Some(step) = self.wait(u64::MAX)? {
                return Ok(step);
            }
        }
    }

    /// True: there is something. False: there is nothing yet, or `until_ns` has passed.
    #[inline]
    fn spin(&mut self, until_ns: u64) -> bool {
        let position = self.reader.next().position;
        if self.waiting.looked_at == Some(position) {
            return false;
        }
        let areas = self.region.areas();
        for turn in 0..self.waiting.spins {
            if self.reader.is_behind(areas) {
                return true;
            }
            if turn % clock::TURNS == clock::TURNS - 1 && clock::is_past(until_ns) {
                return false;
            }
            spin();
        }
        // Under `Spin` nobody sleeps, and looking is all there is.
        if self.region.geometry().wait != WaitMode::Spin {
            self.waiting.looked_at = Some(position);
        }
        false
    }

    /// One slice of sleep. `told`: that the stream has ended is no reason to wake up.
    #[cold]
    fn sleep(&mut self, until_ns: u64, now: u64, told: bool) {
        if self.region.geometry().wait == WaitMode::Spin {
            // The producer never wakes anybody: give the core away for a moment, not for a nap.
            return std::thread::yield_now();
        }
        let nap_ns = self.waiting.nap_ns(self.reader.next().position, now);
        let areas = self.region.areas();
        let word = &areas.control.data.word;
        let is_true = || self.has_more() || (!told && is_closed(areas)) || self.region.memory_gone();
        if self.seat.is_some() {
            doorbell::sleep_or_nap(
                word,
                |word| doorbell::heavy_for(word, mode(areas)),
                is_true,
                until_ns,
                nap_ns,
            );
        } else {
            doorbell::doze(word, is_true, until_ns.min(now.saturating_add(nap_ns)));
        }
    }

    /// Is there something to be received or told? As far as can be told from outside: padding alone is nothing.
    fn has_more(&self) -> bool {
        let areas = self.region.areas();
        let evicted = |seat: &Seat| seat.is_newly_evicted(areas);
        self.reader.is_behind(areas)
            || self.untold.is_some()
            || (self.gated
                && self.reader.overwritable() == Overwritable::Always
                && self.seat.as_ref().is_some_and(evicted))
    }

    /// How the stream stands.
    pub(crate) fn status(&mut self) -> Status {
        // What keeps this handle from receiving is no end of the stream. Receiving has the word for it.
        if self.region.broken() || self.corrupt.is_some() || self.has_more() {
            return Status::Streaming;
        }
        let areas = self.region.areas();
        // In this order: what the producer published before it ended is still to be received.
        let closed = is_closed(areas);
        let gone = !closed && self.is_gone();
        let ended = (closed || gone) && !self.has_more();
        // Where memory is gone the words say nothing.
        if !ended || self.region.memory_gone() {
            return Status::Streaming;
        }
        // A producer that closes unlocks afterwards, so the flag is looked at once more.
        if closed || is_closed(self.region.areas()) { Status::Closed } else { Status::ProducerGone }
    }

    /// Has the last producer died? Looks no more often than is worth it.
    fn is_gone(&mut self) -> bool {
        let epoch = self.region.areas().head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        // No producer has opened the ring.
        if epoch == 0 {
            return false;
        }
        let now = clock::monotonic_ns();
        // The models have no time: they look whenever they ask.
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

    /// The end of the stream, if it has come. It counts as told.
    fn ended(&mut self) -> Option<RecvError> {
        let end = match self.status() {
            Status::Streaming => None,
            Status::Closed => Some(RecvError::Closed),
            Status::ProducerGone => Some(RecvError::ProducerGone),
        };
        self.waiting.told_at = end.map(|_| self.reader.next().position);
        end
    }

    pub(crate) fn recv_deadline(&mut self, deadline: Instant) -> Result<Option<Event<'_>>, RecvError> {
        Ok(self.step_by(deadline)?.map(|step| self.lend(step)))
    }

    fn step_by(&mut self, deadline: Instant) -> Result<Option<Received>, RecvError> {
        match self.step()? {
            Some(step) => Ok(Some(step)),
            None => self.wait(clock::deadline_ns(deadline)),
        }
    }

    pub(crate) fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Event<'_>>, RecvError> {
        // Some thirty years stand for what no clock can add.
        let now = Instant::now();
        let far = now + Duration::from_secs(1 << 30);
        self.recv_deadline(now.checked_add(timeout).unwrap_or(far))
    }

    pub(crate) fn recv_record(&mut self, mut other: impl FnMut(Event<'_>)) -> Result<Record<'_>, RecvError> {
        loop {
            let step = match self.step_brief() {
                Some(step) => step,
                None => self.wait_for_ever()?,
            };
            match step {
                Received::Record(taken) => return Ok(self.lend_record(taken)),
                step => other(self.lend(step)),
            }
        }
    }

    pub(crate) fn try_recv_record(
        &mut self,
        mut other: impl FnMut(Event<'_>),
    ) -> Result<Option<Record<'_>>, RecvError> {
        loop {
            let step = match self.step_brief() {
                Some(step) => Some(step),
                None => self.step_slow()?,
            };
            match step {
                Some(Received::Record(taken)) => return Ok(Some(self.lend_record(taken))),
                Some(step) => other(self.lend(step)),
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn recv_record_deadline(
        &mut self,
        deadline: Instant,
        mut other: impl FnMut(Event<'_>),
    ) -> Result<Option<Record<'_>>, RecvError> {
        loop {
            match self.step_by(deadline)? {
                Some(Received::Record(taken)) => return Ok(Some(self.lend_record(taken))),
                Some(step) => other(self.lend(step)),
                None => return Ok(None),
            }
        }
    }
}

fn mode(areas: Areas<'_>) -> Option<WaitMode> {
    WaitMode::from_bits(areas.head.reserve.mode.load(at!(S5_MODE, Relaxed)))
}

/// Has the producer ended cleanly?
fn is_closed(areas: Areas<'_>) -> bool {
    // [T3] Acquire. Pairs with the close's Release.
    // Orders: the flag before the look at `published` that follows.
    // Without it: a consumer takes the stream for ended with a record still to come.
    areas.head.reserve.closed.load(at!(T3_IS_CLOSED, Acquire)) == 1
}
