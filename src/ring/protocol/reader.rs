//! A reader's side of the ring: look, take, check; and where to go on after a lap. The right column of the table
//! in `ring.rs`.

use crate::atomics::copy;
use crate::atomics::{Word, at, fence_at};
use crate::error::Corruption;
use crate::layout::{Areas, EXPRESS_BYTES, footprint, unpack};
use crate::ring::protocol::backoff::Patience;
use crate::ring::protocol::index;
use crate::ring::protocol::lookahead::{Copies, SHORT};
use crate::ring::protocol::run::{Ahead, Stride};
use crate::ring::protocol::{Place, Step, after, floor};
use crate::wait::clock;

/// Who can be overwritten while reading, and so has to check [R1] after every copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Lossy, observer, deadline: at any time.
    Always,
    /// Gated, but below this position the producer may have been let past before the gate was seen.
    Until(u64),
    /// Gated: never.
    Never,
}

/// Most bytes that are asked for ahead of the header.
const FETCH: u64 = 512;

/// Most bytes that `poll_near` may read at a time: less than padding's bit in a length.
const NEAR_MOST: u64 = 1 << 30;

/// A reader's private half.
#[derive(Debug)]
pub(crate) struct Reader {
    next: Place,
    /// The newest `published` seen.
    seen: u64,
    /// Records that end here or before take no more than a look at their header: they are published, nobody
    /// overwrites them or they are copied, nothing is to be told before them, and none of them reaches past the end
    /// of the ring.
    near: u64,
    /// Payload bytes of the last record that was not an express copy.
    usual: u32,
    guard: Guard,
    /// The producer's epoch, and the place where a newer one began that was not told yet.
    epoch: u64,
    change: Option<(u64, u64)>,
    /// Laps in short succession, and where the last one ended: the margin grows with them.
    laps: u32,
    resynced: u64,
    /// A place from which on a gate holds, if one is known.
    held: Option<Place>,
    patience: Patience,
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Record(Taken),
    /// The producer overwrote the place to be read: resync.
    Lapped,
    /// The records from here on are another producer's.
    Changed {
        epoch: u64,
    },
    Corrupt(Corruption),
}

/// A record: its payload is the last of the copies, or, for a reader nobody overwrites, at this word of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) sequence: u64,
    pub(crate) len: u32,
    pub(crate) lent: Option<usize>,
}

impl Reader {
    pub(crate) fn new(next: Place, guard: Guard, epoch: u64) -> Self {
        Self {
            next,
            seen: next.position,
            near: next.position,
            usual: 0,
            guard,
            epoch,
            change: None,
            laps: 0,
            resynced: next.position,
            held: None,
            patience: Patience::new(next),
        }
    }

    /// The place of the next record to be read.
    pub(crate) fn next(&self) -> Place {
        self.next
    }

    pub(crate) fn guard(&self) -> Guard {
        self.guard
    }

    /// A gate is open, and holds from `published` on; `held` is a place from there on, if one is known. `overwritten`: it
    /// may be taken away.
    pub(crate) fn gate_holds(&mut self, published: u64, held: Option<Place>, overwritten: bool) {
        self.guard = if overwritten { Guard::Always } else { Guard::Until(published) };
        self.held = held;
        self.forbid_near();
    }

    /// For a name that comes back: the change of producers that came while it was away is told where it was.
    pub(crate) fn recall_change(&mut self, areas: Areas<'_>) {
        let epoch = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        // [R7] Acquire. Pairs with [T2], as in `look`.
        fence_at!(R7_FENCE, Acquire);
        let began = areas.head.reserve.began(epoch).load(at!(R4_EPOCH_POSITION, Relaxed));
        // The first producer of all succeeds nobody.
        if epoch > 1 && !after(self.next.position, began) {
            self.epoch = epoch;
            self.change = Some((began, epoch));
        }
    }

    /// The gate is not open: this reader can be overwritten at any time.
    pub(crate) fn gate_is_shut(&mut self) {
        self.guard = Guard::Always;
        self.held = None;
        self.forbid_near();
    }

    /// Leaves everything before `place` out. Returns the place left.
    pub(crate) fn skip_to(&mut self, place: Place) -> Place {
        self.resynced = place.position;
        self.near = place.position;
        core::mem::replace(&mut self.next, place)
    }

    /// Has something been published that this reader has not read?
    #[inline]
    pub(crate) fn is_behind(&self, areas: Areas<'_>) -> bool {
        after(areas.head.express.published.load(at!(R4_PEEK, Relaxed)), self.next.position)
    }

    #[inline(always)]
    fn guarded(&mut self) -> bool {
        match self.guard {
            Guard::Never => false,
            Guard::Always => true,
            Guard::Until(position) => {
                let below = after(position, self.next.position);
                if !below {
                    self.guard = Guard::Never;
                }
                below
            }
        }
    }

    /// The next record, where that takes one look at its header, in the ring or in the copies. `None`: ask `poll`.
    #[inline(always)]
    pub(crate) fn poll_near(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Taken> {
        if !after(self.near, self.next.position) {
            return None;
        }
        let left = self.near.wrapping_sub(self.next.position);
        let word = areas.geometry.word(self.next.position);
        let is_copied = self.guard != Guard::Never;
        let (len, sequence) = unpack(if is_copied {
            copies.header(self.next.position)?
        } else {
            areas.data[word].load_gated(at!(R2_HEADER, Relaxed))
        });
        // A guess, checked by a branch: the next record's address then waits for no length.
        if len != self.usual {
            self.usual_is(len);
        }
        let len = self.usual;
        // Padding, and every strange length, is larger than what is left: `judge` has the word for it.
        if footprint(len as usize) > left || sequence != self.next.sequence as u32 {
            return None;
        }
        Some(Taken { sequence: self.take(len), len, lent: (!is_copied).then_some(word + 1) })
    }

    #[cold]
    #[inline(never)]
    fn usual_is(&mut self, len: u32) {
        self.usual = len;
    }

    /// Steps from record to record for as long as `poll_near` would take them, for a reader whom nobody overwrites. `go_to`
    /// brings back where they have led.
    #[inline(always)]
    pub(crate) fn stride<'a>(&self, areas: Areas<'a>) -> Option<Stride<&'a [Word]>> {
        let is_near = self.guard == Guard::Never && after(self.near, self.next.position);
        let ahead = is_near.then(|| (self.near.wrapping_sub(self.next.position) / 8) as usize)?;
        let word = areas.geometry.word(self.next.position);
        // No further than the end of the ring, by `allow_near`.
        Some(Stride::new(areas.data.get(word..word + ahead)?, self.next, self.usual))
    }

    /// The same over copies.
    #[inline(always)]
    pub(crate) fn stride_copied<'a>(&self, copies: &'a Copies) -> Option<Stride<&'a [[u8; 8]]>> {
        let is_near = self.guard == Guard::Always && after(self.near, self.next.position);
        let words = is_near.then(|| copies.between(self.next.position, self.near))??;
        Some(Stride::new(words, self.next, self.usual))
    }

    /// Goes on where the steps have led.
    #[inline(always)]
    pub(crate) fn go_to<A: Ahead>(&mut self, stride: &Stride<A>) {
        self.next = stride.place();
        self.usual = stride.usual();
    }

    /// After a look that has found records: those below `limit` may come through `poll_near`, which looks at
    /// nothing but their headers. It goes no further than what is published, nor across the end of the ring; and where
    /// they can be overwritten, no further than there are copies.
    #[inline]
    pub(crate) fn allow_near(&mut self, areas: Areas<'_>, copies: &Copies, limit: Option<u64>) {
        if self.change.is_some() {
            return;
        }
        let first = |a, b| if after(a, b) { b } else { a };
        let end = match self.guard {
            Guard::Never => {
                let room = areas.geometry.room(self.next.position).min(NEAR_MOST);
                first(self.seen, self.next.position.wrapping_add(room))
            }
            Guard::Always => copies.end().unwrap_or(self.next.position),
            Guard::Until(_) => return,
        };
        self.near = limit.map_or(end, |limit| first(end, limit));
    }

    /// Every record comes through `poll` again.
    pub(crate) fn forbid_near(&mut self) {
        self.near = self.next.position;
    }

    /// Has something come for a reader that had read everything, with nothing to be told before it? False: ask `poll`.
    #[inline(always)]
    pub(crate) fn has_come(&mut self, areas: Areas<'_>) -> bool {
        if self.seen != self.next.position || self.change.is_some() {
            return false;
        }
        self.patience.before_look(self.next, clock::monotonic_ns);
        self.look(areas).is_ok_and(|new| new) && self.change.is_none()
    }

    /// The next record, copied, where it is the one that has come, and has an express copy. `None`: it is in the ring.
    #[inline(always)]
    pub(crate) fn poll_express(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Taken> {
        let short = self.seen.wrapping_sub(self.next.position) <= footprint(EXPRESS_BYTES);
        if short && areas.geometry.express {
            return self.express(areas, copies);
        }
        // Whoever waits for the header of a longer record first, to learn how long it is, waits for the other side's
        // cache twice.
        self.fetch(areas);
        None
    }

    /// The next of the records that were there at the last look, for a reader that can be overwritten at any time.
    /// `None`: ask `poll`.
    #[inline(always)]
    pub(crate) fn poll_copied(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Taken> {
        if self.guard != Guard::Always || self.change.is_some() || !after(self.seen, self.next.position) {
            return None;
        }
        let found = self.several(areas, copies).or_else(|| self.record(areas, copies));
        match found {
            Some(Found::Record(taken)) => Some(taken),
            // Nothing was taken: `poll` finds it again.
            _ => None,
        }
    }

    /// The next record, where records are short, out of a copy of several. `None`: ask `record`.
    #[inline(always)]
    fn several(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Found> {
        let mut copied = copies.record(areas, &self.next);
        if copied.is_none() && self.usual <= SHORT {
            copies.several(areas, self.next.position, self.seen);
            // What is whole here is whole further on.
            if after(floor(areas), self.next.position) {
                copies.one();
                return Some(Found::Lapped);
            }
            copied = copies.record(areas, &self.next);
        }
        let len = copied?;
        self.usual = len;
        Some(Found::Record(Taken { sequence: self.take(len), len, lent: None }))
    }

    /// Reads one record: copied, unless it can be lent.
    #[inline]
    pub(crate) fn poll(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Found {
        loop {
            let fresh = !after(self.seen, self.next.position);
            if fresh {
                self.patience.before_look(self.next, clock::monotonic_ns);
                match self.look(areas) {
                    Ok(true) => {}
                    Ok(false) => return Found::Nothing,
                    Err(corruption) => return Found::Corrupt(corruption),
                }
            }
            if let Some((began, epoch)) = self.change
                && !after(began, self.next.position)
            {
                self.change = None;
                return Found::Changed { epoch };
            }
            if fresh && let Some(taken) = self.poll_express(areas, copies) {
                return Found::Record(taken);
            }
            if self.guard == Guard::Always
                && let Some(found) = self.several(areas, copies)
            {
                return found;
            }
            if let Some(found) = self.record(areas, copies) {
                return found;
            }
        }
    }

    /// [R4]: is there anything new?
    #[inline(always)]
    fn look(&mut self, areas: Areas<'_>) -> Result<bool, Corruption> {
        let published = areas.head.express.published.load(at!(R4_PUBLISHED, Relaxed));
        // By signed distance, not equality: after a resync this reader may be ahead of a `published` that it is
        // still served stale.
        if !after(published, self.next.position) {
            return self.steady(published);
        }
        // [R4] Acquire. Pairs with [W4].
        // Orders: `published` before the record, the epoch and the express copy.
        // Without it: a reader may read what the last lap left in place of the record.
        fence_at!(R4_FENCE, Acquire);
        self.seen = published;
        let epoch = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        if epoch != self.epoch {
            self.epoch = epoch;
            // [R7] Acquire. Pairs with [T2].
            // Orders: the epoch before the position where it began.
            // Without it: a consumer tells of the new producer where the one before the last began.
            fence_at!(R7_FENCE, Acquire);
            // The first producer of all succeeds nobody.
            if epoch > 1 {
                let began = areas.head.reserve.began(epoch).load(at!(R4_EPOCH_POSITION, Relaxed));
                self.change = Some((began, epoch));
            }
        }
        Ok(true)
    }

    /// Asks for the lines of what is new, all at once.
    #[inline(always)]
    fn fetch(&self, areas: Areas<'_>) {
        let new = self.seen.wrapping_sub(self.next.position).min(FETCH);
        for line in (0..new).step_by(64) {
            copy::will_read(&areas.data[areas.geometry.word(self.next.position.wrapping_add(line))]);
        }
    }

    /// Nothing new. But one word never goes back for one reader.
    #[inline(always)]
    fn steady(&self, published: u64) -> Result<bool, Corruption> {
        if after(self.seen, published) {
            return Err(Corruption { position: published, what: "a published cursor that went back" });
        }
        Ok(false)
    }

    /// [R3]: the copy beside `published`, if it is the one record that is missing.
    #[inline(always)]
    fn express(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Taken> {
        let express = &areas.head.express;
        let (len, sequence) = unpack(express.header.load(at!(R3_HEADER, Relaxed)));
        let fits = len as usize <= EXPRESS_BYTES
            && self.seen.wrapping_sub(self.next.position) == footprint(len as usize)
            && sequence == self.next.sequence as u32;
        if !fits {
            return None;
        }
        copy_out(&express.payload, len, copies);
        // [R3] Acquire. Pairs with [W3].
        // Orders: the copied words before the look at the stamp.
        // Without it: a reader may copy the next record's words and still find its own stamp.
        fence_at!(R3_FENCE, Acquire);
        let whole = express.stamp.load(at!(R3_STAMP, Relaxed)) == self.seen;
        whole.then(|| Taken { sequence: self.take(len), len, lent: None })
    }

    /// The record in the ring; `None`: it was padding, and reading goes on behind it.
    #[inline(always)]
    fn record(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Found> {
        let guarded = self.guarded();
        let word = areas.geometry.word(self.next.position);
        let header = if guarded {
            areas.data[word].load(at!(R2_HEADER, Relaxed))
        } else {
            areas.data[word].load_gated(at!(R2_HEADER, Relaxed))
        };
        let step = self.next.judge(areas, header, self.seen);
        if guarded && let Step::Record(len) = step {
            let end = word + 1 + (len as usize).div_ceil(8);
            copy_out(&areas.data[word + 1..end], len, copies);
        }
        // Judged first, checked then: a strange header is corruption only where it was not the next lap's.
        if guarded && after(floor(areas), self.next.position) {
            return Some(Found::Lapped);
        }
        match step {
            Step::Record(len) => {
                self.usual = len;
                let lent = (!guarded).then_some(word + 1);
                Some(Found::Record(Taken { sequence: self.take(len), len, lent }))
            }
            Step::Padding(size) => {
                self.next = self.next.past_padding(size);
                None
            }
            Step::Bad(what) => Some(Found::Corrupt(Corruption { position: self.next.position, what })),
        }
    }

    /// Goes past a record, and returns its sequence.
    #[inline(always)]
    fn take(&mut self, len: u32) -> u64 {
        let sequence = self.next.sequence;
        self.next = self.next.past_record(len);
        sequence
    }

    /// After a lap: goes on at the oldest intact place with a margin, which grows while laps follow each other.
    /// The very oldest would be overwritten again at once, the newest would throw away up to a whole ring.
    /// Returns the place left and the place gone to; `None`: the index was being rewritten, try again.
    #[cold]
    pub(crate) fn resync(&mut self, areas: Areas<'_>) -> Option<(Place, Place)> {
        let capacity = areas.geometry.capacity;
        let far = self.next.position.wrapping_sub(self.resynced) >= capacity / 2;
        self.laps = if far { 0 } else { (self.laps + 1).min(2) };
        let mut place = index::oldest(areas, (capacity / 8) << self.laps)?;
        // What a gate holds is not left out for the sake of a margin.
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
        self.patience.lost(place.sequence.wrapping_sub(left.sequence));
        self.resynced = place.position;
        // A hostile index may lead half-way round all positions at a time: an old bound would come to lie ahead again.
        self.near = place.position;
        Some((left, place))
    }
}

/// The first `len` bytes of `words`, which may be overwritten meanwhile.
#[inline(always)]
fn copy_out(words: &[Word], len: u32, copies: &mut Copies) {
    copy::read_vec(words, len as usize, copies.one(), false);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn what_was_lost_does_not_count_as_received() {
        let ring = Options::new().capacity(4096).local().expect("a ring");
        let mut producer = ring.producer().expect("a producer");
        let mut reader = Reader::new(producer.writer().published(), Guard::Always, 1);
        let mut copies = Copies::default();
        for _ in 0..1000 {
            producer.send(&[7; 56]).expect("nobody is in the way");
        }
        let areas = producer.areas();
        assert_eq!(reader.poll(areas, &mut copies), Found::Lapped);
        let (left, place) = reader.resync(areas).expect("a way on");
        assert!(place.sequence - left.sequence > 900);
        assert_eq!(reader.patience.received(reader.next), 0);
        assert!(matches!(reader.poll(areas, &mut copies), Found::Record(_)));
        assert_eq!(reader.patience.received(reader.next), 1);
    }
}
