//! The rows of a table, read on change.

use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::sync::TableReader;
use quoit::{Error, Typed};

use crate::waiting::Waiting;

/// A reader of a table, for async code.
#[derive(Debug)]
pub struct AsyncTable<T> {
    reader: TableReader<T>,
    waiting: Waiting,
}

impl<T: Typed> AsyncTable<T> {
    /// A reader of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(reader: TableReader<T>) -> Result<Self, Error> {
        Ok(Self { reader, waiting: Waiting::new()? })
    }

    /// Waits for a row with a value that this handle has not returned yet, and returns both, as [`TableReader::next`]
    /// does: rows take turns, and each is new at first. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`TableReader::get`].
    pub async fn next(&mut self) -> Result<(u32, T), Error> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            loop {
                if let Some(changed) = self.reader.try_next()? {
                    return Poll::Ready(Ok(changed));
                }
                ready!(self.waiting.poll_ready(context, &mut [&mut self.reader]));
                ready!(self.waiting.poll_turn(context));
            }
        })
        .await
    }

    /// The handle. None of its calls but `next`, `next_deadline` and `next_timeout` blocks.
    pub fn get_mut(&mut self) -> &mut TableReader<T> {
        &mut self.reader
    }

    /// The handle.
    pub fn get_ref(&self) -> &TableReader<T> {
        &self.reader
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> TableReader<T> {
        self.reader
    }
}
