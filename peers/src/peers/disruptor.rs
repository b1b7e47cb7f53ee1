//! disruptor: one producer, and a poller for each consumer; threads of a process.

use anyhow::{Result, bail};
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, Polling, Producer, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};
use quoit_floors::building::{Builder, Copied};

use super::Inside;
use crate::ends::{BATCH, Batching, GULP, Placing, Receiver, Sender, Shape};
use crate::record::{Bytes, Record, Words};

/// With one consumer.
pub(crate) enum Disruptor {}

impl<const N: usize, R: Record<N>> Inside<N, R> for Disruptor {
    type Sender = SingleProducer<R, SingleConsumerBarrier>;
    type Receiver = EventPoller<R, SingleProducerBarrier>;

    fn ends(_: Shape) -> Result<(Self::Sender, Vec<Self::Receiver>)> {
        let builder = build_single_producer(Shape::slots(N * 8), R::new_zeroed, BusySpin);
        let (poller, builder) = builder.new_event_poller();
        Ok((builder.build(), vec![poller]))
    }
}

/// With several, each of which gets every record.
pub(crate) enum Fanning {}

impl<const N: usize, R: Record<N>> Inside<N, R> for Fanning {
    type Sender = SingleProducer<R, MultiConsumerBarrier>;
    type Receiver = EventPoller<R, SingleProducerBarrier>;

    fn ends(shape: Shape) -> Result<(Self::Sender, Vec<Self::Receiver>)> {
        let builder = build_single_producer(Shape::slots(N * 8), R::new_zeroed, BusySpin);
        let mut builder = builder.with_multi_consumer();
        let mut pollers = Vec::new();
        for _ in 0..shape.consumers {
            let (poller, next) = builder.new_event_poller();
            pollers.push(poller);
            builder = next;
        }
        Ok((builder.build(), pollers))
    }
}

impl<R: Bytes, B> Sender<R> for SingleProducer<R, B>
where
    Self: Producer<R>,
{
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        self.publish(|event| *event = *record);
        Ok(())
    }
}

impl<const N: usize, B> Placing<N> for SingleProducer<[u64; N], B>
where
    Self: Producer<[u64; N]>,
{
    #[inline(always)]
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()> {
        self.publish(|event| builder.fill(|place, word| event[place] = word));
        Ok(())
    }
}

impl<const N: usize, B> Batching<N> for SingleProducer<[u64; N], B>
where
    Self: Producer<[u64; N]>,
{
    #[inline(always)]
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()> {
        self.batch_publish(BATCH, |events| {
            for (event, record) in events.zip(records) {
                *event = record.0;
            }
        });
        Ok(())
    }
}

impl<const N: usize, R: Record<N>> Receiver<N> for EventPoller<R, SingleProducerBarrier> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        match self.take(GULP as u64) {
            Ok(mut events) => {
                let mut some = 0;
                for event in &mut events {
                    each(event.words());
                    some += 1;
                }
                Ok(some)
            }
            Err(Polling::NoEvents) => Ok(0),
            Err(Polling::Shutdown) => bail!("the producer is gone"),
        }
    }
}
