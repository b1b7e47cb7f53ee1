//! The reader's side of the ring: poll, take, check; and where to continue after a lap. The right column of the
//! diagram in `protocol/mod.rs`.

use crate::atomics::copy;
use crate::atomics::{at, fence_at};
use crate::error::Corruption;
use crate::ring::geometry::Areas;
use crate::ring::layout::{INLINE_BYTES, footprint, unpack};
use crate::ring::protocol::backoff::Backoff;
use crate::ring::protocol::index;
use crate::ring::protocol::lookahead::{Copies, SHORT};
use crate::ring::protocol::stage::Stage;
use crate::ring::protocol::{Judged, Place, after, floor};
use crate::wait::clock;

mod fast;

/// Whether a reader can be overwritten while it reads, and so has to check [R1] after every copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwritable {
    /// Lossy, observer, budget: at any time.
    Always,
    /// Gated, but the producer may have been allowed past positions below this one before it saw the gate.
    Until(u64),
    /// Gated: never.
    Never,
}

/// The most bytes that are prefetched before the header is read.
const FETCH: u64 = 512;

/// A reader's private state. `fast.rs` has what needs a check of headers only.
#[derive(Debug)]
pub(crate) struct Reader {
    next: Place,
    /// The newest `published` seen.
    seen: u64,
    /// Records that end here or before need no check but of their header: they are published, they are copied or
    /// cannot be overwritten, no other event comes before them, and none reaches past the end of the ring.
    fast_until: u64,
    /// Payload bytes of the last record that was not an inline copy.
    usual: u32,
    overwritable: Overwritable,
    /// The producer's epoch, and the place where a newer one began that is not reported yet.
    epoch: u64,
    change: Option<(u64, u64)>,
    /// Number of laps in short succession, which enlarge the margin, and where the last one ended.
    laps: u32,
    resynced: u64,
    /// A place from which a gate protects records, if one is known.
    held: Option<Place>,
    backoff: Backoff,
}

/// The result of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Record(Taken),
    /// The producer overwrote the place: resync.
    Lapped,
    /// The records from here on come from another producer.
    Changed {
        epoch: u64,
    },
    Corrupt(Corruption),
}

/// The result of the new way. It fits in a register: see `Receiver::take_record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum New {
    /// A record with this many payload bytes was taken, and is the last of the copies.
    Copied(u32),
    /// A record with this many payload bytes was taken, and is still in the ring.
    InRing(u32),
    /// A poll found nothing new.
    Nothing,
    /// Nothing was taken: ask `poll`.
    Unknown,
}

/// A record. Its payload is the last of the copies or, for a reader that cannot be overwritten, at this word of the
/// ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) sequence: u64,
    pub(crate) len: u32,
    pub(crate) in_ring: Option<usize>,
}

impl Reader {
    /// `capacity`: of the ring, bytes.
    pub(crate) fn new(next: Place, overwritable: Overwritable, epoch: u64, capacity: u64) -> Self {
        Self {
            next,
            seen: next.position,
            fast_until: next.position,
            usual: 0,
            overwritable,
            epoch,
            change: None,
            laps: 0,
            resynced: next.position,
            held: None,
            backoff: Backoff::new(next, capacity),
        }
    }

    /// The place of the next record to be read.
    pub(crate) fn next(&self) -> Place {
        self.next
    }

    pub(crate) fn overwritable(&self) -> Overwritable {
        self.overwritable
    }

    /// A gate is open, and protects records from `published` on. `held`: a place not before that, if one is known.
    /// `overwritten`: the gate may be taken away.
    pub(crate) fn gate_holds(&mut self, published: u64, held: Option<Place>, overwritten: bool) {
        self.overwritable = if overwritten { Overwritable::Always } else { Overwritable::Until(published) };
        self.held = held;
        self.forbid_fast();
    }

    /// For a name that resumes: a takeover that happened while it was away is reported where it happened.
    pub(crate) fn recall_change(&mut self, areas: Areas<'_>) {
        let epoch = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        // [R7] Acquire. Pairs with [T2], as in `look`.
        fence_at!(R7_FENCE, Acquire);
        let began = areas.head.reserve.began(epoch).load(at!(R4_EPOCH_POSITION, Relaxed));
        // The first producer of a ring takes over from none.
        if epoch > 1 && !after(self.next.position, began) {
            self.epoch = epoch;
            self.change = Some((began, epoch));
        }
    }

    /// The gate is not open: this reader can be overwritten at any time.
    pub(crate) fn gate_is_shut(&mut self) {
        self.overwritable = Overwritable::Always;
        self.held = None;
        self.forbid_fast();
    }

    /// Polls without waiting from here on.
    pub(crate) fn turn_backoff_off(&mut self) {
        self.backoff.turn_off();
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn backoff(&mut self) -> &mut Backoff {
        &mut self.backoff
    }

    /// The reader is about to sleep: what comes next is not known to be a stream.
    pub(crate) fn will_sleep(&mut self) {
        self.backoff.idled();
    }

    /// So many polls found nothing, besides those of this reader's own.
    pub(crate) fn found_nothing(&mut self, polls: u32) {
        self.backoff.found_nothing(polls);
    }

    /// Skips everything before `place`. Returns the previous place.
    pub(crate) fn skip_to(&mut self, place: Place) -> Place {
        self.resynced = place.position;
        self.fast_until = place.position;
        let left = core::mem::replace(&mut self.next, place);
        self.backoff.lost(place.sequence.wrapping_sub(left.sequence));
        left
    }

    /// Whether the next record is overwritten, as far as the ring shows by now, and was not copied before.
    pub(crate) fn is_lapped(&mut self, areas: Areas<'_>) -> bool {
        self.is_overwritable() && after(floor(areas), self.next.position)
    }

    /// The place behind the records that were copied out of the ring and not received yet.
    pub(crate) fn past_copies(&self, areas: Areas<'_>, copies: &mut Copies) -> Place {
        let mut place = self.next;
        while let Some(len) = copies.record(areas, &place) {
            place = place.past_record(len);
        }
        place
    }

    /// Whether something is published that this reader has not read.
    #[inline]
    pub(crate) fn is_behind(&self, areas: Areas<'_>) -> bool {
        after(Self::published(areas), self.next.position)
    }

    /// The same for a reader that follows a stage: something that the stage has released.
    pub(crate) fn is_behind_stage(&self, areas: Areas<'_>, stage: Stage) -> bool {
        stage.released(areas).is_some_and(|released| after(released, self.next.position))
    }

    /// What is published by now. No record may be read for it: see `look`.
    #[inline(always)]
    pub(crate) fn published(areas: Areas<'_>) -> u64 {
        areas.head.inline.published.load(at!(R4_PEEK, Relaxed))
    }

    #[inline(always)]
    fn is_overwritable(&mut self) -> bool {
        match self.overwritable {
            Overwritable::Never => false,
            Overwritable::Always => true,
            Overwritable::Until(position) => {
                let below = after(position, self.next.position);
                if !below {
                    self.overwritable = Overwritable::Never;
                }
                below
            }
        }
    }

    /// One poll by a reader that has read everything it has seen, and the record that it has waited for, if that has an
    /// inline copy. `None`: `poll_seen` has what was found. In little code: from the arrival of `published` on, every
    /// instruction counts.
    #[inline(always)]
    pub(crate) fn poll_waited(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<New> {
        if self.seen != self.next.position {
            return None;
        }
        if self.change.is_some() {
            return Some(New::Unknown);
        }
        self.backoff.before_look(self.next, clock::monotonic_ns);
        let published = match self.look(areas) {
            Ok(Some(published)) if self.change.is_none() => published,
            Ok(None) => return Some(New::Nothing),
            _ => return Some(New::Unknown),
        };
        self.poll_inline(areas, copies, published).map(|taken| New::Copied(taken.len))
    }

    /// The first of the records that were seen but not taken; never another event. After it took one, `poll_fast` may
    /// continue up to `limit`.
    #[inline(always)]
    pub(crate) fn poll_seen(&mut self, areas: Areas<'_>, copies: &mut Copies, limit: Option<u64>) -> New {
        let taken = self.poll_copied(areas, copies);
        self.allow_fast(areas, copies, limit);
        match taken.or_else(|| self.poll_fast(areas, copies)) {
            Some(Taken { len, in_ring: None, .. }) => New::Copied(len),
            Some(Taken { len, in_ring: Some(_), .. }) => New::InRing(len),
            None => New::Unknown,
        }
    }

    /// The next record from its inline copy, if it is the newest and has one. `None`: it is in the ring.
    #[inline(always)]
    fn poll_inline(&mut self, areas: Areas<'_>, copies: &mut Copies, published: u64) -> Option<Taken> {
        let short = published.wrapping_sub(self.next.position) <= footprint(INLINE_BYTES);
        if short && areas.geometry.inline {
            return self.inline(areas, copies, published);
        }
        // A reader that loads the header of a longer record first, to learn its length, waits for a transfer from the
        // other core's cache twice.
        self.fetch(areas);
        None
    }

    /// The next of the records that the last poll found, for a reader that can be overwritten at any time. `None`:
    /// ask `poll`.
    #[inline(always)]
    fn poll_copied(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Taken> {
        if self.overwritable != Overwritable::Always
            || self.change.is_some()
            || !after(self.seen, self.next.position)
        {
            return None;
        }
        let mut found = self.several(areas, copies);
        if found.is_none() {
            found = self.record(areas, copies);
        }
        match found {
            Some(Found::Record(taken)) => Some(taken),
            // Nothing was taken: `poll` finds it again.
            _ => None,
        }
    }

    /// The next record, if records are short, from a copy of several. `None`: ask `record`.
    #[inline(always)]
    fn several(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Found> {
        let mut copied = copies.record(areas, &self.next);
        if copied.is_none() && self.usual <= SHORT {
            copies.several(areas, self.next.position, self.seen);
            // If the beginning is intact, so is the rest.
            if after(floor(areas), self.next.position) {
                copies.one();
                return Some(Found::Lapped);
            }
            copied = copies.record(areas, &self.next);
        }
        let len = copied?;
        self.usual = len;
        Some(Found::Record(Taken { sequence: self.take(len), len, in_ring: None }))
    }

    /// Reads one record: copied, unless it can be lent in place.
    #[inline]
    pub(crate) fn poll(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Found {
        loop {
            let mut fresh = None;
            if !after(self.seen, self.next.position) {
                self.backoff.before_look(self.next, clock::monotonic_ns);
                fresh = match self.look(areas) {
                    Ok(Some(published)) => Some(published),
                    Ok(None) => return Found::Nothing,
                    Err(corruption) => return Found::Corrupt(corruption),
                };
            }
            if let Some(changed) = self.change_here() {
                return changed;
            }
            if let Some(published) = fresh
                && let Some(taken) = self.poll_inline(areas, copies, published)
            {
                return Found::Record(taken);
            }
            if let Some(found) = self.known(areas, copies) {
                return found;
            }
        }
    }

    /// As `poll`, up to where a stage has released. Never the inline copy, which is of the newest record of all.
    pub(crate) fn poll_behind(&mut self, areas: Areas<'_>, copies: &mut Copies, stage: Stage) -> Found {
        loop {
            if !after(self.seen, self.next.position) {
                match stage.released(areas) {
                    Some(released) if after(released, self.next.position) => self.note_new(areas, released),
                    _ => return Found::Nothing,
                }
            }
            if let Some(found) = self.change_here().or_else(|| self.known(areas, copies)) {
                return found;
            }
        }
    }

    /// Another producer, if its records begin here.
    #[inline(always)]
    fn change_here(&mut self) -> Option<Found> {
        let (began, epoch) = self.change?;
        if after(began, self.next.position) {
            return None;
        }
        self.change = None;
        Some(Found::Changed { epoch })
    }

    /// The next of the records that the last look found. `None`: it was padding.
    #[inline(always)]
    fn known(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Found> {
        if self.overwritable == Overwritable::Always
            && let Some(found) = self.several(areas, copies)
        {
            return Some(found);
        }
        self.record(areas, copies)
    }

    /// [R4]: the new `published`, if there is anything new.
    #[inline(always)]
    fn look(&mut self, areas: Areas<'_>) -> Result<Option<u64>, Corruption> {
        let published = if self.backoff.is_timed() {
            self.timed_poll(areas, clock::monotonic_ns)
        } else {
            Self::poll_once(areas)
        };
        // By signed distance, not equality: after a resync this reader may be ahead of the `published` that it loads,
        // which may be an older value.
        if !after(published, self.next.position) {
            return self.steady(published);
        }
        // [R4] Acquire. Pairs with [W4].
        // Orders: `published` before the record, the epoch and the inline copy.
        // Without it: a reader may read words of the previous lap instead of the record.
        fence_at!(R4_FENCE, Acquire);
        self.note_new(areas, published);
        Ok(Some(published))
    }

    #[inline(always)]
    fn poll_once(areas: Areas<'_>) -> u64 {
        areas.head.inline.published.load(at!(R4_PUBLISHED, Relaxed))
    }

    /// The same, timed if it finds something: then the line has come from the producer's core.
    #[cold]
    #[inline(never)]
    fn timed_poll(&mut self, areas: Areas<'_>, mut now_ns: impl FnMut() -> u64) -> u64 {
        let (before, began) = (now_ns(), now_ns());
        let published = Self::poll_once(areas);
        if after(published, self.next.position) {
            let look = began.saturating_sub(before);
            self.backoff.line_took(now_ns().saturating_sub(began).saturating_sub(look));
        }
        published
    }

    /// Everything before `end` may be read.
    #[inline(always)]
    fn note_new(&mut self, areas: Areas<'_>, end: u64) {
        self.seen = end;
        let epoch = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        if epoch != self.epoch {
            self.epoch = epoch;
            // [R7] Acquire. Pairs with [T2].
            // Orders: the epoch before the position where it began.
            // Without it: a consumer reports the new producer at the place where the one before the last began.
            fence_at!(R7_FENCE, Acquire);
            // The first producer of a ring takes over from none.
            if epoch > 1 {
                let began = areas.head.reserve.began(epoch).load(at!(R4_EPOCH_POSITION, Relaxed));
                self.change = Some((began, epoch));
            }
        }
    }

    /// Prefetches the cache lines of what is new, all at once.
    #[inline(always)]
    fn fetch(&self, areas: Areas<'_>) {
        let new = self.seen.wrapping_sub(self.next.position).min(FETCH);
        for line in (0..new).step_by(64) {
            copy::will_read(&areas.data[areas.geometry.word(self.next.position.wrapping_add(line))]);
        }
    }

    /// Nothing new. But for one reader a word never goes back.
    #[inline(always)]
    fn steady(&self, published: u64) -> Result<Option<u64>, Corruption> {
        if after(self.seen, published) {
            return Err(Corruption { position: published, what: "a published cursor that went back" });
        }
        Ok(None)
    }

    /// [R3]: the inline copy, if it holds the only record that is not read yet.
    #[inline(always)]
    fn inline(&mut self, areas: Areas<'_>, copies: &mut Copies, published: u64) -> Option<Taken> {
        let inline = &areas.head.inline;
        let (len, sequence) = unpack(inline.header.load(at!(R3_HEADER, Relaxed)));
        let fits = len as usize <= INLINE_BYTES
            && published.wrapping_sub(self.next.position) == footprint(len as usize)
            && sequence == self.next.sequence as u32;
        if !fits {
            return None;
        }
        copies.copy_inline(&inline.payload, len as usize);
        // [R3] Acquire. Pairs with [W3].
        // Orders: the copied words before the load of the stamp.
        // Without it: a reader may copy the next record's words and still find its own stamp.
        fence_at!(R3_FENCE, Acquire);
        let whole = inline.stamp.load(at!(R3_STAMP, Relaxed)) == published;
        whole.then(|| Taken { sequence: self.take(len), len, in_ring: None })
    }

    /// The record in the ring. `None`: it was padding, and reading continues behind it.
    #[inline(always)]
    fn record(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Found> {
        let overwritable = self.is_overwritable();
        let word = areas.geometry.word(self.next.position);
        let header = if overwritable {
            areas.data[word].load(at!(R2_HEADER, Relaxed))
        } else {
            areas.data[word].load_gated(at!(R2_HEADER, Relaxed))
        };
        let step = self.next.judge(areas, header, self.seen);
        if overwritable && let Judged::Record(len) = step {
            let end = word + 1 + (len as usize).div_ceil(8);
            copies.copy(&areas.data[word + 1..end], len);
        }
        // Judged first, then checked: an invalid header is corruption only if it was not overwritten by the next lap.
        if overwritable && after(floor(areas), self.next.position) {
            return Some(Found::Lapped);
        }
        match step {
            Judged::Record(len) => {
                self.usual = len;
                let in_ring = (!overwritable).then_some(word + 1);
                Some(Found::Record(Taken { sequence: self.take(len), len, in_ring }))
            }
            Judged::Padding(size) => {
                self.next = self.next.past_padding(size);
                None
            }
            Judged::Bad(what) => Some(Found::Corrupt(Corruption { position: self.next.position, what })),
        }
    }

    /// Moves past a record, and returns its sequence.
    #[inline(always)]
    fn take(&mut self, len: u32) -> u64 {
        let sequence = self.next.sequence;
        self.next = self.next.past_record(len);
        sequence
    }

    /// After a lap: continues at the oldest intact place plus a margin, which grows while laps follow each other. The
    /// very oldest would be overwritten again at once; the newest would skip up to a whole ring. Returns the old and
    /// the new place. `None`: the index was being rewritten, try again.
    #[cold]
    pub(crate) fn resync(&mut self, areas: Areas<'_>) -> Option<(Place, Place)> {
        let capacity = areas.geometry.capacity;
        let far = self.next.position.wrapping_sub(self.resynced) >= capacity / 2;
        self.laps = if far { 0 } else { (self.laps + 1).min(2) };
        let mut place = index::oldest(areas, (capacity / 8) << self.laps)?;
        // The margin does not skip records that a gate protects.
        if let Some(held) = self.held
            && after(held.position, self.next.position)
            && after(place.position, held.position)
            && !after(floor(areas), held.position)
        {
            place = held;
        }
        if !after(place.position, self.next.position) {
            return None;
        }
        let left = core::mem::replace(&mut self.next, place);
        self.backoff.lost(place.sequence.wrapping_sub(left.sequence));
        self.resynced = place.position;
        // A hostile index may advance by up to half of all positions, after which an old bound would lie ahead again.
        self.fast_until = place.position;
        Some((left, place))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::ring::protocol::transfer::Gap;

    #[test]
    fn what_was_lost_does_not_count_as_received() {
        let ring = crate::Ring::heap(&Options::new().capacity(4096)).expect("a ring");
        let mut producer = ring.producer().expect("a producer");
        let place = producer.sender.writer().published();
        let mut reader = Reader::new(place, Overwritable::Always, 1, 4096);
        let mut copies = Copies::default();
        for _ in 0..1000 {
            producer.send(&[7; 56]).expect("nobody is in the way");
        }
        let areas = producer.sender.region().areas();
        assert_eq!(reader.poll(areas, &mut copies), Found::Lapped);
        let (left, place) = reader.resync(areas).expect("a way on");
        assert!(place.sequence - left.sequence > 900);
        assert_eq!(reader.backoff.received(reader.next), 0);
        assert!(matches!(reader.poll(areas, &mut copies), Found::Record(_)));
        assert_eq!(reader.backoff.received(reader.next), 1);
    }

    #[test]
    fn what_a_line_takes_decides_how_a_reader_polls() {
        let ring = crate::Ring::heap(&Options::new().capacity(4096)).expect("a ring");
        let mut producer = ring.producer().expect("a producer");
        let mut reader = Reader::new(producer.sender.writer().published(), Overwritable::Never, 1, 4096);
        // Two looks at the clock take 20 ns, and the poll between the second and the third its own time.
        let mut polls = |is_there: bool, line_ns: u64| {
            if is_there {
                producer.send(&[7; 8]).expect("room");
            }
            let mut times = [0, 20, 40 + line_ns].into_iter();
            reader.timed_poll(producer.sender.region().areas(), || times.next().expect("three looks"));
            reader.backoff.gap()
        };
        assert_eq!([polls(false, 240), polls(false, 240)], [Gap::Moment; 2], "no line has come");
        assert_eq!([polls(true, 60), polls(false, 60)], [Gap::Moment; 2]);
        assert_eq!([polls(true, 240), polls(true, 240)], [Gap::Moment, Gap::Pause]);
        assert_eq!([polls(true, 60), polls(true, 60)], [Gap::Pause, Gap::Moment]);
    }
}
