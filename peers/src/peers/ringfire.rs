//! ringfire: slots of one type. Lossless if the producer is to wait, else it overwrites.

use std::path::Path;

use anyhow::Result;
use ringfire::{FlowControl, RingConsumer, RingProducer, RingProducerBuilder};

use super::Peer;
use crate::work::{GULP, Receiver, Sender, Shape};

pub(crate) enum Ringfire {}

impl<const N: usize> Peer<N> for Ringfire {
    type Sender = RingProducer<[u64; N]>;
    type Receiver = Reader<N>;

    fn sender(path: &Path, shape: Shape) -> Result<Self::Sender> {
        let flow = if shape.lossy || shape.alternating {
            FlowControl::LossyLatestWins
        } else {
            FlowControl::LosslessBackpressure
        };
        Ok(RingProducerBuilder::new(Shape::slots(N * 8) as u64).flow_control(flow).build(path)?)
    }

    fn receiver(path: &Path, shape: Shape) -> Result<Reader<N>> {
        // One at a time there is nothing to be gained from a batch.
        let gulp = if shape.alternating { 1 } else { GULP };
        Ok(Reader { consumer: RingConsumer::attach(path)?, room: vec![[0; N]; gulp] })
    }
}

impl<const N: usize> Sender<N> for RingProducer<[u64; N]> {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        self.push(record);
        Ok(())
    }

    #[inline(always)]
    fn send_batch(&mut self, record: &[u64; N]) -> Result<()> {
        self.push_batch(&[*record; crate::work::BATCH]);
        Ok(())
    }
}

pub(crate) struct Reader<const N: usize> {
    consumer: RingConsumer<[u64; N]>,
    room: Vec<[u64; N]>,
}

impl<const N: usize> Receiver<N> for Reader<N> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        if self.room.len() == 1 {
            return Ok(self.consumer.try_recv().map_or(0, |record| {
                each(&record);
                1
            }));
        }
        let some = self.consumer.recv_batch(&mut self.room);
        self.room[..some].iter().for_each(each);
        Ok(some)
    }
}
