//! Receiving, for consumers and observers. `send/` is the other side.
//!
//! A record is received in one of five ways. A way that cannot handle a case changes nothing, and leaves it to the
//! next.
//!
//! | path | what it does | function | in the reader |
//! |---|---|---|---|
//! | run | reads one header after the other, in a loop with a few words of its own, which the reader gets at the end | `drain_run` | `run`, `run_of_copies` |
//! | fast | reads one header, in the ring or in the copies | `take_fast` | `poll_fast` |
//! | new | polls `published` once; takes the inline copy, or copies records out of the ring, or lends the first; makes the records after it available to run and fast | `take_new`, `take_seen` | `poll_waited`, `poll_seen` |
//! | full | releases, stores the cursor, opens the gate; reports losses, evictions and other producers; polls, unless new has just polled and found nothing; skips padding, detects corruption | `take_any` | `poll` |
//! | wait | the full path; then polls `published` many times; then sleeps; repeats until there is an event, or the end | `wait` | `is_behind` |
//!
//! | call | paths, in this order |
//! |---|---|
//! | `drain` | run, full, and again |
//! | `try_recv`, `try_recv_record` | fast, new, full |
//! | `recv`, `recv_record`, and the same with a deadline | fast, new, wait |
//! | `skip_to_newest`, `latest` | the first half of full; a walk to the newest record; for `latest`, then fast, new, full |
//!
//! | condition | run, fast | new | full |
//! |---|---|---|---|
//! | the next record is known to be published, and can be lent or was copied along with the last | take it | only if fast did not | only if new did not |
//! | no further record is known to be published | decline | polls | polls |
//! | the next record can be overwritten, and was not copied yet | decline | copies it, and short ones after it | the same |
//! | it is before the place from which the gate protects records | decline | takes the inline copy alone | copies it |
//! | it was overwritten | decline | declines | reports the loss, or the eviction |
//! | padding, or an invalid record | decline | declines | skips it, or reports the corruption |
//! | the records of another producer begin | decline | declines | reports it |
//! | a loss was found on attaching, and is not reported yet | decline | declines | reports it |
//! | the cursor is an eighth of the capacity behind | take records up to there | declines | stores it |
//! | a producer sleeps until there is space | decline | declines | stores the cursor, and wakes it |
//! | the consumer follows a stage | take what full has found | declines | polls the stage's cursor (`poll_behind`) |
//! | records are released by hand, a guard against truncation is on, a gate is still to be opened, records carry times, others follow this consumer, or the ring is corrupt (`Ways::Full`) | decline | declines | takes it, or reports it |
//! | the handle is broken: after a fork, or without its memory | decline | declines | returns the error |
//!
//! Several ways exist for speed only: the full way could handle every record. `docs/receiving.md` explains the effect
//! and has the same tables; a test compares them.
//!
//! The types, in the order in which they are produced: `Judged`, the meaning of a header; `Taken`, a record; `New`,
//! the same in a register; `Found`, what a poll of the reader found; `Received`, an event without its payload;
//! `Event`, with it.

use std::time::{Duration, Instant, SystemTime};

use crate::atomics::copy;
use crate::atomics::{Word, fence_at};
use crate::error::{Corruption, RecvError};
use crate::ring::Region;
use crate::ring::attach::until_found;
use crate::ring::geometry::Areas;
use crate::ring::locks;
use crate::ring::protocol::after;
use crate::ring::protocol::lookahead::Copies;
use crate::ring::protocol::own_slot::OwnSlot;
use crate::ring::protocol::reader::{Found, New, Overwritable, Reader, Taken};
use crate::ring::protocol::record::{Event, Loss, Record, Skipped};
use crate::ring::protocol::times;
use crate::wait::clock;
use crate::wait::timestamp::Timestamp;

mod drain;
mod following;
mod gating;
mod releasing;
mod skipping;
mod taking;
mod waiting;

use following::Following;
use gating::Gate;
use releasing::Released;
use waiting::Waiting;

/// A reading handle. With a slot of its own: a consumer. Without: an observer.
#[derive(Debug)]
pub(crate) struct Receiver {
    region: Region,
    reader: Reader,
    /// The last record, if it had to be copied out of the ring, and records copied with it that are not received yet.
    copies: Copies,
    own_slot: Option<OwnSlot>,
    gate: Gate,
    released: Released,
    /// A guard against truncation is on: no record is lent in place.
    guarded: bool,
    ways: Ways,
    following: Following,
    /// A loss found on attaching that is not reported yet.
    untold: Option<Loss>,
    /// What this handle has skipped.
    skipped: Skipped,
    corrupt: Option<Corruption>,
    waiting: Waiting,
}

/// An event before it is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Record(Taken),
    Lost(Loss),
    Evicted,
    Changed { epoch: u64 },
}

/// The ways that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    All,
    /// All but the new way, which polls `published`: this follows a stage.
    NotNew,
    Full,
}

/// What the fast and the new way leave to the full way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remaining {
    All,
    /// A poll has just found nothing new.
    AllButLook,
}

impl Receiver {
    pub(crate) fn new(region: Region, reader: Reader, own_slot: Option<OwnSlot>, gated: bool) -> Self {
        let guarded = region.is_guarded();
        let timed = region.geometry().timed;
        Self {
            released: Released::at(reader.next()),
            region,
            reader,
            copies: Copies::default(),
            own_slot,
            gate: Gate::new(gated),
            guarded,
            ways: if guarded || timed { Ways::Full } else { Ways::All },
            following: Following::default(),
            untold: None,
            skipped: Skipped::default(),
            corrupt: None,
            waiting: Waiting::new(),
        }
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.reader.next().sequence
    }

    /// Whether everything below a position was received.
    pub(crate) fn has_reached(&self, position: u64) -> bool {
        !after(position, self.reader.next().position)
    }

    /// The position below which everything is published. `None`: the handle is broken.
    pub(crate) fn published(&self) -> Option<u64> {
        (!self.region.broken()).then(|| Reader::published(self.region.areas()))
    }

    pub(crate) fn wall_time(&self, time: Timestamp) -> Option<SystemTime> {
        self.region.wall_time(time)
    }

    pub(crate) fn own_slot(&self) -> Option<&OwnSlot> {
        self.own_slot.as_ref()
    }

    pub(crate) fn set_spins(&mut self, spins: u32) {
        self.waiting.set_spins(spins);
    }

    pub(crate) fn turn_backoff_off(&mut self) {
        self.reader.turn_backoff_off();
    }

    pub(crate) fn producer_alive(&self) -> bool {
        self.region.locked(locks::PRODUCER)
    }

    // ---- the calls

    #[inline(always)]
    pub(crate) fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError> {
        match self.take_record() {
            Ok(taken) => Ok(Some(Event::Record(self.lend_record(taken)))),
            Err(remaining) => Ok(self.take_any(remaining)?.map(|received| self.lend(received))),
        }
    }

    #[inline(always)]
    pub(crate) fn recv(&mut self) -> Result<Event<'_>, RecvError> {
        match self.take_record() {
            Ok(taken) => Ok(Event::Record(self.lend_record(taken))),
            Err(remaining) => {
                let received = self.wait_for_ever(remaining)?;
                Ok(self.lend(received))
            }
        }
    }

    pub(crate) fn recv_deadline(&mut self, deadline: Instant) -> Result<Option<Event<'_>>, RecvError> {
        match self.take_record() {
            Ok(taken) => Ok(Some(Event::Record(self.lend_record(taken)))),
            Err(remaining) => {
                let received = self.wait(remaining, clock::deadline_ns(deadline))?;
                Ok(received.map(|received| self.lend(received)))
            }
        }
    }

    pub(crate) fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Event<'_>>, RecvError> {
        // About 30 years from now if the clock cannot represent the deadline.
        let now = Instant::now();
        let far = now + Duration::from_secs(1 << 30);
        self.recv_deadline(now.checked_add(timeout).unwrap_or(far))
    }

    #[inline(always)]
    pub(crate) fn recv_record(&mut self, mut other: impl FnMut(Event<'_>)) -> Result<Record<'_>, RecvError> {
        loop {
            let remaining = match self.take_record() {
                Ok(taken) => return Ok(self.lend_record(taken)),
                Err(remaining) => remaining,
            };
            match self.wait_for_ever(remaining)? {
                Received::Record(taken) => return Ok(self.lend_any(taken)),
                received => other(self.lend(received)),
            }
        }
    }

    pub(crate) fn try_recv_record(
        &mut self,
        other: impl FnMut(Event<'_>),
    ) -> Result<Option<Record<'_>>, RecvError> {
        self.record_or_none(other, Self::take_any)
    }

    pub(crate) fn recv_record_deadline(
        &mut self,
        deadline: Instant,
        other: impl FnMut(Event<'_>),
    ) -> Result<Option<Record<'_>>, RecvError> {
        self.recv_record_until(clock::deadline_ns(deadline), other)
    }

    /// As `recv_record_deadline`, until a time on the monotonic clock; `u64::MAX`: without end.
    pub(crate) fn recv_record_until(
        &mut self,
        until_ns: u64,
        other: impl FnMut(Event<'_>),
    ) -> Result<Option<Record<'_>>, RecvError> {
        self.record_or_none(other, |receiver, remaining| receiver.wait(remaining, until_ns))
    }

    #[inline(always)]
    fn record_or_none(
        &mut self,
        mut other: impl FnMut(Event<'_>),
        rest: impl Fn(&mut Self, Remaining) -> Result<Option<Received>, RecvError>,
    ) -> Result<Option<Record<'_>>, RecvError> {
        loop {
            let remaining = match self.take_record() {
                Ok(taken) => return Ok(Some(self.lend_record(taken))),
                Err(remaining) => remaining,
            };
            match rest(self, remaining)? {
                Some(Received::Record(taken)) => return Ok(Some(self.lend_any(taken))),
                Some(received) => other(self.lend(received)),
                None => return Ok(None),
            }
        }
    }

    // ---- the ways

    /// The fast way, then the new way: the next record, if there is nothing else to do.
    #[inline(always)]
    fn take_record(&mut self) -> Result<Taken, Remaining> {
        if let Some(taken) = self.take_fast() {
            return Ok(taken);
        }
        // `Taken` is built here from values in registers. If it were returned through memory, it would be copied with
        // wider loads than its stores, and these loads stall until the stores have drained (no store forwarding).
        let (len, is_in_ring) = match self.take_new() {
            New::Copied(len) => (len, false),
            New::InRing(len) => (len, true),
            New::Nothing => return Err(Remaining::AllButLook),
            New::Unknown => return Err(Remaining::All),
        };
        let place = self.reader.next().before_record(len);
        let word = self.region.geometry().word(place.position) + 1;
        Ok(Taken { sequence: place.sequence, len, in_ring: is_in_ring.then_some(word) })
    }

    /// The fast way. `None`: the next record is not known to be published, or there is more to do.
    #[inline(always)]
    fn take_fast(&mut self) -> Option<Taken> {
        // Checked first: after a fork the areas are not mapped.
        if self.region.broken() {
            return None;
        }
        let areas = self.region.areas();
        // A producer that sleeps for space waits for the cursor, which the full way stores.
        if self.producer_waits() {
            return None;
        }
        let taken = self.reader.poll_fast(areas, &mut self.copies)?;
        self.released.unreleased = Some(taken.len);
        Some(taken)
    }

    /// The new way: the first record after a poll that found nothing, and every record that has to be copied.
    #[inline(never)]
    fn take_new(&mut self) -> New {
        if self.region.broken() || self.ways != Ways::All || self.untold.is_some() {
            return New::Unknown;
        }
        let areas = self.region.areas();
        // After a loss the cursor is always late, since the place has moved by about a lap. So this way never
        // releases a loss.
        let due = self.cursor_due();
        if self.cursor_is_late(due) || self.producer_waits() {
            return New::Unknown;
        }
        match self.reader.poll_waited(areas, &mut self.copies) {
            Some(New::Copied(len)) => {
                self.released.unreleased = Some(len);
                New::Copied(len)
            }
            Some(new) => new,
            None => self.take_seen(due),
        }
    }

    /// The rest of the new way, apart from the short code for the record that a reader waits for.
    #[inline(never)]
    fn take_seen(&mut self, due: Option<u64>) -> New {
        let new = self.reader.poll_seen(self.region.areas(), &mut self.copies, due);
        if let New::Copied(len) | New::InRing(len) = new {
            self.released.unreleased = Some(len);
        }
        new
    }

    /// The full way. `None`: nothing new.
    #[inline(never)]
    fn take_any(&mut self, remaining: Remaining) -> Result<Option<Received>, RecvError> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        let received = match self.before_looking() {
            Some(told) => told,
            None if remaining == Remaining::AllButLook => Ok(self.nothing_new()),
            None => self.look(),
        };
        // If the file was cut short, what was read is not a record.
        if self.region.memory_gone() {
            return Err(self.region.fault().into());
        }
        received
    }

    /// Releases the last record, stores the cursor if it is due, and returns a corruption or loss that is to be
    /// reported.
    #[inline(always)]
    fn before_looking(&mut self) -> Option<Result<Option<Received>, RecvError>> {
        self.release_last();
        if self.gate.opens && self.untold.is_none() {
            self.open_gate();
        }
        self.update_late_cursor();
        if self.corrupt.is_none() && self.untold.is_none() {
            return None;
        }
        if let Some(corruption) = self.corrupt {
            return Some(Err(corruption.into()));
        }
        self.untold.take().map(|loss| Ok(Some(Received::Lost(loss))))
    }

    /// One poll of the ring.
    #[inline(always)]
    fn look(&mut self) -> Result<Option<Received>, RecvError> {
        loop {
            let areas = self.region.areas();
            let found = match self.following.stage() {
                None => self.reader.poll(areas, &mut self.copies),
                Some(stage) => self.reader.poll_behind(areas, &mut self.copies, stage),
            };
            match found {
                Found::Record(taken) if taken.len < self.region.geometry().time_bytes() => {
                    let place = self.reader.next().before_record(taken.len);
                    return Err(self.end_corrupt(times::missing(place)));
                }
                Found::Record(mut taken) => {
                    taken.in_ring = taken.in_ring.filter(|word| !self.copied_out(*word, taken.len));
                    if self.ways != Ways::Full {
                        let due = self.cursor_due();
                        self.reader.allow_fast(self.region.areas(), &self.copies, due);
                    }
                    return Ok(Some(Received::Record(taken)));
                }
                Found::Nothing => return Ok(self.nothing_new()),
                Found::Changed { epoch } => return Ok(Some(Received::Changed { epoch })),
                Found::Lapped => {
                    if let Some(received) = self.lapped()? {
                        return Ok(Some(received));
                    }
                }
                Found::Corrupt(corruption) => {
                    return Err(self.end_corrupt(corruption));
                }
            }
        }
    }

    /// After a poll that found nothing new.
    #[inline(always)]
    fn nothing_new(&mut self) -> Option<Received> {
        // If the cursor stayed behind when there is nothing new, a producer that waits for space would not get it.
        self.update_cursor();
        self.prompt_stage();
        self.newly_evicted().then_some(Received::Evicted)
    }

    /// Copies a record that could be lent in place, if a guard against truncation is on. True: it was copied.
    #[inline(always)]
    fn copied_out(&mut self, word: usize, len: u32) -> bool {
        if self.guarded {
            let words = payload(self.region.areas(), word, len);
            copy::read_vec(words, len as usize, self.copies.one(), true);
        }
        self.guarded
    }

    #[inline]
    fn newly_evicted(&mut self) -> bool {
        let areas = self.region.areas();
        self.gate.wanted
            && self.reader.overwritable() == Overwritable::Always
            && self.own_slot.as_mut().is_some_and(|own_slot| own_slot.newly_evicted(areas))
    }

    /// `None`: only padding was overwritten; reading continues behind it.
    #[cold]
    fn lapped(&mut self) -> Result<Option<Received>, RecvError> {
        // [R6] Acquire. Pairs with [G1], the producer's fence between an eviction and the next `reserve`.
        // Orders: the load of `reserve` that showed the lap before the load of this consumer's state.
        // Without it: a consumer reports the loss, but not that it was evicted.
        fence_at!(R6_FENCE, Acquire);
        if self.newly_evicted() {
            return Ok(Some(Received::Evicted));
        }
        let capacity = self.region.geometry().capacity;
        match until_found(capacity, |_| Ok(self.reader.resync(self.region.areas()))) {
            Ok(found) => {
                let loss = self.book(found, self.cause(found.0));
                if self.gate.wanted {
                    self.released.pass_loss(found, loss.records);
                }
                Ok((loss.records > 0).then_some(Received::Lost(loss)))
            }
            Err(_) => {
                let corruption = Corruption {
                    position: self.reader.next().position,
                    what: "no index entry that leads to a record",
                };
                Err(self.end_corrupt(corruption))
            }
        }
    }

    /// Corruption is permanent, even if a process repairs the words: afterwards no record is taken by a faster way
    /// either.
    fn end_corrupt(&mut self, corruption: Corruption) -> RecvError {
        self.corrupt = Some(corruption);
        self.ways = Ways::Full;
        self.reader.forbid_fast();
        corruption.into()
    }

    /// Sets which ways may be used. Call it after the state that decides this has changed.
    fn choose_ways(&mut self) {
        let slow = self.released.keep || self.guarded || self.gate.opens || self.corrupt.is_some();
        self.ways = if slow || self.region.geometry().timed || self.following.is_followed() {
            Ways::Full
        } else if self.following.stage().is_some() {
            Ways::NotNew
        } else {
            Ways::All
        };
    }

    // ---- lending

    #[inline(always)]
    fn lend(&self, received: Received) -> Event<'_> {
        match received {
            Received::Record(taken) => Event::Record(self.lend_any(taken)),
            Received::Lost(loss) => Event::Lost(loss),
            Received::Evicted => Event::Evicted,
            Received::Changed { epoch } => Event::ProducerChanged { epoch },
        }
    }

    /// A record, taken by whichever way.
    #[inline(always)]
    fn lend_any(&self, taken: Taken) -> Record<'_> {
        let record = self.lend_record(taken);
        // The full way has checked that the time is there.
        if self.region.geometry().timed {
            record.with_time().unwrap_or(Record::copied(taken.sequence, &[]))
        } else {
            record
        }
    }

    /// A record of a ring without times: the faster ways take none with a time.
    #[inline(always)]
    fn lend_record(&self, taken: Taken) -> Record<'_> {
        match taken {
            Taken { sequence, len, in_ring: None } => Record::copied(sequence, self.copies.payload(len)),
            Taken { sequence, len, in_ring: Some(word) } => {
                Record::lent(sequence, len as usize, payload(self.region.areas(), word, len))
            }
        }
    }
}

/// The words of a payload of `len` bytes.
#[inline(always)]
fn payload(areas: Areas<'_>, word: usize, len: u32) -> &[Word] {
    &areas.data[word..word + (len as usize).div_ceil(8)]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::memory::permissions::Access;

    #[test]
    fn a_receive_that_finds_nothing_looks_once() {
        let ring = crate::Ring::heap(&Options::new().capacity(4096)).expect("a ring");
        let mut producer = ring.producer().expect("a producer");
        let place = producer.sender.writer().published();
        let reader = Reader::new(place, Overwritable::Always, producer.epoch(), 4096);
        let mut receiver = Receiver::new(ring.region(Access::Writer).expect("the ring"), reader, None, false);
        let remaining = receiver.take_record().expect_err("nothing was sent");
        assert_eq!(remaining, Remaining::AllButLook);
        producer.send(b"after the look").expect("nobody is in the way");
        assert!(matches!(receiver.take_any(remaining), Ok(None)), "that was a second look");
        assert!(matches!(receiver.take_any(Remaining::All), Ok(Some(Received::Record(_)))));
    }

    /// Whoever sleeps makes few polls, and what wakes it may be a burst.
    #[test]
    fn a_sleep_ends_the_waits_of_a_stream() {
        let ring = crate::Ring::heap(&Options::new().capacity(4096)).expect("a ring");
        let _producer = ring.producer().expect("a producer");
        let mut consumer = ring.consumer(&crate::Attach::gated()).expect("a consumer");
        consumer.set_spins(0);
        let receiver = &mut consumer.receiver;
        *receiver.reader.backoff().helps() = true;
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_ok_and(|event| event.is_none()));
        assert!(!*receiver.reader.backoff().helps(), "it slept");
        *receiver.reader.backoff().helps() = true;
        crate::source::Source::arm(receiver);
        assert!(!*receiver.reader.backoff().helps(), "a set is about to");
    }
}
