//! A ring in this process's own memory: for threads, for tests, and for the models, which know no files.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

// A thread of a model that waited for another one's lock of the standard library would wait for itself.
#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(not(loom))]
use std::sync::Mutex;

use crate::error::Error;
use crate::ring::Region;
use crate::ring::attach::{Attach, Start};
use crate::ring::consumer::Consumer;
use crate::ring::evict::Evicted;
use crate::ring::forget::Forgotten;
use crate::ring::inspect::Inspector;
use crate::ring::observer::Observer;
use crate::ring::options::Options;
use crate::ring::producer::Producer;

/// A ring on the heap, in the same bytes as a file. Clones share it; it goes with its last handle. Handles may be made
/// from it in any thread (`Send` and `Sync`).
#[derive(Clone, Debug)]
pub struct Local {
    pub(crate) region: Arc<Mutex<Region>>,
}

impl Options {
    /// Makes a ring on the heap.
    ///
    /// # Errors
    ///
    /// [`Error::Capacity`], [`Error::BadOption`].
    pub fn local(&self) -> Result<Local, Error> {
        #[cfg_attr(loom, allow(clippy::arc_with_non_send_sync, reason = "loom's threads take turns on one"))]
        Ok(Local { region: Arc::new(Mutex::new(Region::heap(self.geometry()?)?)) })
    }
}

impl Local {
    /// One more handle's hold on the ring. Making it touches nothing that a panic could leave half done.
    pub(crate) fn share(&self) -> Result<Region, Error> {
        self.region.lock().unwrap_or_else(PoisonError::into_inner).share()
    }

    /// As [`Producer::open`].
    ///
    /// # Errors
    ///
    /// [`Error::ProducerAlive`] while there is one.
    pub fn producer(&self) -> Result<Producer, Error> {
        Producer::take_over(self.share()?)
    }

    /// As [`Consumer::open`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::open`], without those of files.
    pub fn consumer(&self, attach: &Attach) -> Result<Consumer, Error> {
        Consumer::attach(self.share()?, attach)
    }

    /// As [`Observer::open`].
    ///
    /// # Errors
    ///
    /// As [`Observer::open`], without those of files.
    pub fn observer(&self, start: Start) -> Result<Observer, Error> {
        Observer::attach(self.share()?, start)
    }

    /// As [`Inspector::open`].
    ///
    /// # Errors
    ///
    /// As [`Inspector::open`], without those of files.
    pub fn inspector(&self) -> Result<Inspector, Error> {
        Ok(Inspector::attach(self.share()?))
    }

    /// As [`forget`](crate::ring::forget).
    ///
    /// # Errors
    ///
    /// As [`forget`](crate::ring::forget), without those of files.
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        crate::ring::forget::forget_name(&self.share()?, name)
    }

    /// As [`evict`](crate::ring::evict).
    ///
    /// # Errors
    ///
    /// As [`evict`](crate::ring::evict), without those of files.
    pub fn evict(&self, slot: u32, wait: Duration) -> Result<Evicted, Error> {
        crate::ring::evict::ask(&self.share()?, slot, wait)
    }

    /// As [`forget_slot`](crate::forget_slot).
    ///
    /// # Errors
    ///
    /// As [`forget_slot`](crate::forget_slot), without those of files.
    pub fn forget_slot(&self, slot: u32) -> Result<(), Error> {
        crate::ring::forget::forget_number(&self.share()?, slot)
    }

    /// As [`forget_away`](crate::forget_away).
    ///
    /// # Errors
    ///
    /// [`Error::Forked`].
    pub fn forget_away(&self, away_for: Duration) -> Result<Vec<Forgotten>, Error> {
        crate::ring::forget::forget_absent(&self.share()?, away_for)
    }
}
