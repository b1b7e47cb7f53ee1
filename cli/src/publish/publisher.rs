//! Publishes the records of the input, and accounts for each record that was read.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use quoit::{Producer, SendError};
use rustix::stdio::stdin;

use super::waiting::{self, Told, Waiting};
use crate::descriptor::Input;
use crate::exit::{Exit, Failure};
use crate::framing::{FrameError, Frames, Framing, TooLong};
use crate::output::say;
use crate::signals::{Signals, Woken};
use crate::units::{self, plain};

/// A waiting producer polls this often for signals.
const SLICE: Duration = Duration::from_millis(50);

/// How often to check whether the path still leads to the ring.
const LOOK: Duration = Duration::from_secs(1);

/// What ended the publishing before the input did.
#[derive(Debug)]
pub(crate) enum Stop {
    Signal,
    /// The ring's file was removed or replaced.
    Gone,
    Read(io::Error),
    Frame(FrameError),
    Send(SendError),
}

pub(crate) struct Publisher<'a> {
    producer: Producer,
    signals: &'a Signals,
    waiting: Waiting,
    keep_going: bool,
    /// Publish a batch when it holds this much, so that consumers can start on it.
    batch_bytes: usize,
    bytes: u64,
    first: u64,
    started: Instant,
    looked: Instant,
    /// The last report about waiting.
    told: Told,
    /// The removal of the file was reported.
    told_gone: bool,
    too_long: u64,
    /// Read and not published: records, and bytes of an incomplete record.
    left: (u64, u64),
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(producer: Producer, signals: &'a Signals, waiting: Waiting, keep_going: bool) -> Self {
        let batch_bytes = usize::try_from(producer.capacity() / 8).unwrap_or(usize::MAX);
        let first = producer.next_sequence();
        let now = Instant::now();
        Self {
            producer,
            signals,
            waiting,
            keep_going,
            batch_bytes,
            bytes: 0,
            first,
            started: now,
            looked: now,
            told: Told::default(),
            told_gone: false,
            too_long: 0,
            left: (0, 0),
        }
    }

    /// Published so far, as the ring counts them.
    pub(crate) fn records(&self) -> u64 {
        self.producer.next_sequence().wrapping_sub(self.first)
    }

    /// Publishes standard input to its end, or until something stops it.
    pub(crate) fn run(&mut self, framing: Framing, too_long: TooLong) -> io::Result<Option<Stop>> {
        let mut frames = Frames::new(Input::new(stdin()), framing, too_long, self.producer.max_len());
        let mut records = Vec::new();
        let stop = loop {
            let cut = frames.at_hand(&mut records);
            let mut rest = &records[..];
            let sent = self.send_all(&frames, &mut rest);
            if let Err(Stop::Signal | Stop::Gone) = &sent {
                self.send_what_fits(&frames, &mut rest);
            }
            self.left.0 = rest.len() as u64;
            let failed = sent.err().or(cut.err().map(Stop::Frame));
            if failed.is_some() || frames.ended() {
                // A record that is too large was read as well.
                self.left.0 += u64::from(matches!(failed, Some(Stop::Frame(FrameError::TooLarge { .. }))));
                break failed;
            }
            if self.is_gone() {
                break Some(Stop::Gone);
            }
            match self.signals.readable(stdin(), LOOK)? {
                Woken::Signal => break Some(Stop::Signal),
                Woken::Timeout => {}
                Woken::Ready => match frames.fill() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => break Some(Stop::Read(error)),
                    Ok(()) => {}
                },
            }
        };
        let (records, bytes) = frames.discard();
        self.left = (self.left.0 + records, bytes);
        self.too_long = frames.too_long_count();
        Ok(stop.or_else(|| (self.producer.is_stale() && !self.keep_going).then_some(Stop::Gone)))
    }

    /// Publishes records and removes them from the list: one alone at once, several in batches.
    fn send_all(&mut self, frames: &Frames<Input>, rest: &mut &[Range<usize>]) -> Result<(), Stop> {
        while let Some((first, others)) = rest.split_first() {
            if self.signals.caught() {
                return Err(Stop::Signal);
            }
            if self.is_gone() {
                return Err(Stop::Gone);
            }
            let staged = if others.is_empty() { 0 } else { self.send_batch(frames, rest) };
            if staged > 0 {
                *rest = &rest[staged..];
            } else {
                self.send_one(frames.bytes(first))?;
                *rest = others;
            }
        }
        Ok(())
    }

    /// Publishes what there is room for now: the last attempt for records that were read.
    fn send_what_fits(&mut self, frames: &Frames<Input>, rest: &mut &[Range<usize>]) {
        loop {
            let staged = self.send_batch(frames, rest);
            if staged == 0 {
                return;
            }
            *rest = &rest[staged..];
        }
    }

    /// Publishes as many records as fit a batch, and returns how many that were. It never waits, since waiting would
    /// hide the batch's records from every consumer meanwhile.
    fn send_batch(&mut self, frames: &Frames<Input>, records: &[Range<usize>]) -> usize {
        let before = self.producer.next_sequence();
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
        // What was written to memory that is gone is not published, and the next call reports it.
        if self.producer.next_sequence().wrapping_sub(before) != staged as u64 {
            return 0;
        }
        self.bytes += bytes as u64;
        staged
    }

    /// Sends one record that is visible at once. Waits for room if asked to.
    fn send_one(&mut self, payload: &[u8]) -> Result<(), Stop> {
        let sent = match self.waiting.limit {
            None => self.producer.try_send(payload).map_err(Stop::Send),
            Some(limit) => self.send_waiting(payload, limit.map(|limit| Instant::now() + limit)),
        };
        sent?;
        self.bytes += payload.len() as u64;
        Ok(())
    }

    fn send_waiting(&mut self, payload: &[u8], deadline: Option<Instant>) -> Result<u64, Stop> {
        let began = Instant::now();
        loop {
            let slice = Instant::now() + SLICE;
            let end = deadline.map_or(slice, |deadline| slice.min(deadline));
            match self.producer.send_deadline(payload, end) {
                Err(SendError::TimedOut { .. }) if self.signals.caught() => return Err(Stop::Signal),
                Err(SendError::TimedOut { .. }) if self.is_gone() => return Err(Stop::Gone),
                Err(SendError::TimedOut { .. })
                    if deadline.is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    self.told.tell(self.waiting, &self.producer, began);
                }
                other => return other.map_err(Stop::Send),
            }
        }
    }

    /// Waits until this many consumers are attached, and one under that name.
    pub(crate) fn wait_for_consumers(
        &mut self,
        count: Option<u32>,
        name: Option<&str>,
    ) -> anyhow::Result<Option<Stop>> {
        let began = Instant::now();
        let mut told = false;
        loop {
            let slice = Instant::now() + SLICE;
            let producer = &self.producer;
            let counted = count.map_or(Ok(true), |count| producer.wait_for_consumers(count, slice))?;
            if counted && name.map_or(Ok(true), |name| producer.wait_for_name(name, slice))? {
                return Ok(None);
            }
            if self.signals.caught() {
                return Ok(Some(Stop::Signal));
            }
            if self.is_gone() {
                return Ok(Some(Stop::Gone));
            }
            if !told && !self.waiting.quiet && began.elapsed() >= LOOK {
                told = true;
                say("waiting for consumers to attach");
            }
        }
    }

    /// The error for what stopped it, in one line.
    pub(crate) fn failure(&self, stop: Stop) -> Failure {
        let number = self.records() + 1;
        let of_the_input = format!("record {number} of the input");
        let (exit, message) = match stop {
            Stop::Signal => (self.signals.exit(), "ended by a signal".to_owned()),
            Stop::Gone => (
                Exit::RingGone,
                "the ring's file was removed or replaced; only who was attached already got the last records. Start \
                 again on the new one, or give --keep-going"
                    .to_owned(),
            ),
            Stop::Read(error) => (Exit::Failed, format!("could not read standard input: {error}")),
            Stop::Frame(error) => (Exit::Failed, error.to_string()),
            Stop::Send(SendError::Full { .. }) => (
                Exit::Timeout,
                format!(
                    "{of_the_input} found the ring full; give --wait to wait for its consumers{}",
                    waiting::held_by(&self.producer)
                ),
            ),
            Stop::Send(SendError::TimedOut { .. }) => (
                Exit::Timeout,
                format!("{of_the_input} waited in vain for room{}", waiting::held_by(&self.producer)),
            ),
            Stop::Send(error) => (Exit::of(&error.into()), error.to_string()),
        };
        let left = self.left().map(|left| format!("; {left}")).unwrap_or_default();
        Failure::new(exit, format!("{message}{left}"))
    }

    /// Has the ring's file gone, so that it is time to end? Checks at most once a second.
    fn is_gone(&mut self) -> bool {
        if self.told_gone || self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        if !self.producer.is_stale() {
            return false;
        }
        if self.keep_going {
            self.told_gone = true;
            say("the ring's file was removed or replaced; continuing for attached consumers");
        }
        !self.keep_going
    }

    /// Prints what was published, unless `quiet`, and what was read and not published.
    pub(crate) fn tell(&self, quiet: bool, too_long: TooLong) {
        if !quiet {
            self.summary();
        }
        let lines = match self.too_long {
            1 => "1 record was".to_owned(),
            number => format!("{number} records were"),
        };
        let action = match too_long {
            TooLong::Skip => "left out",
            TooLong::Cut => "cut",
            TooLong::Split => "split",
            TooLong::Fail => "refused",
        };
        if self.too_long > 0 {
            say(format_args!("{lines} too long for the ring, and {action}"));
        }
    }

    /// What was read and not published, as a sentence. `None`: nothing.
    pub(crate) fn left(&self) -> Option<String> {
        let (records, bytes) = self.left;
        let records = match records {
            0 if bytes == 0 => return None,
            0 => {
                return Some(format!(
                    "{bytes} bytes of a record without its end were read and not published"
                ));
            }
            1 => "1 record was".to_owned(),
            records => format!("{records} records were"),
        };
        let part = match bytes {
            0 => String::new(),
            bytes => format!(", and {bytes} bytes of one without its end"),
        };
        Some(format!("{records} read and not published{part}"))
    }

    fn summary(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let records = self.records();
        let sequences = match records {
            0 => String::new(),
            records => format!(", sequences {} to {}", self.first, self.first.wrapping_add(records - 1)),
        };
        say(format_args!(
            "published {}, {} in {seconds:.2} s ({}/s){sequences}",
            plain(records, "record"),
            plain(self.bytes, "byte"),
            units::bytes((self.bytes as f64 / seconds) as u64),
        ));
    }
}
