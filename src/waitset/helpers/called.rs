//! A word of this process's own, by which a thread is called.

use crate::atomics::{AtomicU32, FutexWord, at};
use crate::wait::futex::{self, Refused};

pub(in crate::waitset) struct Called(FutexWord);

impl Called {
    pub(in crate::waitset) fn new() -> Self {
        Self(FutexWord(AtomicU32::new(0)))
    }

    /// How often it was called. A call after this changes the number, so a sleep that expects it does not begin.
    pub(in crate::waitset) fn count(&self) -> u32 {
        self.0.0.load(at!(HELPER_COUNT, Relaxed))
    }

    pub(in crate::waitset) fn call(&self) {
        self.0.0.fetch_add(1, at!(HELPER_CALL, Relaxed));
        futex::wake_all(&self.0);
    }

    /// Sleeps until it is called, or until `until_ns` on the monotonic clock.
    pub(in crate::waitset) fn wait(&self, count: u32, until_ns: u64) -> Result<(), Refused> {
        futex::wait_or_refused(&self.0, count, until_ns)
    }

    /// For a sleep on other words as well.
    pub(super) fn word(&self) -> &FutexWord {
        &self.0
    }
}
