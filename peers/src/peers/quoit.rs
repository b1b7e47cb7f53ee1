//! quoit, in its default mode, which can sleep. Nobody sleeps here: receivers poll.
#![allow(unsafe_code, reason = "records of a trusted producer are read in place, and filled in place")]

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use quoit::zerocopy::IntoBytes;
use quoit::{Attach, Consumer, Event, Options, Producer};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::stream::capacity;

use super::Peer;
use crate::ends::{BATCH, Batching, GULP, Placing, Receiver, Sender, Shape, build_over};
use crate::record::{Bytes, Record, Words, exactly, words};

/// From so many bytes on, records of a batch are not handed over by value: moving them costs more than a call for each.
const LARGE: usize = 1024;

pub(crate) enum Quoit {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Quoit {
    type Sender = Producer;
    type Receiver = Reader;

    fn sender(path: &Path, shape: Shape) -> Result<Producer> {
        let slots = shape.consumers.max(1) as u32;
        let options = Options::new().capacity(capacity(N * 8) as u64).slots(slots).gated_only(shape.in_place);
        Ok(Producer::create(path, &options)?)
    }

    fn receiver(path: &Path, shape: Shape) -> Result<Reader> {
        let attach = if shape.lossy { Attach::lossy() } else { Attach::gated() };
        Ok(Reader { consumer: Consumer::open(path, &attach)?, shape })
    }
}

impl<R: Bytes> Sender<R> for Producer {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        self.send_typed(record)?;
        Ok(())
    }
}

impl<const N: usize> Placing<N> for Producer {
    #[inline(always)]
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()> {
        let mut claim = self.claim(N * 8)?;
        // SAFETY: the ring is this program's own, and its consumers are this library's.
        let bytes = unsafe { claim.as_mut_slice() };
        bytes.and_then(|bytes| build_over(bytes, builder)).context("a claim is lent as a slice")?;
        claim.publish();
        Ok(())
    }
}

impl<const N: usize> Batching<N> for Producer {
    #[inline(always)]
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()> {
        let mut batch = self.batch();
        if N * 8 < LARGE {
            batch.send_all(records.take(BATCH))?;
        } else {
            for _ in 0..BATCH {
                batch.send(records.build().as_bytes())?;
            }
        }
        batch.publish();
        Ok(())
    }
}

pub(crate) struct Reader {
    consumer: Consumer,
    shape: Shape,
}

impl<const N: usize> Receiver<N> for Reader {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        // One at a time is received sooner by itself.
        if self.shape.singly() {
            return match self.consumer.try_recv()? {
                Some(Event::Record(record)) => {
                    // SAFETY: as below.
                    each(words(unsafe { record.as_slice() })?);
                    Ok(1)
                }
                Some(event) => Err(unexpected(&event)),
                None => Ok(0),
            };
        }
        self.drain(each)
    }
}

impl Reader {
    /// The closure is short enough to be inlined, which saves 2 ns a record.
    #[inline(always)]
    fn drain<const N: usize>(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        let (mut records, mut strange, lossy) = (0, 0, self.shape.lossy);
        self.consumer.drain(GULP, |event| match event {
            // SAFETY: the ring is this program's own, and its producer is this library's. What a lossy consumer gets is a
            // checked copy.
            Event::Record(record) => match exactly(unsafe { record.as_slice() }) {
                Some(words) => {
                    each(words);
                    records += 1;
                }
                None => strange += 1,
            },
            Event::Lost(_) if lossy => {}
            _ => strange += 1,
        })?;
        if strange > 0 {
            bail!("{strange} records of another length, or other events, in the middle of a measurement");
        }
        Ok(records)
    }
}

fn unexpected(event: &Event<'_>) -> anyhow::Error {
    anyhow!("told {event:?} in the middle of a measurement")
}
