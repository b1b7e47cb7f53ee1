//! Becoming a ring's producer, its first or its next. A process may be killed after any step here; the ring is then
//! in as good a state for its successor as before.

use crate::atomics::at;
use crate::error::{Corruption, Error};
use crate::ring::Region;
use crate::ring::attach::until_found;
use crate::ring::geometry::Areas;
use crate::ring::layout::STAMP_NONE;
use crate::ring::locks;
use crate::ring::protocol::Place;
use crate::ring::protocol::index::{self, Effort, Noted, Walk};
use crate::ring::protocol::times;
use crate::ring::protocol::writer::Writer;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::futex;
use crate::wait::mode::WaitMode;
use crate::wait::timestamp;

/// The state a new producer starts with.
#[derive(Debug)]
pub(crate) struct Succession {
    pub(crate) writer: Writer,
    pub(crate) mode: WaitMode,
    pub(crate) epoch: u64,
}

/// Takes the producer's lock, and continues the stream where it ends.
pub(crate) fn take_over(region: &Region) -> Result<Succession, Error> {
    let areas = region.areas();
    if !region.lock(locks::PRODUCER)? {
        let pid = areas.head.reserve.pid.load(at!(T_HINTS, Relaxed)) as u32;
        return Err(region.refusal(locks::PRODUCER, "the producer's place", Error::ProducerAlive { pid }));
    }
    let published = check_cursors(areas)?;
    // The dead producer may have been writing the inline copy; its stamp must never match a position.
    areas.head.inline.stamp.store(STAMP_NONE, at!(T_STAMP, Relaxed));
    let last_ns = if areas.geometry.timed { last_time(areas, published)? } else { 0 };
    let place = recover(areas, published, last_ns)?;
    let writer = Writer::resume(areas, place, last_ns, region.is_guarded(), clock::wall_ns);
    let mode = negotiate(region.geometry().wait);
    clear_traces(areas);
    let epoch = begin_epoch(areas, published, mode);
    Ok(Succession { writer, mode, epoch })
}

/// `published`, if an honest producer can have left it and `reserve` as they are.
fn check_cursors(areas: Areas<'_>) -> Result<u64, Error> {
    let published = areas.head.inline.published.load(at!(T_PUBLISHED, Relaxed));
    let reserve = areas.head.reserve.reserve.load(at!(T_RESERVE, Relaxed));
    let corrupt = |what| Err(Corruption { position: published, what }.into());
    if !published.is_multiple_of(8) {
        return corrupt("a published cursor that is no multiple of 8");
    }
    if reserve.wrapping_sub(published) > areas.geometry.capacity {
        return corrupt("the reserve and published cursors are further apart than the ring is long");
    }
    Ok(published)
}

/// The place at `published`, and the index entries that a dead producer had not written yet.
fn recover(areas: Areas<'_>, published: u64, last_ns: u64) -> Result<Place, Error> {
    until_found(areas.geometry.capacity, |effort| place_at(areas, published, last_ns, effort))
}

/// The newest publish time, or a later one that the last producer has seen. Read before missing entries are written: they
/// may be ahead of the records below them.
fn last_time(areas: Areas<'_>, published: u64) -> Result<u64, Error> {
    until_found(areas.geometry.capacity, |effort| {
        let Some(Noted { mut place, host_ns: mut last_ns, .. }) = index::newest_noted(areas) else {
            return Ok(None);
        };
        let walk = index::walk(
            areas,
            place,
            published,
            effort,
            |_| false,
            |passed| {
                let time_ns = times::of_record(areas, &place);
                (place, last_ns) = (passed, time_ns.map_or(last_ns, |time_ns| last_ns.max(time_ns)));
            },
        );
        match walk {
            Walk::At(_) => Ok(Some(last_ns)),
            Walk::Lapped => Ok(None),
            Walk::Corrupt(corruption) => Err(corruption.into()),
        }
    })
}

/// One search for that place. `None`: not found.
pub(crate) fn place_at(
    areas: Areas<'_>,
    published: u64,
    last_ns: u64,
    effort: &mut Effort,
) -> Result<Option<Place>, Error> {
    let shift = areas.geometry.segment_bytes().trailing_zeros();
    let Some(newest) = index::newest(areas) else { return Ok(None) };
    let mut indexed = newest.position >> shift;
    let mut missing = Vec::new();
    let walk = index::walk(
        areas,
        newest,
        published,
        effort,
        |_| false,
        |place| {
            if place.position >> shift != indexed {
                indexed = place.position >> shift;
                missing.push(place);
            }
        },
    );
    match walk {
        Walk::At(place) => {
            for place in missing {
                index::write(areas, place, clock::wall_ns(), timestamp::now_ns().max(last_ns));
            }
            Ok(Some(place))
        }
        Walk::Lapped => Ok(None),
        Walk::Corrupt(corruption) => Err(corruption.into()),
    }
}

/// The wait mode that this producer can use.
fn negotiate(asked: WaitMode) -> WaitMode {
    match asked {
        WaitMode::Membarrier if !futex::accept_barriers() => WaitMode::Fence,
        asked => asked,
    }
}

/// Clears what a producer left that was killed while it waited for space.
fn clear_traces(areas: Areas<'_>) {
    // Its mark as a sleeper, which every gated consumer checks.
    doorbell::disarm(&areas.control.space);
    // The consumer it waited for, and the start of running holds, as it noted them.
    areas.head.counters.blocked.store(0, at!(C_WRITE, Relaxed));
    for slot in areas.slots {
        if slot.gate.held_ns.load(at!(C_READ, Relaxed)) != 0 {
            slot.gate.held_ns.store(0, at!(C_WRITE, Relaxed));
        }
    }
}

fn begin_epoch(areas: Areas<'_>, published: u64, mode: WaitMode) -> u64 {
    let reserve = &areas.head.reserve;
    let epoch = reserve.epoch.load(at!(T_EPOCH_READ, Relaxed)).wrapping_add(1);
    reserve.pid.store(u64::from(std::process::id()), at!(T_HINTS_WRITE, Relaxed));
    reserve.opened_ns.store(clock::wall_ns(), at!(T_HINTS_WRITE, Relaxed));
    reserve.mode.store(mode.to_bits(), at!(T_MODE, Relaxed));
    reserve.closed.store(0, at!(T_CLOSED, Relaxed));
    reserve.began(epoch).store(published, at!(T_EPOCH_POSITION, Relaxed));
    // [T2] Release. Pairs with [R7].
    // Orders: the epoch's position before the epoch.
    // Without it: a consumer reports the new producer at the place where the one before the last began.
    reserve.epoch.store(epoch, at!(T2_EPOCH, Release));
    doorbell::announce(&areas.control.data);
    epoch
}
