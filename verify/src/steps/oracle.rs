//! The expected results, computed without the ring: contents follow from sequence and length, positions from the
//! lengths.

use anyhow::{Result, bail, ensure};
use quoit::Event;
pub(crate) use support::payload;

/// Bytes that a record takes up in the ring.
pub(crate) fn footprint(len: usize) -> u64 {
    8 + (len as u64).next_multiple_of(8)
}

/// Is `a` after `b`, by signed distance?
pub(crate) fn after(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) > 0
}

/// Everything published on a ring so far.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) first: u64,
    capacity: u64,
    segment_bytes: u64,
    /// Where the next record begins, unless it needs padding.
    position: u64,
    /// Up to here the producer may have been writing.
    extent: u64,
    lens: Vec<usize>,
    /// Where each record could begin at the earliest: the end of the one before it.
    starts: Vec<u64>,
}

impl Sent {
    pub(crate) fn new(position: u64, first: u64, capacity: u64) -> Self {
        Self {
            first,
            capacity,
            segment_bytes: capacity / 64,
            position,
            extent: position,
            lens: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Sequence of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.first.wrapping_add(self.lens.len() as u64)
    }

    pub(crate) fn records(&self) -> usize {
        self.lens.len()
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes to the end of the ring.
    pub(crate) fn room(&self) -> u64 {
        self.capacity - (self.position & (self.capacity - 1))
    }

    pub(crate) fn push(&mut self, len: usize) {
        self.starts.push(self.position);
        self.lens.push(len);
        self.position = self.end_of(len);
        self.dirty(self.position);
    }

    /// Where a record of `len` bytes sent next would end.
    pub(crate) fn end_of(&self, len: usize) -> u64 {
        let padding = if footprint(len) > self.room() { self.room() } else { 0 };
        self.position.wrapping_add(padding).wrapping_add(footprint(len))
    }

    /// Padding came out without its record.
    pub(crate) fn pad(&mut self) {
        self.position = self.position.wrapping_add(self.room());
        self.dirty(self.position);
    }

    /// A producer may have been writing up to `end`.
    pub(crate) fn dirty(&mut self, end: u64) {
        let rounded = end.wrapping_add(self.segment_bytes - 1) & !(self.segment_bytes - 1);
        if after(rounded, self.extent) {
            self.extent = rounded;
        }
    }

    fn index(&self, sequence: u64) -> Result<usize> {
        let index = sequence.wrapping_sub(self.first) as usize;
        ensure!(index < self.lens.len(), "sequence {sequence:#x} was never sent");
        Ok(index)
    }

    /// The earliest position at which the record can begin; of the next one too.
    pub(crate) fn start(&self, sequence: u64) -> u64 {
        let index = sequence.wrapping_sub(self.first) as usize;
        self.starts.get(index).copied().unwrap_or(self.position)
    }

    /// How many of the last records nobody can have overwritten, with a segment to spare.
    pub(crate) fn intact(&self) -> usize {
        let floor = self.extent.wrapping_add(self.segment_bytes).wrapping_sub(self.capacity);
        self.starts.iter().rev().take_while(|start| !after(floor, **start)).count()
    }

    /// May a reader whose next record is this find its place overwritten?
    pub(crate) fn is_overwritten(&self, sequence: u64) -> bool {
        after(self.extent.wrapping_sub(self.capacity), self.start(sequence))
    }

    fn bytes(&self, from: u64, to: u64) -> Result<u64> {
        let end = self.index(to.wrapping_sub(1))? + 1;
        Ok(self.lens[self.index(from)?..end].iter().map(|len| *len as u64).sum())
    }
}

/// Follows one reader, and holds each of its events against what was sent.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Sequence that must come next.
    pub(crate) next: u64,
    /// Nobody may overwrite what it has not read.
    pub(crate) gated: bool,
    pub(crate) checks: u64,
    pub(crate) evicted: bool,
}

impl Follower {
    pub(crate) fn new(next: u64, gated: bool) -> Self {
        Self { next, gated, checks: 0, evicted: false }
    }

    pub(crate) fn feed(&mut self, sent: &Sent, event: Event<'_>) -> Result<()> {
        self.checks += 1;
        match event {
            Event::Record(record) => {
                ensure!(
                    record.sequence() == self.next,
                    "record {:#x} came where {:#x} was due",
                    record.sequence(),
                    self.next
                );
                let len = sent.lens[sent.index(self.next)?];
                ensure!(record.len() == len, "record {:#x}: {} bytes, {len} sent", self.next, record.len());
                ensure!(record.to_vec() == payload(self.next, len), "record {:#x} is torn", self.next);
                self.next = self.next.wrapping_add(1);
            }
            Event::Lost(loss) => {
                ensure!(!self.gated, "a gated consumer lost records: {loss:?}");
                ensure!(loss.records > 0, "a loss of nothing");
                ensure!(loss.first == self.next, "a loss at {:#x}: {loss:?}", self.next);
                ensure!(loss.next == loss.first.wrapping_add(loss.records), "{loss:?}");
                ensure!(loss.bytes == sent.bytes(loss.first, loss.next)?, "bytes lost: {loss:?}");
                ensure!(sent.is_overwritten(loss.first), "a loss of what nobody has overwritten: {loss:?}");
                self.next = loss.next;
            }
            Event::Evicted => {
                ensure!(!self.gated, "evicted without a deadline");
                self.evicted = true;
            }
            Event::ProducerChanged { .. } => {}
            _ => unreachable!("no other kind is known here"),
        }
        Ok(())
    }
}

/// Consumers and observers alike.
pub(crate) trait Reader {
    /// One event to `follower`; false: there is none.
    fn step(&mut self, sent: &Sent, follower: &mut Follower) -> Result<bool>;

    /// Everything there is.
    fn catch_up(&mut self, sent: &Sent, follower: &mut Follower) -> Result<()> {
        // A reader gets at most one event for each record, and a few more.
        for _ in 0..sent.records() + 100 {
            if !self.step(sent, follower)? {
                return Ok(());
            }
        }
        bail!("a reader that never comes to an end");
    }
}

impl Reader for quoit::Consumer {
    fn step(&mut self, sent: &Sent, follower: &mut Follower) -> Result<bool> {
        match self.try_recv()? {
            Some(event) => follower.feed(sent, event).map(|()| true),
            None => Ok(false),
        }
    }
}

impl Reader for quoit::Observer {
    fn step(&mut self, sent: &Sent, follower: &mut Follower) -> Result<bool> {
        match self.try_recv()? {
            Some(event) => follower.feed(sent, event).map(|()| true),
            None => Ok(false),
        }
    }
}
