//! A latest value, of a type or as bytes, read on change.

use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::sync::{LatestBytesReader, LatestReader};
use quoit::{Error, Typed};

use crate::waiting::Waiting;

/// A reader of a latest value, for async code.
#[derive(Debug)]
pub struct AsyncLatest<T> {
    reader: LatestReader<T>,
    waiting: Waiting,
}

impl<T: Typed> AsyncLatest<T> {
    /// A reader of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(reader: LatestReader<T>) -> Result<Self, Error> {
        Ok(Self { reader, waiting: Waiting::new()? })
    }

    /// Waits for a value that this handle has not returned yet. The first call returns at once. A value that is replaced
    /// between two calls is never seen. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`LatestReader::get`].
    pub async fn next(&mut self) -> Result<T, Error> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            ready!(self.waiting.poll_ready(context, &mut [&mut self.reader]));
            Poll::Ready(self.reader.get())
        })
        .await
    }

    /// The handle. None of its calls but `next`, `next_deadline` and `next_timeout` blocks.
    pub fn get_mut(&mut self) -> &mut LatestReader<T> {
        &mut self.reader
    }

    /// The handle.
    pub fn get_ref(&self) -> &LatestReader<T> {
        &self.reader
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> LatestReader<T> {
        self.reader
    }
}

/// A reader of a latest value as bytes, for async code.
#[derive(Debug)]
pub struct AsyncLatestBytes {
    reader: LatestBytesReader,
    waiting: Waiting,
}

impl AsyncLatestBytes {
    /// A reader of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(reader: LatestBytesReader) -> Result<Self, Error> {
        Ok(Self { reader, waiting: Waiting::new()? })
    }

    /// As [`AsyncLatest::next`].
    ///
    /// # Errors
    ///
    /// As [`LatestBytesReader::get`].
    pub async fn next(&mut self) -> Result<&[u8], Error> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            self.waiting.poll_ready(context, &mut [&mut self.reader])
        })
        .await;
        self.reader.get()
    }

    /// The handle. None of its calls but `next`, `next_deadline` and `next_timeout` blocks.
    pub fn get_mut(&mut self) -> &mut LatestBytesReader {
        &mut self.reader
    }

    /// The handle.
    pub fn get_ref(&self) -> &LatestBytesReader {
        &self.reader
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> LatestBytesReader {
        self.reader
    }
}
