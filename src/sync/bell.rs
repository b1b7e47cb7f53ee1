//! Waiting for something that others make true, and who then ring a bell for everybody.

use crossbeam_utils::Backoff;

use crate::atomics::FutexWord;
use crate::error::Error;
use crate::sync::looks::Looks;
use crate::sync::member::Member;
use crate::sync::shape::Content;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// Wakes everybody who sleeps on the bell, after something was made true.
pub(crate) fn ring(bell: &FutexWord) {
    doorbell::notify(bell, WaitMode::Fence);
}

/// The sleeper's side of [`ring`].
fn barrier(bell: &FutexWord) -> bool {
    doorbell::heavy_for(bell, Some(WaitMode::Fence))
}

/// Waits until `look` finds something, or until a point on the monotonic clock. With a point that has passed it looks
/// once. `has_changed` looks as well, without an effect: whether to look again instead of sleeping. `slice_ns` says how
/// long the next sleep may last, after so long a wait.
///
/// # Errors
///
/// Those of `look`; [`Error::TimedOut`]; what is wrong with the handle.
pub(crate) fn wait<K: Content, T>(
    member: &Member<K>,
    bell: &FutexWord,
    until_ns: u64,
    mut slice_ns: impl FnMut(u64) -> u64,
    mut look: impl FnMut() -> Result<Option<T>, Error>,
    has_changed: impl Fn() -> bool,
) -> Result<T, Error> {
    let mut looks = if until_ns == 0 { Looks::none() } else { Looks::new() };
    let mut began_ns = None;
    loop {
        member.check()?;
        let found = look()?;
        member.check_memory()?;
        if let Some(found) = found {
            return Ok(found);
        }
        if looks.wait() {
            continue;
        }
        if clock::is_past(until_ns) {
            return Err(Error::TimedOut);
        }
        let now = clock::monotonic_ns();
        let waited_ns = now.saturating_sub(*began_ns.get_or_insert(now));
        let slice_ends_ns = now.saturating_add(doorbell::armed_ns(slice_ns(waited_ns)));
        member.note_waiting(true);
        let is_true = || has_changed() || member.check_memory().is_err();
        doorbell::sleep(bell, barrier, is_true, until_ns.min(slice_ends_ns));
        member.note_waiting(false);
    }
}

/// Waits without a seat until something is true, or until a point on the monotonic clock. Returns whether it is. `is_woken`:
/// whether the caller may write the bell; otherwise nobody wakes it, and it naps.
pub(crate) fn listen(bell: &FutexWord, is_woken: bool, until_ns: u64, is_true: impl Fn() -> bool) -> bool {
    let backoff = Backoff::new();
    let begin_ns = clock::monotonic_ns();
    loop {
        if is_true() {
            return true;
        }
        if clock::is_past(until_ns) {
            return false;
        }
        if !cfg!(loom) && !backoff.is_completed() {
            backoff.snooze();
        } else if is_woken {
            doorbell::sleep(bell, barrier, &is_true, until_ns);
        } else {
            let now = clock::monotonic_ns();
            let nap_ns = doorbell::nap_ns(now.saturating_sub(begin_ns));
            doorbell::doze(bell, &is_true, until_ns.min(now.saturating_add(nap_ns)));
        }
    }
}
