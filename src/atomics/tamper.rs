//! Only in the package `quoit-tampered`: an intruder that runs before any single access to shared memory, and a count
//! of these accesses.
//!
//! [`at!`](crate::atomics) is evaluated once for each access, so the intruder is called there: it does what another
//! process might do between two loads, at a moment that is the same in every run.

use std::cell::{Cell, RefCell};

/// Called with the number of the next access. Returns the number at which to be called again.
type Intruder = Box<dyn FnMut(u64) -> u64>;

thread_local! {
    /// Accesses of this thread to shared memory so far.
    static ACCESSES: Cell<u64> = const { Cell::new(0) };
    /// The access before which the intruder is called.
    static ALARM: Cell<u64> = const { Cell::new(u64::MAX) };
    static INTRUDER: RefCell<Option<Intruder>> = const { RefCell::new(None) };
}

/// Runs before every access to shared memory.
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
    // The intruder's own accesses do not count, and do not call it.
    ALARM.set(u64::MAX);
    let next =
        INTRUDER.with_borrow_mut(|intruder| intruder.as_mut().map_or(u64::MAX, |intruder| intruder(number)));
    ALARM.set(next);
}

/// Accesses of this thread to shared memory so far.
pub fn accesses() -> u64 {
    ACCESSES.get()
}

/// From access number `first` on, calls `intruder` before the access, with its number. It returns the number of the
/// next access before which to be called.
pub fn tamper_with(first: u64, intruder: impl FnMut(u64) -> u64 + 'static) {
    INTRUDER.with_borrow_mut(|place| *place = Some(Box::new(intruder)));
    ALARM.set(first);
}

/// Removes the intruder.
pub fn leave_alone() {
    ALARM.set(u64::MAX);
    INTRUDER.with_borrow_mut(|place| *place = None);
}
