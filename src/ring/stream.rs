//! What the producer says of the stream: whether it has ended, and how to sleep until it goes on.

use crate::atomics::at;
use crate::ring::layout::Areas;
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
