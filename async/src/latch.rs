//! A latch that a task waits for.

use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::Error;
use quoit::sync::Latch;

use crate::waiting::Waiting;

/// A [`Latch`], for async code. Its parties arrive without waiting, and need no other form.
#[derive(Debug)]
pub struct AsyncLatch {
    latch: Latch,
    waiting: Waiting,
}

impl AsyncLatch {
    /// A latch of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(latch: Latch) -> Result<Self, Error> {
        Ok(Self { latch, waiting: Waiting::new()? })
    }

    /// Waits until the latch is open. If it is broken and [reset](Latch::reset) before the task looks, the wait goes on.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Latch::wait`].
    pub async fn wait(&mut self) -> Result<(), Error> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            while !self.latch.try_wait()? {
                ready!(self.waiting.poll_ready(context, &mut [&mut self.latch]));
                ready!(self.waiting.poll_turn(context));
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// The handle. Do not block in async code: use its `try_wait`, `join` and `reset`.
    pub fn get_ref(&self) -> &Latch {
        &self.latch
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> Latch {
        self.latch
    }
}
