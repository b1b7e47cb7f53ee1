//! What the producer says of the stream: whether it has ended, and how to sleep until it goes on.

use crate::atomics::at;
use crate::ring::geometry::Areas;
use crate::source::{Arming, Waker};
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// The mode that the producer runs in.
pub(crate) fn mode(areas: Areas<'_>) -> Option<WaitMode> {
    WaitMode::from_bits(areas.head.reserve.mode.load(at!(S5_MODE, Relaxed)))
}

/// Whether the producer ended cleanly.
pub(crate) fn is_closed(areas: Areas<'_>) -> bool {
    // [T3] Acquire. Pairs with the close's Release.
    // Orders: the load of the flag before the load of `published` that follows.
    // Without it: a consumer reports the end of the stream while a record is still to be received.
    areas.head.reserve.closed.load(at!(T3_IS_CLOSED, Acquire)) == 1
}

/// Arms the word on which readers sleep, for a wait for many things.
pub(crate) fn arm(areas: Areas<'_>) -> Arming {
    let word = &areas.control.data;
    if areas.geometry.wait == WaitMode::Spin {
        return Arming::unarmed(doorbell::unarmed(word));
    }
    let expected = doorbell::arm(word);
    let waker = match mode(areas) {
        Some(WaitMode::Membarrier) => Waker::NeedsBarrier,
        Some(WaitMode::Fence) => Waker::Fences,
        Some(WaitMode::Spin) | None => Waker::Missing,
    };
    Arming::woken(expected, waker)
}
