//! shaq: its queue of one producer and one consumer.
#![allow(unsafe_code, reason = "its constructors are unsafe")]

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Result, anyhow};
use shaq::spsc::{Consumer, Producer, minimum_file_size};

use super::Peer;
use crate::work::{BATCH, GULP, Receiver, Sender, Shape};

pub(crate) enum Shaq {}

impl<const N: usize> Peer<N> for Shaq {
    type Sender = Producer<[u64; N]>;
    type Receiver = Consumer<[u64; N]>;

    fn sender(path: &Path, _: Shape) -> Result<Self::Sender> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let bytes = minimum_file_size::<[u64; N]>(Shape::slots(N * 8)).next_multiple_of(4096);
        file.set_len(bytes as u64)?;
        // SAFETY: the file is new, and this is the only one that initialises it and the only producer.
        unsafe { Producer::create(&file, bytes) }.map_err(|error| anyhow!("{error:?}"))
    }

    fn receiver(path: &Path, _: Shape) -> Result<Self::Receiver> {
        let file = File::options().read(true).write(true).open(path)?;
        // SAFETY: the file was initialised for the same type, and this is the only consumer.
        unsafe { Consumer::join(&file) }.map_err(|error| anyhow!("{error:?}"))
    }
}

impl<const N: usize> Sender<N> for Producer<[u64; N]> {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        while self.try_write(*record).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }

    #[inline(always)]
    fn send_batch(&mut self, record: &[u64; N]) -> Result<()> {
        let mut left = BATCH;
        while left > 0 {
            let mut batch = self.write_batch();
            while left > 0 && batch.try_write(*record).is_ok() {
                left -= 1;
            }
        }
        Ok(())
    }
}

impl<const N: usize> Receiver<N> for Consumer<[u64; N]> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        const { assert!(GULP > 0) };
        let Some(batch) = self.try_reserve_read_batch(NonZeroUsize::new(GULP).unwrap_or(NonZeroUsize::MIN))
        else {
            return Ok(0);
        };
        let (first, second) = batch.as_slices();
        first.iter().chain(second).for_each(&mut each);
        Ok(first.len() + second.len())
    }
}
