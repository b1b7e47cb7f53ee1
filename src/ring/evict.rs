//! Evictions on request. Only the producer takes gates. A request names, in the slot, the state word of the gate to
//! be taken, so it can never apply to the slot's next consumer, nor to a later gate of the same consumer.
//!
//! ```text
//! requesting process                         producer, whenever it scans the gates
//! evict = the state word of the open gate    evict equals the state word it has read:
//! light barrier [S1], wakes the space word   take the gate by compare-exchange from it, and announce
//! sleep until the state word changes         if it may not be taken: clear the request
//! ```
//!
//! A sealed ring ignores requests, because there each consumer could request the eviction of the others.

#[cfg(not(loom))]
use std::path::Path;
use std::time::Duration;

use crate::atomics::at;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::blocker::pid_of;
use crate::ring::geometry::Areas;
use crate::ring::layout::SlotState;
use crate::ring::locks;
use crate::ring::protocol::gate::{OpenGate, gated_at, is_asked, withdraw};
use crate::ring::protocol::stalls::budget_ns;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// The result of an eviction request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evicted {
    /// The producer has taken the gate.
    Done,
    /// The consumer gave the gate up itself, or came back to it, before the producer took it.
    Left,
    /// The producer lives but did not scan the gates within the wait. It takes the gate at its next scan: when it is
    /// next held up, or after one capacity of records at the latest.
    Asked,
}

/// Requests that the producer of the ring at `path` take the gate from the consumer in a slot, which may be running,
/// stopped, or away with its gate held. Afterwards it no longer holds the producer up. Waits up to `wait` for the
/// producer to do so. A living consumer goes on as a lossy one and receives
/// [`Event::Evicted`](crate::Event::Evicted); a name that is away keeps its place.
///
/// # Errors
///
/// [`Error::NoProducer`] if no producer lives: then none is held up, and [`forget`](crate::forget) frees a name;
/// [`Error::NotGated`] if the slot has no open gate; [`Error::NotEvictable`] for a living consumer that is guaranteed
/// not to be overwritten; and any error of opening the file as a ring.
#[cfg(not(loom))]
pub fn evict(path: impl AsRef<Path>, slot: u32, wait: Duration) -> Result<Evicted, Error> {
    ask(&Region::open(path.as_ref(), Access::Participant)?, slot, wait)
}

pub(crate) fn ask(region: &Region, number: u32, wait: Duration) -> Result<Evicted, Error> {
    region.or_memory_gone(ask_unguarded(region, number, wait))
}

fn ask_unguarded(region: &Region, number: u32, wait: Duration) -> Result<Evicted, Error> {
    let areas = region.areas();
    let found = areas.slots.get(number as usize);
    let Some((slot, OpenGate { state, .. })) = found.and_then(|slot| Some((slot, gated_at(slot)?))) else {
        return Err(Error::NotGated { slot: number });
    };
    if !region.locked(locks::PRODUCER) {
        return Err(Error::NoProducer);
    }
    let alive = region.is_alive(number);
    if alive && budget_ns(areas, slot).is_none() {
        return Err(not_evictable(areas, number));
    }
    slot.gate.evict.store(state, at!(G_ASK, Relaxed));
    doorbell::notify(&areas.control.space, WaitMode::Fence);
    let until_ns = clock::monotonic_ns().saturating_add(clock::duration_ns(wait));
    let changed = || slot.gate.state.load(at!(G_STATE, Relaxed)) != state;
    loop {
        if changed() {
            let next = slot.gate.state.load(at!(G_STATE, Relaxed));
            return Ok(outcome(state, next, alive));
        }
        if !is_asked(slot, state) {
            return Err(not_evictable(areas, number));
        }
        if !region.locked(locks::PRODUCER) {
            withdraw(slot, state);
            return Err(Error::NoProducer);
        }
        if clock::is_past(until_ns) {
            return Ok(Evicted::Asked);
        }
        // The producer announces the answer, which changes the word for every sleeper, so no further barrier is
        // needed.
        let answered = || changed() || !is_asked(slot, state);
        doorbell::sleep(&areas.control.data, |_| true, answered, until_ns);
    }
}

/// The outcome, from the state word that follows that of the open gate.
fn outcome(state: u64, next: u64, alive: bool) -> Evicted {
    let taken = |by: SlotState| next == by.after(state);
    let from_the_dead = !alive && (taken(SlotState::Saved) || taken(SlotState::Free));
    if taken(SlotState::Evicted) || from_the_dead { Evicted::Done } else { Evicted::Left }
}

pub(crate) fn not_evictable(areas: Areas<'_>, number: u32) -> Error {
    let pid = areas.slots.get(number as usize).map_or(0, |slot| pid_of(areas, slot));
    Error::NotEvictable { slot: number, pid }
}
