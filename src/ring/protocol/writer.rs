//! The producer's side of the ring: claim, fill, publish. The left column of the diagram in `protocol/mod.rs`.

use crate::atomics::copy;
use crate::atomics::{Word, at, fence_at};
use crate::ring::geometry::{Areas, Geometry};
use crate::ring::layout::{PADDING_BIT, footprint, header, word_of};
use crate::ring::protocol::index;
use crate::ring::protocol::pace::Pace;
use crate::ring::protocol::{Place, after};
use crate::wait::clock;

mod fill;
mod timed;

use timed::Timed;

/// The pace is measured after no more than this many bytes of records sent alone, so that they need not be counted.
const PACE_BYTES: u64 = 16 << 10;

/// The producer's private state, which it uses instead of reading shared memory.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Where the next claim begins. Outside a batch everything below is visible, except the record being sent.
    staged: Place,
    /// Inside a batch: everything below is visible.
    batch: Option<Place>,
    /// The shared `reserve`.
    reserve: u64,
    /// No claim may pass this until the gates are scanned again.
    limit: u64,
    /// A claim that ends before this needs no other check. It is not after the limit, `reserve`, the end of the
    /// segment (and so of the ring), or the most that a batch may span.
    fast_until: u64,
    /// The same for a record that is sent alone. It is not after `published` in a batch, which may have been passed to
    /// `mem::forget`, nor far ahead, so that the pace is measured at times.
    alone_until: u64,
    /// A guard against truncation is on. There is no fast way, because every record is followed by a check of the
    /// memory.
    guarded: bool,
    /// Not on a ring without times.
    timed: Option<Timed>,
    /// The segment of the newest index entry written or noted, counted over all laps.
    noted: u64,
    /// Places to write to the index once they are published.
    notes: Vec<Place>,
    segment_shift: u32,
    pace: Pace,
    clock: fn() -> u64,
}

/// Room for one record that is not visible yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    /// Word number of the payload in the data area.
    word: usize,
    /// Position behind the record.
    end: u64,
    pub(crate) len: u32,
    way: Way,
}

/// How a claim was made. As large as the length beside it, so that a copy of both loads what was stored, and does not
/// wait for two stores to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Way {
    /// One comparison was enough, and `open` stores the header: `publish_fast` may publish it.
    Alone,
    Checked,
    /// As checked, and the publish time in front of the payload is left out.
    Timed,
}

impl Claimed {
    /// The words for the header and for the payload.
    #[inline(always)]
    fn record(self, areas: Areas<'_>) -> Option<(&Word, &[Word])> {
        areas.data.get(self.word - 1..self.word + (self.len as usize).div_ceil(8))?.split_first()
    }

    /// The words for the payload.
    #[inline(always)]
    pub(crate) fn words(self, areas: Areas<'_>) -> &[Word] {
        &areas.data[self.word..self.word + (self.len as usize).div_ceil(8)]
    }
}

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A gate may be in the way: everything below this position minus the capacity has to be released.
    Full { end: u64 },
    /// The batch would span more than half the ring.
    BatchFull,
}

impl Writer {
    /// Continues at the ring's `published`. The caller holds the producer's lock, and the segment of `published` has
    /// its index entry. `last_ns`: on a ring with times, the newest of them. `guarded`: no claim takes the fast way.
    pub(crate) fn resume(
        areas: Areas<'_>,
        published: Place,
        last_ns: u64,
        guarded: bool,
        clock: fn() -> u64,
    ) -> Self {
        let segment_shift = areas.geometry.segment_bytes().trailing_zeros();
        // The dead producer's `reserve` stays, so that words it overwrote are not taken for whole. The limit forces
        // the first claim to scan the gates, and the fence of that scan [G1] orders this load of `reserve` before the
        // first word written below it without a [W1] of our own.
        let reserve = areas.head.reserve.reserve.load(at!(T1_RESERVE, Relaxed));
        Self {
            staged: published,
            batch: None,
            reserve,
            limit: published.position,
            fast_until: published.position,
            alone_until: published.position,
            guarded,
            timed: areas.geometry.timed.then(|| Timed::after(last_ns, published.position)),
            noted: published.position >> segment_shift,
            notes: Vec::with_capacity(areas.geometry.segments as usize + 1),
            segment_shift,
            pace: Pace::new(published.sequence, areas.geometry.inline),
            clock,
        }
    }

    /// Everything below is visible. Between `stage` and `publish` of a record sent alone, this includes that record.
    pub(crate) fn published(&self) -> Place {
        self.batch.unwrap_or(self.staged)
    }

    /// Records staged from here on are published together.
    pub(crate) fn begin_batch(&mut self) {
        self.alone_until = self.staged.position;
        if let Some(timed) = &mut self.timed {
            timed.alone_until = self.staged.position;
        }
        self.batch = Some(self.staged);
    }

    #[inline(always)]
    pub(crate) fn in_batch(&self) -> bool {
        self.batch.is_some()
    }

    pub(crate) fn staged(&self) -> Place {
        self.staged
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.forbid_fast();
    }

    /// The next claim is checked.
    pub(crate) fn forbid_fast(&mut self) {
        self.fast_until = self.published().position;
        self.alone_until = self.fast_until;
        if let Some(timed) = &mut self.timed {
            (timed.fast_until, timed.alone_until) = (self.fast_until, self.alone_until);
        }
    }

    /// Room for a record of `len` payload bytes, if one comparison is enough. `None`: ask `claim`.
    #[inline(always)]
    pub(crate) fn claim_fast(&self, geometry: &Geometry, len: usize) -> Option<Claimed> {
        fast_room(self.staged.position, self.fast_until, geometry.capacity, len)
    }

    /// Whether a record of `len` payload bytes that is published alone has room, if one comparison is enough.
    #[inline(always)]
    pub(crate) fn has_room_alone(&self, geometry: &Geometry, len: usize) -> bool {
        self.room_alone(geometry, len).is_some()
    }

    /// The claim for which `has_room_alone` is true.
    #[inline(always)]
    pub(crate) fn claimed_alone(&self, areas: Areas<'_>, len: u32) -> Claimed {
        Claimed { way: Way::Alone, ..self.claimed(areas, len) }
    }

    /// The words for the payload of a claim. The header of one that is published by `publish_fast` is stored now, while
    /// the words are at hand, so that publishing needs no second check of bounds.
    #[inline(always)]
    pub(crate) fn open<'a>(&self, areas: Areas<'a>, claimed: Claimed) -> &'a [Word] {
        if claimed.way == Way::Alone
            && let Some((first, words)) = claimed.record(areas)
        {
            first.store(header(claimed.len, self.staged.sequence), at!(W2_HEADER, Relaxed));
            return words;
        }
        claimed.words(areas)
    }

    #[inline(always)]
    fn room_alone(&self, geometry: &Geometry, len: usize) -> Option<Claimed> {
        fast_room(self.staged.position, self.alone_until, geometry.capacity, len)
    }

    /// Sends a record alone, from the claim to the store of `published`, if one comparison is enough. Returns its
    /// sequence. `None`: nothing was done. The caller wakes the sleepers.
    ///
    /// The record is never the first of its segment, so it needs no index entry.
    #[inline(always)]
    pub(crate) fn send_fast(&mut self, areas: Areas<'_>, payload: &[u8]) -> Option<u64> {
        let claimed = self.room_alone(areas.geometry, payload.len())?;
        // One check of bounds for header and payload.
        let (first, words) = claimed.record(areas)?;
        let place = self.staged;
        first.store(header(claimed.len, place.sequence), at!(W2_HEADER, Relaxed));
        let staged = place.past_record(claimed.len);
        self.staged = staged;
        self.fill(areas, claimed, staged, words, payload);
        self.show(areas, staged);
        Some(place.sequence)
    }

    /// Publishes a claim that was filled in place, as `send_fast` does.
    #[inline(always)]
    pub(crate) fn publish_fast(&mut self, areas: Areas<'_>, claimed: Claimed, words: &[Word]) -> Option<u64> {
        if claimed.way != Way::Alone {
            return None;
        }
        let place = self.staged;
        let staged = Place { position: claimed.end, ..place.past_record(claimed.len) };
        self.staged = staged;
        self.repeat(areas, claimed, staged, words);
        self.show(areas, staged);
        Some(place.sequence)
    }

    /// The same for a record of a batch, which is staged but not published.
    #[inline(always)]
    pub(crate) fn add_fast(&mut self, areas: Areas<'_>, payload: &[u8]) -> Option<u64> {
        let claimed = self.claim_fast(areas.geometry, payload.len())?;
        copy::write(claimed.words(areas), payload);
        let place = self.staged;
        // The place behind it is in the same segment.
        self.staged = put_header(areas, claimed, place);
        Some(place.sequence)
    }

    /// Repeats `add_fast` while it would take the record and `goes_on`. Returns how many records it took, and the
    /// first payload that it did not take, or `None` if there are no more.
    ///
    /// All state that changes from record to record stays in registers meanwhile, and the compiler can remove most of
    /// the work if it knows the length. If `payloads` panics, the records written here are not staged.
    #[inline(always)]
    pub(crate) fn add_run<P: AsRef<[u8]>>(
        &mut self,
        areas: Areas<'_>,
        payloads: &mut impl Iterator<Item = P>,
        goes_on: impl Fn() -> bool,
    ) -> (u64, Option<P>) {
        self.add_while(areas, self.fast_until, 0, payloads, goes_on)
    }

    /// Each payload stands behind so many words that are written later.
    #[inline(always)]
    fn add_while<P: AsRef<[u8]>>(
        &mut self,
        areas: Areas<'_>,
        fast_until: u64,
        words_before: usize,
        payloads: &mut impl Iterator<Item = P>,
        goes_on: impl Fn() -> bool,
    ) -> (u64, Option<P>) {
        let capacity = areas.geometry.capacity;
        let first = self.staged.sequence;
        let mut staged = self.staged;
        let rest = loop {
            // Lent, not moved out of the option: a large payload would be copied once more.
            let next = payloads.next();
            let Some(payload) = &next else { break None };
            let bytes = payload.as_ref();
            // No slice is long enough for the sum to overflow.
            let room = fast_room(staged.position, fast_until, capacity, 8 * words_before + bytes.len());
            let Some(claimed) = room.filter(|_| goes_on()) else { break next };
            copy::write_run(&claimed.words(areas)[words_before..], bytes);
            staged = put_header(areas, claimed, staged);
        };
        self.staged = staged;
        (staged.sequence.wrapping_sub(first), rest)
    }

    /// Room for a record of `len` payload bytes, which the caller has checked against the largest allowed.
    pub(crate) fn claim(&mut self, areas: Areas<'_>, len: u32) -> Result<Claimed, Refused> {
        self.pace.count(self.staged.sequence, clock::monotonic_ns);
        let size = footprint(len as usize);
        let room = areas.geometry.room(self.staged.position);
        if size > room {
            self.pad(areas, room, size)?;
        }
        let position = self.staged.position;
        let end = position.wrapping_add(size);
        self.make_room(areas, end)?;
        let segment_bytes = areas.geometry.segment_bytes();
        let segment_end = (position & !(segment_bytes - 1)).wrapping_add(segment_bytes);
        let batch_end = self.published().position.wrapping_add(areas.geometry.capacity / 2);
        let first = |a, b| if after(a, b) { b } else { a };
        if !self.guarded {
            let fast_until = first(first(segment_end, batch_end), first(self.reserve, self.limit));
            let alone_until = if self.in_batch() {
                self.published().position
            } else {
                first(fast_until, position.wrapping_add(size.max(PACE_BYTES)))
            };
            match &mut self.timed {
                None => (self.fast_until, self.alone_until) = (fast_until, alone_until),
                Some(timed) => (timed.fast_until, timed.alone_until) = (fast_until, alone_until),
            }
        }
        Ok(self.claimed(areas, len))
    }

    /// The claim of `len` payload bytes that was made last. Rarely needed, so that the claim itself stays in
    /// registers.
    pub(crate) fn claimed(&self, areas: Areas<'_>, len: u32) -> Claimed {
        let position = self.staged.position;
        let end = position.wrapping_add(footprint(len as usize));
        Claimed { word: areas.geometry.word(position) + 1, end, len, way: Way::Checked }
    }

    /// Makes everything up to `end` writable.
    fn make_room(&mut self, areas: Areas<'_>, end: u64) -> Result<(), Refused> {
        let published = self.published().position;
        if end.wrapping_sub(published) > areas.geometry.capacity / 2 && self.staged.position != published {
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

    /// [W1]: announces to readers what is about to be overwritten, a segment at a time, so that this cache line
    /// changes once per segment and not once per record. The limit caps it: records that a gated consumer still has
    /// to read are never taken for lost, and the first write past an evicted consumer's cursor always goes through
    /// here.
    fn raise_reserve(&mut self, areas: Areas<'_>, end: u64) {
        let segment_bytes = areas.geometry.segment_bytes();
        let rounded = end.wrapping_add(segment_bytes - 1) & !(segment_bytes - 1);
        self.reserve = if after(rounded, self.limit) { self.limit } else { rounded };
        areas.head.reserve.reserve.store(self.reserve, at!(W1_RESERVE, Relaxed));
        // [W1] Release. Pairs with [R1] in `protocol::floor`.
        // Orders: `reserve` before every word written below it.
        // Without it: a reader may copy those words and still find its record below `reserve`.
        fence_at!(W1_FENCE, Release);
    }

    /// Fills the ring up to its end, so that a record of footprint `size` starts at its beginning.
    fn pad(&mut self, areas: Areas<'_>, room: u64, size: u64) -> Result<(), Refused> {
        let published = self.published().position;
        let alone = self.staged.position == published;
        let end = self.staged.position.wrapping_add(room);
        if !alone && end.wrapping_add(size).wrapping_sub(published) > areas.geometry.capacity / 2 {
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

    /// Stages the complete record of the claim for the next `publish`. Returns the place behind it.
    #[inline]
    pub(crate) fn stage(&mut self, areas: Areas<'_>, claimed: Claimed) -> Place {
        let staged = put_header(areas, claimed, self.staged);
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

    /// Makes everything that is staged visible, at once. `staged` is the last result of `stage`, passed in so that it is not
    /// loaded back from memory, which would wait for the stores before it.
    #[inline(always)]
    pub(crate) fn publish(&mut self, areas: Areas<'_>, staged: Place) {
        self.show(areas, staged);
        if let Some(published) = &mut self.batch {
            *published = staged;
        }
    }

    /// [W4]: everything before the place becomes visible.
    #[inline(always)]
    fn show(&mut self, areas: Areas<'_>, staged: Place) {
        // [W4] Release. Pairs with [R4].
        // Orders: header, payload and inline copy before `published`.
        // Without it: a reader may see `published` and read words of the previous lap.
        areas.head.inline.published.store(staged.position, at!(W4_PUBLISHED, Release));
    }

    /// Discards what is staged, since the file was cut short; nothing is published after it. The next sequence stays
    /// that of the first record discarded.
    #[cold]
    pub(crate) fn withhold(&mut self) {
        if self.batch.is_none() {
            self.staged.sequence = self.staged.sequence.wrapping_sub(1);
        }
    }

    /// Ends a batch that was published or dropped: nothing stays staged.
    pub(crate) fn end_batch(&mut self) {
        if let Some(published) = self.batch.take()
            && published.position != self.staged.position
        {
            self.staged = published;
            self.forbid_fast();
            self.noted = published.position >> self.segment_shift;
            self.notes.clear();
        }
    }

    /// Whether `publish` has made places visible that are not in the index yet. If so, call `write_notes` next.
    #[inline(always)]
    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    #[cold]
    pub(crate) fn write_notes(&mut self, areas: Areas<'_>) {
        let (now, host_ns) = ((self.clock)(), self.clock_ns());
        for place in self.notes.drain(..) {
            index::write(areas, place, now, host_ns);
        }
    }
}

/// Room for a record of `len` payload bytes at `position`, if it ends before `fast_until`.
#[inline(always)]
fn fast_room(position: u64, fast_until: u64, capacity: u64, len: usize) -> Option<Claimed> {
    // Positions are compared by their signed distance, so no length may be large enough to change the sign.
    if len >= PADDING_BIT as usize {
        return None;
    }
    let end = position.wrapping_add(footprint(len));
    after(fast_until, end).then(|| Claimed {
        word: word_of(position, capacity) + 1,
        end,
        len: len as u32,
        way: Way::Checked,
    })
}

/// Writes the header of the record that begins at a place. Returns the place behind the record.
#[inline(always)]
fn put_header(areas: Areas<'_>, claimed: Claimed, place: Place) -> Place {
    areas.data[claimed.word - 1].store(header(claimed.len, place.sequence), at!(W2_HEADER, Relaxed));
    place.past_record(claimed.len)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::ring::layout::TIME_BYTES;

    /// Only now and then one is checked, for the pace and at the end of a segment. Also after a batch, which lowers the bound.
    #[test]
    fn single_sends_come_back_to_the_fast_way() {
        for is_timed in [false, true] {
            let options = Options::new().capacity(64 << 20).times(is_timed);
            let ring = crate::Ring::heap(&options).expect("a ring");
            let mut producer = ring.producer().expect("a producer");
            let mut checked = 0;
            for number in 0..4096 {
                if number == 1000 {
                    let mut batch = producer.batch();
                    batch.send(&[1; 64]).expect("send");
                    batch.publish();
                }
                let writer = producer.sender.writer();
                let end = writer.staged.position.wrapping_add(footprint(64 + TIME_BYTES as usize));
                let bound = writer.timed.as_ref().map_or(writer.alone_until, |timed| timed.alone_until);
                checked += u32::from(!after(bound, end));
                producer.send(&[1; 64]).expect("send");
            }
            assert!((10..60).contains(&checked), "{checked} of 4096 were checked");
        }
    }
}
