//! How a consumer attaches: what happens when it is slow, where it starts, under which name.

use std::time::{Duration, SystemTime};

use crossbeam_utils::Backoff;

use crate::atomics::{at, fence_at};
use crate::error::{Corruption, Error};
use crate::ring::geometry::Areas;
use crate::ring::layout::NAME_BYTES;
use crate::ring::names;
use crate::ring::protocol::gate::HOLD_FOREVER;
use crate::ring::protocol::index::{self, Effort, Walk};
use crate::ring::protocol::run::Run;
use crate::ring::protocol::{Place, after, floor, times};
use crate::wait::clock;
use crate::wait::timestamp::Timestamp;

/// Where a consumer that is not resuming under its name starts.
///
/// A gated consumer loses no record that is published after it attaches. Records published before that may still be
/// overwritten: the producer scans the gates only once per capacity, so it may not have seen a gate that opened at a
/// place in the past. Such a loss is reported as [`LossCause::Attaching`](crate::LossCause::Attaching) and added to
/// no account. A ring for gated consumers only ([`Options::gated_only`](crate::Options::gated_only)) refuses a start
/// in the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// At the next record to be published.
    #[default]
    Newest,
    /// At the oldest record that is not about to be overwritten. Once the producer has lapped, this is precise to a
    /// 64th of the capacity.
    Oldest,
    /// At the record with this sequence. The last sequence published plus one is allowed. A record that is gone, or
    /// further ahead, is an error.
    Sequence(u64),
    /// At the last N records, or as many of them as are not about to be overwritten.
    Last(u64),
    /// At the first record that was published at this time or later; at the oldest that is not about to be overwritten, if
    /// that is later still; at the next record to be published, if there is none yet. Only on a ring made with
    /// [`Options::times`](crate::Options::times).
    Time(Timestamp),
    /// As `Time`, for a time of day. The ring notes both clocks once in each 64th of its capacity; this goes by the pair
    /// before the time. If the time of day was set, or the machine suspended, between that pair and the next one, it is
    /// wrong by as much at most.
    Wall(SystemTime),
}

/// How a consumer attaches. Every consumer of a ring chooses for itself.
///
/// By default a consumer starts at the next record to be published, [`Start::Newest`], and receives nothing that the
/// ring already holds. To receive that as well, for example in a consumer that may start after its producer, set
/// [`start`](Self::start) to [`Start::Oldest`]. A consumer that resumes under its [`name`](Self::name) ignores the
/// start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    pub(crate) gated: bool,
    pub(crate) budget_ns: u64,
    evictable: bool,
    pub(crate) start: Start,
    pub(crate) name: Option<String>,
    pub(crate) hold_ns: u64,
    pub(crate) after: Option<String>,
}

impl Attach {
    fn new(gated: bool, budget_ns: u64) -> Self {
        Self { gated, budget_ns, evictable: false, start: Start::Newest, name: None, hold_ns: 0, after: None }
    }

    /// Never holds the producer back. When it is lapped, it receives the exact loss and goes on.
    ///
    /// It copies short records ahead, up to 1 KiB at a time. Records that were copied before they were overwritten
    /// are still received, whole and in order, ahead of the loss. The same holds for every consumer that can be
    /// overwritten.
    pub fn lossy() -> Self {
        Self::new(false, 0)
    }

    /// The producer may not overwrite what this consumer has not released, so the consumer loses no record that is
    /// published after it attaches. When the ring is full, the producer waits for it or gets an error. For records
    /// published before the attach, see [`Start`].
    ///
    /// A name that comes back to an overwritten place has no gate until the consumer has received the loss and then
    /// receives or releases once more. Before that there is nothing to read where the gate would be.
    pub fn gated() -> Self {
        Self::new(true, 0)
    }

    /// Gated until it has held the producer up for `budget` in one lap, then lossy for the rest of its attachment.
    ///
    /// The budget covers all holds of a lap. While the producer publishes one capacity of records, every time that
    /// this consumer holds it up is added; the first hold after that starts a new lap at zero. So a consumer that
    /// receives a whole ring of records in less than `budget` keeps its gate, however often it blocks the producer,
    /// and one that releases a record now and then does not escape its budget.
    ///
    /// The producer measures on its own monotonic clock, from a refused claim to the next successful one. If the
    /// producer did not wait in between, the hold ends at the last refused claim before that, or at the last one
    /// before this consumer released something: time in which nobody tries to send does not count.
    pub fn gated_for(budget: Duration) -> Self {
        Self::new(true, clock::duration_ns(budget).max(1))
    }

    /// Lets this gated consumer be evicted on request, by [`Producer::evict`](crate::Producer::evict) or
    /// [`quoit::evict`](crate::evict), even while its process is stopped. Consumers with a budget, and those on a
    /// ring with a hard limit, can always be evicted. Any other gated consumer reads records in place, and is
    /// guaranteed that they are not overwritten. This option gives that guarantee up: the consumer then copies each
    /// record and checks the copy before lending it. On a ring for gated consumers only it has no effect.
    #[must_use]
    pub fn evictable(mut self) -> Self {
        self.evictable = true;
        self
    }

    /// The budget in ns, as written to the slot. A consumer that may be evicted without a budget of its own gets one
    /// that is never used up.
    pub(crate) fn budget_ns(&self, gated_only: bool) -> u64 {
        let evictable = self.gated && self.evictable && !gated_only;
        if evictable && self.budget_ns == 0 { u64::MAX } else { self.budget_ns }
    }

    /// Sets where to start. Default: the next record to be published.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Attaches under a name of 1 to 63 bytes. The ring keeps the place and the loss account of a named consumer when
    /// it leaves or dies. A consumer that attaches under the same name later resumes there, whatever its start says.
    /// The name keeps its slot until [`forget`](crate::forget) or [`forget_away`](crate::forget_away).
    ///
    /// If another producer opened the ring meanwhile, the consumer receives
    /// [`Event::ProducerChanged`](crate::Event::ProducerChanged) where that producer's records begin. On a ring for
    /// gated consumers only, a name that was held resumes at its place; any other resumes at the next record to be
    /// published, and the records in between are reported as lost.
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

    /// As [`hold`](Self::hold), without an end: the producer waits until the consumer comes back or its name is
    /// forgotten.
    #[must_use]
    pub fn hold_forever(mut self) -> Self {
        self.hold_ns = HOLD_FOREVER;
        self
    }

    /// Follows a stage: receives a record only once the consumer with this name has released it. So what has to happen
    /// before, for example that a journal on disk has the record, has happened.
    ///
    /// When its followers attach, the stage must be attached, or away with its gate held ([`Consumer::open_wait`](crate::Consumer::open_wait) waits for
    /// it), and gated. Any number of consumers may follow one stage, and a follower can be a stage itself. A follower may
    /// have any policy. It receives nothing that was published before its stage attached, nor what its stage has lost.
    ///
    /// While the stage's gate stands, its followers wait for it, also while it is away and its gate is
    /// [held](Self::hold). When the gate is gone, they receive what the stage has released, and then
    /// [`RecvError::StageGone`](crate::RecvError::StageGone) until the stage comes back or they
    /// [unfollow](crate::Consumer::unfollow) it.
    ///
    /// A stage releases a record when it receives the next one; with [`Consumer::keep`](crate::Consumer::keep), when it
    /// says so. While it has followers, it tells them of every release.
    #[must_use]
    pub fn after(mut self, stage: impl Into<String>) -> Self {
        self.after = Some(stage.into());
        self
    }

    pub(crate) fn check(&self) -> Result<[u8; NAME_BYTES], Error> {
        if self.after.is_some() && self.after == self.name {
            return Err(Error::BadOption { what: "a consumer cannot follow itself" });
        }
        if self.hold_ns > 0 && (self.name.is_none() || !self.gated) {
            return Err(Error::BadOption {
                what: "only a named, gated consumer can be held while it is away",
            });
        }
        self.name.as_deref().map_or(Ok([0; NAME_BYTES]), names::padded)
    }
}

/// Limits of a search, after which the ring is called corrupt: how often it restarts because the producer overwrote
/// its path, and how many capacities it walks in total, since one walk over a large ring takes as long as thousands
/// over a small one. An honest producer cannot overwrite the path of a search that starts at the newest entry twice
/// in a row.
const ATTEMPTS: u32 = match (cfg!(loom), cfg!(tampered)) {
    (true, _) => 20,
    (_, true) => 100,
    _ => 1000,
};
const CAPACITIES_WALKED: u64 = 16;

/// Runs `attempt` until it yields a result, on a ring of `capacity` bytes.
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
        // No system call: receiving makes none. In the models this is where threads switch.
        if cfg!(loom) { crate::atomics::spin() } else { backoff.spin() }
    }
    Err(Error::Corrupt(Corruption { position: 0, what: "no index entry that leads to a record" }))
}

/// The place at exactly `published`. `None`: the path there was overwritten.
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

/// The place behind the newest record. `None`: the path there was overwritten.
pub(crate) fn end(areas: Areas<'_>, effort: &mut Effort) -> Result<Option<Place>, Error> {
    end_through(areas, effort, |_| {})
}

/// As `end`; calls `visit` for every place on the path.
pub(crate) fn end_through(
    areas: Areas<'_>,
    effort: &mut Effort,
    mut visit: impl FnMut(Place),
) -> Result<Option<Place>, Error> {
    let Some(newest) = index::newest(areas) else { return Ok(None) };
    visit(newest);
    walk_through(areas, newest, published(areas), effort, visit)
}

/// The place behind the next records that are published, at most so many. `None`: the path there was overwritten.
///
/// `usual`: payload bytes that records are likely to have, if nothing from here on can be overwritten. `seen`: what was published
/// when the caller last asked. Where that is enough, the line of `published` is left to the producer, who stores to it all the time.
#[inline(always)]
pub(crate) fn ahead(
    areas: Areas<'_>,
    from: Place,
    records: u32,
    usual: Option<u32>,
    seen: &mut u64,
) -> Result<Option<Place>, Error> {
    let wanted = from.sequence.wrapping_add(records.into());
    let mut near = from;
    if let Some(usual) = usual {
        near = steps(areas, from, wanted, *seen, usual);
        if near.sequence == wanted {
            return Ok(Some(near));
        }
    }
    ahead_anew(areas, (from, near), wanted, usual, seen)
}

/// The rest of `ahead`, after another look at `published`; `near` is as far as the last one showed. Apart, since the search
/// needs the areas in memory, and what comes before it would pay for that.
#[inline(never)]
fn ahead_anew(
    areas: Areas<'_>,
    (from, mut near): (Place, Place),
    wanted: u64,
    usual: Option<u32>,
    seen: &mut u64,
) -> Result<Option<Place>, Error> {
    let published = published(areas);
    *seen = published;
    if !after(published, from.position) {
        return Ok(Some(from));
    }
    if let Some(usual) = usual {
        near = steps(areas, near, wanted, published, usual);
    }
    // What is left, if anything: padding, and what is behind it.
    match index::walk(areas, near, published, &mut Effort::default(), |at| at.sequence == wanted, |_| {}) {
        Walk::At(place) => Ok(Some(place)),
        Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}

/// The place behind the records from `place` on that are published and in one piece, up to the one with the sequence `wanted`.
#[inline(always)]
fn steps(areas: Areas<'_>, place: Place, wanted: u64, published: u64, usual: u32) -> Place {
    // Not beyond the capacity either way: `published` may be older than the place, and the place may be garbage.
    if published.wrapping_sub(place.position) > areas.geometry.capacity {
        return place;
    }
    let Some(mut run) = Run::within(areas, place, published, usual) else { return place };
    let mut left = wanted.wrapping_sub(place.sequence);
    loop {
        left -= run.pass_usual(left);
        if left == 0 || run.step().is_none() {
            return run.place();
        }
        left -= 1;
    }
}

/// What is published, for a walk to there.
#[inline(always)]
pub(crate) fn published(areas: Areas<'_>) -> u64 {
    let published = areas.head.inline.published.load(at!(R8_PUBLISHED, Relaxed));
    // [R8] Acquire. Pairs with [W4].
    // Orders: `published` before the headers on the path to it.
    // Without it: the walk reads what the last lap left there.
    fence_at!(R8_FENCE, Acquire);
    published
}

/// The place before the newest record below `published`, for a reader at `own`; `own` itself if it has read that record.
/// Walks from `own` if that is near, else from the index. `None`: the path was overwritten.
pub(crate) fn before_newest(
    areas: Areas<'_>,
    own: Place,
    published: u64,
    effort: &mut Effort,
) -> Result<Option<Place>, Error> {
    // A reader may be ahead of the `published` that it loads: see `Reader::look`.
    if !after(published, own.position) {
        return Ok(Some(own));
    }
    let is_near = published.wrapping_sub(own.position) <= areas.geometry.segment_bytes();
    let indexed = if is_near { None } else { index::newest(areas) };
    let is_between =
        |indexed: &Place| after(indexed.position, own.position) && !after(indexed.position, published);
    let from = indexed.filter(is_between).unwrap_or(own);
    let (mut newest, mut last) = (None, from);
    let end = walk_through(areas, from, published, effort, |place| {
        if place.sequence != last.sequence {
            newest = Some(last);
        }
        last = place;
    })?;
    let Some(end) = end else { return Ok(None) };
    if newest.is_some() || end.sequence == own.sequence {
        return Ok(newest.or(Some(own)));
    }
    // The newest record begins before the newest entry of the index.
    let wanted = end.sequence.wrapping_sub(1);
    let from = index::at_or_before(areas, wanted).filter(is_between).unwrap_or(own);
    match index::walk(areas, from, end.position, effort, |place| place.sequence == wanted, |_| {}) {
        Walk::At(place) => Ok((place.sequence == wanted).then_some(place)),
        Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}

/// From a place no further back than this fraction of the capacity, the walk goes straight on, without the index.
const NEAR: u64 = if cfg!(loom) { 1 } else { 8 };

/// Attempts to find a place from which an open gate holds. The producer can overwrite the path once or twice at most
/// before the gate stops it, unless the gate is taken away.
const HELD_ATTEMPTS: u32 = if cfg!(loom) { 1 } else { 8 };

/// A place from which a gate that is open at `place` protects every record: at `published` as read after the gate
/// opened, or later.
pub(crate) fn held_from(areas: Areas<'_>, place: Place, published: u64) -> Option<Place> {
    let mut effort = Effort::default();
    if published.wrapping_sub(place.position) <= areas.geometry.capacity / NEAR
        && let Ok(Some(held)) = walk_to(areas, place, published, &mut effort)
    {
        return Some(held);
    }
    (1..HELD_ATTEMPTS).find_map(|_| end(areas, &mut effort).ok().flatten())
}

/// The first record from `oldest` on, before `end`, that was published at `host_ns` or later; or `end`. `None`: the path
/// there was overwritten.
fn find_time(
    areas: Areas<'_>,
    (oldest, end): (Place, Place),
    host_ns: u64,
    effort: &mut Effort,
) -> Result<Option<Place>, Error> {
    if !areas.geometry.timed {
        let what =
            "the ring's records carry no times, so none can be found by its time; create a ring with times";
        return Err(Error::BadOption { what });
    }
    let before = index::before_time(areas, host_ns).filter(|place| after(place.position, oldest.position));
    let is_there = |place: &Place| times::of_record(areas, place).is_some_and(|time_ns| time_ns >= host_ns);
    match index::walk(areas, before.unwrap_or(oldest), end.position, effort, is_there, |_| {}) {
        // The walk has not checked the record at which it stopped.
        Walk::At(place) => Ok((!after(floor(areas), place.position)).then_some(place)),
        Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}

/// As `find`, for a consumer that receives nothing before the record with sequence `first`.
pub(crate) fn find_from(
    areas: Areas<'_>,
    start: Start,
    first: u64,
    effort: &mut Effort,
) -> Result<Option<Place>, Error> {
    if let Start::Sequence(asked) = start
        && after(first, asked)
    {
        let Some(end) = end(areas, effort)? else { return Ok(None) };
        return Err(Error::StartGone { asked, oldest: first, next: end.sequence });
    }
    match find(areas, start, effort)? {
        Some(place) if after(first, place.sequence) => match find(areas, Start::Sequence(first), effort) {
            // Overwritten meanwhile: then the start means another place now.
            Err(Error::StartGone { .. }) => Ok(None),
            found => found,
        },
        found => Ok(found),
    }
}

/// The place that `start` means. `None`: the path there was overwritten.
pub(crate) fn find(areas: Areas<'_>, start: Start, effort: &mut Effort) -> Result<Option<Place>, Error> {
    // The very oldest place may be overwritten during each attempt, so every further attempt leaves a larger margin.
    let segment = areas.geometry.segment_bytes();
    let is_loose = matches!(start, Start::Last(_) | Start::Time(_) | Start::Wall(_));
    let margin = if is_loose { (segment << effort.attempts.min(5)) - segment } else { 0 };
    let Some(oldest) = index::oldest(areas, margin) else { return Ok(None) };
    if start == Start::Oldest {
        return Ok(Some(oldest));
    }
    let Some(end) = end(areas, effort)? else { return Ok(None) };
    let wanted = match start {
        Start::Newest | Start::Oldest => return Ok(Some(end)),
        Start::Time(time) => return find_time(areas, (oldest, end), time.as_nanos(), effort),
        Start::Wall(time) => {
            let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let host_ns = times::host_ns(areas, clock::duration_ns(since_1970));
            return find_time(areas, (oldest, end), host_ns, effort);
        }
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
        // What the ring held at first was overwritten meanwhile: the last N records are different ones now.
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

    /// A ring of empty records with a single index entry, the one farthest back, so that each walk is long.
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

    /// Another process breaks every walk over the ring just before its end. The limit counts bytes walked, since a
    /// walk over a large ring takes a thousand times as long as one over a small one.
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
        // Without interference the search succeeds.
        reserve.store(honest, at!(W1_RESERVE, Relaxed));
        let end = until_found(CAPACITY, |effort| end(areas, effort)).unwrap();
        assert_eq!(end.sequence, CAPACITY / 8 - 8);
    }

    /// The other walks add to the same total.
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
        assert_eq!(walked(&|effort| takeover::place_at(areas, published, 0, effort).unwrap().unwrap()), all);
    }
}
