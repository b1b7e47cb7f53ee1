//! outcry: a producer that overwrites, and readers that check what they have copied.

use std::path::Path;

use anyhow::Result;
use outcry::{Consumer, Error, Producer, Queue};

use super::Peer;
use crate::work::{CAPACITY, Receiver, Sender, Shape};

pub(crate) enum Outcry {}

impl<const N: usize> Peer<N> for Outcry {
    type Sender = Producer;
    type Receiver = Consumer;

    fn sender(path: &Path, _: Shape) -> Result<Producer> {
        Ok(Queue::create(path, CAPACITY as u64)?.producer()?)
    }

    fn receiver(path: &Path, _: Shape) -> Result<Consumer> {
        Ok(Queue::open(path)?.consumer())
    }
}

impl<const N: usize> Sender<N> for Producer {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        Ok(self.write(bytemuck::bytes_of(record))?)
    }
}

impl<const N: usize> Receiver<N> for Consumer {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        let mut record = [0; N];
        match self.try_read(bytemuck::bytes_of_mut(&mut record)) {
            Ok(Some(_)) => {
                each(&record);
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
