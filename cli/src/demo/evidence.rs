//! Input of the verdict. The ring counted none of it, except where noted.

use std::time::Duration;

use super::cast::Role;
use super::ledger::{BATCH, Ledger};
use super::wire::Change;

/// One life of a consumer.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    /// For a killed one: its journal, exact to the last record.
    pub(crate) ledger: Ledger,
    /// Where the library reported that a known name resumed.
    pub(crate) resumed: Option<u64>,
    /// How many evictions it received.
    pub(crate) evictions: u32,
    /// New producers reported to it.
    pub(crate) changes: Vec<Change>,
    /// It read to the end and reported it.
    pub(crate) finished: bool,
}

impl Life {
    pub(crate) fn starting_at(next: u64, resumed: Option<u64>) -> Self {
        Self {
            ledger: Ledger::starting_at(next),
            resumed,
            evictions: 0,
            changes: Vec::new(),
            finished: false,
        }
    }
}

/// A consumer through all its lives.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) role: Role,
    pub(crate) lives: Vec<Life>,
}

impl Witness {
    fn sum(&self, of: impl Fn(&Ledger) -> u64) -> u64 {
        self.lives.iter().map(|life| of(&life.ledger)).sum()
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.sum(|ledger| ledger.delivered)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.sum(|ledger| ledger.lost)
    }

    pub(crate) fn torn(&self) -> u64 {
        self.sum(|ledger| ledger.torn)
    }

    pub(crate) fn disorder(&self) -> u64 {
        self.sum(|ledger| ledger.disorder)
    }

    /// Maximum records received again by a later life: a journal ends up to a batch before a kill.
    pub(crate) fn repeats(&self) -> u64 {
        self.lives
            .windows(2)
            .map(|two| (two[0].ledger.next + BATCH).saturating_sub(two[1].ledger.first))
            .sum()
    }
}

/// One producer's time on the ring.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reign {
    pub(crate) epoch: u64,
    /// Where it began.
    pub(crate) first: u64,
    /// The last next sequence it reported: a killed producer got at least this far.
    pub(crate) next: u64,
    /// When its first tick was published, on the machine's clock.
    pub(crate) first_tick_ns: Option<u64>,
    /// The longest time that one send waited for room.
    pub(crate) longest_wait: Duration,
    pub(crate) finished: bool,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The ring's first sequence.
    pub(crate) origin: u64,
    /// Records and payload bytes published, as the ring itself counts.
    pub(crate) ring_records: u64,
    pub(crate) ring_bytes: u64,
    pub(crate) reigns: Vec<Reign>,
    pub(crate) witnesses: Vec<Witness>,
    /// How long the held consumer was away, and may have blocked the producer.
    pub(crate) away: Duration,
    /// From the start of the new producer's process to its first tick.
    pub(crate) takeover: Option<Duration>,
    /// Errors outside the counts: torn records reported, processes that ended unexpectedly or did not end.
    pub(crate) mishaps: Vec<String>,
}

impl Evidence {
    /// The sequence after the last one, as reported by the last producer.
    pub(crate) fn end(&self) -> u64 {
        self.reigns.last().map_or(self.origin, |reign| reign.next)
    }

    pub(crate) fn published(&self) -> u64 {
        self.end().wrapping_sub(self.origin)
    }

    pub(crate) fn witness(&self, role: Role) -> Option<&Witness> {
        self.witnesses.iter().find(|witness| witness.role == role)
    }
}
