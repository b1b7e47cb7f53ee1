//! A guard: the lock held, with a private copy of the value.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::value::Value;
use super::{Mutex, cells, owned, set_abandoned};
use crate::error::Error;
use crate::schema::Typed;
use crate::sync::member::Member;

/// The lock of a [`Mutex`] held, with a private copy of its value.
///
/// Dropping it unlocks, and commits the copy if it was changed. A guard that is dropped by a panic discards the change,
/// and marks the mutex as abandoned. A guard that is forgotten keeps the lock until its handle is used again or dropped.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct MutexGuard<'a, T: Typed> {
    mutex: &'a mut Mutex<T>,
    /// Stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl<'a, T: Typed> MutexGuard<'a, T> {
    /// The caller has the lock.
    #[inline(always)]
    pub(super) fn new(mutex: &'a mut Mutex<T>) -> Result<Self, Error> {
        mutex.member.holder().enter();
        mutex.in_panic = std::thread::panicking();
        mutex.is_changed = false;
        cells::<T>(&mutex.member).read_alone(mutex.value.as_mut_bytes());
        mutex.member.check_memory()?;
        Ok(Self { mutex, _thread: PhantomData })
    }

    /// Commits the copy if it was changed, and unlocks.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]: the value may not be committed.
    #[inline(always)]
    pub fn commit(mut self) -> Result<(), Error> {
        self.save()
    }

    /// Commits the copy if it was changed, and keeps the lock. From now on a death leaves this value.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    #[inline(always)]
    pub fn save(&mut self) -> Result<(), Error> {
        let Mutex { member, value, is_changed, .. } = &mut *self.mutex;
        member.check()?;
        if *is_changed {
            let cells = cells::<T>(member);
            cells.commit(cells.version(), value.as_bytes());
            *is_changed = false;
        }
        member.check_memory()
    }

    /// Unlocks, and leaves the value as it was last committed.
    pub fn discard(self) {
        self.mutex.is_changed = false;
    }

    /// Unlocks, leaves the value as it was last committed, and marks the mutex as abandoned, as a panic does.
    pub fn abandon(self) {
        self.mutex.is_changed = false;
        if self.mutex.member.check().is_ok() {
            set_abandoned(&self.mutex.member, true);
        }
    }

    /// The number of commits so far, the first value included. It wraps at `2^64`.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn version(&self) -> Result<u64, Error> {
        let member = &self.mutex.member;
        member.check()?;
        let version = cells::<T>(member).version();
        member.check_memory().map(|()| version)
    }

    /// Whether a holder before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.mutex.is_abandoned()
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        if self.mutex.member.check().is_ok() {
            set_abandoned(&self.mutex.member, false);
        }
    }
}

impl<T: Typed> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.mutex.value
    }
}

impl<T: Typed> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.mutex.is_changed = true;
        &mut self.mutex.value
    }
}

impl<T: Typed> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.member.holder().leave();
        if std::thread::panicking() && !self.mutex.in_panic {
            abandon(&self.mutex.member);
        } else if self.save().is_ok() {
            owned(&self.mutex.member).give(self.mutex.member.me());
        }
    }
}

/// The holder panicked.
#[cold]
fn abandon(member: &Member<Value>) {
    if member.check().is_ok() {
        set_abandoned(member, true);
        owned(member).give(member.me());
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard").field("value", &self.mutex.value).finish_non_exhaustive()
    }
}
