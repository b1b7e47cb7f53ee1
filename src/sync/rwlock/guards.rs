//! Guards: a reader-writer lock held, to read or to write.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::readers::{self, Value};
use crate::error::Error;
use crate::schema::Typed;
use crate::sync::guarded::Guarded;
use crate::sync::held::Held;

/// An [`RwLock`](super::RwLock) held to read, with a private copy of its value.
///
/// Dropping it lets writers in. One that is forgotten keeps them out until its handle is used again or dropped.
#[must_use = "writers are let in as soon as the guard is dropped"]
pub struct ReadGuard<'a, T: Typed> {
    guarded: &'a mut Guarded<Value, T>,
    /// Stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl<'a, T: Typed> ReadGuard<'a, T> {
    /// The caller's mark keeps writers out.
    pub(super) fn new(guarded: &'a mut Guarded<Value, T>) -> Result<Self, Error> {
        let guard = Self { guarded, _thread: PhantomData };
        guard.guarded.begin();
        guard.guarded.member.check_memory()?;
        Ok(guard)
    }

    /// Whether a writer died or panicked, and the lock was not [recovered](WriteGuard::recovered) since.
    pub fn is_abandoned(&self) -> bool {
        self.guarded.is_abandoned()
    }

    /// The number of commits so far, the first value included. It wraps at `2^64`.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn version(&self) -> Result<u64, Error> {
        self.guarded.version()
    }
}

impl<T: Typed> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guarded.value()
    }
}

impl<T: Typed> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        self.guarded.member.holder().leave();
        if self.guarded.member.check().is_ok() {
            readers::lower(&self.guarded.member);
        }
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").field("value", &**self).finish_non_exhaustive()
    }
}

/// An [`RwLock`](super::RwLock) held to write, with a private copy of its value.
///
/// Dropping it unlocks, and commits the copy if it was changed. A guard that is dropped by a panic discards the change,
/// and marks the lock as abandoned. A guard that is forgotten keeps the lock until its handle is used again or dropped.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct WriteGuard<'a, T: Typed> {
    guarded: &'a mut Guarded<Value, T>,
    held: Held,
    /// Stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl<'a, T: Typed> WriteGuard<'a, T> {
    /// The caller has the lock, and nobody reads.
    pub(super) fn new(guarded: &'a mut Guarded<Value, T>) -> Result<Self, Error> {
        let held = guarded.begin();
        let guard = Self { guarded, held, _thread: PhantomData };
        guard.guarded.member.check_memory()?;
        Ok(guard)
    }

    /// Commits the copy if it was changed, and unlocks.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]: the value may not be committed.
    pub fn commit(mut self) -> Result<(), Error> {
        self.save()
    }

    /// Commits the copy if it was changed, and keeps the lock. From now on a death leaves this value.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn save(&mut self) -> Result<(), Error> {
        self.guarded.save(self.held.is_changed)?;
        self.held.is_changed = false;
        Ok(())
    }

    /// Unlocks, and leaves the value as it was last committed.
    pub fn discard(mut self) {
        self.held.discard();
    }

    /// Unlocks, leaves the value as it was last committed, and marks the lock as abandoned, as a panic does.
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

    /// Whether a writer before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.guarded.is_abandoned()
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        if self.guarded.member.check().is_ok() {
            self.guarded.set_abandoned(false);
        }
    }
}

impl<T: Typed> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guarded.value()
    }
}

impl<T: Typed> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.is_changed = true;
        self.guarded.value_mut()
    }
}

impl<T: Typed> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.guarded.finish(&self.held);
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for WriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteGuard").field("value", &**self).finish_non_exhaustive()
    }
}
