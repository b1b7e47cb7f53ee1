//! Through the kernel: a pipe and a Unix stream socket, neither of them blocking, so that both sides are as busy as
//! those of the others. Records have one size here and need no header.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::Result;
use quoit::zerocopy::IntoBytes;
use quoit_floors::building::{Builder, Copied};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::pipe::fcntl_setpipe_size;

use super::Peer;
use crate::ends::{BATCH, Batching, Receiver, Sender, Shape};
use crate::record::{Bytes, Record, Words};

/// Bytes that the kernel is asked to hold. More takes a privilege.
const CAPACITY: usize = 1 << 20;
/// Bytes to read at once.
const GULP: usize = 64 << 10;

pub(crate) enum Pipe {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Pipe {
    type Sender = Writer<File>;
    type Receiver = Reader<File>;

    fn sender(path: &Path, _: Shape) -> Result<Writer<File>> {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Reading as well: otherwise the open would wait for the reader.
        let file = open(path)?;
        fcntl_setpipe_size(&file, CAPACITY)?;
        Ok(Writer { stream: file, batch: Vec::new() })
    }

    fn receiver(path: &Path, _: Shape) -> Result<Reader<File>> {
        Ok(Reader::new(open(path)?))
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)
}

pub(crate) enum Socket {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Socket {
    type Sender = Writer<Connecting>;
    type Receiver = Reader<Accepting>;

    fn sender(path: &Path, _: Shape) -> Result<Writer<Connecting>> {
        Ok(Writer { stream: Connecting { path: path.into(), stream: None }, batch: Vec::new() })
    }

    fn receiver(path: &Path, _: Shape) -> Result<Reader<Accepting>> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Reader::new(Accepting { listener, stream: None }))
    }
}

/// Connects when it first writes: the receiver is there by then.
pub(crate) struct Connecting {
    path: PathBuf,
    stream: Option<UnixStream>,
}

impl Write for Connecting {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(stream) = &mut self.stream {
            return stream.write(bytes);
        }
        let stream = UnixStream::connect(&self.path)?;
        stream.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, CAPACITY)?;
        self.stream.insert(stream).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Accepts when it first reads.
pub(crate) struct Accepting {
    listener: UnixListener,
    stream: Option<UnixStream>,
}

impl Read for Accepting {
    #[inline(always)]
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if let Some(stream) = &mut self.stream {
            return stream.read(bytes);
        }
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        self.stream.insert(stream).read(bytes)
    }
}

pub(crate) struct Writer<S> {
    stream: S,
    batch: Vec<u8>,
}

/// Writes all of it, busily.
#[inline(always)]
fn write_all(stream: &mut impl Write, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl<R: Bytes, S: Write> Sender<R> for Writer<S> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        write_all(&mut self.stream, record.as_bytes())
    }
}

impl<const N: usize, S: Write> Batching<N> for Writer<S> {
    /// One write for all of them.
    #[inline(always)]
    fn send_batch(&mut self, records: &mut Copied<N>) -> Result<()> {
        self.batch.clear();
        for _ in 0..BATCH {
            self.batch.extend_from_slice(records.build().as_bytes());
        }
        write_all(&mut self.stream, &self.batch)
    }
}

pub(crate) struct Reader<S> {
    stream: S,
    room: Vec<u8>,
    /// How much of a record is there already.
    rest: usize,
}

impl<S> Reader<S> {
    fn new(stream: S) -> Self {
        Self { stream, room: vec![0; GULP], rest: 0 }
    }
}

impl<const N: usize, S: Read> Receiver<N> for Reader<S> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        let read = match self.stream.read(&mut self.room[self.rest..]) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let there = self.rest + read;
        let (records, _) = self.room[..there].as_chunks::<8>().0.as_chunks::<N>();
        records.iter().for_each(&mut each);
        let (some, bytes) = (records.len(), records.len() * N * 8);
        self.room.copy_within(bytes..there, 0);
        self.rest = there - bytes;
        Ok(some)
    }
}
