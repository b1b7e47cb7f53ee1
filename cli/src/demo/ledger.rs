//! A consumer's own account, kept outside the ring: what arrived, in what order, and what was reported lost.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use quoit::{Loss, LossCause};
use serde::{Deserialize, Serialize};

use super::tick::{self, Tick};

/// Counts of one life of one consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Where this life began to read.
    pub(crate) first: u64,
    /// The sequence that is due next.
    pub(crate) next: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    pub(crate) lost: u64,
    pub(crate) lost_bytes: u64,
    pub(crate) gaps: u64,
    /// Where the last gap began.
    pub(crate) gap_first: u64,
    /// Where it ended.
    pub(crate) gap_next: u64,
    /// Of the lost: overrun, evicted, away.
    pub(crate) overrun: u64,
    pub(crate) evicted: u64,
    pub(crate) away: u64,
    /// Records whose checksum or length was wrong.
    pub(crate) torn: u64,
    /// Records and losses that were out of sequence, or had wrong counts.
    pub(crate) disorder: u64,
}

/// Maximum records that a consumer with a journal keeps before it writes them down and releases them.
pub(crate) const BATCH: u64 = 64;

const WORDS: usize = 14;

impl Ledger {
    pub(crate) fn starting_at(next: u64) -> Self {
        Self { first: next, next, ..Self::default() }
    }

    /// Counts a record. The error says what is wrong with it.
    pub(crate) fn record(&mut self, sequence: u64, payload: &[u8]) -> Result<Tick, String> {
        let due = self.next;
        self.delivered += 1;
        self.delivered_bytes += payload.len() as u64;
        self.next = sequence.wrapping_add(1);
        let Some(tick) = Tick::decode(payload) else {
            self.torn += 1;
            return Err(format!("record {sequence} is torn: its checksum or length is wrong"));
        };
        if sequence != due || tick.number != sequence {
            self.disorder += 1;
            return Err(format!("record {sequence} holds tick {}, and {due} was due", tick.number));
        }
        Ok(tick)
    }

    /// Counts a loss. The error says what is wrong with it.
    pub(crate) fn loss(&mut self, loss: &Loss) -> Result<(), String> {
        let due = self.next;
        self.lost += loss.records;
        self.lost_bytes += loss.bytes;
        self.gaps += 1;
        (self.gap_first, self.gap_next) = (loss.first, loss.next);
        match loss.cause {
            LossCause::Overrun => self.overrun += loss.records,
            LossCause::Evicted => self.evicted += loss.records,
            LossCause::Away => self.away += loss.records,
            // Every consumer of the demo starts at the newest record.
            _ => {}
        }
        self.next = loss.next;
        let span = loss.next.wrapping_sub(loss.first);
        let bytes = tick::span_bytes(loss.first, loss.next);
        if loss.first != due || span != loss.records || bytes != loss.bytes {
            self.disorder += 1;
            return Err(format!(
                "told {} records and {} bytes lost at {}: {due} was due, and {span} records of {bytes} bytes up to \
                 {} are missing",
                loss.records, loss.bytes, loss.first, loss.next
            ));
        }
        Ok(())
    }

    /// Delivered and lost make up all that lies between `first` and `next`, in records and in bytes.
    pub(crate) fn balances(&self) -> bool {
        self.delivered + self.lost == self.next.wrapping_sub(self.first)
            && self.delivered_bytes + self.lost_bytes == tick::span_bytes(self.first, self.next)
            && self.overrun + self.evicted + self.away == self.lost
    }

    /// What was last received before `next`, with a gap in between or without.
    pub(crate) fn from(&self) -> u64 {
        if self.gaps > 0 && self.gap_next == self.next { self.gap_first } else { self.next }
    }

    fn words(&self) -> [u64; WORDS] {
        [
            self.first,
            self.next,
            self.delivered,
            self.delivered_bytes,
            self.lost,
            self.lost_bytes,
            self.gaps,
            self.gap_first,
            self.gap_next,
            self.overrun,
            self.evicted,
            self.away,
            self.torn,
            self.disorder,
        ]
    }

    fn from_words(words: [u64; WORDS]) -> Self {
        let [first, next, delivered, delivered_bytes, lost, lost_bytes, rest @ ..] = words;
        let [gaps, gap_first, gap_next, overrun, evicted, away, torn, disorder] = rest;
        Self {
            first,
            next,
            delivered,
            delivered_bytes,
            lost,
            lost_bytes,
            gaps,
            gap_first,
            gap_next,
            overrun,
            evicted,
            away,
            torn,
            disorder,
        }
    }
}

/// A small file with the ledger as of the last batch, written before that batch is released.
///
/// It records exactly what a killed consumer had received. A kill does not split one small write.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

impl Journal {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)? })
    }

    pub(crate) fn write(&self, ledger: &Ledger) -> io::Result<()> {
        let mut bytes = [0; 8 * WORDS];
        for (to, word) in bytes.chunks_exact_mut(8).zip(ledger.words()) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        self.file.write_all_at(&bytes, 0)
    }

    /// What the journal at the path says. `None` if nothing was written.
    pub(crate) fn read(path: &Path) -> Option<Ledger> {
        let bytes = std::fs::read(path).ok()?;
        let mut words = [0; WORDS];
        if bytes.len() != 8 * WORDS {
            return None;
        }
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(from.try_into().ok()?);
        }
        Some(Ledger::from_words(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tick::{MAX_LEN, Market};

    fn payload(number: u64) -> Vec<u8> {
        let mut buffer = [0; MAX_LEN];
        let len = Market::new(number).quote(number, 1, false).encode(&mut buffer);
        buffer[..len].to_vec()
    }

    fn loss(first: u64, next: u64) -> Loss {
        let (records, bytes) = (next - first, tick::span_bytes(first, next));
        Loss { records, bytes, cause: LossCause::Overrun, first, next }
    }

    #[test]
    fn a_stream_with_a_told_gap_balances() {
        let mut ledger = Ledger::starting_at(5);
        ledger.record(5, &payload(5)).unwrap();
        ledger.loss(&loss(6, 20)).unwrap();
        ledger.record(20, &payload(20)).unwrap();
        assert!(ledger.balances());
        assert_eq!((ledger.delivered, ledger.lost, ledger.gaps, ledger.next), (2, 14, 1, 21));
    }

    #[test]
    fn holes_repeats_and_swapped_records_show() {
        for wrong in [4, 6, 7] {
            let mut ledger = Ledger::starting_at(5);
            ledger.record(wrong, &payload(wrong)).unwrap_err();
            assert_eq!(ledger.disorder, 1);
            assert!(!ledger.balances());
        }
        let mut ledger = Ledger::starting_at(5);
        ledger.record(5, &payload(13)).unwrap_err();
        assert_eq!(ledger.disorder, 1);
    }

    #[test]
    fn torn_records_show() {
        let mut ledger = Ledger::starting_at(5);
        let mut bytes = payload(5);
        bytes[30] ^= 1;
        ledger.record(5, &bytes).unwrap_err();
        assert_eq!(ledger.torn, 1);
    }

    #[test]
    fn losses_that_tell_wrong_figures_show() {
        let right = loss(5, 20);
        for wrong in [
            Loss { records: 14, ..right },
            Loss { bytes: right.bytes + 8, ..right },
            Loss { first: 6, ..right },
            Loss { next: 21, ..right },
        ] {
            let mut ledger = Ledger::starting_at(5);
            ledger.loss(&wrong).unwrap_err();
            assert_eq!(ledger.disorder, 1, "{wrong:?}");
        }
    }

    #[test]
    fn the_journal_gives_back_what_was_written() {
        let path = std::env::temp_dir().join(format!("quoit-journal-{}", std::process::id()));
        let mut ledger = Ledger::starting_at(5);
        ledger.record(5, &payload(5)).unwrap();
        ledger.loss(&loss(6, 20)).unwrap();
        let journal = Journal::create(&path).unwrap();
        assert_eq!(Journal::read(&path), None);
        journal.write(&ledger).unwrap();
        assert_eq!(Journal::read(&path), Some(ledger));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Journal::read(&path), None);
    }
}
