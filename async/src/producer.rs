//! Producers that wait for space.

use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::{Error, Producer, SendError, Typed, TypedProducer};

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
        send(&mut self.waiting, &mut self.producer, payload).await
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

/// A [`TypedProducer`], for async code: as [`AsyncProducer`], with values.
///
/// ```
/// use quoit::{Attach, Options, Ring};
/// use quoit_async::{AsyncTypedConsumer, AsyncTypedProducer};
///
/// # smol::block_on(async {
/// let ring = Ring::heap(&Options::new().capacity(4096).schema::<u64>())?;
/// let mut consumer = AsyncTypedConsumer::new(ring.typed_consumer::<u64>(&Attach::gated())?)?;
/// let mut producer = AsyncTypedProducer::new(ring.typed_producer::<u64>()?)?;
///
/// producer.send(&42).await?;
/// assert_eq!(consumer.next().await?.payload(), Some(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncTypedProducer<T> {
    producer: TypedProducer<T>,
    waiting: Waiting,
}

impl<T: Typed> AsyncTypedProducer<T> {
    /// A producer of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(producer: TypedProducer<T>) -> Result<Self, Error> {
        Ok(Self { producer, waiting: Waiting::new()? })
    }

    /// Publishes `value` and returns its sequence: as [`AsyncProducer::send`].
    ///
    /// # Errors
    ///
    /// As [`TypedProducer::send`].
    pub async fn send(&mut self, value: &T) -> Result<u64, SendError> {
        send(&mut self.waiting, self.producer.as_untyped(), value.as_bytes()).await
    }

    /// The handle. Do not block in async code: use its `try_send`.
    pub fn get_mut(&mut self) -> &mut TypedProducer<T> {
        &mut self.producer
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> TypedProducer<T> {
        self.producer
    }
}

async fn send(waiting: &mut Waiting, producer: &mut Producer, payload: &[u8]) -> Result<u64, SendError> {
    poll_fn(|context| {
        ready!(waiting.poll_turn(context));
        loop {
            match producer.try_send(payload) {
                Err(SendError::Full { .. }) => {}
                sent => return Poll::Ready(sent),
            }
            let space = &mut producer.space(payload.len());
            ready!(waiting.poll_ready(context, &mut [space]));
        }
    })
    .await
}
