//! In the package `quoit-tampered` alone: somebody who comes before any single access to shared memory, and a count of
//! these accesses.
//!
//! [`at!`](crate::atomics) is evaluated once for each access, so it is the place to let somebody in: what another
//! process might do between two loads happens there, at a moment that is the same in every run.

use std::cell::{Cell, RefCell};

/// Called with the number of the access that comes next; returns the number at which to be called again.
type Intruder = Box<dyn FnMut(u64) -> u64>;

thread_local! {
    /// Accesses of this thread to shared memory so far.
    static ACCESSES: Cell<u64> = const { Cell::new(0) };
    /// Before which of them the intruder is called.
    static ALARM: Cell<u64> = const { Cell::new(u64::MAX) };
    static INTRUDER: RefCell<Option<Intruder>> = const { RefCell::new(None) };
}

/// Before every access to shared memory.
#[inline(always)]
pub(crate) fn before_access() {
    let number = ACCESSES.get();
    ACCESSES.set(number + 1);
    if number >= ALARM.get() {
        tamper(number);
    }
}

#[cold]
fn tamper(number: u64) {
    // The intruder's own accesses do not count, and call nobody.
    ALARM.set(u64::MAX);
    let next =
        INTRUDER.with_borrow_mut(|intruder| intruder.as_mut().map_or(u64::MAX, |intruder| intruder(number)));
    ALARM.set(next);
}

/// Accesses of this thread to shared memory so far.
pub fn accesses() -> u64 {
    ACCESSES.get()
}

/// From the access of number `first` on, `intruder` is called before it, with its number; it answers with the number
/// of the next one it wants to come before.
pub fn tamper_with(first: u64, intruder: impl FnMut(u64) -> u64 + 'static) {
    INTRUDER.with_borrow_mut(|place| *place = Some(Box::new(intruder)));
    ALARM.set(first);
}

/// Nobody tampers any more.
pub fn leave_alone() {
    ALARM.set(u64::MAX);
    INTRUDER.with_borrow_mut(|place| *place = None);
}
