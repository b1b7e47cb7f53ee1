//! A lock that a task waits for, and the value that it guards.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use quoit::sync::{Mutex, MutexGuard};
use quoit::{Error, Typed};

use crate::copied::{Copied, Lock, keep, lock, room};
use crate::deputy::{Acquire, Deputy};

/// A [`Mutex`], for async code.
///
/// Each task has a handle of its own ([`Mutex::try_clone`]). Its guard may be held across an `await`, and move between
/// threads with its task. A lock is held by its handle and not by a thread, so a task that waits for a lock which it holds by
/// another handle waits for ever.
///
/// A task that has to wait has a thread of this package wait in its place. The thread ends after a second without work. If the
/// future is dropped, the thread stops waiting within 100 ms; if it gets the lock meanwhile, it gives it back.
///
/// ```
/// use quoit::sync::{Mutex, SyncOptions};
/// use quoit_async::AsyncMutex;
///
/// # smol::block_on(async {
/// let mutex = Mutex::local(&SyncOptions::new(), &0_u64)?;
/// let mut other = AsyncMutex::new(mutex.try_clone()?)?;
/// let mut mutex = AsyncMutex::new(mutex)?;
///
/// let mut guard = mutex.lock().await?;
/// *guard += 1;
/// smol::future::yield_now().await;
/// guard.commit()?;
/// assert_eq!(*other.lock().await?, 1);
/// # Ok::<(), quoit::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncMutex<T: Typed + Send + 'static> {
    deputy: Deputy<Mutex<T>>,
    /// The copy that guards lend.
    value: Box<T>,
}

impl<T: Typed + Send + 'static> AsyncMutex<T> {
    /// A mutex of this handle.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: there is no memory for a copy of the value.
    pub fn new(mutex: Mutex<T>) -> Result<Self, Error> {
        let value = room()?;
        Ok(Self { deputy: Deputy::new(mutex), value })
    }

    /// Waits for the lock. Cancel-safe: a future that is dropped does not hold it.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`], except [`Error::Deadlock`]; [`Error::Io`] if no thread could be started.
    pub async fn lock(&mut self) -> Result<AsyncMutexGuard<'_, T>, Error> {
        self.enter(IfAbandoned::Refuse).await
    }

    /// As [`lock`](Self::lock), whether the mutex was abandoned or not.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), without [`Error::Abandoned`].
    pub async fn recover(&mut self) -> Result<AsyncMutexGuard<'_, T>, Error> {
        self.enter(IfAbandoned::Accept).await
    }

    async fn enter(&mut self, if_abandoned: IfAbandoned) -> Result<AsyncMutexGuard<'_, T>, Error> {
        self.deputy.acquire(if_abandoned).await?;
        let Self { deputy, value } = self;
        Ok(AsyncMutexGuard(Copied::new(deputy.handle()?, value)?))
    }
}

/// What a locker does with a mutex that somebody left by dying or by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfAbandoned {
    Refuse,
    Accept,
}

lock!(Mutex, MutexGuard, try_recover);

impl<T: Typed + Send + 'static> Acquire for Mutex<T> {
    type Wanted = IfAbandoned;
    type Got = ();

    fn acquire(&mut self, wanted: IfAbandoned, timeout: Duration) -> Result<Option<()>, Error> {
        if timeout.is_zero() {
            return match wanted {
                IfAbandoned::Refuse => keep(self.try_lock()),
                IfAbandoned::Accept => keep(self.try_recover()),
            };
        }
        let deadline = Instant::now() + timeout;
        keep(match wanted {
            IfAbandoned::Refuse => self.lock_deadline(deadline).map(Some),
            IfAbandoned::Accept => self.recover_deadline(deadline).map(Some),
        })
    }

    fn lets_pass(&self) -> bool {
        self.is_somebody_impatient()
    }

    fn give_back(&mut self) {
        drop(self.held());
    }
}

/// The lock of an [`AsyncMutex`] held, with a private copy of its value.
///
/// Dropping it unlocks, and commits the copy if it was changed. A guard that is dropped by a panic discards the change,
/// and marks the mutex as abandoned. A guard that is forgotten keeps the lock until its handle is used again or dropped.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct AsyncMutexGuard<'a, T: Typed>(Copied<'a, Mutex<T>>);

impl<T: Typed> AsyncMutexGuard<'_, T> {
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

    /// Whether a holder before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.0.lock.is_abandoned()
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        self.0.recovered();
    }
}

impl<T: Typed> Deref for AsyncMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Typed> DerefMut for AsyncMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for AsyncMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMutexGuard").field("value", &**self).finish_non_exhaustive()
    }
}
