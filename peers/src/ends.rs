//! The two ends of a queue, as every system has them.

use std::mem::MaybeUninit;

use anyhow::Result;
use quoit_floors::building::{Builder, Copied};
use quoit_floors::stream::capacity;

use crate::record::Words;

/// Records of a batch.
pub(crate) const BATCH: usize = 64;
/// Records that a receiver which takes several at once takes at most, so that room is given back in time.
pub(crate) const GULP: usize = 64;

/// What an end is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) pace: Pace,
    /// Nobody waits for the receiver, and it is to know that it lost something.
    pub(crate) lossy: bool,
    /// Records are filled in their place.
    pub(crate) in_place: bool,
    /// Receivers. A lossy queue may have none.
    pub(crate) consumers: usize,
}

/// How records follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as it goes.
    Full,
    /// One when it is due: each is waited for by itself.
    Due,
    /// One is under way at a time.
    Alternating,
}

impl Shape {
    /// A stream to one receiver that loses nothing.
    pub(crate) const STREAM: Self = Self { pace: Pace::Full, lossy: false, in_place: false, consumers: 1 };

    /// Whether each record is waited for by itself.
    pub(crate) fn singly(self) -> bool {
        self.pace != Pace::Full
    }

    /// Slots of a queue that has them, by the bytes of a record.
    pub(crate) fn slots(bytes: usize) -> usize {
        capacity(bytes) / bytes
    }
}

/// The end that sends records of a type.
pub(crate) trait Sender<R> {
    /// Sends one record by itself. Waits while there is no room, unless it overwrites.
    fn send(&mut self, record: &R) -> Result<()>;
}

/// One that has a record filled where it will be read.
pub(crate) trait Placing<const N: usize> {
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()>;
}

/// One that has something for several records at once.
pub(crate) trait Batching<const N: usize> {
    /// Sends [`BATCH`] records. As an iterator the builder hands them out by value.
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()>;
}

/// The end that receives them.
pub(crate) trait Receiver<const N: usize> {
    /// Hands on what is there, in order, and returns at once if nothing is. How many records that were.
    fn receive(&mut self, each: impl FnMut(&Words<N>)) -> Result<usize>;
}

/// Has a record built in memory that holds none yet. The builder stores every word.
#[inline(always)]
pub(crate) fn build_in<const N: usize>(slot: &mut MaybeUninit<[u64; N]>, builder: &mut impl Builder<N>) {
    let words: &mut [MaybeUninit<u64>; N] = slot.as_mut();
    builder.fill(|place, word| {
        words[place].write(word);
    });
}

/// The same in bytes. `None`: they are not so many.
#[inline(always)]
pub(crate) fn build_over<const N: usize>(bytes: &mut [u8], builder: &mut impl Builder<N>) -> Option<()> {
    let words = bytes.as_chunks_mut::<8>().0.first_chunk_mut::<N>()?;
    builder.fill(|place, word| words[place] = word.to_le_bytes());
    Some(())
}
