//! Filling a claim: the payload, and the inline copy beside `published` for a reader that waits.

use super::{Claimed, Writer};
use crate::atomics::{Word, at, copy, fence_at};
use crate::ring::geometry::Areas;
use crate::ring::layout::{INLINE_BESIDE, INLINE_BYTES, header};
use crate::ring::protocol::Place;

impl Writer {
    /// Writes the payload of a record that is published alone to `words`, its place in the ring, and to the inline copy
    /// if there is one. Call it between `stage` and `publish`.
    #[inline(always)]
    pub(crate) fn fill(
        &self,
        areas: Areas<'_>,
        claimed: Claimed,
        staged: Place,
        words: &[Word],
        payload: &[u8],
    ) {
        match self.inline(areas, claimed) {
            Some(inline) => {
                // The line of `published` is not prefetched: its stores fetch it as late as possible, because readers
                // poll it. No reader loads the other line yet.
                if let Some(word) = inline.get(INLINE_BESIDE) {
                    copy::will_write(word);
                }
                copy::write_twice(words, inline, payload, || {
                    Self::open_inline(areas, claimed, staged);
                });
            }
            // In a rush, short records without an inline copy are frequent too.
            None if payload.len() <= INLINE_BYTES => copy::write(words, payload),
            None => copy::write_apart(words, payload),
        }
    }

    /// Writes the inline copy of a record that is published alone and is already in the ring.
    #[inline(always)]
    pub(crate) fn repeat(&self, areas: Areas<'_>, claimed: Claimed, staged: Place, words: &[Word]) {
        let Some(inline) = self.inline(areas, claimed) else { return };
        Self::open_inline(areas, claimed, staged);
        for (word, filled) in inline.iter().zip(words) {
            // Only the producer writes this word.
            word.store(filled.load_gated(at!(R2_PAYLOAD, Relaxed)), at!(W2_PAYLOAD, Relaxed));
        }
    }

    /// The words for a record's inline copy, on the same two cache lines as `published`, for a reader that waits for
    /// it. `None`: the record is too long, records are sent too fast for a reader to wait, or the ring has no inline
    /// copies.
    #[inline(always)]
    pub(super) fn inline<'a>(&self, areas: Areas<'a>, claimed: Claimed) -> Option<&'a [Word]> {
        let bytes = claimed.len as usize;
        self.copies(bytes).then(|| &areas.head.inline.payload[..bytes.div_ceil(8)])
    }

    /// Whether a record of so many bytes, its time included, is copied inline.
    #[inline(always)]
    pub(super) fn copies(&self, bytes: usize) -> bool {
        bytes <= INLINE_BYTES && self.pace.copies()
    }

    /// [W3]: the inline copy belongs to this record from here on.
    #[inline(always)]
    pub(super) fn open_inline(areas: Areas<'_>, claimed: Claimed, staged: Place) {
        let inline = &areas.head.inline;
        inline.stamp.store(staged.position, at!(W3_STAMP, Relaxed));
        // [W3] Release. Pairs with [R3].
        // Orders: the new stamp before the new words.
        // Without it: a reader may copy new words and still find the old stamp.
        fence_at!(W3_FENCE, Release);
        let sequence = staged.sequence.wrapping_sub(1);
        inline.header.store(header(claimed.len, sequence), at!(W3_HEADER, Relaxed));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ring::protocol::pace::Pace;
    use crate::{Options, Producer};

    fn producer() -> Producer {
        let ring = crate::Ring::heap(&Options::new().capacity(4096)).expect("a ring");
        ring.producer().expect("a producer")
    }

    /// Another writer for that producer's ring.
    fn writer(producer: &Producer) -> Writer {
        let areas = producer.sender.region().areas();
        let mut writer = Writer::resume(areas, producer.sender.writer().published(), 0, false, || 0);
        writer.set_limit(areas.geometry.capacity);
        writer
    }

    #[test]
    fn in_a_rush_a_record_is_in_the_ring_alone() {
        let producer = producer();
        let areas = producer.sender.region().areas();
        let mut writer = writer(&producer);
        let mut send = |pace, byte| {
            writer.pace = pace;
            let claimed = writer.claim(areas, 13).expect("room");
            let staged = writer.stage(areas, claimed);
            writer.fill(areas, claimed, staged, claimed.words(areas), &[byte; 13]);
            writer.publish(areas, staged);
            let mut filled = [0; 13];
            copy::read(claimed.words(areas), &mut filled, true);
            assert_eq!(filled, [byte; 13]);
            let stamp = areas.head.inline.stamp.load(at!(R3_STAMP, Relaxed));
            (staged, stamp == staged.position)
        };
        let (first, is_repeated) = send(Pace::new(0, true), 1);
        assert!(is_repeated, "nobody is in a rush");
        let (second, is_repeated) = send(Pace::rush(first.sequence), 2);
        assert!(!is_repeated, "in a rush");
        assert!(send(Pace::new(second.sequence, true), 3).1, "the rush is over");
    }

    /// Records published alone count for the pace, whether sent or claimed.
    #[test]
    fn after_a_rush_claims_have_copies_again() {
        let producer = producer();
        let areas = producer.sender.region().areas();
        let mut writer = writer(&producer);
        writer.pace = Pace::rush(writer.staged.sequence);
        let copied: Vec<_> = (0..100)
            .map(|_| {
                let claimed = writer.claim(areas, 8).expect("room");
                let staged = writer.stage(areas, claimed);
                writer.repeat(areas, claimed, staged, claimed.words(areas));
                writer.publish(areas, staged);
                areas.head.inline.stamp.load(at!(R3_STAMP, Relaxed)) == staged.position
            })
            .collect();
        assert!(!copied[0], "the rush goes on until the next look at the clock");
        assert!(copied[99], "the rush was over long ago");
    }
}
