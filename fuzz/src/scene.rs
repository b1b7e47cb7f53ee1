//! A ring and whoever is attached to it, and what each of them must keep to whatever stands in the ring's memory:
//! typed errors, bounded work, sticky corruption, sequences without a gap that is not told.

use std::time::{Duration, Instant};

use quoit_tampered as quoit;

use quoit::tamper::accesses;
use quoit::{
    Attach, Consumer, Corruption, Error, Event, Inspector, Observer, Producer, RecvError, Ring, SendError,
    Start,
};

use super::input::Input;
use super::rings::fill;

/// Readers at a time.
const READERS: usize = 5;
/// Events in a row.
const EVENTS: usize = 40;

pub(super) enum Handle {
    Consumer(Box<Consumer>),
    Observer(Box<Observer>),
}

/// One that reads.
pub(super) struct Follower {
    pub(super) handle: Handle,
    corrupt: Option<Corruption>,
}

impl Follower {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle, corrupt: None }
    }

    pub(super) fn next_sequence(&self) -> u64 {
        match &self.handle {
            Handle::Consumer(consumer) => consumer.next_sequence(),
            Handle::Observer(observer) => observer.next_sequence(),
        }
    }
}

/// What a reader found; a record's bytes are in the scene's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Record(u64),
    Lost(quoit::Loss),
    Other,
}

pub(super) struct Scene<'a> {
    pub(super) ring: &'a Ring,
    pub(super) producer: Option<Producer>,
    pub(super) inspector: Option<Inspector>,
    pub(super) readers: [Option<Follower>; READERS],
    /// Everything that is delivered must be what was sent.
    pub(super) trusted: bool,
    pub(super) most: usize,
    /// Accesses that no single call exceeds.
    bound: u64,
    pub(super) buffer: Vec<u8>,
    expected: Vec<u8>,
}

/// Runs one call, which must be done after so many accesses.
fn bounded<T>(bound: u64, what: &str, call: impl FnOnce() -> T) -> T {
    let before = accesses();
    let result = call();
    let count = accesses() - before;
    assert!(count <= bound, "{what}: {count} accesses");
    result
}

impl<'a> Scene<'a> {
    pub(super) fn new(ring: &'a Ring, capacity: u64, slots: u32, trusted: bool) -> Self {
        let most = (capacity / 2 - 8) as usize;
        // A hundred attempts, each of which looks through the index a few times, and sixteen walks along a ring of empty
        // records in all.
        let attempt = 64 * 40 + capacity / 8 * 10;
        let bound = 25 * attempt + u64::from(slots) * 400;
        Self {
            ring,
            producer: None,
            inspector: None,
            readers: [const { None }; READERS],
            trusted,
            most,
            bound,
            buffer: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// Does what the input says, to its end.
    pub(super) fn play(&mut self, input: &mut Input<'_>, most: usize) {
        for _ in 0..most {
            if input.is_empty() {
                break;
            }
            self.act(input);
        }
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        match choice % 20 {
            0..3 => {
                let len = input.len(self.most);
                self.send(len);
            }
            3 => drop(self.batch(input)),
            4 => {
                let len = input.len(self.most);
                self.claim(len, choice >= 128);
            }
            5 => self.open(),
            6 => self.producer = None,
            7 => self.attach(Attach::gated(), input),
            8 => self.attach(Attach::lossy(), input),
            9 => self.attach(Attach::gated().name("kin"), input),
            10 => self.attach(Attach::gated_for(Duration::from_nanos(1)), input),
            11 => self.attach(Attach::gated().name("kin").hold_forever(), input),
            12 => self.observe(input),
            13 => self.inspect(),
            14 => self.forget(if choice >= 128 { "kin" } else { "brief" }),
            15..18 => {
                let who = input.below(READERS);
                let events = 1 + input.below(EVENTS);
                self.receive(who, events);
            }
            18 => {
                let who = input.below(READERS);
                if let Some(Follower { handle: Handle::Consumer(consumer), .. }) = &mut self.readers[who] {
                    bounded(self.bound, "release", || consumer.release());
                }
            }
            _ => self.readers[input.below(READERS)] = None,
        }
    }

    pub(super) fn open(&mut self) {
        if self.producer.is_some() {
            let again = bounded(self.bound, "open twice", || self.ring.producer());
            assert!(matches!(again, Err(Error::ProducerAlive { .. })), "two producers");
            return;
        }
        match bounded(self.bound, "open", || self.ring.producer()) {
            Ok(producer) => self.producer = Some(producer),
            Err(Error::Corrupt(_)) => {}
            Err(error) => panic!("open: {error:?}"),
        }
    }

    /// Sends a record, which goes through or finds the ring full. True: it did go through.
    pub(super) fn send(&mut self, len: usize) -> bool {
        let Some(producer) = &mut self.producer else { return false };
        let next = producer.next_sequence();
        fill(next, len, &mut self.expected);
        let sent = bounded(self.bound, "try_send", || producer.try_send(&self.expected));
        match sent {
            Ok(sequence) => {
                assert!(sequence == next && len <= self.most, "{sequence} in place of {next}, {len} bytes");
                assert_eq!(producer.next_sequence(), next.wrapping_add(1));
                true
            }
            Err(SendError::Full { .. }) => {
                assert_eq!(producer.next_sequence(), next);
                false
            }
            Err(SendError::TooLarge { .. }) => {
                assert!(len > self.most, "{len} bytes are too many");
                false
            }
            Err(error) => panic!("try_send: {error:?}"),
        }
    }

    pub(super) fn claim(&mut self, len: usize, publish: bool) -> bool {
        let Some(producer) = &mut self.producer else { return false };
        let next = producer.next_sequence();
        fill(next, len, &mut self.expected);
        match bounded(self.bound, "try_claim", || producer.try_claim(len)) {
            Ok(mut claim) => {
                claim.write_at(0, &self.expected).expect("it fits");
                if publish {
                    assert_eq!(claim.publish(), next);
                }
                publish
            }
            Err(SendError::Full { .. }) => false,
            Err(SendError::TooLarge { .. }) => {
                assert!(len > self.most);
                false
            }
            Err(error) => panic!("try_claim: {error:?}"),
        }
    }

    /// Publishes a batch of a few; returns their lengths.
    pub(super) fn batch(&mut self, input: &mut Input<'_>) -> Vec<usize> {
        let count = input.below(8);
        let Some(producer) = &mut self.producer else { return Vec::new() };
        let next = producer.next_sequence();
        let mut batch = producer.batch();
        let mut lens = Vec::new();
        for _ in 0..count {
            let len = input.len(self.most);
            let sequence = next.wrapping_add(lens.len() as u64);
            fill(sequence, len, &mut self.expected);
            match bounded(self.bound, "try_send in a batch", || batch.try_send(&self.expected)) {
                Ok(told) => {
                    assert_eq!(told, sequence);
                    lens.push(len);
                }
                Err(SendError::Full { .. } | SendError::BatchFull) => {}
                Err(SendError::TooLarge { .. }) => assert!(len > self.most),
                Err(error) => panic!("batch: {error:?}"),
            }
        }
        let last = batch.publish();
        assert_eq!(last, (!lens.is_empty()).then(|| next.wrapping_add(lens.len() as u64 - 1)));
        lens
    }

    fn start(input: &mut Input<'_>) -> Start {
        match input.below(6) {
            0 | 1 => Start::Newest,
            2 | 3 => Start::Oldest,
            4 => Start::Last(u64::from(input.byte())),
            _ => Start::Sequence(input.word()),
        }
    }

    pub(super) fn attach(&mut self, attach: Attach, input: &mut Input<'_>) {
        let who = input.below(READERS);
        let attach = attach.start(Self::start(input));
        if self.readers[who].is_some() {
            return;
        }
        match bounded(self.bound, "attach", || self.ring.consumer(&attach)) {
            Ok(consumer) => self.readers[who] = Some(Follower::new(Handle::Consumer(Box::new(consumer)))),
            Err(
                Error::Corrupt(_)
                | Error::StartGone { .. }
                | Error::SlotsTaken { .. }
                | Error::NameInUse { .. }
                | Error::NameOfGroup { .. }
                | Error::GatedOnly,
            ) => {}
            Err(error) => panic!("attach: {error:?}"),
        }
    }

    pub(super) fn observe(&mut self, input: &mut Input<'_>) {
        let who = input.below(READERS);
        let start = Self::start(input);
        if self.readers[who].is_some() {
            return;
        }
        match bounded(self.bound, "observe", || self.ring.observer(start)) {
            Ok(observer) => self.readers[who] = Some(Follower::new(Handle::Observer(Box::new(observer)))),
            Err(Error::Corrupt(_) | Error::StartGone { .. } | Error::GatedOnly) => {}
            Err(error) => panic!("observe: {error:?}"),
        }
    }

    pub(super) fn inspect(&mut self) {
        if self.inspector.is_none() {
            self.inspector = Some(self.ring.inspector().expect("on the heap"));
        }
        let inspector = self.inspector.as_ref().expect("made above");
        match bounded(self.bound, "snapshot", || inspector.snapshot()) {
            Ok(_) | Err(Error::Corrupt(_)) => {}
            Err(error) => panic!("snapshot: {error:?}"),
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        match bounded(self.bound, "forget", || self.ring.forget(name)) {
            Ok(())
            | Err(
                Error::NameUnknown { .. }
                | Error::NameInUse { .. }
                | Error::NameFollowed { .. }
                | Error::Corrupt(_),
            ) => {}
            Err(error) => panic!("forget: {error:?}"),
        }
    }

    /// Up to so many events of one reader; fewer if there are no more.
    pub(super) fn receive(&mut self, who: usize, events: usize) {
        for _ in 0..events {
            let Some(mut reader) = self.readers[who].take() else { return };
            let seen = self.step(&mut reader);
            self.readers[who] = Some(reader);
            if !matches!(seen, Ok(Some(_))) {
                return;
            }
        }
    }

    /// One event, held against what every reader must keep to.
    pub(super) fn step(&mut self, reader: &mut Follower) -> Result<Option<Seen>, Corruption> {
        let before = reader.next_sequence();
        let bound = self.bound;
        let event = bounded(bound, "try_recv", || match &mut reader.handle {
            Handle::Consumer(consumer) => consumer.try_recv(),
            Handle::Observer(observer) => observer.try_recv(),
        });
        let seen = match event {
            Ok(None) => Ok(None),
            Ok(Some(Event::Record(record))) => {
                assert!(record.len() <= self.most, "a record of {} bytes", record.len());
                self.buffer.clear();
                record.append_to(&mut self.buffer);
                assert_eq!(self.buffer.len(), record.len());
                Ok(Some(Seen::Record(record.sequence())))
            }
            Ok(Some(Event::Lost(loss))) => Ok(Some(Seen::Lost(loss))),
            Ok(Some(_)) => Ok(Some(Seen::Other)),
            Err(RecvError::Corrupt(corruption)) => Err(corruption),
            Err(error) => panic!("try_recv: {error:?}"),
        };
        let after = reader.next_sequence();
        if let Some(first) = reader.corrupt {
            assert_eq!(seen, Err(first), "corruption is for good");
        }
        match &seen {
            Ok(Some(Seen::Record(sequence))) => {
                assert!(*sequence == before && after == before.wrapping_add(1), "{sequence} at {before}");
                if self.trusted {
                    fill(*sequence, self.buffer.len(), &mut self.expected);
                    assert!(self.buffer == self.expected, "wrong bytes in {sequence}");
                }
            }
            Ok(Some(Seen::Lost(loss))) => {
                assert!(loss.records > 0 && loss.next == loss.first.wrapping_add(loss.records), "{loss:?}");
                // A loss found on attaching is told when the place has been left already.
                assert!(loss.next == after && (loss.first == before || after == before), "{loss:?}");
            }
            Ok(_) => assert_eq!(after, before),
            Err(corruption) => {
                if reader.corrupt.is_none() {
                    reader.corrupt = Some(*corruption);
                    assert_eq!(self.step(reader), Err(*corruption), "not for good");
                    // Nor does it wait for anything.
                    let waits = match &mut reader.handle {
                        Handle::Consumer(it) => it.recv_deadline(Instant::now()).map(drop),
                        Handle::Observer(it) => it.recv_deadline(Instant::now()).map(drop),
                    };
                    assert_eq!(waits, Err(RecvError::Corrupt(*corruption)), "not for good");
                }
            }
        }
        seen
    }
}
