//! shaq: its queue of one producer and one consumer, and for several consumers its broadcast.
#![allow(unsafe_code, reason = "its constructors and its reservations are unsafe")]

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Result, anyhow};
use quoit_floors::building::{Builder, Copied, Payload};
use shaq::broadcast::{self, BroadcastConfig, ProducerId};
use shaq::spsc::{Consumer, Producer, minimum_file_size};

use super::Peer;
use crate::ends::{BATCH, Batching, GULP, Placing, Receiver, Sender, Shape, build_in};
use crate::record::{Bytes, Record, Words};

const SO_MANY: NonZeroUsize = NonZeroUsize::new(BATCH).expect("not zero");
const AT_MOST: NonZeroUsize = NonZeroUsize::new(GULP).expect("not zero");

pub(crate) enum Shaq {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Shaq {
    type Sender = Producer<R>;
    type Receiver = Consumer<R>;

    fn sender(path: &Path, _: Shape) -> Result<Producer<R>> {
        let file = create(path)?;
        let bytes = minimum_file_size::<R>(Shape::slots(N * 8)).next_multiple_of(4096);
        file.set_len(bytes as u64)?;
        // SAFETY: the file is new, and this is the only one that initialises it and the only producer.
        unsafe { Producer::create(&file, bytes) }.map_err(|error| anyhow!("{error:?}"))
    }

    fn receiver(path: &Path, _: Shape) -> Result<Consumer<R>> {
        // SAFETY: the file was initialised for the same type, and this is the only consumer.
        unsafe { Consumer::join(&open(path)?) }.map_err(|error| anyhow!("{error:?}"))
    }
}

fn create(path: &Path) -> Result<File> {
    Ok(File::options().read(true).write(true).create_new(true).open(path)?)
}

fn open(path: &Path) -> Result<File> {
    Ok(File::options().read(true).write(true).open(path)?)
}

impl<R: Bytes> Sender<R> for Producer<R> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        while self.try_write(*record).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl<const N: usize> Placing<N> for Producer<[u64; N]> {
    #[inline(always)]
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()> {
        loop {
            let mut batch = self.write_batch();
            // SAFETY: the builder stores every word.
            if let Some(slot) = unsafe { batch.try_as_mut() } {
                build_in(slot, builder);
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}

impl<const N: usize> Batching<N> for Producer<[u64; N]> {
    #[inline(always)]
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()> {
        let mut records = records.take(BATCH);
        let mut next = records.next();
        // What finds no room begins another batch.
        while next.is_some() {
            let mut batch = self.write_batch();
            while let Some(Payload(record)) = next {
                match batch.try_write(record) {
                    Ok(()) => next = records.next(),
                    Err(record) => {
                        next = Some(Payload(record));
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

impl<const N: usize, R: Record<N>> Receiver<N> for Consumer<R> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        let Some(batch) = self.try_reserve_read_batch(AT_MOST) else { return Ok(0) };
        let (first, second) = batch.as_slices();
        first.iter().chain(second).for_each(|record| each(record.words()));
        Ok(first.len() + second.len())
    }
}

pub(crate) enum Broadcast {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Broadcast {
    type Sender = broadcast::Producer<R>;
    type Receiver = broadcast::Consumer<R>;

    fn sender(path: &Path, shape: Shape) -> Result<Self::Sender> {
        let config = BroadcastConfig {
            capacity: Shape::slots(N * 8),
            producer_slots: 1,
            consumer_slots: shape.consumers,
        };
        // SAFETY: the file is new, and this is the only one that initialises it.
        let producer = unsafe { broadcast::Producer::create(&create(path)?, config, ProducerId::new(1)) };
        producer.map_err(|error| anyhow!("{error:?}"))
    }

    fn receiver(path: &Path, _: Shape) -> Result<Self::Receiver> {
        // SAFETY: the file was initialised for the same type.
        unsafe { broadcast::Consumer::join(&open(path)?) }.map_err(|error| anyhow!("{error:?}"))
    }
}

impl<R: Bytes> Sender<R> for broadcast::Producer<R> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        while self.try_write(*record).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl<const N: usize> Batching<N> for broadcast::Producer<[u64; N]> {
    #[inline(always)]
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()> {
        let mut batch = loop {
            // SAFETY: so many records come from the iterator, and all of them are written.
            if let Some(batch) = unsafe { self.try_reserve_write_batch(SO_MANY) } {
                break batch;
            }
            std::hint::spin_loop();
        };
        for (index, Payload(record)) in records.take(BATCH).enumerate() {
            // SAFETY: there are no more of them than were reserved.
            unsafe { batch.write(index, record) };
        }
        Ok(())
    }
}

impl<const N: usize, R: Record<N>> Receiver<N> for broadcast::Consumer<R> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        let Some(batch) = self.try_reserve_read_batch(AT_MOST) else { return Ok(0) };
        let (first, second) = batch.as_slices();
        first.iter().chain(second).for_each(|record| each(record.words()));
        Ok(first.len() + second.len())
    }
}
