//! A guard: the lock held, with a private copy of the value.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use super::value::Value;
use crate::error::Error;
use crate::schema::Typed;
use crate::sync::guarded::Guarded;
use crate::sync::held::Held;

/// The lock of a [`Mutex`](super::Mutex) held, with a private copy of its value.
///
/// Dropping it unlocks, and commits the copy if it was changed. A guard that is dropped by a panic discards the change,
/// and marks the mutex as abandoned. A guard that is forgotten keeps the lock until its handle is used again or dropped.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct MutexGuard<'a, T: Typed> {
    guarded: &'a mut Guarded<Value, T>,
    held: Held,
    /// Stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl<'a, T: Typed> MutexGuard<'a, T> {
    /// The caller has the lock.
    #[inline(always)]
    pub(super) fn new(guarded: &'a mut Guarded<Value, T>) -> Result<Self, Error> {
        let held = guarded.begin();
        guarded.member.check_memory()?;
        Ok(Self { guarded, held, _thread: PhantomData })
    }

    /// Commits the copy if it was changed, and unlocks.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]: the value may not be committed.
    #[inline(always)]
    pub fn commit(self) -> Result<(), Error> {
        // A guard that is dropped somewhere has to be in memory.
        let guard = ManuallyDrop::new(self);
        let Self { guarded, held, .. } = &*guard;
        Ok(if held.is_unwinding() {
            guarded.save_and_abandon(held.is_changed)
        } else {
            guarded.save_and_give(held.is_changed)
        }?)
    }

    /// Commits the copy if it was changed, and keeps the lock. From now on a death leaves this value.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    #[inline(always)]
    pub fn save(&mut self) -> Result<(), Error> {
        self.guarded.save(self.held.is_changed)?;
        self.held.is_changed = false;
        Ok(())
    }

    /// Unlocks, and leaves the value as it was last committed.
    pub fn discard(mut self) {
        self.held.discard();
    }

    /// Unlocks, leaves the value as it was last committed, and marks the mutex as abandoned, as a panic does.
    pub fn abandon(mut self) {
        self.held.discard();
        if self.guarded.member.check().is_ok() {
            self.guarded.set_abandoned(true);
        }
    }

    /// The number of commits so far, the first value included. It wraps at `2^64`.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn version(&self) -> Result<u64, Error> {
        self.guarded.version()
    }

    /// Whether a holder before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.guarded.is_abandoned()
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        if self.guarded.member.check().is_ok() {
            self.guarded.set_abandoned(false);
        }
    }

    /// Commits, and gives the lock up until [`take_again`](Self::take_again). Nobody may use the guard meanwhile.
    pub(crate) fn give_up(&mut self) -> Result<(), Error> {
        self.guarded.save_and_give(self.held.is_changed)?;
        self.held.is_changed = false;
        Ok(())
    }

    /// Waits for the lock that was given up. If that fails, the guard is of no use but to be dropped.
    pub(crate) fn take_again(&mut self, until_ns: u64) -> Result<(), Error> {
        if self.guarded.acquire(until_ns)? {
            self.guarded.give();
            return Err(Error::Abandoned);
        }
        self.held = self.guarded.begin();
        self.guarded.member.check_memory()
    }

    /// Whether the lock, given up, is somebody's who is dead.
    pub(crate) fn is_owner_dead(&self) -> bool {
        self.guarded.is_owner_dead()
    }
}

impl<T: Typed> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.guarded.value()
    }
}

impl<T: Typed> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.held.is_changed = true;
        self.guarded.value_mut()
    }
}

impl<T: Typed> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.guarded.finish(&self.held);
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard").field("value", &**self).finish_non_exhaustive()
    }
}
