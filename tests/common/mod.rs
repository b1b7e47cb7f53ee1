//! What the tests share: one ring on any backing, payloads that tell torn from whole, and an oracle that holds
//! everything received against everything sent.
#![allow(dead_code, reason = "each test crate uses its share")]

use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quoit::{
    Attach, Consumer, ConsumerInfo, Error, Event, Forgotten, Inspector, Loss, LossCause, Observer, Options,
    Producer, Snapshot, Start,
};
use support::offsets;
pub(crate) use support::payload;
use tempfile::TempDir;

/// Where a ring lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// This process's memory.
    Heap,
    /// A file on tmpfs.
    Tmpfs,
    /// A file on the disk's file system.
    Disk,
}

impl Backing {
    /// A fresh directory on this backing, removed with its last owner.
    pub(crate) fn directory(self) -> TempDir {
        let parent = match self {
            Self::Heap => panic!("a ring on the heap has no directory"),
            Self::Tmpfs => Path::new("/dev/shm"),
            // Cargo tells tests, and not the fuzz targets that share this file.
            Self::Disk => match option_env!("CARGO_TARGET_TMPDIR") {
                Some(directory) => Path::new(directory),
                None => panic!("only tests use the disk"),
            },
        };
        tempfile::Builder::new().prefix("quoit-test-").tempdir_in(parent).unwrap()
    }

    /// A ring that has no producer yet.
    pub(crate) fn ring(self, options: &Options) -> Ring {
        match self {
            Self::Heap => Ring { place: Place::Heap(quoit::Ring::heap(options).unwrap(), Box::default()) },
            Self::Tmpfs | Self::Disk => {
                let directory = self.directory();
                let path = directory.path().join("ring");
                options.create(&path).unwrap();
                Ring { place: Place::File { path, _directory: directory } }
            }
        }
    }
}

/// A ring on some backing: a factory of handles. Files go with it.
#[derive(Debug)]
pub(crate) struct Ring {
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// With an inspector, once there was a need for one.
    Heap(quoit::Ring, Box<OnceCell<Inspector>>),
    File {
        path: PathBuf,
        _directory: TempDir,
    },
}

impl Ring {
    /// Where the file is; none on the heap.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Heap(..) => None,
            Place::File { path, .. } => Some(path),
        }
    }

    pub(crate) fn try_producer(&self) -> Result<Producer, Error> {
        match &self.place {
            Place::Heap(local, _) => local.producer(),
            Place::File { path, .. } => Producer::open(path),
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        self.try_producer().unwrap()
    }

    pub(crate) fn try_consumer(&self, attach: &Attach) -> Result<Consumer, Error> {
        match &self.place {
            Place::Heap(local, _) => local.consumer(attach),
            Place::File { path, .. } => Consumer::open(path, attach),
        }
    }

    pub(crate) fn consumer(&self, attach: &Attach) -> Consumer {
        self.try_consumer(attach).unwrap()
    }

    pub(crate) fn try_observer(&self, start: Start) -> Result<Observer, Error> {
        match &self.place {
            Place::Heap(local, _) => local.observer(start),
            Place::File { path, .. } => Observer::open(path, start),
        }
    }

    pub(crate) fn observer(&self, start: Start) -> Observer {
        self.try_observer(start).unwrap()
    }

    pub(crate) fn inspector(&self) -> Inspector {
        match &self.place {
            Place::Heap(local, _) => local.inspector().unwrap(),
            Place::File { path, .. } => Inspector::open(path).unwrap(),
        }
    }

    /// The ring as users have it.
    pub(crate) fn door(&self) -> quoit::Ring {
        match &self.place {
            Place::Heap(ring, _) => ring.clone(),
            Place::File { path, .. } => quoit::Ring::open(path).unwrap(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        match &self.place {
            Place::Heap(_, inspector) => inspector.get_or_init(|| self.inspector()).snapshot().unwrap(),
            Place::File { .. } => self.inspector().snapshot().unwrap(),
        }
    }

    /// What the ring says of the consumer under `name`.
    pub(crate) fn named(&self, name: &str) -> Option<ConsumerInfo> {
        self.snapshot().consumers.into_iter().find(|info| info.name.as_deref() == Some(name))
    }

    pub(crate) fn forget(&self, name: &str) -> Result<(), Error> {
        match &self.place {
            Place::Heap(local, _) => local.forget(name),
            Place::File { path, .. } => quoit::forget(path, name),
        }
    }

    pub(crate) fn forget_slot(&self, slot: u32) -> Result<(), Error> {
        match &self.place {
            Place::Heap(local, _) => local.forget_slot(slot),
            Place::File { path, .. } => quoit::forget_slot(path, slot),
        }
    }

    pub(crate) fn forget_away(&self, away_for: Duration) -> Result<Vec<Forgotten>, Error> {
        match &self.place {
            Place::Heap(local, _) => local.forget_away(away_for),
            Place::File { path, .. } => quoit::forget_away(path, away_for),
        }
    }

    pub(crate) fn evict(&self, slot: u32, wait: Duration) -> Result<quoit::Evicted, Error> {
        match &self.place {
            Place::Heap(local, _) => local.evict(slot, wait),
            Place::File { path, .. } => quoit::evict(path, slot, wait),
        }
    }

    /// Leaves the slot of `consumer` exactly as `kill -9` would: its bytes stay what they are, its locks go. Files
    /// only.
    pub(crate) fn kill_consumer(&self, consumer: Consumer) {
        let (file, slot) = (self.file(), self.slot(consumer.slot()));
        let mut bytes = [0; offsets::SLOT as usize];
        file.read_exact_at(&mut bytes, slot).unwrap();
        drop(consumer);
        file.write_all_at(&bytes, slot).unwrap();
    }

    /// Where a slot begins in the file.
    fn slot(&self, number: u32) -> u64 {
        offsets::control(self.snapshot().segments, 4096) + offsets::slot(number.into())
    }

    /// Writes a word of a slot, `at` bytes from its start. Files only.
    pub(crate) fn set_slot(&self, number: u32, at: u64, value: u64) {
        self.file().write_all_at(&value.to_le_bytes(), self.slot(number) + at).unwrap();
    }

    /// Writes a word of the data area, at a position of the stream. Files only.
    pub(crate) fn set_data(&self, position: u64, value: u64) {
        let now = self.snapshot();
        let data = offsets::data(now.segments, now.slots.into(), 4096);
        self.file().write_all_at(&value.to_le_bytes(), data + position % now.capacity).unwrap();
    }

    /// Leaves the ring as if its producer had been killed between two records. Files only.
    pub(crate) fn kill_producer(&self, producer: Producer) {
        drop(producer);
        self.file().write_all_at(&0u64.to_le_bytes(), offsets::CLOSED).unwrap();
    }

    fn file(&self) -> File {
        File::options().read(true).write(true).open(self.path().expect("a file")).unwrap()
    }
}

/// Everything ever published on one ring: lengths by sequence. The contents follow from them.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) first: u64,
    pub(crate) lens: Vec<usize>,
}

impl Sent {
    pub(crate) fn new(first: u64) -> Self {
        Self { first, lens: Vec::new() }
    }

    /// Sequence of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.first.wrapping_add(self.lens.len() as u64)
    }

    fn index(&self, sequence: u64) -> usize {
        let index = sequence.wrapping_sub(self.first);
        usize::try_from(index).expect("a sequence from before the stream")
    }

    /// The payload that the record of this sequence must have.
    pub(crate) fn payload(&self, sequence: u64) -> Vec<u8> {
        let len = self.lens.get(self.index(sequence));
        payload(sequence, *len.unwrap_or_else(|| panic!("sequence {sequence} was never sent")))
    }

    /// Payload bytes of the records from `from` up to, but not including, `to`.
    pub(crate) fn bytes(&self, from: u64, to: u64) -> u64 {
        self.lens[self.index(from)..self.index(to)].iter().map(|len| *len as u64).sum()
    }

    /// Sends one record of `len` bytes, which must find room at once.
    pub(crate) fn send(&mut self, producer: &mut Producer, len: usize) -> u64 {
        let next = self.next();
        let sequence = producer.try_send(&payload(next, len)).unwrap();
        assert_eq!(sequence, next, "the sequence sent");
        self.lens.push(len);
        sequence
    }

    pub(crate) fn send_many(&mut self, producer: &mut Producer, lens: impl IntoIterator<Item = usize>) {
        for len in lens {
            self.send(producer, len);
        }
    }

    /// Sends records of `len` bytes until the ring is full; returns how many.
    pub(crate) fn fill(&mut self, producer: &mut Producer, len: usize) -> usize {
        for count in 0.. {
            assert!(count < 1 << 20, "the ring never fills: its gate does not hold");
            match producer.try_send(&payload(self.next(), len)) {
                Ok(_) => self.lens.push(len),
                Err(quoit::SendError::Full { .. }) => return count,
                Err(error) => panic!("{error}"),
            }
        }
        unreachable!()
    }
}

/// Follows one reader and holds each of its events against what was sent.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    /// Sequence that must come next.
    pub(crate) next: u64,
    pub(crate) received: u64,
    pub(crate) losses: Vec<Loss>,
    pub(crate) evictions: u64,
    /// Sequence before which each change of the producer was told, and its epoch.
    pub(crate) changes: Vec<(u64, u64)>,
}

impl Oracle {
    pub(crate) fn new(next: u64) -> Self {
        Self { next, received: 0, losses: Vec::new(), evictions: 0, changes: Vec::new() }
    }

    pub(crate) fn feed(&mut self, sent: &Sent, event: Event<'_>) {
        match event {
            Event::Record(record) => {
                assert_eq!(record.sequence(), self.next, "a record out of sequence");
                let expected = sent.payload(self.next);
                assert_eq!(record.len(), expected.len(), "length of record {}", self.next);
                assert_eq!(record.is_empty(), expected.is_empty());
                assert!(record.to_vec() == expected, "contents of record {}", self.next);
                self.next = self.next.wrapping_add(1);
                self.received += 1;
            }
            Event::Lost(loss) => {
                assert_ne!(loss.records, 0, "a loss of nothing");
                assert_eq!(loss.first, self.next, "a loss begins where reading stopped");
                assert_eq!(loss.next, loss.first.wrapping_add(loss.records), "records lost");
                assert_eq!(loss.bytes, sent.bytes(loss.first, loss.next), "bytes lost");
                self.next = loss.next;
                self.losses.push(loss);
            }
            Event::Evicted => self.evictions += 1,
            Event::ProducerChanged { epoch } => self.changes.push((self.next, epoch)),
            _ => unreachable!("no other kind is known here"),
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.losses.iter().map(|loss| loss.records).sum()
    }

    pub(crate) fn lost_bytes(&self) -> u64 {
        self.losses.iter().map(|loss| loss.bytes).sum()
    }

    pub(crate) fn lost_by(&self, cause: LossCause) -> u64 {
        self.losses.iter().filter(|loss| loss.cause == cause).map(|loss| loss.records).sum()
    }

    /// Receives until there is nothing more.
    pub(crate) fn catch_up(&mut self, sent: &Sent, reader: &mut impl Reader) {
        while reader.step(|event| self.feed(sent, event)) {}
    }

    /// Receives `events` events, which must be there.
    pub(crate) fn take(&mut self, sent: &Sent, reader: &mut impl Reader, events: usize) {
        for count in 0..events {
            assert!(reader.step(|event| self.feed(sent, event)), "only {count} of {events} events there");
        }
    }

    /// Receives all there is, which must be all that was sent. So a consumer releases everything.
    pub(crate) fn keep_up(&mut self, sent: &Sent, reader: &mut impl Reader) {
        self.catch_up(sent, reader);
        assert_eq!(self.next, sent.next(), "reading stopped early");
    }

    /// Everything sent was received or told as lost, and nothing else.
    pub(crate) fn is_done(&self, sent: &Sent, from: u64) {
        assert_eq!(self.next, sent.next(), "reading stopped early");
        assert_eq!(self.received + self.lost(), sent.next().wrapping_sub(from), "received and lost");
    }
}

/// Consumers and observers alike.
pub(crate) trait Reader {
    /// Hands the next event to `each`; false: there is none.
    fn step(&mut self, each: impl FnOnce(Event<'_>)) -> bool;
}

impl Reader for Consumer {
    fn step(&mut self, each: impl FnOnce(Event<'_>)) -> bool {
        self.try_recv().unwrap().map(each).is_some()
    }
}

impl Reader for Observer {
    fn step(&mut self, each: impl FnOnce(Event<'_>)) -> bool {
        self.try_recv().unwrap().map(each).is_some()
    }
}

/// Long enough for anything that happens at all on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The moment by which everything has happened.
pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = soon();
    while !is_so() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
