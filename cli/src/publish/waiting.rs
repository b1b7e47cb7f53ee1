//! Waiting for room, and telling who is in the way.

use std::time::{Duration, Instant};

use quoit::Producer;

use crate::output::say;

/// Who waits for so long is told for whom.
const PATIENCE: Duration = Duration::from_secs(1);

/// And is told again this often.
const AGAIN: Duration = Duration::from_secs(60);

/// What to do when the ring is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Wait; at most so long for a record if a time is given.
    pub(crate) limit: Option<Option<Duration>>,
    /// Say nothing meanwhile.
    pub(crate) quiet: bool,
}

/// Who was told of last.
#[derive(Debug, Default)]
pub(crate) struct Told(Option<(Instant, u32)>);

impl Told {
    /// Tells whom a record waits for since `began`, if that is long and was not told a moment ago.
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

/// Who holds the producer up and what would free it, as the end of a sentence. Empty if nobody does any more.
pub(crate) fn held_by(producer: &Producer) -> String {
    match producer.held_by() {
        Some(blocker) => format!("; {blocker} holds the producer up: {}", blocker.remedy()),
        None => String::new(),
    }
}
