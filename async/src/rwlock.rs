//! A reader-writer lock that a task waits for, and the value that it guards.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use quoit::sync::{RwLock, WriteGuard};
use quoit::{Error, Typed};

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
        let value = T::new_box_zeroed().map_err(|_| Error::Io {
            path: std::path::PathBuf::new(),
            action: "allocate a copy of the value",
            source: std::io::ErrorKind::OutOfMemory.into(),
        })?;
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
        let value = guard.lock.get()?;
        *guard.value = value;
        Ok(guard)
    }

    async fn enter_alone(&mut self, wanted: Wanted) -> Result<AsyncWriteGuard<'_, T>, Error> {
        self.deputy.acquire(wanted).await?;
        let Self { deputy, value } = self;
        let lock = deputy.handle()?;
        let held = held(lock)?;
        value.as_mut_bytes().copy_from_slice(held.as_bytes());
        std::mem::forget(held);
        Ok(AsyncWriteGuard { lock, value, is_changed: false, in_panic: std::thread::panicking() })
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

/// The guard of a lock that this handle has to write, and that no guard stands for: it was forgotten.
fn held<T: Typed>(lock: &mut RwLock<T>) -> Result<WriteGuard<'_, T>, Error> {
    // Otherwise the memory is gone, and the lock with it.
    lock.regain_forgotten()?.ok_or(Error::TimedOut)
}

/// The lock stays taken without its guard. `None`: it was not to be had.
fn keep<G>(guard: Result<Option<G>, Error>) -> Result<Option<()>, Error> {
    match guard {
        Ok(guard) => Ok(guard.map(std::mem::forget)),
        Err(Error::TimedOut) => Ok(None),
        // Said of the thread. It holds nothing, so one before it had its number, and took the lock for a task.
        Err(Error::Deadlock) => {
            std::thread::sleep(Duration::from_millis(1));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

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
pub struct AsyncWriteGuard<'a, T: Typed> {
    lock: &'a mut RwLock<T>,
    value: &'a mut T,
    is_changed: bool,
    in_panic: bool,
}

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
        if !self.is_changed {
            return Ok(());
        }
        let mut held = held(self.lock)?;
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

    /// Whether a writer before this one died or panicked, and this has not been [recovered](Self::recovered) from.
    pub fn is_abandoned(&self) -> bool {
        self.lock.is_abandoned()
    }

    /// Says that what the lock guards is in order: later lockers get no [`Error::Abandoned`] for the deaths so far.
    pub fn recovered(&mut self) {
        if let Ok(mut held) = held(self.lock) {
            held.recovered();
            std::mem::forget(held);
        }
    }
}

impl<T: Typed> Deref for AsyncWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: Typed> DerefMut for AsyncWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        self.value
    }
}

impl<T: Typed> Drop for AsyncWriteGuard<'_, T> {
    fn drop(&mut self) {
        let is_panic = std::thread::panicking() && !self.in_panic;
        let is_saved = is_panic || self.save().is_ok();
        // Otherwise the handle is of no use, and holds nothing that others wait for.
        if let (true, Ok(held)) = (is_saved, held(self.lock)) {
            if is_panic {
                held.abandon();
            } else {
                drop(held);
            }
        }
    }
}

impl<T: Typed + fmt::Debug> fmt::Debug for AsyncWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncWriteGuard").field("value", &self.value).finish_non_exhaustive()
    }
}
