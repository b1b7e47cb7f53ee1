//! ringfire: slots of one type. Lossless if the producer is to wait, else it overwrites.

use std::path::Path;

use anyhow::Result;
use quoit_floors::building::{Builder, Copied};
use ringfire::{FlowControl, RingConsumer, RingProducer, RingProducerBuilder};

use super::Peer;
use crate::ends::{BATCH, Batching, GULP, Pace, Receiver, Sender, Shape};
use crate::record::{Bytes, Record, Words};

pub(crate) enum Ringfire {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Ringfire {
    type Sender = Writer<R>;
    type Receiver = Reader<R>;

    fn sender(path: &Path, shape: Shape) -> Result<Writer<R>> {
        let flow = if shape.lossy || shape.pace == Pace::Alternating {
            FlowControl::LossyLatestWins
        } else {
            FlowControl::LosslessBackpressure
        };
        let slots = Shape::slots(N * 8) as u64;
        let producer = RingProducerBuilder::new(slots).flow_control(flow).build(path)?;
        Ok(Writer { producer, batch: Vec::with_capacity(BATCH) })
    }

    fn receiver(path: &Path, shape: Shape) -> Result<Reader<R>> {
        // One at a time there is nothing to be gained from a batch.
        let gulp = if shape.singly() { 1 } else { GULP };
        Ok(Reader { consumer: RingConsumer::attach(path)?, room: vec![R::new_zeroed(); gulp] })
    }
}

pub(crate) struct Writer<R: Bytes> {
    producer: RingProducer<R>,
    batch: Vec<R>,
}

impl<R: Bytes> Sender<R> for Writer<R> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        self.producer.push(record);
        Ok(())
    }
}

impl<const N: usize> Batching<N> for Writer<[u64; N]> {
    #[inline(always)]
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()> {
        self.batch.clear();
        (0..BATCH).for_each(|_| self.batch.push(*records.build()));
        self.producer.push_batch(&self.batch);
        Ok(())
    }
}

pub(crate) struct Reader<R: Bytes> {
    consumer: RingConsumer<R>,
    room: Vec<R>,
}

impl<const N: usize, R: Record<N>> Receiver<N> for Reader<R> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        if self.room.len() == 1 {
            return Ok(self.consumer.try_recv().map_or(0, |record| {
                each(record.words());
                1
            }));
        }
        let some = self.consumer.recv_batch(&mut self.room);
        self.room[..some].iter().for_each(|record| each(record.words()));
        Ok(some)
    }
}
