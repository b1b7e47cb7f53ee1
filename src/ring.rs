//! The protocol: how the producer publishes and how readers read. It sees typed words, never an address and
//! never the operating system, so the same code runs over a file, a heap block and loom.
//!
//! Only two words that others look at change for every record: the record itself and `published`.
//!
//! ```text
//! producer, record of footprint f at position p, e = p + f         reader at position c
//!
//! 1  e past the limit: rescan the gates (gate.rs)                  1  t = published          [R4] fence
//! 2  e past reserve:   reserve = round_up(e, stride)  [W1] fence      t not after c: nothing
//! 3  header and payload into the ring                 [W2]         2  t - c one short record, and the express
//! 4  stamp = e [W3] fence, header and payload into                    copy's stamp is t:     [R3] fence
//!    the express block, if the record fits                            take the copy
//! 5  published = e                                    [W4]         3  else the record at c, checked against t
//! 6  index entry, if a segment was entered (index.rs)                 and the private geometry
//! 7  wake check (wait.rs)                                          4  a reader that can be overwritten:
//!                                                                     c below reserve - capacity [R1]: lapped
//! ```
//!
//! Edges (each release names its acquire; `docs/ordering.md` has the model that fails without it):
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | W1 → R1 | `reserve` before any dirtied word | word before the look at `reserve` | a torn record is taken for whole |
//! | W3 → R3 | `stamp` before the express words | express words before the look at `stamp` | a torn express copy is taken |
//! | W4 → R4 | record before `published` | `published` before the record | an unwritten record is read |
//! | R5 → W5 | reads before the cursor (gate.rs) | cursor before the next lap's writes | a gated record is overwritten while it is read |
//!
//! A record never wraps: where it does not fit before the end of the ring, the rest is padding, published on its
//! own before the record (inside a batch: with it). So no publish spans more than half the ring.

use crate::copy;
use crate::error::Corruption;
use crate::index::{self, Place, Step, after, floor};
use crate::layout::{Areas, EXPRESS_BYTES, Geometry, PADDING_BIT, footprint, header, unpack};
use crate::patience::Patience;
use crate::sync::{at, fence_at};

/// The producer's private half: what it needs to know without asking shared memory.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Everything below is visible.
    published: Place,
    /// Where the next claim begins: ahead of `published` only inside a batch.
    staged: Place,
    /// The shared `reserve`.
    reserve: u64,
    /// No claim may pass this until the gates are scanned again.
    limit: u64,
    /// A claim that ends before this needs no other check: not after the limit, `reserve`, the end of the segment
    /// and so of the ring, nor the most that a batch may span.
    near: u64,
    /// The segment, counted over all laps, of the newest index entry written or noted.
    noted: u64,
    /// Places to be written to the index once they are published.
    notes: Vec<Place>,
    segment_shift: u32,
    clock: fn() -> u64,
}

/// Room for one record, not yet visible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    /// Word number of the payload in the data area.
    word: usize,
    pub(crate) len: u32,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A gate is in the way: the claim needs everything below this position minus the capacity released.
    Full { end: u64 },
    /// The batch would span more than half the ring.
    BatchFull,
}

impl Writer {
    /// Goes on where the ring stands. The caller holds the producer's lock, and the segment of `published` has
    /// its index entry.
    pub(crate) fn resume(areas: Areas<'_>, published: Place, clock: fn() -> u64) -> Self {
        let segment_shift = areas.geometry.stride().trailing_zeros();
        // The dead producer's `reserve` stays: what it dirtied must not come to look whole. The limit forces the
        // first claim to scan the gates, and the fence of that scan [G1] orders this look at `reserve` before the
        // first word dirtied below it without a [W1] of our own.
        let reserve = areas.head.reserve.reserve.load(at!(T1_RESERVE, Relaxed));
        Self {
            published,
            staged: published,
            reserve,
            limit: published.position,
            near: published.position,
            noted: published.position >> segment_shift,
            notes: Vec::with_capacity(areas.geometry.segments as usize + 1),
            segment_shift,
            clock,
        }
    }

    pub(crate) fn published(&self) -> Place {
        self.published
    }

    pub(crate) fn staged(&self) -> Place {
        self.staged
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.near = self.published.position;
    }

    /// Room for a record of `len` payload bytes, where that takes one comparison. `None`: ask `claim`.
    #[inline(always)]
    pub(crate) fn claim_near(&self, geometry: &Geometry, len: u32) -> Option<Claimed> {
        let position = self.staged.position;
        let end = position.wrapping_add(footprint(len as usize));
        after(self.near, end).then(|| Claimed { word: geometry.word(position) + 1, len })
    }

    /// Room for a record of `len` payload bytes, which the caller has checked against the largest allowed.
    pub(crate) fn claim(&mut self, areas: Areas<'_>, len: u32) -> Result<Claimed, Refused> {
        let size = footprint(len as usize);
        let room = areas.geometry.room(self.staged.position);
        if size > room {
            self.pad(areas, room, size)?;
        }
        let position = self.staged.position;
        let end = position.wrapping_add(size);
        self.make_room(areas, end)?;
        let stride = areas.geometry.stride();
        let segment_end = (position & !(stride - 1)).wrapping_add(stride);
        let batch_end = self.published.position.wrapping_add(areas.geometry.capacity / 2);
        let first = |a, b| if after(a, b) { b } else { a };
        self.near = first(first(segment_end, batch_end), first(self.reserve, self.limit));
        Ok(Claimed { word: areas.geometry.word(position) + 1, len })
    }

    /// Makes everything up to `end` writable.
    fn make_room(&mut self, areas: Areas<'_>, end: u64) -> Result<(), Refused> {
        if end.wrapping_sub(self.published.position) > areas.geometry.capacity / 2
            && self.staged.position != self.published.position
        {
            return Err(Refused::BatchFull);
        }
        if after(end, self.limit) {
            return Err(Refused::Full { end });
        }
        if after(end, self.reserve) {
            self.raise_reserve(areas, end);
        }
        Ok(())
    }

    /// [W1]: tells readers what is about to be dirtied, a stride at a time, so that their copy of that line
    /// changes once per stride and not once per record. The limit caps it: what a gated consumer still has to
    /// read never looks lost, and the first write past an evicted consumer's cursor always comes through here.
    fn raise_reserve(&mut self, areas: Areas<'_>, end: u64) {
        let stride = areas.geometry.stride();
        let rounded = end.wrapping_add(stride - 1) & !(stride - 1);
        self.reserve = if after(rounded, self.limit) { self.limit } else { rounded };
        areas.head.reserve.reserve.store(self.reserve, at!(W1_RESERVE, Relaxed));
        // [W1] Release. Pairs with [R1] in `index::floor`.
        // Orders: `reserve` before every word dirtied below it.
        // Without it: a reader may copy those words and still find its record below `reserve`.
        fence_at!(W1_FENCE, Release);
    }

    /// Fills the ring up to its end, so that a record of footprint `size` starts at its beginning.
    fn pad(&mut self, areas: Areas<'_>, room: u64, size: u64) -> Result<(), Refused> {
        let alone = self.staged.position == self.published.position;
        let end = self.staged.position.wrapping_add(room);
        if !alone
            && end.wrapping_add(size).wrapping_sub(self.published.position) > areas.geometry.capacity / 2
        {
            return Err(Refused::BatchFull);
        }
        self.make_room(areas, end)?;
        let word = areas.geometry.word(self.staged.position);
        areas.data[word].store(header(PADDING_BIT, 0), at!(W2_PADDING, Relaxed));
        self.staged = self.staged.past_padding(room);
        self.note();
        if alone {
            self.publish(areas, self.staged);
            self.write_notes(areas);
        }
        Ok(())
    }

    /// Where the payload of `claimed` goes.
    #[inline(always)]
    pub(crate) fn payload<'a>(&self, areas: Areas<'a>, claimed: Claimed) -> &'a [crate::sync::Word] {
        &areas.data[claimed.word..claimed.word + (claimed.len as usize).div_ceil(8)]
    }

    /// The claim's record is complete: it joins what the next `publish` makes visible. Returns the place behind it.
    #[inline(always)]
    pub(crate) fn stage(&mut self, areas: Areas<'_>, claimed: Claimed) -> Place {
        let sequence = self.staged.sequence;
        areas.data[claimed.word - 1].store(header(claimed.len, sequence), at!(W2_HEADER, Relaxed));
        let staged = self.staged.past_record(claimed.len);
        self.staged = staged;
        if staged.position >> self.segment_shift != self.noted {
            self.note();
        }
        staged
    }

    /// The staged place is the first boundary of its segment.
    #[cold]
    fn note(&mut self) {
        self.noted = self.staged.position >> self.segment_shift;
        self.notes.push(self.staged);
    }

    /// [W3]: the newest record once more, on the same two cache lines as `published`, for a reader that waits
    /// for it. Only for a record that is published alone; call it between `stage` and `publish`.
    #[inline(always)]
    pub(crate) fn express(
        &self,
        areas: Areas<'_>,
        claimed: Claimed,
        staged: Place,
        fill: impl FnOnce(&[crate::sync::Word]),
    ) {
        if !areas.geometry.express || claimed.len as usize > EXPRESS_BYTES {
            return;
        }
        let express = &areas.head.express;
        express.stamp.store(staged.position, at!(W3_STAMP, Relaxed));
        // [W3] Release. Pairs with [R3].
        // Orders: the new stamp before the new words.
        // Without it: a reader may copy new words and still find the old stamp.
        fence_at!(W3_FENCE, Release);
        let sequence = staged.sequence.wrapping_sub(1);
        express.header.store(header(claimed.len, sequence), at!(W3_HEADER, Relaxed));
        fill(&express.payload[..(claimed.len as usize).div_ceil(8)]);
    }

    /// [W4]: everything staged becomes visible at once. `staged` is what `stage` has returned last: read back from
    /// here, it would have to wait for the stores before it.
    #[inline(always)]
    pub(crate) fn publish(&mut self, areas: Areas<'_>, staged: Place) {
        // [W4] Release. Pairs with [R4].
        // Orders: header, payload and express copy before `published`.
        // Without it: a reader may see `published` and read what the last lap left there.
        areas.head.express.published.store(staged.position, at!(W4_PUBLISHED, Release));
        self.published = staged;
    }

    /// Has `publish` made places visible that the index does not have yet? Then `write_notes` comes next.
    #[inline(always)]
    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    pub(crate) fn write_notes(&mut self, areas: Areas<'_>) {
        let now = (self.clock)();
        for place in self.notes.drain(..) {
            index::write(areas, place, now);
        }
    }

    /// Forgets what is staged and not published.
    pub(crate) fn discard(&mut self) {
        self.staged = self.published;
        self.near = self.published.position;
        self.noted = self.published.position >> self.segment_shift;
        self.notes.clear();
    }
}

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

/// A reader's private half.
#[derive(Debug)]
pub(crate) struct Reader {
    next: Place,
    /// The newest `published` seen.
    seen: u64,
    /// Records that begin before this have nothing before them to be told, and nobody overwrites them.
    near: u64,
    guard: Guard,
    /// The producer's epoch, and the place where a newer one began that was not told yet.
    epoch: u64,
    change: Option<(u64, u64)>,
    /// Laps in short succession, and where the last one ended: the margin grows with them.
    laps: u32,
    resynced: u64,
    patience: Patience,
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A record. Its payload is in the buffer, or, for a reader nobody overwrites, at this word of the ring.
    Record {
        sequence: u64,
        len: u32,
        lent: Option<usize>,
    },
    /// The producer overwrote the place to be read: resync.
    Lapped,
    /// The records from here on are another producer's.
    Changed {
        epoch: u64,
    },
    Corrupt(Corruption),
}

/// A record that stays where it is: its payload begins at `word` of the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent {
    pub(crate) sequence: u64,
    pub(crate) len: u32,
    pub(crate) word: usize,
}

impl Reader {
    pub(crate) fn new(next: Place, guard: Guard, epoch: u64) -> Self {
        Self {
            next,
            seen: next.position,
            near: next.position,
            guard,
            epoch,
            change: None,
            laps: 0,
            resynced: next.position,
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

    /// The next record, where that takes one look at its header. `None`: ask `poll`.
    #[inline(always)]
    pub(crate) fn poll_near(&mut self, areas: Areas<'_>) -> Option<Lent> {
        if !after(self.near, self.next.position) {
            return None;
        }
        let word = areas.geometry.word(self.next.position);
        let header = areas.data[word].load_gated(at!(R2_HEADER, Relaxed));
        let Step::Record(len) = self.next.judge(areas, header, self.seen) else { return None };
        let sequence = self.next.sequence;
        self.next = self.next.past_record(len);
        Some(Lent { sequence, len, word: word + 1 })
    }

    /// Reads one record: into `buffer`, unless it can be lent.
    #[inline]
    pub(crate) fn poll(&mut self, areas: Areas<'_>, buffer: &mut Vec<u8>) -> Found {
        loop {
            let fresh = !after(self.seen, self.next.position);
            if fresh {
                self.patience.before_look(self.next);
                match self.look(areas) {
                    Ok(true) => {}
                    Ok(false) => return Found::Nothing,
                    Err(corruption) => return Found::Corrupt(corruption),
                }
                if self.guard == Guard::Never && self.change.is_none() {
                    self.near = self.seen;
                }
            }
            if let Some((began, epoch)) = self.change
                && !after(began, self.next.position)
            {
                self.change = None;
                return Found::Changed { epoch };
            }
            if fresh
                && areas.geometry.express
                && self.seen.wrapping_sub(self.next.position) <= footprint(EXPRESS_BYTES)
                && let Some(found) = self.express(areas, buffer)
            {
                return found;
            }
            if let Some(found) = self.record(areas, buffer) {
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
            // Without it: a consumer tells of the new producer where the one before it began.
            fence_at!(R7_FENCE, Acquire);
            // The first producer of all succeeds nobody.
            if epoch > 1 {
                let began = areas.head.reserve.epoch_position.load(at!(R4_EPOCH_POSITION, Relaxed));
                self.change = Some((began, epoch));
            }
        }
        Ok(true)
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
    fn express(&mut self, areas: Areas<'_>, buffer: &mut Vec<u8>) -> Option<Found> {
        let express = &areas.head.express;
        let (len, sequence) = unpack(express.header.load(at!(R3_HEADER, Relaxed)));
        let fits = len as usize <= EXPRESS_BYTES
            && self.seen.wrapping_sub(self.next.position) == footprint(len as usize)
            && sequence == self.next.sequence as u32;
        if !fits {
            return None;
        }
        copy_out(&express.payload, len, buffer, false);
        // [R3] Acquire. Pairs with [W3].
        // Orders: the copied words before the look at the stamp.
        // Without it: a reader may copy the next record's words and still find its own stamp.
        fence_at!(R3_FENCE, Acquire);
        let whole = express.stamp.load(at!(R3_STAMP, Relaxed)) == self.seen;
        whole.then(|| self.take(len, None))
    }

    /// The record in the ring; `None`: it was padding, and reading goes on behind it.
    #[inline(always)]
    fn record(&mut self, areas: Areas<'_>, buffer: &mut Vec<u8>) -> Option<Found> {
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
            copy_out(&areas.data[word + 1..end], len, buffer, false);
        }
        // Judged first, checked then: a strange header is corruption only where it was not the next lap's.
        if guarded && after(floor(areas), self.next.position) {
            return Some(Found::Lapped);
        }
        match step {
            Step::Record(len) => Some(self.take(len, (!guarded).then_some(word + 1))),
            Step::Padding(size) => {
                self.next = self.next.past_padding(size);
                None
            }
            Step::Bad(what) => Some(Found::Corrupt(Corruption { position: self.next.position, what })),
        }
    }

    #[inline(always)]
    fn take(&mut self, len: u32, lent: Option<usize>) -> Found {
        let sequence = self.next.sequence;
        self.next = self.next.past_record(len);
        Found::Record { sequence, len, lent }
    }

    /// After a lap: goes on at the oldest intact place with a margin, which grows while laps follow each other.
    /// The very oldest would be overwritten again at once, the newest would throw away up to a whole ring.
    /// Returns the place left and the place gone to; `None`: the index was being rewritten, try again.
    #[cold]
    pub(crate) fn resync(&mut self, areas: Areas<'_>) -> Option<(Place, Place)> {
        let capacity = areas.geometry.capacity;
        let far = self.next.position.wrapping_sub(self.resynced) >= capacity / 2;
        self.laps = if far { 0 } else { (self.laps + 1).min(2) };
        let place = index::oldest(areas, (capacity / 8) << self.laps)?;
        if !after(place.position, self.next.position) {
            return None;
        }
        let left = core::mem::replace(&mut self.next, place);
        self.resynced = place.position;
        Some((left, place))
    }
}

/// The first `len` bytes of `words` into `buffer`, which keeps its allocation from record to record.
#[inline(always)]
fn copy_out(words: &[crate::sync::Word], len: u32, buffer: &mut Vec<u8>, gated: bool) {
    buffer.clear();
    copy::read_vec(words, len as usize, buffer, gated);
}
