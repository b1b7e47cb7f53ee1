//! quoit, in its default mode, which can sleep. Nobody sleeps here: receivers poll.
#![allow(unsafe_code, reason = "records of a trusted producer are read in place")]

use std::iter::repeat_n;
use std::path::Path;

use anyhow::{Result, bail};
use quoit::{Attach, Consumer, Event, Options, Producer};

use super::{Peer, view};
use crate::work::{BATCH, CAPACITY, GULP, Receiver, Sender, Shape};

pub(crate) enum Quoit {}

impl<const N: usize> Peer<N> for Quoit {
    type Sender = Producer;
    type Receiver = Reader;

    fn sender(path: &Path, _: Shape) -> Result<Producer> {
        Ok(Producer::create(path, &Options::new().capacity(CAPACITY as u64).slots(4))?)
    }

    fn receiver(path: &Path, shape: Shape) -> Result<Reader> {
        let attach = if shape.lossy { Attach::lossy() } else { Attach::gated() };
        Ok(Reader { consumer: Consumer::open(path, &attach)?, shape })
    }
}

impl<const N: usize> Sender<N> for Producer {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        Producer::send(self, bytemuck::bytes_of(record))?;
        Ok(())
    }

    #[inline(always)]
    fn send_batch(&mut self, record: &[u64; N]) -> Result<()> {
        let mut batch = self.batch();
        batch.send_all(repeat_n(record, BATCH).map(bytemuck::bytes_of))?;
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
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        // One at a time is received sooner by itself.
        if self.shape.alternating {
            return match self.consumer.try_recv()? {
                Some(Event::Record(record)) => {
                    // SAFETY: as below.
                    view(unsafe { record.as_slice() }, each);
                    Ok(1)
                }
                Some(event) => bail!("told {event:?} in the middle of a measurement"),
                None => Ok(0),
            };
        }
        let (mut records, mut trouble) = (0, None);
        self.consumer.drain(GULP, |event| match event {
            Event::Record(record) => {
                // SAFETY: the ring is this program's own, and its producer is this library's. What a lossy consumer
                // gets is a checked copy.
                view(unsafe { record.as_slice() }, &mut each);
                records += 1;
            }
            Event::Lost(_) if self.shape.lossy => {}
            event => trouble = Some(format!("{event:?}")),
        })?;
        match trouble {
            Some(event) => bail!("told {event} in the middle of a measurement"),
            None => Ok(records),
        }
    }
}
