//! Waits for room, and reports which consumer blocks the producer.

use std::time::{Duration, Instant};

use quoit::Producer;

use crate::output::say;

/// Report after waiting this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Repeat the report this often.
const AGAIN: Duration = Duration::from_secs(60);

/// What to do when the ring is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Wait, at most this long for each record if a time is given.
    pub(crate) limit: Option<Option<Duration>>,
    /// Print nothing meanwhile.
    pub(crate) quiet: bool,
}

/// The last report.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<(Instant, u32)>);

impl Told {
    /// Reports which consumer a record has waited for since `began`, if that is long and was not reported a moment
    /// ago.
    pub(crate) fn tell(&mut self, waiting: Waiting, producer: &Producer, began: Instant) {
        if waiting.quiet || began.elapsed() < PATIENCE {
            return;
        }
        let recent = |time| self.0.is_some_and(|(told, _)| told.elapsed() < time);
        if recent(PATIENCE) {
            return;
        }
        let Some(blocker) = producer.held_by() else { return };
        if recent(AGAIN) && self.0.is_some_and(|(_, slot)| slot == blocker.slot) {
            return;
        }
        self.0 = Some((Instant::now(), blocker.slot));
        say(format_args!("waiting for {blocker}: {}", blocker.remedy()));
    }
}

/// Which consumer blocks the producer and what would free it, as the end of a sentence. Empty if none does any more.
pub(crate) fn held_by(producer: &Producer) -> String {
    match producer.held_by() {
        Some(blocker) => format!("; {blocker} holds the producer up: {}", blocker.remedy()),
        None => String::new(),
    }
}
