//! What the threads of a server wake its first thread with.

use std::sync::{Arc, Mutex, PoisonError};

use quoit::sync::{Event, Reset, SyncOptions};
use quoit::{Error, Waitable};

/// An event in this process's own memory.
pub(super) struct Wake {
    event: Event,
    waker: Waker,
}

/// The other end, for any number of threads.
#[derive(Clone)]
pub(super) struct Waker(Arc<Mutex<Event>>);

impl Wake {
    pub(super) fn new() -> Result<Self, Error> {
        let event = Event::local(&SyncOptions::new().seats(2), Reset::Auto)?;
        let waker = Waker(Arc::new(Mutex::new(event.try_clone()?)));
        Ok(Self { event, waker })
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What the first thread waits for.
    pub(super) fn event(&mut self) -> &mut dyn Waitable {
        &mut self.event
    }

    /// The first thread is awake: what is told from now on wakes it again.
    pub(super) fn settle(&self) -> Result<(), Error> {
        self.event.try_wait().map(drop)
    }
}

impl Waker {
    pub(super) fn wake(&self) {
        // Only a process that was forked cannot set it, and this one was not.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).set();
    }
}
