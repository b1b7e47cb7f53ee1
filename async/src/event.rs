//! An event that a task waits for.

use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::Error;
use quoit::sync::{Event, Reset};

use crate::waiting::Waiting;

/// An [`Event`], for async code.
#[derive(Debug)]
pub struct AsyncEvent {
    event: Event,
    waiting: Waiting,
}

impl AsyncEvent {
    /// An event of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(event: Event) -> Result<Self, Error> {
        Ok(Self { event, waiting: Waiting::new()? })
    }

    /// Waits until the event is set, as [`Event::wait`] does: with [`Reset::Manual`] it also goes on if the event was set and
    /// reset since the future was first polled. With [`Reset::Auto`] it takes the signal, in the very poll that returns.
    /// Cancel-safe: a future that is dropped has taken no signal.
    ///
    /// # Errors
    ///
    /// As [`Event::wait`].
    pub async fn wait(&mut self) -> Result<(), Error> {
        let mut begin = None;
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            loop {
                if self.event.try_wait()? {
                    return Poll::Ready(Ok(()));
                }
                let count = self.event.count()?;
                if *begin.get_or_insert(count) != count && self.event.reset_by() == Reset::Manual {
                    return Poll::Ready(Ok(()));
                }
                ready!(self.waiting.poll_ready(context, &mut [&mut self.event]));
                ready!(self.waiting.poll_turn(context));
            }
        })
        .await
    }

    /// The handle. Do not block in async code: use its `set`, `reset` and `try_wait`.
    pub fn get_ref(&self) -> &Event {
        &self.event
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> Event {
        self.event
    }
}
