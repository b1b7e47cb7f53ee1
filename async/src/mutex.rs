//! A lock that a task waits for, and the value that it guards.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use quoit::sync::{Mutex, MutexGuard};
use quoit::{Error, Typed};

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
        let value = T::new_box_zeroed().map_err(|_| Error::Io {
            path: std::path::PathBuf::new(),
            action: "allocate a copy of the value",
            source: std::io::ErrorKind::OutOfMemory.into(),
        })?;
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
        let mutex = deputy.handle()?;
        let held = held(mutex)?;
        value.as_mut_bytes().copy_from_slice(held.as_bytes());
        std::mem::forget(held);
        Ok(AsyncMutexGuard { mutex, value, is_changed: false, in_panic: std::thread::panicking() })
    }
}

/// What a locker does with a mutex that somebody left by dying or by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfAbandoned {
    Refuse,
    Accept,
}

/// The guard of a lock that this handle has, and that no guard stands for: it was forgotten.
fn held<T: Typed>(mutex: &mut Mutex<T>) -> Result<MutexGuard<'_, T>, Error> {
    mutex.recover_deadline(Instant::now())
}

impl<T: Typed + Send + 'static> Acquire for Mutex<T> {
    type Wanted = IfAbandoned;
    type Got = ();

    fn acquire(&mut self, wanted: IfAbandoned, timeout: Duration) -> Result<Option<()>, Error> {
        let deadline = Instant::now() + timeout;
        let locked = match wanted {
            IfAbandoned::Refuse => self.lock_deadline(deadline),
            IfAbandoned::Accept => self.recover_deadline(deadline),
        };
        match locked {
            Ok(guard) => {
                std::mem::forget(guard);
                Ok(Some(()))
            }
            Err(Error::TimedOut) => Ok(None),
            // Said of the thread. It holds nothing, so one before it had its number, and took the lock for a task.
            Err(Error::Deadlock) => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn lets_pass(&self) -> bool {
        self.is_somebody_impatient()
    }

    fn give_back(&mut self) {
        drop(held(self));
    }
}

/// The lock of an [`AsyncMutex`] held, with a private copy of its value.
///
/// Dropping it unlocks, and commits the copy if it was changed. A guard that is dropped by a panic discards the change,
/// and marks the mutex as abandoned. A guard that is forgotten keeps the lock until its handle is used again or dropped.
#[must_use = "the lock is given back as soon as the guard is dropped"]
pub struct AsyncMutexGuard<'a, T: Typed> {
    mutex: &'a mut Mutex<T>,
    value: &'a mut T,
    is_changed: bool,
    in_panic: bool,
}

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
        if !self.is_changed {
            return Ok(());
        }
        let mut held = held(self.mutex)?;
        held.as_mut_bytes().copy_from_slice(self.value.as_bytes());
        let saved = held.save();
        std::mem::forget(held);
        self.is_changed &= saved.is_err();
        saved
    }

    /// Unlocks, and leaves the value as it was last committed.
    pub fn discard(mut self) {
        self.is_changed = false;
    }

    /// Whether a holder before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.mutex.is_abandoned()
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        if let Ok(mut held) = held(self.mutex) {
            held.recovered();
            std::mem::forget(held);
        }
    }
}

impl<T: Typed> Deref for AsyncMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: Typed> DerefMut for AsyncMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        self.value
    }
}

impl<T: Typed> Drop for AsyncMutexGuard<'_, T> {
    fn drop(&mut self) {
        let is_panic = std::thread::panicking() && !self.in_panic;
        let is_saved = is_panic || self.save().is_ok();
        // Otherwise the handle is of no use, and holds nothing that others wait for.
        if let (true, Ok(held)) = (is_saved, held(self.mutex)) {
            if is_panic {
                held.abandon();
            } else {
                drop(held);
            }
        }
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for AsyncMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncMutexGuard").field("value", &self.value).finish_non_exhaustive()
    }
}
