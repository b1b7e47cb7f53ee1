//! Permits that a task waits for.

use std::fmt;
use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::Semaphore;

use crate::deputy::{Acquire, Deputy};

/// A [`Semaphore`], for async code.
///
/// A permit is held by its handle, so each task has a handle of its own ([`Semaphore::try_clone`]), by which it has one
/// [`AsyncPermit`] at a time, for one permit or several.
///
/// A task that has to wait has a thread of this package wait in its place. The thread ends after a second without work. If the
/// future is dropped, the thread stops waiting within 100 ms; a permit that it gets meanwhile it gives back.
#[derive(Debug)]
pub struct AsyncSemaphore {
    deputy: Deputy<Semaphore>,
}

impl AsyncSemaphore {
    /// A semaphore of this handle.
    pub fn new(semaphore: Semaphore) -> Self {
        Self { deputy: Deputy::new(semaphore) }
    }

    /// Waits for a permit. Cancel-safe: a future that is dropped has taken none.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`]; [`Error::Io`] if no thread could be started.
    pub async fn acquire(&mut self) -> Result<AsyncPermit<'_>, Error> {
        self.acquire_many(1).await
    }

    /// Waits for several permits at once. Cancel-safe: a future that is dropped has taken none.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire_many`]; [`Error::Io`] if no thread could be started.
    pub async fn acquire_many(&mut self, count: u32) -> Result<AsyncPermit<'_>, Error> {
        let is_abandoned = self.deputy.acquire(count).await?;
        Ok(AsyncPermit { semaphore: self.deputy.handle()?, count, is_abandoned })
    }
}

impl Acquire for Semaphore {
    type Wanted = u32;
    /// Whether the last holder of one of them died with it.
    type Got = bool;

    fn acquire(&mut self, count: u32, timeout: Duration) -> Result<Option<bool>, Error> {
        let permit = if timeout.is_zero() {
            self.try_acquire_many(count)
        } else {
            match self.acquire_many_deadline(count, Instant::now() + timeout) {
                Err(Error::TimedOut) => Ok(None),
                permit => permit.map(Some),
            }
        };
        Ok(permit?.map(|permit| {
            let is_abandoned = permit.is_abandoned();
            std::mem::forget(permit);
            is_abandoned
        }))
    }

    fn lets_pass(&self) -> bool {
        self.is_somebody_impatient()
    }

    fn give_back(&mut self) {
        self.give_back_forgotten();
    }
}

/// A permit of an [`AsyncSemaphore`], or several that were taken together. Dropping it gives all of them back. It may be held
/// across an `await`.
#[must_use = "the permit is given back as soon as this is dropped"]
pub struct AsyncPermit<'a> {
    semaphore: &'a mut Semaphore,
    count: u32,
    is_abandoned: bool,
}

impl AsyncPermit<'_> {
    /// How many permits these are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether the last holder of one of them died with it. What it did may be half done.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }
}

impl Drop for AsyncPermit<'_> {
    fn drop(&mut self) {
        self.semaphore.give_back_forgotten();
    }
}

impl fmt::Debug for AsyncPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncPermit").field("count", &self.count).finish_non_exhaustive()
    }
}
