//! Waiting for something that others make true, and who then ring a bell for everybody.

use crate::atomics::{FutexWord, spin};
use crate::error::Error;
use crate::sync::member::Member;
use crate::sync::owned::SPINS;
use crate::sync::shape::Content;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// Wakes everybody who sleeps on the bell, after something was made true.
pub(crate) fn ring(bell: &FutexWord) {
    doorbell::notify(bell, WaitMode::Fence);
}

/// Waits until `look` finds something, or until a point on the monotonic clock. With a point that has passed it looks
/// once. `has_changed` looks as well, without an effect: whether to look again instead of sleeping. No sleep is longer
/// than `slice_ns`.
///
/// # Errors
///
/// Those of `look`; [`Error::TimedOut`]; what is wrong with the handle.
pub(crate) fn wait<K: Content, T>(
    member: &Member<K>,
    bell: &FutexWord,
    until_ns: u64,
    slice_ns: u64,
    mut look: impl FnMut() -> Result<Option<T>, Error>,
    has_changed: impl Fn() -> bool,
) -> Result<T, Error> {
    let mut spins = if until_ns == 0 { 0 } else { SPINS };
    loop {
        member.check()?;
        let found = look()?;
        member.check_memory()?;
        if let Some(found) = found {
            return Ok(found);
        }
        if spins > 0 {
            spins -= 1;
            spin();
            continue;
        }
        if clock::is_past(until_ns) {
            return Err(Error::TimedOut);
        }
        let slice_ends_ns = clock::monotonic_ns().saturating_add(doorbell::armed_ns(slice_ns));
        member.note_waiting(true);
        let heavy = |word: &_| doorbell::heavy_for(word, Some(WaitMode::Fence));
        let is_true = || has_changed() || member.check_memory().is_err();
        doorbell::sleep(bell, heavy, is_true, until_ns.min(slice_ends_ns));
        member.note_waiting(false);
    }
}
