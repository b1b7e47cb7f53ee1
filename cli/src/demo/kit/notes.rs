//! What a process has done until it was killed: entries that it appends to a file of its own.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// An entry: what, and up to three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) what: u64,
    pub(crate) numbers: [u64; 3],
}

/// Of a server: it runs a call. Caller, number of the call, whether a dead server had taken it.
pub(crate) const RAN: u64 = 1;
/// Of a caller: it makes a call. Number, whether it is repeatable.
pub(crate) const CALLED: u64 = 2;
/// Of a caller: a call has ended. Number, and how: the place in [`ENDS`].
pub(crate) const ENDED: u64 = 3;
/// Of the feed: a record is published. Its sequence.
pub(crate) const SENT: u64 = 4;
/// Of a worker: it has a record. Sequence, how often it was handed out.
pub(crate) const RECEIVED: u64 = 5;
/// Of a worker: it acknowledges a record from here on. Sequence.
pub(crate) const ACKNOWLEDGES: u64 = 6;
/// Of a worker: the record is acknowledged. Sequence.
pub(crate) const ACKNOWLEDGED: u64 = 7;
/// Of a party: it arrives. When, ns.
pub(crate) const ARRIVES: u64 = 8;
/// Of a party: it has passed. When, ns; the round; whether it led.
pub(crate) const PASSED: u64 = 9;
/// Of a party: the round is broken. When, ns.
pub(crate) const BROKEN: u64 = 10;

/// How calls end.
pub(crate) const ENDS: [&str; 6] =
    ["answered", "failed", "dropped", "not executed", "unanswered", "server gone"];
pub(crate) const ANSWERED: usize = 0;
pub(crate) const FAILED: usize = 1;
pub(crate) const DROPPED: usize = 2;
pub(crate) const NOT_EXECUTED: usize = 3;
pub(crate) const UNANSWERED: usize = 4;
pub(crate) const SERVER_GONE: usize = 5;

pub(crate) struct Notes(File);

impl Notes {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        File::options().append(true).create_new(true).open(path).map(Self)
    }

    pub(crate) fn add(&mut self, what: u64, numbers: [u64; 3]) -> io::Result<()> {
        let words = [what, numbers[0], numbers[1], numbers[2]];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.0.write_all(&bytes)
    }

    /// All entries of a file. One that was cut off by a kill does not count.
    pub(crate) fn read(path: &Path) -> io::Result<Vec<Note>> {
        let bytes = std::fs::read(path)?;
        let (words, _) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let (entries, _) = words.as_chunks::<4>();
        Ok(entries.iter().map(|[what, a, b, c]| Note { what: *what, numbers: [*a, *b, *c] }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_half_a_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        let mut notes = Notes::create(&path).unwrap();
        notes.add(RAN, [1, 2, 3]).unwrap();
        notes.add(SENT, [u64::MAX, 0, 0]).unwrap();
        notes.0.write_all(&[1; 31]).unwrap();
        let read = Notes::read(&path).unwrap();
        assert_eq!(
            read,
            [Note { what: RAN, numbers: [1, 2, 3] }, Note { what: SENT, numbers: [u64::MAX, 0, 0] }]
        );
    }
}
