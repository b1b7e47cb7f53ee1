//! How a consumer attaches: what happens when it is slow, where it starts, under which name.

use std::time::Duration;

use crossbeam_utils::Backoff;

use crate::atomics::{at, fence_at};
use crate::error::{Corruption, Error};
use crate::ring::layout::{Areas, NAME_BYTES};
use crate::ring::names;
use crate::ring::protocol::gate::HOLD_FOREVER;
use crate::ring::protocol::index::{self, Effort, Walk};
use crate::ring::protocol::{Place, after};
use crate::wait::clock;

/// Where a consumer that is not resuming under its name starts.
///
/// Whatever is published from the attach on a gate holds. What was published before may still be overwritten behind a
/// gate that has just opened at a place in the past: the producer looks at the gates once in a ring. It is then told as
/// [`LossCause::Attaching`](crate::LossCause::Attaching), and booked nowhere. On a ring for gated consumers only
/// ([`Options::gated_only`](crate::Options::gated_only)) a start in the past is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the next record to be published.
    #[default]
    Newest,
    /// With the oldest record that is safely in the ring: to a 64th of the capacity, once the ring has lapped.
    Oldest,
    /// With the record of this sequence. One that is gone, or more than one ahead, is an error.
    Sequence(u64),
    /// With the last so many records, or as many of them as are safely in the ring.
    Last(u64),
}

/// How a consumer attaches. Every consumer of a ring chooses for itself.
///
/// Unless told another [`start`](Self::start) it begins with the next record to be published, [`Start::Newest`]: what the
/// ring holds already does not come. A consumer that may be started after its producer, and is to have all that is
/// there, starts at [`Start::Oldest`]. A name that was here before goes on where it was, whatever is said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    pub(crate) gated: bool,
    pub(crate) budget_ns: u64,
    evictable: bool,
    pub(crate) start: Start,
    pub(crate) name: Option<String>,
    pub(crate) hold_ns: u64,
}

impl Attach {
    fn new(gated: bool, budget_ns: u64) -> Self {
        Self { gated, budget_ns, evictable: false, start: Start::Newest, name: None, hold_ns: 0 }
    }

    /// Never holds the producer back. When it is lapped it is told exactly what it lost and goes on.
    ///
    /// Of short records that are there to be read it copies up to 1 KiB at a time. What was copied before it was overwritten
    /// still comes, whole and in order, ahead of the loss. So it does for every consumer that can be overwritten.
    pub fn lossy() -> Self {
        Self::new(false, 0)
    }

    /// The producer may not overwrite what this consumer has not released: it loses nothing that is published after it
    /// attached, and a producer that finds the ring full waits for it, or is told so. For what was published before that,
    /// see [`Start`].
    ///
    /// A name that comes back to a place that is overwritten holds nobody up until it was told what it lost, and
    /// receives or releases after that: before, there is nothing to read where its gate would stand.
    pub fn gated() -> Self {
        Self::new(true, 0)
    }

    /// Gated until it has held the producer up for `budget`, then lossy for the rest of its attachment.
    ///
    /// The time counts in all: while the producer publishes one capacity of records, every time that this consumer
    /// holds it up is added, and with the first hold after that the count starts anew. So whoever takes a whole
    /// ring of records in less than `budget` keeps its gate however often it is in the way, and letting through
    /// a record now and then does not help. The producer measures on its own monotonic clock, from a refused claim
    /// to the next successful one; where it did not wait in between, to the last refused one before that, or before this
    /// consumer let something through: what nobody wants to send, nobody holds up.
    pub fn gated_for(budget: Duration) -> Self {
        Self::new(true, clock::duration_ns(budget).max(1))
    }

    /// A gated consumer that may be evicted on request, by [`Producer::evict`](crate::Producer::evict) or
    /// [`quoit::evict`](crate::evict), also while it is stopped. Consumers that can be overwritten anyway, by a budget
    /// or the ring's hard limit, may be always; another one reads records where they lie, and is promised that they
    /// stay there. So this makes it copy each record and check it before it is lent. On a ring for gated consumers only
    /// it changes nothing: nobody may be overwritten there.
    #[must_use]
    pub fn evictable(mut self) -> Self {
        self.evictable = true;
        self
    }

    /// How long this consumer may hold the producer up, ns, as it stands in its slot. One that may be evicted has a
    /// budget that is never used up.
    pub(crate) fn budget_ns(&self, gated_only: bool) -> u64 {
        let evictable = self.gated && self.evictable && !gated_only;
        if evictable && self.budget_ns == 0 { u64::MAX } else { self.budget_ns }
    }

    /// Where to start; with the next record to be published unless set.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Under a name of 1 to 63 bytes. The ring keeps the named consumer's place and loss account when it goes or
    /// dies, and it resumes there when it attaches under the name again, wherever it says it starts. The name
    /// keeps its slot until [`forget`](crate::forget) or [`forget_away`](crate::forget_away).
    ///
    /// If another producer opened the ring while it was away, it is told so where that one's records begin. On a ring for
    /// gated consumers only it goes on where it was if it was held, and else with the next record to be published: what
    /// lies between is told as lost.
    ///
    /// A consumer killed while it attaches for the first time may leave the name at a place somewhat before its
    /// start, never after it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Keeps the gate of this named consumer for `hold` after the consumer is gone, counted from when the producer notices
    /// that it is blocked by it.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold_ns = clock::duration_ns(hold);
        self
    }

    /// As [`hold`](Self::hold), with no end: the producer waits until the consumer comes back or is forgotten.
    #[must_use]
    pub fn hold_forever(mut self) -> Self {
        self.hold_ns = HOLD_FOREVER;
        self
    }

    pub(crate) fn check(&self) -> Result<[u8; NAME_BYTES], Error> {
        if self.hold_ns > 0 && (self.name.is_none() || !self.gated) {
            return Err(Error::BadOption {
                what: "only a named, gated consumer can be held while it is away",
            });
        }
        self.name.as_deref().map_or(Ok([0; NAME_BYTES]), names::padded)
    }
}

/// How often a search is begun anew because the producer overwrote its way, before the ring is called corrupt; and how
/// many capacities it walks in all, since one walk over a large ring takes as long as thousands over a small one. An
/// honest producer cannot overwrite the way twice in a row of a search that starts at the newest entry.
const ATTEMPTS: u32 = match (cfg!(loom), cfg!(tampered)) {
    (true, _) => 20,
    (_, true) => 100,
    _ => 1000,
};
const CAPACITIES_WALKED: u64 = 16;

/// Runs `attempt` until it yields, on a ring of so many bytes.
pub(crate) fn until_found<T>(
    capacity: u64,
    mut attempt: impl FnMut(&mut Effort) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let mut effort = Effort::default();
    let backoff = Backoff::new();
    for _ in 0..ATTEMPTS {
        if let Some(found) = attempt(&mut effort)? {
            return Ok(found);
        }
        effort.attempts += 1;
        if effort.bytes > capacity * CAPACITIES_WALKED {
            break;
        }
        // Never by a system call: receiving makes none. The models take turns by it.
        if cfg!(loom) { crate::atomics::spin() } else { backoff.spin() }
    }
    Err(Error::Corrupt(Corruption { position: 0, what: "no index entry that leads to a record" }))
}

/// The place at exactly `published`; `None`: overwritten on the way.
pub(crate) fn walk_to(
    areas: Areas<'_>,
    from: Place,
    published: u64,
    effort: &mut Effort,
) -> Result<Option<Place>, Error> {
    walk_through(areas, from, published, effort, |_| {})
}

fn walk_through(
    areas: Areas<'_>,
    from: Place,
    published: u64,
    effort: &mut Effort,
    visit: impl FnMut(Place),
) -> Result<Option<Place>, Error> {
    match index::walk(areas, from, published, effort, |_| false, visit) {
        Walk::At(place) => Ok(Some(place)),
        Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}

/// The place behind the newest record; `None`: overwritten on the way.
pub(crate) fn end(areas: Areas<'_>, effort: &mut Effort) -> Result<Option<Place>, Error> {
    end_through(areas, effort, |_| {})
}

/// The same; `visit` sees every place on the way.
pub(crate) fn end_through(
    areas: Areas<'_>,
    effort: &mut Effort,
    mut visit: impl FnMut(Place),
) -> Result<Option<Place>, Error> {
    let Some(newest) = index::newest(areas) else { return Ok(None) };
    visit(newest);
    let published = areas.head.inline.published.load(at!(R8_PUBLISHED, Relaxed));
    // [R8] Acquire. Pairs with [W4].
    // Orders: `published` before the headers on the way to it.
    // Without it: the walk reads what the last lap left there.
    fence_at!(R8_FENCE, Acquire);
    walk_through(areas, newest, published, effort, visit)
}

/// From a place no further back than this part of the capacity one walks straight on, without the index.
const NEAR: u64 = if cfg!(loom) { 1 } else { 8 };

/// How often the way to where a gate holds is looked for. The producer cannot overwrite it more than once or twice,
/// since then it comes to the gate; unless the gate is taken away.
const HELD_ATTEMPTS: u32 = if cfg!(loom) { 1 } else { 8 };

/// A place from which on a gate that is open at `place` holds everything: what was `published` then, or later.
pub(crate) fn held_from(areas: Areas<'_>, place: Place, published: u64) -> Option<Place> {
    let mut effort = Effort::default();
    if published.wrapping_sub(place.position) <= areas.geometry.capacity / NEAR
        && let Ok(Some(held)) = walk_to(areas, place, published, &mut effort)
    {
        return Some(held);
    }
    (1..HELD_ATTEMPTS).find_map(|_| end(areas, &mut effort).ok().flatten())
}

/// The place where `start` is; `None`: overwritten on the way.
pub(crate) fn find(areas: Areas<'_>, start: Start, effort: &mut Effort) -> Result<Option<Place>, Error> {
    // The oldest of all may be gone each time that it is looked for: then a little further on, and further.
    let segment = areas.geometry.segment_bytes();
    let margin =
        if matches!(start, Start::Last(_)) { (segment << effort.attempts.min(5)) - segment } else { 0 };
    let Some(oldest) = index::oldest(areas, margin) else { return Ok(None) };
    if start == Start::Oldest {
        return Ok(Some(oldest));
    }
    let Some(end) = end(areas, effort)? else { return Ok(None) };
    let wanted = match start {
        Start::Newest | Start::Oldest => return Ok(Some(end)),
        Start::Sequence(sequence) => sequence,
        Start::Last(records) => {
            let held = end.sequence.wrapping_sub(oldest.sequence);
            end.sequence.wrapping_sub(records.min(held))
        }
    };
    let gone = Error::StartGone { asked: wanted, oldest: oldest.sequence, next: end.sequence };
    if after(wanted, end.sequence) {
        return Err(gone);
    }
    let Some(from) = index::at_or_before(areas, wanted) else {
        // What was held a moment ago was overwritten meanwhile: the last few are others now.
        return if matches!(start, Start::Last(_)) { Ok(None) } else { Err(gone) };
    };
    match index::walk(areas, from, end.position, effort, |place| place.sequence == wanted, |_| {}) {
        Walk::At(place) if place.sequence == wanted => Ok(Some(place)),
        Walk::At(_) | Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ring::Region;
    use crate::ring::options::Options;
    use crate::ring::takeover;

    const CAPACITY: u64 = 1 << 16;

    /// A ring of empty records in which one index entry is left, the one farthest back, so that each walk is a long one.
    fn ring() -> Region {
        let region = Region::heap(Options::new().capacity(CAPACITY).geometry().unwrap()).unwrap();
        let mut producer = crate::Producer::take_over(region.share().unwrap()).unwrap();
        for _ in 0..CAPACITY / 8 - 8 {
            producer.try_send(&[]).unwrap();
        }
        for entry in &region.areas().index[1..] {
            entry.position.store(1, at!(I1_POSITION, Relaxed));
        }
        region
    }

    /// Somebody spoils every walk over the ring just before its end. What counts is how far it was walked, since a walk
    /// over a large ring takes a thousand times as long as one over a small one.
    #[test]
    fn walks_that_are_spoilt_come_to_an_end() {
        let region = ring();
        let areas = region.areas();
        let reserve = &areas.head.reserve.reserve;
        let honest = reserve.load(at!(R1_RESERVE, Relaxed));
        let (steps, walks) = (Cell::new(0), Cell::new(0));
        let found = until_found(CAPACITY, |effort| {
            reserve.store(honest, at!(W1_RESERVE, Relaxed));
            walks.set(walks.get() + 1);
            end_through(areas, effort, |place| {
                steps.set(steps.get() + 1);
                if place.position == CAPACITY - 128 {
                    reserve.store(honest + CAPACITY, at!(W1_RESERVE, Relaxed));
                }
            })
        });
        assert!(matches!(found, Err(Error::Corrupt(_))), "{found:?}");
        assert!(walks.get() > 8, "an honest producer may be unlucky: {} walks", walks.get());
        let most = 17 * CAPACITY / 8;
        assert!(steps.get() <= most, "{} steps over a ring of {} records", steps.get(), CAPACITY / 8);
        // Left alone, it is found.
        reserve.store(honest, at!(W1_RESERVE, Relaxed));
        let end = until_found(CAPACITY, |effort| end(areas, effort)).unwrap();
        assert_eq!(end.sequence, CAPACITY / 8 - 8);
    }

    /// The same of the others that walk: they add to what was walked, all of them.
    #[test]
    fn every_walk_counts() {
        let region = ring();
        let areas = region.areas();
        let walked = |walk: &dyn Fn(&mut Effort) -> Place| {
            let mut effort = Effort::default();
            walk(&mut effort);
            effort.bytes
        };
        let all = CAPACITY - 64;
        assert_eq!(walked(&|effort| end(areas, effort).unwrap().unwrap()), all);
        assert_eq!(walked(&|effort| find(areas, Start::Newest, effort).unwrap().unwrap()), all);
        let halfway = Start::Sequence(CAPACITY / 16);
        assert_eq!(walked(&|effort| find(areas, halfway, effort).unwrap().unwrap()), all + CAPACITY / 2);
        let published = areas.head.inline.published.load(at!(R8_PUBLISHED, Relaxed));
        let from = Place::default();
        assert_eq!(walked(&|effort| walk_to(areas, from, published, effort).unwrap().unwrap()), all);
        assert_eq!(walked(&|effort| takeover::place_at(areas, published, effort).unwrap().unwrap()), all);
    }
}
