//! Publish times in the ring, and what the index says of the clocks.

use crate::atomics::at;
use crate::error::Corruption;
use crate::ring::geometry::Areas;
use crate::ring::layout::{PADDING_BIT, TIME_BYTES, footprint, unpack};
use crate::ring::protocol::{Place, index};
use crate::wait::clock;
use crate::wait::timestamp;

/// The record at a place is too short for a publish time.
pub(crate) fn missing(place: Place) -> Corruption {
    Corruption { position: place.position, what: "a record too short for its publish time" }
}

/// The publish time of the record that begins at a place. `None`: padding, or no time is there. It may be torn until
/// `reserve` is checked, unless the record cannot be overwritten.
pub(crate) fn of_record(areas: Areas<'_>, place: &Place) -> Option<u64> {
    let word = areas.geometry.word(place.position);
    let (len, sequence) = unpack(areas.data[word].load(at!(R2_HEADER, Relaxed)));
    let is_it = len & PADDING_BIT == 0 && sequence == place.sequence as u32;
    let has_time = is_it && len >= TIME_BYTES;
    let fits = footprint(len as usize) <= areas.geometry.room(place.position);
    (has_time && fits).then(|| areas.data[word + 1].load(at!(R2_PAYLOAD, Relaxed)))
}

/// The time of day at a point on the publish clock, ns since 1970: by the pair of clocks in the index that is not after it, or
/// by the oldest pair. Right to the ns if the time of day was not set, and the machine not suspended, since that pair was
/// written.
pub(crate) fn wall_ns(areas: Areas<'_>, host_ns: u64) -> u64 {
    translate(pairs(areas).collect(), host_ns)
}

/// The point on the publish clock at a time of day, as `wall_ns`.
pub(crate) fn host_ns(areas: Areas<'_>, wall_ns: u64) -> u64 {
    translate(pairs(areas).map(|(host, wall)| (wall, host)).collect(), wall_ns)
}

/// Both clocks, publish clock first, whenever the index noted them, and now.
fn pairs(areas: Areas<'_>) -> impl Iterator<Item = (u64, u64)> + '_ {
    let noted = index::noted(areas).map(|noted| (noted.host_ns, noted.wall_ns));
    noted.chain([(timestamp::now_ns(), clock::wall_ns())])
}

/// The time on the second clock that goes with `time` on the first. Not after the next pair: in between, one of them stood
/// still or was set.
fn translate(mut pairs: Vec<(u64, u64)>, time: u64) -> u64 {
    pairs.sort_unstable();
    let next = pairs.partition_point(|(first, _)| *first <= time);
    match (next.checked_sub(1).and_then(|last| pairs.get(last)), pairs.get(next)) {
        (Some((first, second)), after) => {
            let most = after.map_or(u64::MAX, |(_, second)| *second).max(*second);
            second.saturating_add(time - first).min(most)
        }
        (None, Some((first, second))) => second.saturating_sub(first - time),
        (None, None) => time,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn times_are_translated_by_the_pair_before_them() {
        let pairs = vec![(300, 5_300), (100, 1_100), (200, 1_200)];
        let translated = |time| translate(pairs.clone(), time);
        assert_eq!([50, 100, 150].map(translated), [1_050, 1_100, 1_150]);
        // Set forward, or suspended, between 200 and 300.
        assert_eq!([250, 299, 300, 400].map(translated), [1_250, 1_299, 5_300, 5_400]);
        let back: Vec<_> = pairs.iter().map(|(host, wall)| (*wall, *host)).collect();
        // All of the time in between is the moment before the next pair.
        assert_eq!(
            [1_150, 1_250, 4_000, 5_350].map(|wall| translate(back.clone(), wall)),
            [150, 250, 300, 350]
        );
        assert_eq!(translate(Vec::new(), 7), 7);
    }

    #[test]
    fn a_clock_that_was_set_back_stands_still_until_then() {
        let pairs = vec![(100, 9_100), (200, 1_200)];
        assert_eq!([150, 200, 300].map(|time| translate(pairs.clone(), time)), [9_100, 1_200, 1_300]);
    }
}
