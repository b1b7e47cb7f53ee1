//! The segment index: for each segment of the ring the first record boundary in it, with its 64-bit sequence and
//! the payload bytes before it. From such a place the stream can be walked; two places tell exactly what lies
//! between them. So a lapped reader learns what it lost, and a newcomer where it is.
//!
//! An entry is written after everything below it is published, so it is true for good: a claim that is dropped or
//! dies leaves no entry that points into somebody's payload later. Each entry is a small seqlock:
//!
//! ```text
//! writer: position odd, fence [I1], fields, position even [I2]
//! reader: position, fence [I2'], fields, fence [I1'], position again: the same and even
//! ```
//!
//! Since no publish spans more than half the ring, the newest entry is always intact: a producer that died
//! before it could write the next one left that entry at most half a ring and a stride behind.

use crate::error::Corruption;
use crate::layout::{Areas, IndexEntry, PADDING_BIT, footprint, unpack};
use crate::sync::{at, fence_at};

/// A record boundary, in the three measures of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Byte position in the stream.
    pub(crate) position: u64,
    /// Sequence of the record that starts there.
    pub(crate) sequence: u64,
    /// Payload bytes published before it.
    pub(crate) bytes: u64,
}

/// Is `a` after `b`? Positions and sequences wrap, so they are compared by their signed distance.
#[inline(always)]
pub(crate) fn after(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) > 0
}

/// Producer only: the entry of `place`'s segment becomes `place`.
pub(crate) fn write(areas: Areas<'_>, place: Place, time_ns: u64) {
    let entry = &areas.index[areas.geometry.segment(place.position)];
    entry.position.store(place.position | 1, at!(I1_POSITION, Relaxed));
    // [I1] Release. Pairs with [I1'] in `read`.
    // Orders: the odd position before the fields.
    // Without it: a reader may take new fields with the old position.
    fence_at!(I1_FENCE, Release);
    entry.sequence.store(place.sequence, at!(I_FIELDS, Relaxed));
    entry.bytes.store(place.bytes, at!(I_FIELDS, Relaxed));
    entry.time_ns.store(time_ns, at!(I_FIELDS, Relaxed));
    // [I2] Release. Pairs with [I2'] in `read`.
    // Orders: the fields before the even position.
    // Without it: a reader may take the new position with old fields, and count its loss wrong.
    entry.position.store(place.position, at!(I2_POSITION, Release));
}

fn read(entry: &IndexEntry) -> Option<Place> {
    let position = entry.position.load(at!(I2_READ, Relaxed));
    if !position.is_multiple_of(8) {
        return None;
    }
    // [I2'] Acquire. Pairs with [I2].
    fence_at!(I2_READ_FENCE, Acquire);
    let sequence = entry.sequence.load(at!(I_READ_FIELDS, Relaxed));
    let bytes = entry.bytes.load(at!(I_READ_FIELDS, Relaxed));
    // [I1'] Acquire. Pairs with [I1].
    fence_at!(I1_READ_FENCE, Acquire);
    let again = entry.position.load(at!(I1_READ, Relaxed));
    (position == again).then_some(Place { position, sequence, bytes })
}

/// Byte position below which nothing in the ring is whole any more.
#[inline(always)]
pub(crate) fn floor(areas: Areas<'_>) -> u64 {
    // [R1] Acquire. Pairs with [W1] in `ring.rs`.
    // Orders: the words just read before the look at `reserve`.
    // Without it: a reader may copy the next lap's words and still find them below `reserve`.
    fence_at!(R1_FENCE, Acquire);
    areas.head.reserve.reserve.load(at!(R1_RESERVE, Relaxed)).wrapping_sub(areas.geometry.capacity)
}

/// The places that can still be read from, in no order.
fn intact(areas: Areas<'_>) -> impl Iterator<Item = Place> + '_ {
    areas.index.iter().filter_map(move |entry| {
        let place = read(entry)?;
        // A distance beyond the capacity is either behind the floor or no honest entry.
        (place.position.wrapping_sub(floor(areas)) <= areas.geometry.capacity).then_some(place)
    })
}

/// The newest place that can be read from.
pub(crate) fn newest(areas: Areas<'_>) -> Option<Place> {
    intact(areas).reduce(|a, b| if after(b.position, a.position) { b } else { a })
}

/// The oldest place at least `margin` bytes clear of being overwritten; if there is none, the newest.
pub(crate) fn oldest(areas: Areas<'_>, margin: u64) -> Option<Place> {
    let clear = |place: &Place| !after(floor(areas).wrapping_add(margin), place.position);
    intact(areas)
        .filter(clear)
        .reduce(|a, b| if after(a.position, b.position) { b } else { a })
        .or_else(|| newest(areas))
}

/// The newest place whose sequence is not after `sequence`.
pub(crate) fn at_or_before(areas: Areas<'_>, sequence: u64) -> Option<Place> {
    intact(areas)
        .filter(|place| !after(place.sequence, sequence))
        .reduce(|a, b| if after(b.position, a.position) { b } else { a })
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record of so many payload bytes.
    Record(u32),
    /// So many bytes of padding up to the end of the ring.
    Padding(u64),
    /// Nothing an honest producer writes.
    Bad(&'static str),
}

impl Place {
    /// Judges the header word found here, given that everything below `published` is committed. Depends on the
    /// word and on private geometry alone, so a hostile word can do no more than be `Bad`.
    #[inline(always)]
    pub(crate) fn judge(&self, areas: Areas<'_>, header: u64, published: u64) -> Step {
        let (len, sequence) = unpack(header);
        let room = areas.geometry.room(self.position);
        let available = published.wrapping_sub(self.position).min(room);
        if len & PADDING_BIT == 0 {
            let size = footprint(len as usize);
            if size > available {
                Step::Bad("a record that runs past what is published")
            } else if size > areas.geometry.capacity / 2 {
                Step::Bad("a record larger than half the ring")
            } else if sequence != self.sequence as u32 {
                Step::Bad("a record out of sequence")
            } else {
                Step::Record(len)
            }
        } else if available < room || room > areas.geometry.capacity / 2 {
            Step::Bad("padding where none can be")
        } else {
            Step::Padding(room)
        }
    }

    /// The place behind a record of `len` payload bytes.
    #[inline(always)]
    pub(crate) fn past_record(&self, len: u32) -> Self {
        Self {
            position: self.position.wrapping_add(footprint(len as usize)),
            sequence: self.sequence.wrapping_add(1),
            bytes: self.bytes.wrapping_add(u64::from(len)),
        }
    }

    /// The place before a record of `len` payload bytes that ends here.
    pub(crate) fn before_record(&self, len: u32) -> Self {
        Self {
            position: self.position.wrapping_sub(footprint(len as usize)),
            sequence: self.sequence.wrapping_sub(1),
            bytes: self.bytes.wrapping_sub(u64::from(len)),
        }
    }

    /// The place behind `size` bytes of padding.
    #[inline(always)]
    pub(crate) fn past_padding(&self, size: u64) -> Self {
        Self { position: self.position.wrapping_add(size), ..*self }
    }
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// At the place asked for, or at `published` if that came first.
    At(Place),
    /// The producer overwrote the way.
    Lapped,
    Corrupt(Corruption),
}

/// Walks from `place` from record to record until `stop` or `published`. `visit` sees every boundary passed.
pub(crate) fn walk(
    areas: Areas<'_>,
    mut place: Place,
    published: u64,
    stop: impl Fn(&Place) -> bool,
    mut visit: impl FnMut(Place),
) -> Walk {
    if published.wrapping_sub(place.position) > areas.geometry.capacity {
        // Overwritten meanwhile, or ahead of the `published` that was seen: look again.
        return Walk::Lapped;
    }
    while after(published, place.position) && !stop(&place) {
        let header = areas.data[areas.geometry.word(place.position)].load(at!(R2_HEADER, Relaxed));
        let step = place.judge(areas, header, published);
        if after(floor(areas), place.position) {
            return Walk::Lapped;
        }
        place = match step {
            Step::Record(len) => place.past_record(len),
            Step::Padding(size) => place.past_padding(size),
            Step::Bad(what) => return Walk::Corrupt(Corruption { position: place.position, what }),
        };
        visit(place);
    }
    Walk::At(place)
}
