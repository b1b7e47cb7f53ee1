//! What was received and lost, and telling it without flooding the terminal.

use std::time::{Duration, Instant};

use quoit::{Loss, LossCause};

use super::format::cause;
use crate::output::say;
use crate::units;

/// A reader that is lapped again and again is told so this often.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    lost_bytes: u64,
    gaps: u64,
    /// Loss not told yet, in records, bytes and gaps, and since when.
    untold: (u64, u64, u64),
    told: Option<Instant>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            records: 0,
            bytes: 0,
            lost: 0,
            lost_bytes: 0,
            gaps: 0,
            untold: (0, 0, 0),
            told: None,
        }
    }

    pub(crate) fn record(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
    }

    /// Counts a loss; says it at once, unless one was told a moment ago: then [`tell`](Self::tell) will.
    pub(crate) fn loss(&mut self, loss: &Loss) {
        if loss.cause == LossCause::Attaching {
            // Where a start in the past leads to is found out on the way; it is no loss.
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
            "lost {} records ({} bytes) from sequence {} on: {}; going on at {}",
            loss.records,
            loss.bytes,
            loss.first,
            cause(loss.cause),
            loss.next
        ));
        self.told = Some(Instant::now());
    }

    /// Says what was lost since it was last said.
    pub(crate) fn tell(&mut self) {
        let (records, bytes, gaps) = std::mem::take(&mut self.untold);
        if gaps > 0 {
            say(format_args!("lost {records} records ({bytes} bytes) more in {gaps} gaps"));
        }
    }

    pub(crate) fn summary(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let lost = match self.gaps {
            0 => String::new(),
            gaps => format!("; lost {} records, {} bytes in {gaps} gaps", self.lost, self.lost_bytes),
        };
        say(format_args!(
            "received {} records, {} bytes in {seconds:.2} s ({}/s){lost}",
            self.records,
            self.bytes,
            units::bytes((self.bytes as f64 / seconds) as u64),
        ));
    }
}
