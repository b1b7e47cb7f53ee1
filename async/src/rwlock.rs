//! A reader-writer lock that a task waits for, and the value that it guards.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use quoit::sync::{RwLock, WriteGuard};
use quoit::{Error, Typed};

use crate::copied::{Copied, keep, lock, room};
use crate::deputy::{Acquire, Deputy};

/// An [`RwLock`], for async code.
///
/// As with an [`AsyncMutex`](crate::AsyncMutex), each task has a handle of its own ([`RwLock::try_clone`]), its guard may be
/// held across an `await`, and a task that has to wait has a thread of this package wait in its place.
///
/// ```
/// use quoit::sync::{RwLock, SyncOptions};
/// use quoit_async::AsyncRwLock;
///
/// # smol::block_on(async {
/// let lock = RwLock::local(&SyncOptions::new(), &0_u64)?;
/// let mut other = AsyncRwLock::new(lock.try_clone()?)?;
/// let mut lock = AsyncRwLock::new(lock)?;
///
/// let mut guard = lock.write().await?;
/// *guard += 1;
/// guard.commit()?;
/// let (one, another) = (lock.read().await?, other.read().await?);
/// assert_eq!((*one, *another), (1, 1));
/// # Ok::<(), quoit::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncRwLock<T: Typed + Send + 'static> {
    deputy: Deputy<RwLock<T>>,
    /// The copy that guards lend.
    value: Box<T>,
}

impl<T: Typed + Send + 'static> AsyncRwLock<T> {
    /// A lock of this handle.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: there is no memory for a copy of the value.
    pub fn new(lock: RwLock<T>) -> Result<Self, Error> {
        let value = room()?;
        Ok(Self { deputy: Deputy::new(lock), value })
    }

    /// Waits for the lock to read. Cancel-safe: a future that is dropped does not hold it.
    ///
    /// # Errors
    ///
    /// As [`RwLock::read`], except [`Error::Deadlock`]; [`Error::Io`] if no thread could be started.
    pub async fn read(&mut self) -> Result<AsyncReadGuard<'_, T>, Error> {
        self.enter(Wanted::Read).await
    }

    /// As [`read`](Self::read), whether the lock was abandoned or not.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), without [`Error::Abandoned`].
    pub async fn read_anyway(&mut self) -> Result<AsyncReadGuard<'_, T>, Error> {
        self.enter(Wanted::ReadAnyway).await
    }

    /// Waits for the lock to write. Cancel-safe: a future that is dropped does not hold it.
    ///
    /// # Errors
    ///
    /// As [`RwLock::write`], except [`Error::Deadlock`]; [`Error::Io`] if no thread could be started.
    pub async fn write(&mut self) -> Result<AsyncWriteGuard<'_, T>, Error> {
        self.enter_alone(Wanted::Write).await
    }

    /// As [`write`](Self::write), whether the lock was abandoned or not.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), without [`Error::Abandoned`].
    pub async fn recover(&mut self) -> Result<AsyncWriteGuard<'_, T>, Error> {
        self.enter_alone(Wanted::Recover).await
    }

    async fn enter(&mut self, wanted: Wanted) -> Result<AsyncReadGuard<'_, T>, Error> {
        self.deputy.acquire(wanted).await?;
        let Self { deputy, value } = self;
        // Given back whatever happens. No writer is there, so the value that anybody reads is what the lock guards.
        let guard = AsyncReadGuard { lock: deputy.handle()?, value };
        guard.lock.get_into(guard.value)?;
        Ok(guard)
    }

    async fn enter_alone(&mut self, wanted: Wanted) -> Result<AsyncWriteGuard<'_, T>, Error> {
        self.deputy.acquire(wanted).await?;
        let Self { deputy, value } = self;
        Ok(AsyncWriteGuard(Copied::new(deputy.handle()?, value)?))
    }
}

/// How a task wants to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Read,
    ReadAnyway,
    Write,
    Recover,
}

lock!(RwLock, WriteGuard, regain_forgotten);

impl<T: Typed + Send + 'static> Acquire for RwLock<T> {
    type Wanted = Wanted;
    type Got = ();

    fn acquire(&mut self, wanted: Wanted, timeout: Duration) -> Result<Option<()>, Error> {
        if timeout.is_zero() {
            return match wanted {
                Wanted::Read => keep(self.try_read()),
                Wanted::ReadAnyway => keep(self.try_read_anyway()),
                Wanted::Write => keep(self.try_write()),
                Wanted::Recover => keep(self.try_recover()),
            };
        }
        let deadline = Instant::now() + timeout;
        match wanted {
            Wanted::Read => keep(self.read_deadline(deadline).map(Some)),
            Wanted::ReadAnyway => keep(self.read_anyway_deadline(deadline).map(Some)),
            Wanted::Write => keep(self.write_deadline(deadline).map(Some)),
            Wanted::Recover => keep(self.recover_deadline(deadline).map(Some)),
        }
    }

    fn lets_pass(&self) -> bool {
        self.is_somebody_impatient()
    }

    fn give_back(&mut self) {
        self.give_back_forgotten();
    }
}

/// An [`AsyncRwLock`] held to read, with a private copy of its value.
///
/// Dropping it lets writers in. One that is forgotten keeps them out until its handle is used again or dropped.
#[must_use = "writers are let in as soon as the guard is dropped"]
pub struct AsyncReadGuard<'a, T: Typed> {
    lock: &'a mut RwLock<T>,
    value: &'a mut T,
}

impl<T: Typed> AsyncReadGuard<'_, T> {
    /// Whether a writer died or panicked, and the lock was not [recovered](AsyncWriteGuard::recovered) since.
    pub fn is_abandoned(&self) -> bool {
        self.lock.is_abandoned()
    }
}

impl<T: Typed> Deref for AsyncReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: Typed> Drop for AsyncReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.give_back_forgotten();
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for AsyncReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncReadGuard").field("value", &self.value).finish_non_exhaustive()
    }
}

/// An [`AsyncRwLock`] held to write, with a private copy of its value.
///
/// Dropping it unlocks, and commits the copy if it was changed. A guard that is dropped by a panic discards the change,
/// and marks the lock as abandoned. A guard that is forgotten keeps the lock until its handle is used again or dropped.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct AsyncWriteGuard<'a, T: Typed>(Copied<'a, RwLock<T>>);

impl<T: Typed> AsyncWriteGuard<'_, T> {
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
        self.0.save()
    }

    /// Unlocks, and leaves the value as it was last committed.
    pub fn discard(self) {
        self.0.discard();
    }

    /// Whether a writer before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.0.lock.is_abandoned()
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        self.0.recovered();
    }
}

impl<T: Typed> Deref for AsyncWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Typed> DerefMut for AsyncWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for AsyncWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncWriteGuard").field("value", &**self).finish_non_exhaustive()
    }
}
