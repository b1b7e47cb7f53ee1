//! Records that need no check but of their header: they are published, copied or safe from being overwritten, and no other
//! event comes before them.

use super::{Overwritable, Reader, Taken};
use crate::atomics::{Word, at};
use crate::ring::geometry::Areas;
use crate::ring::layout::{footprint, unpack};
use crate::ring::protocol::after;
use crate::ring::protocol::lookahead::Copies;
use crate::ring::protocol::run::{Ahead, Run};

/// The most bytes that `poll_fast` may cover at a time: less than the padding bit of a length.
const NEAR_MOST: u64 = 1 << 30;

impl Reader {
    /// The next record, if only its header needs a check, in the ring or in the copies. `None`: ask `poll`.
    #[inline(always)]
    pub(crate) fn poll_fast(&mut self, areas: Areas<'_>, copies: &mut Copies) -> Option<Taken> {
        if !after(self.fast_until, self.next.position) {
            return None;
        }
        let left = self.fast_until.wrapping_sub(self.next.position);
        let word = areas.geometry.word(self.next.position);
        let is_copied = self.overwritable != Overwritable::Never;
        let (len, sequence) = unpack(if is_copied {
            copies.header(self.next.position)?
        } else {
            areas.data[word].load_gated(at!(R2_HEADER, Relaxed))
        });
        // A guess of the length, checked by a branch, so that the address of the next record does not depend on the
        // load of this length.
        if len != self.usual {
            self.usual_is(len);
        }
        let len = self.usual;
        // Padding, and every invalid length, is larger than what is left: `judge` handles it.
        if footprint(len as usize) > left || sequence != self.next.sequence as u32 {
            return None;
        }
        Some(Taken { sequence: self.take(len), len, in_ring: (!is_copied).then_some(word + 1) })
    }

    #[cold]
    #[inline(never)]
    fn usual_is(&mut self, len: u32) {
        self.usual = len;
    }

    /// Steps from record to record while `poll_fast` would take them, for a reader that cannot be overwritten.
    /// `go_to` moves the reader to where the steps end.
    #[inline(always)]
    pub(crate) fn run<'a>(&self, areas: Areas<'a>) -> Option<Run<&'a [Word]>> {
        let is_fast = self.overwritable == Overwritable::Never && after(self.fast_until, self.next.position);
        let ahead = is_fast.then(|| (self.fast_until.wrapping_sub(self.next.position) / 8) as usize)?;
        let word = areas.geometry.word(self.next.position);
        // `allow_fast` ensures that this does not pass the end of the ring.
        Some(Run::new(areas.data.get(word..word + ahead)?, self.next, self.usual))
    }

    /// The same up to `end`, below which everything is published, whoever saw that.
    #[inline(always)]
    pub(crate) fn run_to<'a>(&mut self, areas: Areas<'a>, end: u64) -> Option<Run<&'a [Word]>> {
        if self.is_overwritable() {
            return None;
        }
        Run::within(areas, self.next, end, self.usual)
    }

    /// Whether what begins at a place cannot be overwritten.
    pub(crate) fn is_held(&self, position: u64) -> bool {
        match self.overwritable {
            Overwritable::Never => true,
            Overwritable::Always => false,
            Overwritable::Until(held) => !after(held, position),
        }
    }

    /// Payload bytes of the last record that was not an inline copy.
    pub(crate) fn usual(&self) -> u32 {
        self.usual
    }

    /// The same over copies.
    #[inline(always)]
    pub(crate) fn run_of_copies<'a>(&self, copies: &'a Copies) -> Option<Run<&'a [[u8; 8]]>> {
        let is_fast = self.overwritable == Overwritable::Always && after(self.fast_until, self.next.position);
        let words = is_fast.then(|| copies.between(self.next.position, self.fast_until))??;
        Some(Run::new(words, self.next, self.usual))
    }

    /// Moves to where the steps of the run end.
    #[inline(always)]
    pub(crate) fn go_to<A: Ahead>(&mut self, run: &Run<A>) {
        self.next = run.place();
        self.usual = run.usual();
    }

    /// After a poll that found records: `poll_fast` may take those below `limit`, checking only their headers. The
    /// range ends at `published` and at the end of the ring, and, if records can be overwritten, where the copies
    /// end.
    #[inline]
    pub(crate) fn allow_fast(&mut self, areas: Areas<'_>, copies: &Copies, limit: Option<u64>) {
        if self.change.is_some() {
            return;
        }
        let first = |a, b| if after(a, b) { b } else { a };
        let end = match self.overwritable {
            Overwritable::Never => {
                let room = areas.geometry.room(self.next.position).min(NEAR_MOST);
                first(self.seen, self.next.position.wrapping_add(room))
            }
            Overwritable::Always => copies.end().unwrap_or(self.next.position),
            Overwritable::Until(_) => return,
        };
        self.fast_until = limit.map_or(end, |limit| first(end, limit));
    }

    /// Every record is taken by `poll` again.
    pub(crate) fn forbid_fast(&mut self) {
        self.fast_until = self.next.position;
    }
}
