//! The segment index: for each segment of the ring, the first record boundary in it, with its 64-bit sequence and the
//! payload bytes before it. The stream can be walked from such a place, and the difference of two places gives
//! exactly the records and bytes between them. From it a lapped reader computes its loss, and a new reader finds its
//! place.
//!
//! An entry is written after everything below it is published, so it stays valid: a claim that is dropped, or whose
//! process dies, leaves no entry that later points into the middle of a payload. Each entry is a small seqlock:
//!
//! ```text
//! writer: position odd, fence [I1], fields (with times: the clock, too), position even [I2]
//! reader: position, fence [I2'], fields, fence [I1'], position again: the same and even
//! ```
//!
//! No publish spans more than half the ring, so the newest entry is always intact: if a producer dies before it
//! writes the next entry, the newest is at most half a ring and a segment behind.

use crate::atomics::{at, fence_at};
use crate::error::Corruption;
use crate::ring::geometry::Areas;
use crate::ring::layout::IndexEntry;
use crate::ring::protocol::{Judged, Place, after, floor};

/// Producer only: sets the entry of `place`'s segment to `place`. On a ring with times `host_ns` is the publish clock at the
/// same moment, and not before any record below the place was published.
pub(crate) fn write(areas: Areas<'_>, place: Place, time_ns: u64, host_ns: u64) {
    let segment = areas.geometry.segment(place.position);
    let entry = &areas.index[segment];
    entry.position.store(place.position | 1, at!(I1_POSITION, Relaxed));
    // [I1] Release. Pairs with [I1'] in `read`.
    // Orders: the odd position before the fields.
    // Without it: a reader may take new fields with the old position.
    fence_at!(I1_FENCE, Release);
    entry.sequence.store(place.sequence, at!(I_FIELDS, Relaxed));
    entry.bytes.store(place.bytes, at!(I_FIELDS, Relaxed));
    entry.time_ns.store(time_ns, at!(I_FIELDS, Relaxed));
    if let Some(clock) = areas.clocks.get(segment) {
        clock.host_ns.store(host_ns, at!(I_FIELDS, Relaxed));
    }
    // [I2] Release. Pairs with [I2'] in `read`.
    // Orders: the fields before the even position.
    // Without it: a reader may take the new position with old fields, and miscount its loss.
    entry.position.store(place.position, at!(I2_POSITION, Release));
}

fn read(entry: &IndexEntry) -> Option<Place> {
    read_with(entry, || ()).map(|(place, ())| place)
}

/// Reads the place, and what `more` loads of the same entry.
fn read_with<T>(entry: &IndexEntry, more: impl FnOnce() -> T) -> Option<(Place, T)> {
    let position = entry.position.load(at!(I2_READ, Relaxed));
    if !position.is_multiple_of(8) {
        return None;
    }
    // [I2'] Acquire. Pairs with [I2].
    fence_at!(I2_READ_FENCE, Acquire);
    let sequence = entry.sequence.load(at!(I_READ_FIELDS, Relaxed));
    let bytes = entry.bytes.load(at!(I_READ_FIELDS, Relaxed));
    let more = more();
    // [I1'] Acquire. Pairs with [I1].
    fence_at!(I1_READ_FENCE, Acquire);
    let again = entry.position.load(at!(I1_READ, Relaxed));
    (position == again).then_some((Place { position, sequence, bytes }, more))
}

/// An entry of a ring with times, and both clocks when it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    pub(crate) place: Place,
    pub(crate) wall_ns: u64,
    /// The publish clock: not before any record below the place was published.
    pub(crate) host_ns: u64,
}

/// The entries of a ring with times, in no particular order. Some may be overwritten.
pub(crate) fn noted(areas: Areas<'_>) -> impl Iterator<Item = Noted> + '_ {
    areas.index.iter().zip(areas.clocks).filter_map(|(entry, clock)| {
        let clocks = || {
            let wall_ns = entry.time_ns.load(at!(I_READ_FIELDS, Relaxed));
            (wall_ns, clock.host_ns.load(at!(I_READ_FIELDS, Relaxed)))
        };
        let (place, (wall_ns, host_ns)) = read_with(entry, clocks)?;
        Some(Noted { place, wall_ns, host_ns })
    })
}

/// The newest entry of a ring with times.
pub(crate) fn newest_noted(areas: Areas<'_>) -> Option<Noted> {
    let intact = noted(areas).filter(|noted| is_intact(areas, &noted.place));
    intact.reduce(|a, b| if after(b.place.position, a.place.position) { b } else { a })
}

/// The newest place before which every record was published before a time.
pub(crate) fn before_time(areas: Areas<'_>, host_ns: u64) -> Option<Place> {
    let places = noted(areas).filter(|noted| noted.host_ns < host_ns).map(|noted| noted.place);
    let intact = places.filter(|place| is_intact(areas, place));
    intact.reduce(|a, b| if after(b.position, a.position) { b } else { a })
}

/// When the newest entry was written, wall clock. A hint: the entry may be rewritten while it is read.
pub(crate) fn noted_ns(areas: Areas<'_>) -> Option<u64> {
    let noted = areas.index.iter().filter_map(|entry| {
        let place = read(entry)?;
        Some((place.position, entry.time_ns.load(at!(I_READ_FIELDS, Relaxed))))
    });
    let newest = noted.reduce(|a, b| if after(b.0, a.0) { b } else { a });
    newest.map(|(_, time_ns)| time_ns).filter(|time_ns| *time_ns > 0)
}

/// The places that can still be read from, in no particular order.
fn intact(areas: Areas<'_>) -> impl Iterator<Item = Place> + '_ {
    areas.index.iter().filter_map(move |entry| read(entry).filter(|place| is_intact(areas, place)))
}

/// Whether reading can start at a place of the index. A distance beyond the capacity means that the entry is overwritten or not
/// honest.
fn is_intact(areas: Areas<'_>, place: &Place) -> bool {
    place.position.wrapping_sub(floor(areas)) <= areas.geometry.capacity
}

/// The newest place that can be read from.
pub(crate) fn newest(areas: Areas<'_>) -> Option<Place> {
    intact(areas).reduce(|a, b| if after(b.position, a.position) { b } else { a })
}

/// The oldest place at least `margin` bytes away from being overwritten; if there is none, the newest.
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

/// The cost of a search so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effort {
    /// Bytes walked over, counted again each time.
    pub(crate) bytes: u64,
    /// How often it was restarted.
    pub(crate) attempts: u32,
}

/// The result of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// At the place asked for, or at `published` if that came first.
    At(Place),
    /// The producer overwrote the path.
    Lapped,
    Corrupt(Corruption),
}

/// Walks from `place` from record to record until `stop` or `published`. `visit` sees every boundary passed.
pub(crate) fn walk(
    areas: Areas<'_>,
    mut place: Place,
    published: u64,
    effort: &mut Effort,
    stop: impl Fn(&Place) -> bool,
    mut visit: impl FnMut(Place),
) -> Walk {
    if published.wrapping_sub(place.position) > areas.geometry.capacity {
        // Overwritten meanwhile, or ahead of the `published` that was read: search again.
        return Walk::Lapped;
    }
    while after(published, place.position) && !stop(&place) {
        let header = areas.data[areas.geometry.word(place.position)].load(at!(R2_HEADER, Relaxed));
        let step = place.judge(areas, header, published);
        if after(floor(areas), place.position) {
            return Walk::Lapped;
        }
        let passed = match step {
            Judged::Record(len) => place.past_record(len),
            Judged::Padding(size) => place.past_padding(size),
            Judged::Bad(what) => return Walk::Corrupt(Corruption { position: place.position, what }),
        };
        effort.bytes += passed.position.wrapping_sub(place.position);
        place = passed;
        visit(place);
    }
    Walk::At(place)
}
