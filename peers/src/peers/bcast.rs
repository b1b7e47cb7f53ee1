//! bcast: a producer that overwrites, and readers that look at its position.

use std::path::Path;

use anyhow::{Context, Result};
use bcast::{HEADER_SIZE, MappedReader, MappedWriter, MmapMutStorage, MmapStorage, StorageExt};
use quoit_floors::building::Builder;
use quoit_floors::stream::capacity;

use super::Peer;
use crate::ends::{Placing, Receiver, Sender, Shape, build_over};
use crate::record::{Bytes, Record, Words};

pub(crate) enum Bcast {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Bcast {
    type Sender = MappedWriter;
    type Receiver = Reader<N>;

    fn sender(path: &Path, _: Shape) -> Result<MappedWriter> {
        Ok(MmapMutStorage::new(path, HEADER_SIZE + capacity(N * 8))?.into_writer())
    }

    fn receiver(path: &Path, _: Shape) -> Result<Reader<N>> {
        Ok(Reader { reader: MmapStorage::attach(path)?.into_reader(), words: [[0; 8]; N] })
    }
}

impl<R: Bytes> Sender<R> for MappedWriter {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        MappedWriter::send(self, record.as_bytes(), true);
        Ok(())
    }
}

impl<const N: usize> Placing<N> for MappedWriter {
    #[inline(always)]
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()> {
        let mut filled = None;
        self.publish(N * 8, true, |bytes| filled = build_over(bytes, builder));
        filled.context("room for another record than was asked for")
    }
}

pub(crate) struct Reader<const N: usize> {
    reader: MappedReader,
    words: Words<N>,
}

impl<const N: usize> Receiver<N> for Reader<N> {
    /// All that is pending, as its documentation has it. Of a batch that was overrun the rest is lost.
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        let Some(mut batch) = self.reader.read_batch() else { return Ok(0) };
        let mut some = 0;
        while let Some(message) = batch.receive_next(self.words.as_flattened_mut()) {
            if message.is_err() {
                batch.reset();
                break;
            }
            each(&self.words);
            some += 1;
        }
        Ok(some)
    }
}
