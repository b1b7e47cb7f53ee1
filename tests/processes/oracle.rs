//! What should have come out, known without asking the ring: a record's length and content follow from its sequence.

use std::fmt::{self, Display};

use quoit::{Event, Loss, LossAccount, LossCause};
use support::dice::mix;

/// Lengths and contents of all records of a stream.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// Random bytes that payloads are cut from.
    pool: Vec<u8>,
    max: usize,
}

impl Oracle {
    /// Records are `max` bytes at most, the great majority much shorter.
    pub(crate) fn new(max: usize) -> Self {
        let bytes = (4 * max).next_power_of_two();
        let words = (0..bytes as u64 / 8).map(|number| mix(!number).to_le_bytes());
        Self { pool: words.flatten().collect(), max }
    }

    /// Payload bytes of the record.
    pub(crate) fn len(&self, sequence: u64) -> usize {
        let dice = mix(sequence);
        let size = (dice >> 32) as usize;
        let len = match dice % 16 {
            0 => size % 8,
            1..=9 => size % 120,
            10..=14 => size % 600,
            _ => size % (self.max + 1),
        };
        len.min(self.max)
    }

    /// Payload bytes of so many records.
    pub(crate) fn bytes(&self, first: u64, records: u64) -> u64 {
        (first..first + records).map(|sequence| self.len(sequence) as u64).sum()
    }

    /// The content, in two parts: the sequence itself as far as it fits, and a stretch of the pool.
    pub(crate) fn parts(&self, sequence: u64) -> ([u8; 8], &[u8]) {
        let start = mix(!sequence) as usize % (self.pool.len() / 2);
        let rest = self.len(sequence).saturating_sub(8);
        (sequence.to_le_bytes(), &self.pool[start..start + rest])
    }

    /// The content as one.
    pub(crate) fn fill(&self, sequence: u64, payload: &mut Vec<u8>) {
        let (label, rest) = self.parts(sequence);
        payload.clear();
        payload.extend_from_slice(&label);
        payload.extend_from_slice(rest);
        payload.truncate(self.len(sequence));
    }

    pub(crate) fn check(&self, sequence: u64, payload: &[u8]) {
        let (label, rest) = self.parts(sequence);
        let len = self.len(sequence);
        let cut = len.min(8);
        let whole = payload.len() == len && payload[..cut] == label[..cut] && payload[cut..] == *rest;
        assert!(whole, "record {sequence} is not what was sent: {} bytes, {len} sent", payload.len());
    }
}

/// What one reader received, held against the oracle event by event.
#[derive(Debug)]
pub(crate) struct Tally {
    oracle: Oracle,
    pub(crate) first: u64,
    /// Sequence that must come next.
    pub(crate) next: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    pub(crate) lost: u64,
    pub(crate) lost_bytes: u64,
    pub(crate) gaps: u64,
    pub(crate) evicted: u64,
    pub(crate) changes: u64,
    epoch: u64,
    has_been_away: bool,
}

impl Tally {
    /// For a reader whose next record is `next`.
    pub(crate) fn new(oracle: Oracle, next: u64, has_been_away: bool) -> Self {
        Self {
            oracle,
            has_been_away,
            first: next,
            next,
            delivered: 0,
            delivered_bytes: 0,
            lost: 0,
            lost_bytes: 0,
            gaps: 0,
            evicted: 0,
            changes: 0,
            epoch: 0,
        }
    }

    pub(crate) fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Record(record) => {
                assert_eq!(record.sequence(), self.next, "records come in order, each once");
                self.oracle.check(record.sequence(), &record.bytes());
                self.next += 1;
                self.delivered += 1;
                self.delivered_bytes += record.len() as u64;
            }
            Event::Lost(loss) => self.lose(loss),
            Event::Evicted => self.evicted += 1,
            Event::ProducerChanged { epoch } => {
                assert!(*epoch > self.epoch, "epochs rise: {epoch} after {}", self.epoch);
                self.epoch = *epoch;
                self.changes += 1;
            }
            _ => unreachable!("no other kind is known here"),
        }
    }

    fn lose(&mut self, loss: &Loss) {
        assert!(loss.records > 0, "a loss of nothing: {loss:?}");
        assert_eq!(loss.first, self.next, "a loss begins where reading stopped: {loss:?}");
        assert_eq!(loss.next, loss.first + loss.records, "and is as long as it says: {loss:?}");
        assert_eq!(loss.bytes, self.oracle.bytes(loss.first, loss.records), "in bytes too: {loss:?}");
        match loss.cause {
            LossCause::Evicted => assert!(self.evicted > 0, "told as eviction before the eviction: {loss:?}"),
            LossCause::Overrun => assert_eq!(self.evicted, 0, "it was evicted: {loss:?}"),
            LossCause::Away => assert!(self.has_been_away, "it was never away: {loss:?}"),
            LossCause::Attaching => assert!(!self.has_been_away, "it was here before: {loss:?}"),
            _ => unreachable!("no other kind is known here"),
        }
        self.next = loss.next;
        self.lost += loss.records;
        self.lost_bytes += loss.bytes;
        self.gaps += 1;
    }

    /// Holds the account that the ring keeps against this one, for a consumer without an earlier life.
    pub(crate) fn check_account(&self, account: &LossAccount) {
        let told = (account.records, account.bytes, account.gaps);
        assert_eq!(told, (self.lost, self.lost_bytes, self.gaps), "{account:?}");
        assert_eq!(account.overrun + account.evicted + account.away, account.records, "{account:?}");
    }
}

/// A [`Tally`] as its process sums it up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    pub(crate) lost: u64,
    pub(crate) lost_bytes: u64,
    pub(crate) evicted: u64,
    pub(crate) changes: u64,
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, next, delivered, delivered_bytes, lost, lost_bytes, evicted, changes, .. } = self;
        write!(f, "{first} {next} {delivered} {delivered_bytes} {lost} {lost_bytes} {evicted} {changes}")
    }
}

impl From<Vec<u64>> for Sums {
    fn from(numbers: Vec<u64>) -> Self {
        let [first, next, delivered, delivered_bytes, lost, lost_bytes, evicted, changes] = numbers[..]
        else {
            panic!("not a tally: {numbers:?}")
        };
        Self { first, next, delivered, delivered_bytes, lost, lost_bytes, evicted, changes }
    }
}
