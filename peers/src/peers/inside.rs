//! Queues that work inside one process only: both ends are made together, and used by two threads.

use anyhow::{Result, bail};
use crossbeam_channel::{TryRecvError, TrySendError};
use disruptor::{
    BusySpin, EventPoller, Polling, Producer as _, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier,
};

use super::Inside;
use crate::work::{BATCH, GULP, Receiver, Sender, Shape};

pub(crate) enum Rtrb {}

impl<const N: usize> Inside<N> for Rtrb {
    type Sender = rtrb::Producer<[u64; N]>;
    type Receiver = rtrb::Consumer<[u64; N]>;

    fn pair(_: Shape) -> Result<(Self::Sender, Self::Receiver)> {
        Ok(rtrb::RingBuffer::new(Shape::slots(N * 8)))
    }
}

impl<const N: usize> Sender<N> for rtrb::Producer<[u64; N]> {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        while self.push(*record).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }

    #[inline(always)]
    fn send_batch(&mut self, record: &[u64; N]) -> Result<()> {
        loop {
            if let Ok(chunk) = self.write_chunk_uninit(BATCH) {
                chunk.fill_from_iter(std::iter::repeat_n(*record, BATCH));
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}

impl<const N: usize> Receiver<N> for rtrb::Consumer<[u64; N]> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        let some = self.slots().min(GULP);
        if some == 0 {
            return Ok(0);
        }
        let chunk = self.read_chunk(some)?;
        let (first, second) = chunk.as_slices();
        first.iter().chain(second).for_each(&mut each);
        chunk.commit_all();
        Ok(some)
    }
}

pub(crate) enum Crossbeam {}

impl<const N: usize> Inside<N> for Crossbeam {
    type Sender = crossbeam_channel::Sender<[u64; N]>;
    type Receiver = crossbeam_channel::Receiver<[u64; N]>;

    fn pair(_: Shape) -> Result<(Self::Sender, Self::Receiver)> {
        Ok(crossbeam_channel::bounded(Shape::slots(N * 8)))
    }
}

impl<const N: usize> Sender<N> for crossbeam_channel::Sender<[u64; N]> {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        loop {
            match self.try_send(*record) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => std::hint::spin_loop(),
                Err(TrySendError::Disconnected(_)) => bail!("the receiver is gone"),
            }
        }
    }
}

impl<const N: usize> Receiver<N> for crossbeam_channel::Receiver<[u64; N]> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        match self.try_recv() {
            Ok(record) => {
                each(&record);
                Ok(1)
            }
            Err(TryRecvError::Empty) => Ok(0),
            Err(TryRecvError::Disconnected) => bail!("the sender is gone"),
        }
    }
}

pub(crate) enum Disruptor {}

impl<const N: usize> Inside<N> for Disruptor {
    type Sender = SingleProducer<[u64; N], SingleConsumerBarrier>;
    type Receiver = EventPoller<[u64; N], SingleProducerBarrier>;

    fn pair(_: Shape) -> Result<(Self::Sender, Self::Receiver)> {
        let builder = disruptor::build_single_producer(Shape::slots(N * 8), || [0; N], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        Ok((builder.build(), poller))
    }
}

impl<const N: usize> Sender<N> for SingleProducer<[u64; N], SingleConsumerBarrier> {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        self.publish(|event| *event = *record);
        Ok(())
    }

    #[inline(always)]
    fn send_batch(&mut self, record: &[u64; N]) -> Result<()> {
        self.batch_publish(BATCH, |events| events.for_each(|event| *event = *record));
        Ok(())
    }
}

impl<const N: usize> Receiver<N> for EventPoller<[u64; N], SingleProducerBarrier> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        match self.take(GULP as u64) {
            Ok(mut events) => {
                let mut some = 0;
                for event in &mut events {
                    each(event);
                    some += 1;
                }
                Ok(some)
            }
            Err(Polling::NoEvents) => Ok(0),
            Err(Polling::Shutdown) => bail!("the producer is gone"),
        }
    }
}
