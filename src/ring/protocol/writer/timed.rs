//! Publish times, on rings that carry them. To the protocol the time is the first word of the payload.

use super::{Claimed, Way, Writer, fast_room, put_header};
use crate::atomics::{Word, at, copy};
use crate::ring::geometry::Areas;
use crate::ring::layout::{INLINE_BESIDE, INLINE_BYTES, TIME_BYTES, footprint, header};
use crate::ring::protocol::{Judged, Place, after};
use crate::wait::timestamp;

/// What a writer of publish times keeps. Its fast ways have bounds of their own, so that those of a ring without times need
/// not ask whether it has them.
#[derive(Debug)]
pub(super) struct Timed {
    /// The time of the newest record. No later one has a smaller time.
    last_ns: u64,
    /// As in the writer.
    pub(super) fast_until: u64,
    pub(super) alone_until: u64,
}

impl Timed {
    /// After a record with the time `last_ns`, at a position from which no claim is fast.
    pub(super) fn after(last_ns: u64, position: u64) -> Self {
        Self { last_ns, fast_until: position, alone_until: position }
    }

    /// The time for what is published now.
    #[inline(always)]
    fn now(&mut self) -> u64 {
        self.last_ns = self.last_ns.max(timestamp::now_ns());
        self.last_ns
    }
}

impl Claimed {
    /// The same claim without its publish time, for the caller to fill.
    pub(crate) fn behind_time(self) -> Self {
        Self { word: self.word + 1, len: self.len.saturating_sub(TIME_BYTES), way: Way::Timed, ..self }
    }

    /// The whole claim, with the publish time that `behind_time` may have left out.
    #[inline(always)]
    pub(crate) fn whole(self) -> Self {
        match self.way {
            Way::Timed => Self { word: self.word - 1, len: self.len + TIME_BYTES, way: Way::Checked, ..self },
            Way::Alone | Way::Checked => self,
        }
    }

    /// The words for the publish time and for the payload behind it.
    #[inline(always)]
    fn time_and_payload(self, areas: Areas<'_>) -> Option<(&Word, &[Word])> {
        self.whole().words(areas).split_first()
    }
}

impl Writer {
    pub(crate) fn is_timed(&self) -> bool {
        self.timed.is_some()
    }

    /// The claim for a payload of `len` bytes that was made last, without its publish time if it has one.
    pub(crate) fn claimed_payload(&self, areas: Areas<'_>, len: u32) -> Claimed {
        match self.timed {
            None => self.claimed(areas, len),
            Some(_) => self.claimed(areas, len + TIME_BYTES).behind_time(),
        }
    }

    /// As `claim_fast`, for a record of `len` bytes, its publish time included.
    pub(crate) fn claim_timed(&self, areas: Areas<'_>, len: u32) -> Option<Claimed> {
        let fast_until = self.timed.as_ref()?.fast_until;
        fast_room(self.staged.position, fast_until, areas.geometry.capacity, len as usize)
    }

    /// As `add_run`. The times are written by `stamp_batch`.
    #[inline(always)]
    pub(crate) fn add_run_timed<P: AsRef<[u8]>>(
        &mut self,
        areas: Areas<'_>,
        payloads: &mut impl Iterator<Item = P>,
        goes_on: impl Fn() -> bool,
    ) -> (u64, Option<P>) {
        let fast_until = self.timed.as_ref().map_or(self.fast_until, |timed| timed.fast_until);
        self.add_while(areas, fast_until, TIME_BYTES as usize / 8, payloads, goes_on)
    }

    /// As `send_fast`. `fill` is one of the two below.
    #[inline(always)]
    pub(crate) fn send_timed(
        &mut self,
        areas: Areas<'_>,
        payload: &[u8],
        fill: impl Fn(&mut Self, Areas<'_>, Claimed, Place, &[u8]),
    ) -> Option<u64> {
        let alone_until = self.timed.as_ref()?.alone_until;
        // No slice is long enough for the sum to overflow.
        let len = TIME_BYTES as usize + payload.len();
        let claimed = fast_room(self.staged.position, alone_until, areas.geometry.capacity, len)?;
        let place = self.staged;
        let staged = put_header(areas, claimed, place);
        self.staged = staged;
        fill(self, areas, claimed, staged, payload);
        self.show(areas, staged);
        Some(place.sequence)
    }

    /// Whether a payload of so many bytes is copied inline, with its time.
    #[inline(always)]
    pub(crate) fn copies_timed(&self, len: usize) -> bool {
        self.copies(TIME_BYTES as usize + len)
    }

    /// As `fill` without an inline copy, and writes the time.
    #[inline(always)]
    pub(crate) fn fill_timed(&mut self, areas: Areas<'_>, claimed: Claimed, payload: &[u8]) {
        let Some((time, words)) = claimed.time_and_payload(areas) else { return };
        if payload.len() <= INLINE_BYTES {
            // Before the few words of the payload: so none of what the copy needs has to be kept across the look.
            self.stamp(time);
            copy::write(words, payload);
        } else {
            copy::write_apart(words, payload);
            self.stamp(time);
        }
    }

    /// The same with an inline copy, if the record has one.
    #[inline(always)]
    pub(crate) fn fill_timed_twice(
        &mut self,
        areas: Areas<'_>,
        claimed: Claimed,
        staged: Place,
        payload: &[u8],
    ) {
        let Some((time, words)) = claimed.time_and_payload(areas) else { return };
        let inline = self.inline(areas, claimed.whole());
        let Some((inline_time, inline_words)) = inline.and_then(<[Word]>::split_first) else {
            return self.fill_timed(areas, claimed, payload);
        };
        let Some(now) = self.stamp(time) else { return };
        // As in `fill`.
        if let Some(word) = inline_words.get(INLINE_BESIDE - 1) {
            copy::will_write(word);
        }
        copy::write_twice(words, inline_words, payload, || {
            Self::open_inline(areas, claimed.whole(), staged);
            inline_time.store(now, at!(W2_PAYLOAD, Relaxed));
        });
    }

    /// Writes the time of a record that was filled in place and is published next, alone.
    pub(crate) fn stamp_claim(&mut self, areas: Areas<'_>, claimed: Claimed) {
        if let Some((time, _)) = claimed.time_and_payload(areas) {
            self.stamp(time);
        }
    }

    #[inline(always)]
    fn stamp(&mut self, time: &Word) -> Option<u64> {
        let now = self.timed.as_mut()?.now();
        time.store(now, at!(W2_PAYLOAD, Relaxed));
        Some(now)
    }

    /// Writes the time of all records of a batch that is published next: one look at the clock.
    pub(crate) fn stamp_batch(&mut self, areas: Areas<'_>) {
        let (mut place, end) = (self.published(), self.staged.position);
        let Some(now) = self.timed.as_mut().map(Timed::now) else { return };
        while after(end, place.position) {
            let word = areas.geometry.word(place.position);
            // Only the producer writes these words. It checks them all the same, since others may be able to.
            let header = areas.data[word].load_gated(at!(R2_HEADER, Relaxed));
            place = match place.judge(areas, header, end) {
                Judged::Record(len) if len >= TIME_BYTES => {
                    areas.data[word + 1].store(now, at!(W2_PAYLOAD, Relaxed));
                    stamp_alike(areas, place.past_record(len), len, end, now)
                }
                Judged::Padding(size) => place.past_padding(size),
                Judged::Record(_) | Judged::Bad(_) => return,
            };
        }
    }

    /// The publish clock for an entry of the index: not before any record that is published.
    pub(super) fn clock_ns(&self) -> u64 {
        self.timed.as_ref().map_or(0, |timed| timed.last_ns.max(timestamp::now_ns()))
    }
}

/// Writes the time of the records from a place on that are as long as the one before it: `len` bytes, the time included. Returns
/// the place behind them. They are where that length puts them, so no look at a header waits for the one before.
fn stamp_alike(areas: Areas<'_>, mut place: Place, len: u32, end: u64, now: u64) -> Place {
    let available = end.wrapping_sub(place.position).min(areas.geometry.room(place.position));
    let words = areas.data.get(areas.geometry.word(place.position)..).unwrap_or_default();
    let words = words.get(..(available / 8) as usize).unwrap_or_default();
    for record in words.chunks_exact((footprint(len as usize) / 8) as usize) {
        let [first, time, ..] = record else { break };
        if first.load_gated(at!(R2_HEADER, Relaxed)) != header(len, place.sequence) {
            break;
        }
        time.store(now, at!(W2_PAYLOAD, Relaxed));
        place = place.past_record(len);
    }
    place
}
