//! A barrier at which tasks meet.

use std::future::poll_fn;
use std::task::{Poll, ready};

use quoit::Error;
use quoit::sync::{Barrier, BarrierPass};

use crate::waiting::Waiting;

/// A [`Barrier`], for async code. Each task has a handle of its own ([`Barrier::try_clone`]), which is one party.
///
/// ```
/// use quoit::sync::{Barrier, SyncOptions};
/// use quoit_async::AsyncBarrier;
///
/// # smol::block_on(async {
/// let first = Barrier::local(&SyncOptions::new(), 2)?;
/// let mut second = AsyncBarrier::new(first.try_clone()?)?;
/// let mut first = AsyncBarrier::new(first)?;
///
/// let (one, other) = smol::future::zip(first.wait(), second.wait()).await;
/// assert_ne!(one?.is_leader, other?.is_leader);
/// # Ok::<(), quoit::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncBarrier {
    barrier: Barrier,
    waiting: Waiting,
}

impl AsyncBarrier {
    /// A party of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(barrier: Barrier) -> Result<Self, Error> {
        Ok(Self { barrier, waiting: Waiting::new()? })
    }

    /// Arrives, and waits for all others. Cancel-safe: a future that is dropped once it was polled has arrived, and breaks
    /// nothing; the next one waits for the end of the same round.
    ///
    /// # Errors
    ///
    /// As [`Barrier::wait`].
    pub async fn wait(&mut self) -> Result<BarrierPass, Error> {
        self.barrier.arrive()?;
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            loop {
                if let Some(pass) = self.barrier.try_wait()? {
                    return Poll::Ready(Ok(pass));
                }
                ready!(self.waiting.poll_ready(context, &mut [&mut self.barrier]));
                ready!(self.waiting.poll_turn(context));
            }
        })
        .await
    }

    /// The handle. Do not block in async code: use its `arrive`, `try_wait`, `abort` and `reset`.
    pub fn get_ref(&self) -> &Barrier {
        &self.barrier
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> Barrier {
        self.barrier
    }
}
