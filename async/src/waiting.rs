//! Waiting with a waker: what all handles share.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use quoit::{Error, Waitable, Watch};

/// Results in a row before the task gives way.
const IN_A_ROW: u32 = 128;

/// A watch that wakes a task.
#[derive(Debug)]
pub(crate) struct Waiting {
    watch: Watch,
    waker: Arc<Mutex<Option<Waker>>>,
    in_a_row: u32,
}

impl Waiting {
    pub(crate) fn new() -> Result<Self, Error> {
        let waker = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&waker);
        let watch = Watch::new(move || {
            let waker: Option<Waker> = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        })?;
        Ok(Self { watch, waker, in_a_row: 0 })
    }

    /// Counts a result. Pending, with the task woken: there were many in a row, and others are to have their turn.
    pub(crate) fn poll_turn(&mut self, context: &Context<'_>) -> Poll<()> {
        self.in_a_row += 1;
        if self.in_a_row <= IN_A_ROW {
            return Poll::Ready(());
        }
        self.in_a_row = 0;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when a try may have a result. Otherwise the task is woken when it may, or at the end of a slice.
    pub(crate) fn poll_ready(&mut self, context: &Context<'_>, things: &mut [&mut dyn Waitable]) -> Poll<()> {
        // Before it is armed: a helper may ring at once.
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        match self.watch.arm(things) {
            Ok(ready) if ready.is_empty() => {
                self.in_a_row = 0;
                Poll::Pending
            }
            Ok(_) => Poll::Ready(()),
            // In a child the try says so.
            Err(Error::Forked) => Poll::Ready(()),
            // No helper could be started: the task polls, until one can.
            Err(_) => {
                self.in_a_row = 0;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
