//! A lock that a task holds alone, and its private copy of the value: what the guards of mutexes and of reader-writer locks
//! have in common.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use quoit::zerocopy::IntoBytes;
use quoit::{Error, Typed};

/// A handle on a lock that one can hold alone.
pub(crate) trait Lock {
    type Value: Typed;
    /// The library's guard.
    type Held<'a>: Held<Value = Self::Value>
    where
        Self: 'a;

    /// The guard of the lock that this handle has, and that no guard stands for: it was forgotten.
    fn held(&mut self) -> Result<Self::Held<'_>, Error>;
}

/// The library's guard of a lock that is held alone.
pub(crate) trait Held: DerefMut<Target = Self::Value> {
    type Value;

    fn save(&mut self) -> Result<(), Error>;
    fn recovered(&mut self);
    fn abandon(self);
}

/// The library's locks and their guards have these methods. `$held` finds the guard of a lock that this handle has.
macro_rules! lock {
    ($lock:ident, $guard:ident, $held:ident) => {
        impl<T: quoit::Typed> $crate::copied::Lock for $lock<T> {
            type Value = T;
            type Held<'a>
                = $guard<'a, T>
            where
                T: 'a;

            fn held(&mut self) -> Result<$guard<'_, T>, quoit::Error> {
                // Otherwise the memory is gone, and the lock with it.
                self.$held()?.ok_or(quoit::Error::TimedOut)
            }
        }

        impl<T: quoit::Typed> $crate::copied::Held for $guard<'_, T> {
            type Value = T;

            fn save(&mut self) -> Result<(), quoit::Error> {
                Self::save(self)
            }

            fn recovered(&mut self) {
                Self::recovered(self);
            }

            fn abandon(self) {
                Self::abandon(self);
            }
        }
    };
}
pub(crate) use lock;

/// Room for a copy.
pub(crate) fn room<T: Typed>() -> Result<Box<T>, Error> {
    T::new_box_zeroed().map_err(|_| Error::Io {
        path: std::path::PathBuf::new(),
        action: "allocate a copy of the value",
        source: std::io::ErrorKind::OutOfMemory.into(),
    })
}

/// The lock stays taken without its guard. `None`: it was not to be had.
pub(crate) fn keep<G>(guard: Result<Option<G>, Error>) -> Result<Option<()>, Error> {
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

/// The copy, and the lock held. Dropping it commits the copy if it was changed, and unlocks. By a panic it discards the copy, and
/// abandons the lock.
pub(crate) struct Copied<'a, L: Lock> {
    pub(crate) lock: &'a mut L,
    value: &'a mut L::Value,
    is_changed: bool,
    in_panic: bool,
}

impl<'a, L: Lock> Copied<'a, L> {
    /// Of a lock that this handle has.
    pub(crate) fn new(lock: &'a mut L, value: &'a mut L::Value) -> Result<Self, Error> {
        let held = lock.held()?;
        value.as_mut_bytes().copy_from_slice(held.as_bytes());
        std::mem::forget(held);
        Ok(Self { lock, value, is_changed: false, in_panic: std::thread::panicking() })
    }

    /// Commits the copy if it was changed, and keeps the lock.
    pub(crate) fn save(&mut self) -> Result<(), Error> {
        if !self.is_changed {
            return Ok(());
        }
        let mut held = self.lock.held()?;
        held.as_mut_bytes().copy_from_slice(self.value.as_bytes());
        let saved = held.save();
        std::mem::forget(held);
        self.is_changed &= saved.is_err();
        saved
    }

    /// Unlocks, and leaves the value as it was last committed.
    pub(crate) fn discard(mut self) {
        self.is_changed = false;
    }

    pub(crate) fn recovered(&mut self) {
        if let Ok(mut held) = self.lock.held() {
            held.recovered();
            std::mem::forget(held);
        }
    }
}

impl<L: Lock> Deref for Copied<'_, L> {
    type Target = L::Value;

    fn deref(&self) -> &L::Value {
        self.value
    }
}

impl<L: Lock> DerefMut for Copied<'_, L> {
    fn deref_mut(&mut self) -> &mut L::Value {
        self.is_changed = true;
        self.value
    }
}

impl<L: Lock> Drop for Copied<'_, L> {
    fn drop(&mut self) {
        let is_panic = std::thread::panicking() && !self.in_panic;
        // Otherwise the handle is of no use, and holds nothing that others wait for.
        let Ok(mut held) = self.lock.held() else { return };
        if is_panic {
            held.abandon();
        } else if self.is_changed {
            // Its own drop commits it, and unlocks.
            held.as_mut_bytes().copy_from_slice(self.value.as_bytes());
        }
    }
}
