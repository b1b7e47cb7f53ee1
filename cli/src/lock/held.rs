//! The lock of a file, whichever kind it is, and what of it is held.

use std::os::fd::OwnedFd;
use std::path::Path;

use quoit::sync::{Mutex, MutexGuard, ReadGuard, RwLock, SyncOptions, WriteGuard};
use quoit::{Error, Kind};

use crate::hold::Limit;

/// How much of the lock is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Nobody else may hold it.
    Alone,
    /// Others may hold it who share it as well.
    WithOthers,
}

/// A handle on a lock.
#[derive(Debug)]
pub(super) enum Lock {
    /// Of a program: there is nothing to share.
    Mutex(Mutex<()>),
    RwLock(RwLock<()>),
}

/// What a handle holds.
#[derive(Debug)]
pub(super) enum Held<'a> {
    Mutex(MutexGuard<'a, ()>),
    Alone(WriteGuard<'a, ()>),
    Shared(ReadGuard<'a, ()>),
}

impl Lock {
    /// Opens the lock, or creates one that can be shared.
    pub(super) fn open_or_create(path: &Path, options: &SyncOptions, share: Share) -> Result<Self, Error> {
        match RwLock::open_or_create(path, options, &()) {
            // Not `open`, which takes a file of any owner.
            Err(Error::OtherKind { found: Kind::Mutex, .. }) if share == Share::Alone => {
                Mutex::open_or_create(path, options, &()).map(Self::Mutex)
            }
            opened => opened.map(Self::RwLock),
        }
    }

    pub(super) fn proof_of_life(&self) -> Result<OwnedFd, Error> {
        match self {
            Self::Mutex(mutex) => mutex.proof_of_life(),
            Self::RwLock(lock) => lock.proof_of_life(),
        }
    }

    /// Waits for it, abandoned or not.
    pub(super) fn hold(&mut self, share: Share, limit: Limit) -> Result<Held<'_>, Error> {
        match (self, share, limit.deadline()) {
            (Self::Mutex(mutex), _, None) => mutex.recover().map(Held::Mutex),
            (Self::Mutex(mutex), _, Some(deadline)) => mutex.recover_deadline(deadline).map(Held::Mutex),
            (Self::RwLock(lock), Share::Alone, None) => lock.recover().map(Held::Alone),
            (Self::RwLock(lock), Share::Alone, Some(deadline)) => {
                lock.recover_deadline(deadline).map(Held::Alone)
            }
            (Self::RwLock(lock), Share::WithOthers, None) => lock.read_anyway().map(Held::Shared),
            (Self::RwLock(lock), Share::WithOthers, Some(deadline)) => {
                lock.read_anyway_deadline(deadline).map(Held::Shared)
            }
        }
    }
}

impl Held<'_> {
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Mutex(guard) => guard.is_abandoned(),
            Self::Alone(guard) => guard.is_abandoned(),
            Self::Shared(guard) => guard.is_abandoned(),
        }
    }

    /// Says that what the lock guards is in order, if this was in a position to put it in order.
    pub(super) fn recovered(&mut self) {
        match self {
            Self::Mutex(guard) => guard.recovered(),
            Self::Alone(guard) => guard.recovered(),
            Self::Shared(_) => {}
        }
    }
}
