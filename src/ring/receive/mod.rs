//! Receiving: what consumers and observers have in common.

use crate::atomics::copy;
use crate::atomics::{Word, fence_at};
use crate::error::{Corruption, RecvError};
use crate::ring::Region;
use crate::ring::attach::until_found;
use crate::ring::layout::{Areas, SlotState};
use crate::ring::locks;
use crate::ring::protocol::gate::{self, Seat};
use crate::ring::protocol::lookahead::Copies;
use crate::ring::protocol::reader::{Found, Overwritable, Reader, Taken};
use crate::ring::protocol::record::{Event, Loss, LossCause, Record};
use crate::ring::protocol::{Place, after};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

mod drain;
mod gating;
mod waiting;

use waiting::Waiting;

/// A cursor is stored when it is this part of the capacity behind. The rings of the models are a few words, and a
/// record has to fit in.
const CURSOR_DUE: u64 = if cfg!(loom) { 2 } else { 8 };

/// A reading handle. With a seat: a consumer. Without: an observer.
#[derive(Debug)]
pub(crate) struct Receiver {
    region: Region,
    reader: Reader,
    /// The last record, where it had to be copied out of the ring, and those copied along with it that are still to come.
    copies: Copies,
    seat: Option<Seat>,
    gated: bool,
    /// What is below was read; the cursor may say so. Behind the times while `unreleased` is some: see `catch_up`.
    released: Place,
    /// Payload bytes of the last record, if everything before it is released and `released` does not say so.
    unreleased: Option<u32>,
    /// Records are released by `release` alone.
    keep: bool,
    /// What was overwritten before this position was lost by this cause: the producer had been let past it before the
    /// gate opened, or its consumer came back.
    before_gate: Option<(u64, LossCause)>,
    /// The gate is still to be opened, at a place that is there.
    opens: bool,
    /// The gate may be taken away.
    overwritten: bool,
    /// Nothing is lent without a look at whether it is still there.
    guarded: bool,
    /// Any of these, or corrupt: records do not come the fast way.
    slow_only: bool,
    /// A loss found on attaching, not told yet.
    untold: Option<Loss>,
    /// Nothing but that loss was received: what is before it is gone, so releasing it keeps nothing from anybody.
    only_lost: bool,
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

/// What the fast way came to, in a register: how many payload bytes the record has that was taken, and whether it is in
/// the copies or in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    Nothing,
    Copied(u32),
    InRing(u32),
}

impl Receiver {
    pub(crate) fn new(region: Region, reader: Reader, seat: Option<Seat>, gated: bool) -> Self {
        let released = reader.next();
        let guarded = region.is_guarded();
        Self {
            region,
            reader,
            copies: Copies::default(),
            seat,
            gated,
            released,
            unreleased: None,
            keep: false,
            before_gate: None,
            opens: false,
            overwritten: false,
            guarded,
            slow_only: guarded,
            untold: None,
            only_lost: false,
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

    pub(crate) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    pub(crate) fn set_spins(&mut self, spins: u32) {
        self.waiting.set_spins(spins);
    }

    pub(crate) fn set_keep(&mut self, keep: bool) {
        self.catch_up();
        self.keep = keep;
        self.choose_way();
        self.reader.forbid_fast();
    }

    pub(crate) fn producer_alive(&self) -> bool {
        self.region.locked(locks::PRODUCER)
    }

    /// Releases everything received so far, and says so at once.
    pub(crate) fn release(&mut self) {
        // A loss found on attaching counts as received once it was told: until then a name stays before it.
        if !self.region.broken() && self.untold.is_none() {
            self.release_received();
            self.update_cursor();
            if self.opens {
                self.open_gate();
            }
        }
    }

    #[inline(always)]
    fn release_received(&mut self) {
        self.unreleased = None;
        self.released = self.reader.next();
        if let Some(seat) = &mut self.seat {
            seat.release_losses();
        }
    }

    /// Moves `released` to where it belongs: the record before the last is released, but copying a place that was
    /// stored a moment ago, for every record, would wait for that store.
    fn catch_up(&mut self) {
        if let Some(len) = self.unreleased.take() {
            self.released = self.reader.next().before_record(len);
        }
    }

    /// One look at the ring. `None`: nothing new.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Result<Option<Received>, RecvError> {
        match self.step_fast() {
            Some(taken) => Ok(Some(Received::Record(taken))),
            None => self.step_slow(),
        }
    }

    /// The next of many records. `None`: there is none, or more is to be done.
    #[inline(always)]
    fn step_fast(&mut self) -> Option<Taken> {
        // First of all: after a fork there is no memory behind the areas.
        if self.region.broken() {
            return None;
        }
        let areas = self.region.areas();
        // A producer that sleeps for space is waiting for the cursor.
        if self.producer_waits() {
            return None;
        }
        let taken = self.reader.poll_fast(areas, &mut self.copies)?;
        self.unreleased = Some(taken.len);
        Some(taken)
    }

    #[inline(never)]
    fn step_slow(&mut self) -> Result<Option<Received>, RecvError> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        let step = self.step_full();
        // What was read where memory is gone was never sent.
        if self.region.memory_gone() {
            return Err(self.region.fault().into());
        }
        step
    }

    #[inline(always)]
    fn step_full(&mut self) -> Result<Option<Received>, RecvError> {
        if let Some(trouble) = self.before_looking() {
            return trouble;
        }
        loop {
            match self.reader.poll(self.region.areas(), &mut self.copies) {
                Found::Record(mut taken) => {
                    taken.in_ring = taken.in_ring.filter(|word| !self.copied_out(*word, taken.len));
                    if !self.slow_only {
                        self.reader.allow_fast(self.region.areas(), &self.copies, self.due());
                    }
                    return Ok(Some(Received::Record(taken)));
                }
                Found::Nothing => {
                    // A cursor that lags behind "nothing new" would hold up a producer that waits for space.
                    self.update_cursor();
                    return Ok(self.newly_evicted().then_some(Received::Evicted));
                }
                Found::Changed { epoch } => return Ok(Some(Received::Changed { epoch })),
                Found::Lapped => {
                    if let Some(step) = self.lapped()? {
                        return Ok(Some(step));
                    }
                }
                Found::Corrupt(corruption) => {
                    return Err(self.end_corrupt(corruption));
                }
            }
        }
    }

    /// Copies a record that could be lent, if its memory may be gone by the time it is looked at. True: it did.
    #[inline(always)]
    fn copied_out(&mut self, word: usize, len: u32) -> bool {
        if self.guarded {
            let words = payload(self.region.areas(), word, len);
            copy::read_vec(words, len as usize, self.copies.one(), true);
        }
        self.guarded
    }

    /// Releases the last record, stores the cursor if it is due, and tells what is still to be told.
    #[inline(always)]
    fn before_looking(&mut self) -> Option<Result<Option<Received>, RecvError>> {
        // Who keeps its records does not keep a place that was overwritten: a gate there would hold the producer up
        // for nothing.
        if self.untold.is_none() && (!self.keep || self.only_lost) {
            self.only_lost = false;
            self.release_received();
        }
        if self.opens && self.untold.is_none() {
            self.open_gate();
        }
        if let Some(seat) = &self.seat {
            let behind = self.released.position.wrapping_sub(seat.stored().position);
            if behind != 0
                && (behind >= self.region.geometry().capacity / CURSOR_DUE || self.producer_waits())
            {
                self.update_cursor();
            }
        }
        if self.corrupt.is_none() && self.untold.is_none() {
            return None;
        }
        if let Some(corruption) = self.corrupt {
            return Some(Err(corruption.into()));
        }
        self.untold.take().map(|loss| Ok(Some(Received::Lost(loss))))
    }

    #[inline(always)]
    fn producer_waits(&self) -> bool {
        self.gated && doorbell::is_armed(&self.region.areas().control.space.word)
    }

    /// Stores the cursor if it is behind, or not what was stored there, and wakes a producer that waits for it.
    fn update_cursor(&mut self) {
        let Some(seat) = &mut self.seat else { return };
        let areas = self.region.areas();
        if self.released.position == seat.stored().position && seat.is_shown(areas) {
            return;
        }
        seat.store_cursor(areas, self.released);
        if self.gated {
            doorbell::notify(&areas.control.space.word, WaitMode::Fence);
        }
    }

    #[inline]
    fn newly_evicted(&mut self) -> bool {
        let areas = self.region.areas();
        self.gated
            && self.reader.overwritable() == Overwritable::Always
            && self.seat.as_mut().is_some_and(|seat| seat.newly_evicted(areas))
    }

    /// `None`: only padding was overwritten; reading goes on behind it.
    #[cold]
    fn lapped(&mut self) -> Result<Option<Received>, RecvError> {
        // [R6] Acquire. Pairs with [G1], the producer's fence between an eviction and the next `reserve`.
        // Orders: the look at `reserve` that showed the lap before the look at our own state.
        // Without it: a consumer is told of the loss, but not that it was evicted.
        fence_at!(R6_FENCE, Acquire);
        if self.newly_evicted() {
            return Ok(Some(Received::Evicted));
        }
        let capacity = self.region.geometry().capacity;
        match until_found(capacity, |_| Ok(self.reader.resync(self.region.areas()))) {
            Ok(found) => {
                let loss = self.book(found, self.cause(found.0));
                // Nothing before the loss is kept: a gate there would hold the producer up for nothing.
                if self.gated && self.released == found.0 {
                    match loss.records {
                        // Padding is nothing to be told.
                        0 => self.released = found.1,
                        _ => self.only_lost = true,
                    }
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

    /// Corruption is for good, also if somebody puts the words right again: no record comes the fast way either.
    fn end_corrupt(&mut self, corruption: Corruption) -> RecvError {
        self.corrupt = Some(corruption);
        self.slow_only = true;
        self.reader.forbid_fast();
        corruption.into()
    }

    /// Lends what `step` found.
    #[inline(always)]
    pub(crate) fn lend(&self, step: Received) -> Event<'_> {
        match step {
            Received::Record(taken) => Event::Record(self.lend_record(taken)),
            Received::Lost(loss) => Event::Lost(loss),
            Received::Evicted => Event::Evicted,
            Received::Changed { epoch } => Event::ProducerChanged { epoch },
        }
    }

    #[inline(always)]
    fn lend_record(&self, taken: Taken) -> Record<'_> {
        match taken {
            Taken { sequence, len, in_ring: None } => Record::copied(sequence, self.copies.payload(len)),
            Taken { sequence, len, in_ring: Some(word) } => {
                Record::lent(sequence, len as usize, payload(self.region.areas(), word, len))
            }
        }
    }

    #[inline(always)]
    pub(crate) fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError> {
        match self.step_brief() {
            Some(step) => Ok(Some(self.lend(step))),
            None => self.try_recv_checked(),
        }
    }

    /// The next record, where nothing else is to be done. `None`: there is none, or there is more to do.
    #[inline(always)]
    fn step_brief(&mut self) -> Option<Received> {
        if let Some(taken) = self.step_fast() {
            return Some(Received::Record(taken));
        }
        // Made here, out of what comes in registers: an event that is left in memory is moved on from there with wider
        // loads than it was stored with, and they wait until the stores have left the processor.
        let (len, is_in_ring) = match self.step_short() {
            Short::Nothing => return None,
            Short::Copied(len) => (len, false),
            Short::InRing(len) => (len, true),
        };
        let taken = self.reader.next().before_record(len);
        let word = self.region.geometry().word(taken.position) + 1;
        Some(Received::Record(Taken { sequence: taken.sequence, len, in_ring: is_in_ring.then_some(word) }))
    }

    /// The first record that came after a look which found nothing, and every one that has to be copied.
    #[inline(never)]
    fn step_short(&mut self) -> Short {
        if self.region.broken() || self.slow_only || self.untold.is_some() {
            return Short::Nothing;
        }
        let areas = self.region.areas();
        // After a loss it is late: the place is further on by a lap. So what is released here never includes one.
        let due = self.due();
        let late = due.is_some_and(|due| !after(due, self.reader.next().position));
        if late || self.producer_waits() {
            return Short::Nothing;
        }
        let copies = &mut self.copies;
        let mut copied = self.reader.poll_copied(areas, copies);
        if copied.is_none() {
            if !self.reader.has_come(areas) {
                return Short::Nothing;
            }
            copied =
                self.reader.poll_inline(areas, copies).or_else(|| self.reader.poll_copied(areas, copies));
        }
        self.reader.allow_fast(areas, copies, due);
        let Some(Taken { len, in_ring, .. }) = copied.or_else(|| self.reader.poll_fast(areas, copies)) else {
            return Short::Nothing;
        };
        self.unreleased = Some(len);
        if in_ring.is_some() { Short::InRing(len) } else { Short::Copied(len) }
    }

    /// The position at which the cursor is to be stored anew, if there is one.
    #[inline(always)]
    fn due(&self) -> Option<u64> {
        let stored = self.seat.as_ref()?.stored().position;
        Some(stored.wrapping_add(self.region.geometry().capacity / CURSOR_DUE))
    }

    #[inline(always)]
    fn try_recv_checked(&mut self) -> Result<Option<Event<'_>>, RecvError> {
        Ok(self.step_slow()?.map(|step| self.lend(step)))
    }

    #[inline(always)]
    pub(crate) fn recv(&mut self) -> Result<Event<'_>, RecvError> {
        match self.step_brief() {
            Some(step) => Ok(self.lend(step)),
            None => self.recv_checked(),
        }
    }

    #[inline(always)]
    fn recv_checked(&mut self) -> Result<Event<'_>, RecvError> {
        let step = self.wait_for_ever()?;
        Ok(self.lend(step))
    }

    /// Gives the seat up: cursor, slot, then the caller's lock.
    pub(crate) fn leave(&mut self) {
        self.catch_up();
        self.update_cursor();
        let areas = self.region.areas();
        if let Some(seat) = self.seat.take() {
            let slot = &areas.slots[seat.number as usize];
            let gated = gate::state(slot) == Some(SlotState::Gated);
            seat.leave(areas, clock::wall_ns());
            if gated {
                doorbell::notify(&areas.control.space.word, WaitMode::Fence);
            }
        }
    }
}

/// The words of a payload of `len` bytes.
#[inline(always)]
fn payload(areas: Areas<'_>, word: usize, len: u32) -> &[Word] {
    &areas.data[word..word + (len as usize).div_ceil(8)]
}
