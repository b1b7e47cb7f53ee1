//! Several rings as one stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;
use quoit::{Error, EventOf, Merge, RecvError};

use crate::waiting::Waiting;

/// An event with an owned payload, and the ring that it is from: as [`quoit::Merged`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergedOf {
    /// The number of the ring.
    pub ring: usize,
    /// What a receive from it returned. An error is told once, and concerns this ring alone.
    pub event: Result<EventOf<Vec<u8>>, RecvError>,
    /// The record is older than one that was returned before: see [`Merge::by_time`].
    pub late: bool,
}

/// A [`Merge`], for async code.
///
/// As a [`Stream`] it ends when all rings have ended. [`next`](Self::next) goes on, for another producer.
#[derive(Debug)]
pub struct AsyncMerge {
    merge: Merge,
    waiting: Waiting,
    /// The end of all rings was returned, and nothing came since.
    is_told: bool,
    has_ended: bool,
}

impl AsyncMerge {
    /// A stream of these rings.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(merge: Merge) -> Result<Self, Error> {
        Ok(Self { merge, waiting: Waiting::new()?, is_told: false, has_ended: false })
    }

    /// The next event of any ring. Cancel-safe: a future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`]: all rings have ended. The next call waits for another producer.
    pub async fn next(&mut self) -> Result<MergedOf, RecvError> {
        poll_fn(|context| self.poll_merged(context)).await
    }

    /// The merge, to add or take out readers. Do not block in async code.
    pub fn get_mut(&mut self) -> &mut Merge {
        &mut self.merge
    }

    /// The merge, for other than async code.
    pub fn into_inner(self) -> Merge {
        self.merge
    }

    fn poll_merged(&mut self, context: &Context<'_>) -> Poll<Result<MergedOf, RecvError>> {
        ready!(self.waiting.poll_turn(context));
        loop {
            match self.merge.recv_timeout(Duration::ZERO) {
                Ok(merged) => {
                    self.is_told = false;
                    let event = merged.event.map(|event| event.to_owned());
                    return Poll::Ready(Ok(MergedOf { ring: merged.ring, event, late: merged.late }));
                }
                Err(RecvError::TimedOut) => {}
                Err(RecvError::Closed) if self.is_told => {}
                Err(end) => {
                    self.is_told = true;
                    return Poll::Ready(Err(end));
                }
            }
            ready!(self.waiting.poll_ready(context, &mut self.merge.things()));
            ready!(self.waiting.poll_turn(context));
        }
    }
}

impl Stream for AsyncMerge {
    type Item = MergedOf;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<MergedOf>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let merged = ready!(self.poll_merged(context));
        self.has_ended = merged.is_err();
        Poll::Ready(merged.ok())
    }
}

impl FusedStream for AsyncMerge {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}
