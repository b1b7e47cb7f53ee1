//! A producer that waits for space.

use std::future::poll_fn;
use std::task::ready;

use quoit::{Error, Producer, SendError};

use crate::waiting::Waiting;

/// A producer, for async code: it waits for gated consumers without blocking a thread.
#[derive(Debug)]
pub struct AsyncProducer {
    producer: Producer,
    waiting: Waiting,
}

impl AsyncProducer {
    /// A producer of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(producer: Producer) -> Result<Self, Error> {
        Ok(Self { producer, waiting: Waiting::new()? })
    }

    /// Publishes a copy of `payload` and returns its sequence. Waits while a gated consumer holds the space. Cancel-safe: a
    /// future that is dropped has sent nothing.
    ///
    /// # Errors
    ///
    /// As [`Producer::send`].
    pub async fn send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            loop {
                match self.producer.try_send(payload) {
                    Err(SendError::Full { .. }) => {}
                    sent => return std::task::Poll::Ready(sent),
                }
                let space = &mut self.producer.space(payload.len());
                ready!(self.waiting.poll_ready(context, &mut [space]));
            }
        })
        .await
    }

    /// Waits until a record of `len` payload bytes may be sent or claimed, or the attempt would fail with another error than
    /// [`SendError::Full`]. Cancel-safe.
    pub async fn space(&mut self, len: usize) {
        poll_fn(|context| {
            let space = &mut self.producer.space(len);
            self.waiting.poll_ready(context, &mut [space])
        })
        .await;
    }

    /// The handle. Do not block in async code: use its `try_` calls.
    pub fn get_mut(&mut self) -> &mut Producer {
        &mut self.producer
    }

    /// The handle.
    pub fn get_ref(&self) -> &Producer {
        &self.producer
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> Producer {
        self.producer
    }
}
