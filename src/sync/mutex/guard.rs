//! A guard: the lock held, with a private copy of the value.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::shape::Shape;
use super::{cells, owned, set_abandoned};
use crate::error::Error;
use crate::schema::Typed;
use crate::sync::member::Member;

/// The lock of a [`Mutex`](super::Mutex) held, with a private copy of its value.
///
/// Dropping it unlocks, and commits the copy if it was changed. A guard that is dropped by a panic discards the change,
/// and marks the mutex as abandoned. A guard that is forgotten keeps the lock until its handle is used again or dropped.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct MutexGuard<'a, T: Typed> {
    member: &'a Member<Shape>,
    value: T,
    /// Of the committed value.
    version: u64,
    is_changed: bool,
    is_abandoned: bool,
    /// It was made while the thread unwound already.
    in_panic: bool,
    /// Stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl<'a, T: Typed> MutexGuard<'a, T> {
    #[inline(always)]
    pub(super) fn new(member: &'a Member<Shape>, value: T, version: u64, is_abandoned: bool) -> Self {
        member.holder().enter();
        let in_panic = std::thread::panicking();
        Self { member, value, version, is_changed: false, is_abandoned, in_panic, _thread: PhantomData }
    }

    /// Commits the copy if it was changed, and unlocks.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]: the value may not be committed.
    #[inline]
    pub fn commit(mut self) -> Result<(), Error> {
        self.save()
    }

    /// Commits the copy if it was changed, and keeps the lock. From now on a death leaves this value.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    #[inline]
    pub fn save(&mut self) -> Result<(), Error> {
        self.member.check()?;
        if self.is_changed {
            self.version = cells(self.member).commit(self.version, self.value.as_bytes());
            self.is_changed = false;
        }
        self.member.check_memory()
    }

    /// Unlocks, and leaves the value as it was last committed.
    pub fn discard(mut self) {
        self.is_changed = false;
    }

    /// The number of commits so far, the first value included. It wraps at `2^64`.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether a holder before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        if self.member.check().is_ok() {
            set_abandoned(self.member, false);
            self.is_abandoned = false;
        }
    }
}

impl<T: Typed> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Typed> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.value
    }
}

impl<T: Typed> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.member.holder().leave();
        if !self.in_panic && std::thread::panicking() {
            if self.member.check().is_err() {
                return;
            }
            set_abandoned(self.member, true);
        } else if self.save().is_err() {
            return;
        }
        owned(self.member).give(self.member.me());
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard")
            .field("value", &self.value)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
