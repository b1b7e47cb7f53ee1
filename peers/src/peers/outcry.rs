//! outcry: a producer that overwrites, and readers that check what they have copied.

use std::path::Path;

use anyhow::Result;
use outcry::{Consumer, Error, Producer, Queue};
use quoit_floors::stream::capacity;

use super::Peer;
use crate::ends::{Receiver, Sender, Shape};
use crate::record::{Bytes, Record, Words};

pub(crate) enum Outcry {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Outcry {
    type Sender = Producer;
    type Receiver = Consumer;

    fn sender(path: &Path, _: Shape) -> Result<Producer> {
        Ok(Queue::create(path, capacity(N * 8) as u64)?.producer()?)
    }

    fn receiver(path: &Path, _: Shape) -> Result<Consumer> {
        Ok(Queue::open(path)?.consumer())
    }
}

impl<R: Bytes> Sender<R> for Producer {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        Ok(self.write(record.as_bytes())?)
    }
}

impl<const N: usize> Receiver<N> for Consumer {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        let mut words = [[0; 8]; N];
        match self.try_read(words.as_flattened_mut()) {
            Ok(Some(_)) => {
                each(&words);
                Ok(1)
            }
            Ok(None) => Ok(0),
            Err(Error::Overrun { .. }) => {
                self.resync();
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }
}
