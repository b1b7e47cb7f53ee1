//! How a producer sends: singly or in batches, what it has built or where it is filled.

use anyhow::Result;
use quoit_floors::building::{Builder, Copied, InPlace};

use crate::ends::{BATCH, Batching, Placing, Sender};
use crate::source::Source;

/// A way for producers of this kind.
pub(crate) trait Way<S> {
    /// Has sent nothing yet.
    fn new() -> Self;

    /// Builds and sends so many records; they make whole batches.
    fn send(&mut self, sender: &mut S, count: u64) -> Result<()>;
}

/// Builds each record, and sends it by itself.
pub(crate) struct Singly<const N: usize, B>(B);

impl<const N: usize, B: Source<N>, S: Sender<B::Record>> Way<S> for Singly<N, B> {
    fn new() -> Self {
        Self(B::new())
    }

    #[inline(always)]
    fn send(&mut self, sender: &mut S, count: u64) -> Result<()> {
        (0..count).try_for_each(|_| sender.send(self.0.next()))
    }
}

/// Fills each record in its place.
pub(crate) struct Placed<const N: usize>(InPlace<N>);

impl<const N: usize, S: Placing<N>> Way<S> for Placed<N> {
    fn new() -> Self {
        Self(InPlace::new())
    }

    #[inline(always)]
    fn send(&mut self, sender: &mut S, count: u64) -> Result<()> {
        (0..count).try_for_each(|_| sender.fill(&mut self.0))
    }
}

/// Builds a batch by copies, and sends it as one.
pub(crate) struct Batched<const N: usize>(Copied<N>);

impl<const N: usize, S: Batching<N>> Way<S> for Batched<N> {
    fn new() -> Self {
        Self(Copied::new())
    }

    #[inline(always)]
    fn send(&mut self, sender: &mut S, count: u64) -> Result<()> {
        (0..count / BATCH as u64).try_for_each(|_| sender.send_batch(&mut self.0))
    }
}
