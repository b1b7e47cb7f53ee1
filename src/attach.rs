//! How a consumer attaches: what happens when it is slow, where it starts, under which name.

use std::time::Duration;

use crate::clock;
use crate::error::{Corruption, Error};
use crate::gate::HOLD_FOREVER;
use crate::index::{self, Walk};
use crate::layout::{Areas, NAME_BYTES};
use crate::ring::{Place, after};
use crate::sync::{at, fence_at};

/// Where a consumer that is not resuming under its name starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug)]
pub struct Attach {
    pub(crate) gated: bool,
    pub(crate) deadline_ns: u64,
    evictable: bool,
    pub(crate) start: Start,
    pub(crate) name: Option<String>,
    pub(crate) hold_ns: u64,
}

impl Attach {
    fn new(gated: bool, deadline_ns: u64) -> Self {
        Self { gated, deadline_ns, evictable: false, start: Start::Newest, name: None, hold_ns: 0 }
    }

    /// Never holds the producer back. When it is lapped it is told exactly what it lost and goes on.
    ///
    /// Of short records that are there to be read it copies up to 1 KiB at a time. What was copied before it was overwritten
    /// still comes, whole and in order, ahead of the loss. So it does for every consumer that can be overwritten.
    pub fn lossy() -> Self {
        Self::new(false, 0)
    }

    /// The producer may not overwrite what this consumer has not released: it loses nothing, and a producer that
    /// finds the ring full waits for it, or is told so.
    pub fn gated() -> Self {
        Self::new(true, 0)
    }

    /// Gated until it has held the producer up for `patience`, then lossy for the rest of its attachment.
    ///
    /// The time counts in all: while the producer publishes one capacity of records, every time that this consumer
    /// holds it up is added, and with the first hold after that the count starts anew. So whoever takes a whole
    /// ring of records in less than `patience` keeps its gate however often it is in the way, and letting through
    /// a record now and then does not help. The producer measures on its own monotonic clock, from a refused claim
    /// to the next successful one; where it did not wait in between, to the last refused one before that, or before this
    /// consumer let something through: what nobody wants to send, nobody holds up.
    pub fn gated_for(patience: Duration) -> Self {
        Self::new(true, clock::duration_ns(patience).max(1))
    }

    /// A gated consumer that may be evicted on request, by [`Producer::evict`](crate::Producer::evict) or
    /// [`quoit::evict`](crate::evict), also while it is stopped. Consumers that can be overwritten anyway, by a deadline
    /// or the ring's hard limit, may be always; another one reads records where they lie, and is promised that they
    /// stay there. So this makes it copy each record and check it before it is lent. On a ring for gated consumers only
    /// it changes nothing: nobody may be overwritten there.
    #[must_use]
    pub fn evictable(mut self) -> Self {
        self.evictable = true;
        self
    }

    /// How long this consumer may hold the producer up, ns, as it stands in its slot. One that may be evicted has a
    /// deadline that never passes.
    pub(crate) fn patience_ns(&self, gated_only: bool) -> u64 {
        let evictable = self.gated && self.evictable && !gated_only;
        if evictable && self.deadline_ns == 0 { u64::MAX } else { self.deadline_ns }
    }

    /// Where to start.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Under a name of 1 to 32 bytes. The ring keeps the named consumer's place and loss account when it goes or
    /// dies, and it resumes there when it attaches under the name again, wherever it says it starts. The name
    /// keeps its slot until [`forget`](crate::forget).
    ///
    /// A consumer killed while it attaches for the first time may leave the name at a place somewhat before its
    /// start, never after it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// While away, this named gated consumer goes on holding the producer back, as if it lived, for `hold` from
    /// the moment the producer is held up by it and notices.
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
        self.name.as_deref().map_or(Ok([0; NAME_BYTES]), name_bytes)
    }
}

/// A name as it stands in a slot: padded with zeros.
pub(crate) fn name_bytes(name: &str) -> Result<[u8; NAME_BYTES], Error> {
    let mut bytes = [0; NAME_BYTES];
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(Error::BadName { name: name.to_owned() });
    }
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ok(bytes)
}

/// How often a search is begun anew because the producer overwrote its way, before the ring is called corrupt.
/// An honest producer cannot do that twice in a row to a search that starts at the newest entry.
const ATTEMPTS: u32 = if cfg!(any(loom, meddled)) { 20 } else { 10_000 };

/// Runs `attempt` until it yields.
pub(crate) fn until_found<T>(mut attempt: impl FnMut() -> Result<Option<T>, Error>) -> Result<T, Error> {
    for _ in 0..ATTEMPTS {
        if let Some(found) = attempt()? {
            return Ok(found);
        }
        crate::sync::spin();
    }
    Err(Error::Corrupt(Corruption { position: 0, what: "no index entry that leads to a record" }))
}

/// The place at exactly `published`; `None`: overwritten on the way.
pub(crate) fn walk_to(areas: Areas<'_>, from: Place, published: u64) -> Result<Option<Place>, Error> {
    walk_through(areas, from, published, |_| {})
}

fn walk_through(
    areas: Areas<'_>,
    from: Place,
    published: u64,
    visit: impl FnMut(Place),
) -> Result<Option<Place>, Error> {
    match index::walk(areas, from, published, |_| false, visit) {
        Walk::At(place) => Ok(Some(place)),
        Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}

/// The place behind the newest record; `None`: overwritten on the way.
pub(crate) fn end(areas: Areas<'_>) -> Result<Option<Place>, Error> {
    end_through(areas, |_| {})
}

/// The same; `visit` sees every place on the way.
pub(crate) fn end_through(areas: Areas<'_>, mut visit: impl FnMut(Place)) -> Result<Option<Place>, Error> {
    let Some(newest) = index::newest(areas) else { return Ok(None) };
    visit(newest);
    let published = areas.head.express.published.load(at!(R8_PUBLISHED, Relaxed));
    // [R8] Acquire. Pairs with [W4].
    // Orders: `published` before the headers on the way to it.
    // Without it: the walk reads what the last lap left there.
    fence_at!(R8_FENCE, Acquire);
    walk_through(areas, newest, published, visit)
}

/// The place where `start` is; `None`: overwritten on the way.
pub(crate) fn find(areas: Areas<'_>, start: Start) -> Result<Option<Place>, Error> {
    let Some(oldest) = index::oldest(areas, 0) else { return Ok(None) };
    if start == Start::Oldest {
        return Ok(Some(oldest));
    }
    let Some(end) = end(areas)? else { return Ok(None) };
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
    match index::walk(areas, from, end.position, |place| place.sequence == wanted, |_| {}) {
        Walk::At(place) if place.sequence == wanted => Ok(Some(place)),
        Walk::At(_) | Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}
