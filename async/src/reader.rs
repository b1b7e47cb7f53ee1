//! Readers: events as futures, and as a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use quoit::{Consumer, Error, EventOf, Observer, RecvError, TypedConsumer};

use crate::reads::Reads;
use crate::waiting::Waiting;

/// A consumer, for async code.
pub type AsyncConsumer = AsyncReader<Consumer>;
/// An observer, for async code. Nobody wakes an observer, so it looks every 1 to 20 ms.
pub type AsyncObserver = AsyncReader<Observer>;
/// A consumer of values, for async code.
pub type AsyncTypedConsumer<T> = AsyncReader<TypedConsumer<T>>;

/// A handle that receives, for async code: [`AsyncConsumer`], [`AsyncObserver`], [`AsyncTypedConsumer`].
///
/// [`next`](Self::next) returns owned payloads. To have records lent, wait with [`ready`](Self::ready), and receive from
/// [`get_mut`](Self::get_mut). As every receive does, each poll releases the last record that a consumer has received.
///
/// As a [`Stream`] it ends as the iterator [`Events`](quoit::Events) does: when the producer has ended cleanly and everything
/// was received, or after any other error, which is its last item. `next` goes on after an end, for another producer.
#[derive(Debug)]
pub struct AsyncReader<R> {
    reader: R,
    waiting: Waiting,
    has_ended: bool,
}

impl<R: Reads> AsyncReader<R> {
    /// A reader of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(reader: R) -> Result<Self, Error> {
        Ok(Self { reader, waiting: Waiting::new()?, has_ended: false })
    }

    /// The next event. Cancel-safe: a future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`]. After the end of the stream was returned, the next call waits for another producer; after
    /// [`RecvError::StageGone`], for the stage to come back.
    pub async fn next(&mut self) -> Result<EventOf<R::Payload>, RecvError> {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// Waits until a receive may return something, an error included. Cancel-safe.
    pub async fn ready(&mut self) {
        poll_fn(|context| self.waiting.poll_ready(context, &mut [&mut self.reader])).await;
    }

    /// The handle. Do not block in async code: use its `try_recv`, or `recv_timeout` with a time-out of 0, which reports
    /// the end as well.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The handle.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> R {
        self.reader
    }

    pub(crate) fn poll_event(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Result<EventOf<R::Payload>, RecvError>> {
        ready!(self.waiting.poll_turn(context));
        if let Some(event) = self.reader.try_next().transpose() {
            return Poll::Ready(event);
        }
        loop {
            ready!(self.waiting.poll_ready(context, &mut [&mut self.reader]));
            match self.reader.try_next_or_end() {
                // It was ready for something that is no event.
                Err(RecvError::TimedOut) => ready!(self.waiting.poll_turn(context)),
                event => return Poll::Ready(event),
            }
        }
    }
}

impl<R: Reads + Unpin> Stream for AsyncReader<R> {
    type Item = Result<EventOf<R::Payload>, RecvError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        let event = ready!(this.poll_event(context));
        this.has_ended = event.is_err();
        match event {
            Err(RecvError::Closed) => Poll::Ready(None),
            event => Poll::Ready(Some(event)),
        }
    }
}

impl<R: Reads + Unpin> FusedStream for AsyncReader<R> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}
