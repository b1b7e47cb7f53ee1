//! `quoit pub`: standard input to the ring.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::{Options, Producer, SendError};

use crate::exit::{Exit, Failure};
use crate::framing::{FrameError, Frames, Framing};
use crate::memory::Wishes;
use crate::output::say;
use crate::signals::{Signals, Woken};
use crate::units;

/// A producer that waits looks this often whether it was told to end.
const SLICE: Duration = Duration::from_millis(50);

/// Publish standard input: each line a record, unless told otherwise.
///
/// Ends when its input has ended and everything is published, and closes the ring cleanly. What is at hand goes in
/// batches; a record that arrives alone goes at once. On a failure everything before the record that failed is
/// published.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring; another producer must have ended
    path: PathBuf,
    /// Make a ring of this capacity if there is none; one that is there is used as it is
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    create: Option<u64>,
    /// A record for each so many bytes, whatever is in them; the last has what is left
    #[arg(long, value_name = "SIZE", value_parser = chunk, conflicts_with = "length_prefixed")]
    chunk: Option<usize>,
    /// Each record stands behind its length, four bytes, little-endian
    #[arg(long)]
    length_prefixed: bool,
    /// Wait for gated consumers when the ring is full, at most so long for a record if a time is given; without
    /// this a full ring is a failure (code 6)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = units::duration)]
    wait: Option<Option<Duration>>,
    #[command(flatten)]
    memory: Wishes,
    /// No summary
    #[arg(long, short)]
    quiet: bool,
}

fn chunk(text: &str) -> Result<usize, String> {
    let size = units::size(text)?;
    usize::try_from(size).ok().filter(|size| *size > 0).ok_or_else(|| "a chunk has at least one byte".into())
}

/// What ended the publishing before the input did.
enum Stop {
    Signal,
    Read(io::Error),
    Frame(FrameError),
    Send(SendError),
}

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let producer = match args.create {
        Some(capacity) => {
            let options = Options::new().capacity(capacity).huge_pages(args.memory.huge);
            Producer::open_or_create(&args.path, &options)?
        }
        None => Producer::open(&args.path)?,
    };
    args.memory.tell(args.quiet, |memory| producer.prepare(memory));
    if let Some(size) = args.chunk.filter(|size| *size > producer.max_len()) {
        let max = producer.max_len();
        let message = format!(
            "chunks of {size} bytes: this ring takes records of up to {max}; give a smaller --chunk, or create the \
             ring with a larger capacity"
        );
        return Err(Failure::new(Exit::Failed, message).into());
    }
    let framing = match args.chunk {
        Some(size) => Framing::Chunks(size),
        None if args.length_prefixed => Framing::LengthPrefixed,
        None => Framing::Lines,
    };
    let mut publisher = Publisher::new(producer, &signals, args.wait);
    let stop = publisher.run(framing)?;
    if !args.quiet {
        publisher.summary();
    }
    if publisher.producer.is_stale() {
        say(
            "the ring's file was removed or replaced meanwhile; only who was attached already got the records",
        );
    }
    match stop {
        None => Ok(Exit::Done),
        Some(Stop::Signal) => Ok(signals.exit()),
        Some(Stop::Read(error)) => {
            Err(Failure::new(Exit::Failed, format!("could not read standard input: {error}")).into())
        }
        Some(Stop::Frame(error)) => Err(error.into()),
        Some(Stop::Send(SendError::Full { .. })) => {
            let number = publisher.records + 1;
            let message = format!(
                "record {number} of the input found the ring full; give --wait to wait for its consumers"
            );
            Err(Failure::new(Exit::Timeout, message).into())
        }
        Some(Stop::Send(SendError::TimedOut { .. })) => {
            let number = publisher.records + 1;
            let message = format!(
                "record {number} of the input waited in vain for room; see quoit info for the consumer that holds it up"
            );
            Err(Failure::new(Exit::Timeout, message).into())
        }
        Some(Stop::Send(error)) => Err(error.into()),
    }
}

struct Publisher<'a> {
    producer: Producer,
    signals: &'a Signals,
    wait: Option<Option<Duration>>,
    /// A batch is published when it holds so much, so that consumers have something to do meanwhile.
    batch_bytes: usize,
    records: u64,
    bytes: u64,
    first: u64,
    started: Instant,
}

impl<'a> Publisher<'a> {
    fn new(producer: Producer, signals: &'a Signals, wait: Option<Option<Duration>>) -> Self {
        let batch_bytes = usize::try_from(producer.capacity() / 8).unwrap_or(usize::MAX);
        let first = producer.next_sequence();
        Self { producer, signals, wait, batch_bytes, records: 0, bytes: 0, first, started: Instant::now() }
    }

    fn run(&mut self, framing: Framing) -> io::Result<Option<Stop>> {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let fd = stdin.try_clone()?;
        let mut frames = Frames::new(stdin, framing, self.producer.max_len());
        let mut records = Vec::new();
        loop {
            let cut = frames.at_hand(&mut records);
            if let Err(stop) = self.send_all(&frames, &records) {
                return Ok(Some(stop));
            }
            if let Err(error) = cut {
                return Ok(Some(Stop::Frame(error)));
            }
            if frames.ended() {
                return Ok(None);
            }
            match self.signals.readable(fd.as_fd())? {
                Woken::Signal => return Ok(Some(Stop::Signal)),
                Woken::Timeout => {}
                Woken::Ready => {
                    if let Err(error) = frames.fill() {
                        return Ok(Some(Stop::Read(error)));
                    }
                }
            }
        }
    }

    /// Publishes records: one alone goes at once, several go in batches.
    fn send_all(&mut self, frames: &Frames<File>, records: &[Range<usize>]) -> Result<(), Stop> {
        let mut rest = records;
        while let Some((first, others)) = rest.split_first() {
            if self.signals.caught() {
                return Err(Stop::Signal);
            }
            let staged = if others.is_empty() { 0 } else { self.send_batch(frames, rest) };
            if staged > 0 {
                rest = &rest[staged..];
            } else {
                self.send_one(frames.bytes(first))?;
                rest = others;
            }
        }
        Ok(())
    }

    /// Publishes as many of the records as a batch takes, and answers how many that were. It never waits: what it
    /// holds would be kept from everybody meanwhile.
    fn send_batch(&mut self, frames: &Frames<File>, records: &[Range<usize>]) -> usize {
        let mut batch = self.producer.batch();
        let (mut staged, mut bytes) = (0, 0);
        for record in records {
            if bytes >= self.batch_bytes || batch.try_send(frames.bytes(record)).is_err() {
                break;
            }
            staged += 1;
            bytes += record.len();
        }
        batch.publish();
        self.records += staged as u64;
        self.bytes += bytes as u64;
        staged
    }

    /// Sends one record that is visible at once, and waits for room if told to.
    fn send_one(&mut self, payload: &[u8]) -> Result<(), Stop> {
        let sent = match self.wait {
            None => self.producer.try_send(payload).map_err(Stop::Send),
            Some(limit) => self.send_waiting(payload, limit.map(|limit| Instant::now() + limit)),
        };
        sent?;
        self.records += 1;
        self.bytes += payload.len() as u64;
        Ok(())
    }

    fn send_waiting(&mut self, payload: &[u8], deadline: Option<Instant>) -> Result<u64, Stop> {
        loop {
            let slice = Instant::now() + SLICE;
            match self.producer.send_deadline(payload, deadline.map_or(slice, |deadline| slice.min(deadline)))
            {
                Err(SendError::TimedOut { .. }) if self.signals.caught() => return Err(Stop::Signal),
                Err(SendError::TimedOut { .. })
                    if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
                other => return other.map_err(Stop::Send),
            }
        }
    }

    fn summary(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let sequences = match self.records {
            0 => String::new(),
            records => format!(", sequences {} to {}", self.first, self.first.wrapping_add(records - 1)),
        };
        say(format_args!(
            "published {} records, {} bytes in {seconds:.2} s ({}/s){sequences}",
            self.records,
            self.bytes,
            units::bytes((self.bytes as f64 / seconds) as u64),
        ));
    }
}
