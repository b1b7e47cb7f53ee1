//! bcast: a producer that overwrites, and readers that look at its position.

use std::path::Path;

use anyhow::Result;
use bcast::{HEADER_SIZE, MappedReader, MappedWriter};

use super::Peer;
use crate::work::{CAPACITY, Receiver, Sender, Shape};

pub(crate) enum Bcast {}

impl<const N: usize> Peer<N> for Bcast {
    type Sender = MappedWriter;
    type Receiver = Reader;

    fn sender(path: &Path, _: Shape) -> Result<MappedWriter> {
        Ok(MappedWriter::new(path, HEADER_SIZE + CAPACITY)?)
    }

    fn receiver(path: &Path, _: Shape) -> Result<Reader> {
        Ok(Reader(MappedReader::new(path)?))
    }
}

impl<const N: usize> Sender<N> for MappedWriter {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        let mut claim = self.claim(size_of_val(record), true);
        claim.get_buffer_mut().copy_from_slice(bytemuck::bytes_of(record));
        claim.commit();
        Ok(())
    }
}

pub(crate) struct Reader(MappedReader);

impl<const N: usize> Receiver<N> for Reader {
    /// All that is pending, as its documentation has it. Of a batch that was overrun the rest is lost.
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        let Some(batch) = self.0.read_batch() else { return Ok(0) };
        let mut record = [0; N];
        let mut some = 0;
        for message in batch {
            match message.and_then(|message| message.read(bytemuck::bytes_of_mut(&mut record))) {
                Ok(_) => {
                    each(&record);
                    some += 1;
                }
                Err(_) => {
                    self.0.reset();
                    break;
                }
            }
        }
        Ok(some)
    }
}
