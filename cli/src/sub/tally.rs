//! Counts what was received and lost, and reports it without flooding the terminal.

use std::time::{Duration, Instant};

use quoit::{Loss, LossCause};

use crate::output::say;
use crate::units::{self, plain};

/// Report repeated losses this often.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    /// Since when there has been no producer, and how long there was none before that.
    absent: Option<Instant>,
    waited: Duration,
    /// Written to standard output.
    records: u64,
    bytes: u64,
    /// Received and not written yet: where each record ends in the buffer, and its payload bytes.
    pending: Vec<(usize, usize)>,
    pub(crate) lost: u64,
    lost_bytes: u64,
    gaps: u64,
    /// Loss not reported yet, in records, bytes and gaps, and since when.
    untold: (u64, u64, u64),
    told: Option<Instant>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            absent: None,
            waited: Duration::ZERO,
            records: 0,
            bytes: 0,
            pending: Vec::new(),
            lost: 0,
            lost_bytes: 0,
            gaps: 0,
            untold: (0, 0, 0),
            told: None,
        }
    }

    /// A record was received, and ends here in the buffer.
    pub(crate) fn record(&mut self, bytes: usize, end: usize) {
        self.pending.push((end, bytes));
    }

    /// Received so far, written or not.
    pub(crate) fn received(&self) -> u64 {
        self.records + self.pending.len() as u64
    }

    /// Counts bytes of the buffer that were written. Returns how many records were not written whole.
    pub(crate) fn written(&mut self, taken: usize) -> usize {
        let whole = self.pending.partition_point(|(end, _)| *end <= taken);
        self.records += whole as u64;
        self.bytes += self.pending.drain(..whole).map(|(_, bytes)| bytes as u64).sum::<u64>();
        self.pending.len()
    }

    /// Is there no process that could publish? Such times do not count in a rate.
    pub(crate) fn absence(&mut self, absent: bool) {
        if absent {
            self.absent.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.absent.take() {
            self.waited += since.elapsed();
        }
    }

    /// Counts a loss. Reports it at once, or leaves it to [`tell`](Self::tell) if one was reported a moment ago.
    pub(crate) fn loss(&mut self, loss: &Loss) {
        if loss.cause == LossCause::Attaching {
            // Where a start in the past leads is found out by reading; it is not a loss.
            say(format_args!("starting at sequence {}: what was before is gone", loss.next));
            return;
        }
        self.lost += loss.records;
        self.lost_bytes += loss.bytes;
        self.gaps += 1;
        if self.told.is_some_and(|told| told.elapsed() < EVERY) {
            self.untold = (self.untold.0 + loss.records, self.untold.1 + loss.bytes, self.untold.2 + 1);
            return;
        }
        self.tell();
        say(format_args!(
            "lost {} ({}) from sequence {} on: {}; going on at {}",
            plain(loss.records, "record"),
            plain(loss.bytes, "byte"),
            loss.first,
            loss.cause,
            loss.next
        ));
        self.told = Some(Instant::now());
    }

    /// Reports what was lost since the last report.
    pub(crate) fn tell(&mut self) {
        let (records, bytes, gaps) = std::mem::take(&mut self.untold);
        if gaps > 0 {
            say(format_args!(
                "lost {} ({}) more in {}",
                plain(records, "record"),
                plain(bytes, "byte"),
                plain(gaps, "gap")
            ));
        }
    }

    pub(crate) fn summary(&mut self) {
        self.absence(false);
        let seconds = self.started.elapsed().saturating_sub(self.waited).as_secs_f64();
        let waited = match self.waited {
            short if short < Duration::from_secs(1) => String::new(),
            long => format!(" and {} without a producer", units::time(long)),
        };
        let lost = match self.gaps {
            0 => String::new(),
            gaps => format!(
                "; lost {}, {} in {}",
                plain(self.lost, "record"),
                plain(self.lost_bytes, "byte"),
                plain(gaps, "gap")
            ),
        };
        say(format_args!(
            "received {}, {} in {seconds:.2} s ({}/s){waited}{lost}",
            plain(self.records, "record"),
            plain(self.bytes, "byte"),
            units::bytes((self.bytes as f64 / seconds) as u64),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_once_they_are_written_whole() {
        let mut tally = Tally::new();
        for (bytes, end) in [(4, 5), (0, 6), (9, 16)] {
            tally.record(bytes, end);
        }
        assert_eq!((tally.received(), tally.records), (3, 0));
        assert_eq!(tally.written(15), 1);
        assert_eq!((tally.received(), tally.records, tally.bytes), (3, 2, 4));
        assert_eq!(tally.written(16), 0);
        assert_eq!((tally.received(), tally.records, tally.bytes), (3, 3, 13));
    }

    #[test]
    fn waiting_for_a_producer_is_no_part_of_a_rate() {
        let mut tally = Tally::new();
        tally.absence(true);
        std::thread::sleep(Duration::from_millis(20));
        tally.absence(true);
        tally.absence(false);
        let waited = tally.waited;
        assert!(waited >= Duration::from_millis(20));
        std::thread::sleep(Duration::from_millis(5));
        tally.absence(false);
        assert_eq!(tally.waited, waited);
    }
}
