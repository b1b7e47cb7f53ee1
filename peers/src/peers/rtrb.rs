//! rtrb: one producer and one consumer, two threads of a process.
#![allow(unsafe_code, reason = "slots filled in place are committed by promise")]

use anyhow::{Result, bail};
use quoit_floors::building::{Builder, Copied};
use rtrb::{Consumer, Producer, RingBuffer};

use super::Inside;
use crate::ends::{BATCH, Batching, GULP, Placing, Receiver, Sender, Shape, build_in};
use crate::record::{Bytes, Record, Words};

pub(crate) enum Rtrb {}

impl<const N: usize, R: Record<N>> Inside<N, R> for Rtrb {
    type Sender = Producer<R>;
    type Receiver = Consumer<R>;

    fn ends(_: Shape) -> Result<(Producer<R>, Vec<Consumer<R>>)> {
        let (producer, consumer) = RingBuffer::new(Shape::slots(N * 8));
        Ok((producer, vec![consumer]))
    }
}

impl<R: Bytes> Sender<R> for Producer<R> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        while self.push(*record).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl<const N: usize> Placing<N> for Producer<[u64; N]> {
    #[inline(always)]
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()> {
        loop {
            if let Ok(mut chunk) = self.write_chunk_uninit(1) {
                let ([slot], _) = chunk.as_mut_slices() else { bail!("a chunk of 1 has another length") };
                build_in(slot, builder);
                // SAFETY: the builder has stored every word of the one slot.
                unsafe { chunk.commit_all() };
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}

impl<const N: usize> Batching<N> for Producer<[u64; N]> {
    #[inline(always)]
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()> {
        loop {
            if let Ok(chunk) = self.write_chunk_uninit(BATCH) {
                chunk.fill_from_iter(records.take(BATCH).map(|record| record.0));
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}

impl<const N: usize, R: Record<N>> Receiver<N> for Consumer<R> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        let some = self.slots().min(GULP);
        if some == 0 {
            return Ok(0);
        }
        let chunk = self.read_chunk(some)?;
        let (first, second) = chunk.as_slices();
        first.iter().chain(second).for_each(|record| each(record.words()));
        chunk.commit_all();
        Ok(some)
    }
}
