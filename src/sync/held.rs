//! What a guard knows while it holds a lock.

/// A guard's own. It is in the guard and not in the handle: nobody else looks at it, so the compiler has it in registers,
/// or knows it. In memory it would have to be stored before the lock is given back.
#[derive(Debug)]
pub(crate) struct Held {
    /// The copy was changed, and is not committed yet.
    pub(crate) is_changed: bool,
    /// The lock was taken while its thread unwound already.
    in_panic: bool,
}

impl Held {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { is_changed: false, in_panic: std::thread::panicking() }
    }

    /// The change is not to be committed.
    pub(crate) fn discard(&mut self) {
        self.is_changed = false;
    }

    /// Whether the holder has panicked since it took the lock.
    #[inline(always)]
    pub(crate) fn is_unwinding(&self) -> bool {
        std::thread::panicking() && !self.in_panic
    }
}
