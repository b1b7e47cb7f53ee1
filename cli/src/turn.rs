//! Opens what may not exist yet, or may still be in use.

use std::path::Path;
use std::time::{Duration, Instant};

use quoit::Error;

use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::signals::{Signals, Woken};
use crate::{shown, units};

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(20);

/// What to wait for, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) path: &'a Path,
    /// Wait for the ring, and for the stage in it that is to be followed. `Some(None)`: without limit.
    pub(crate) ring: Option<Option<Duration>>,
    /// Wait for the producer's place, the name, or a slot to become free.
    pub(crate) place: Option<Duration>,
    pub(crate) quiet: bool,
}

impl Turn<'_> {
    /// Retries `open` until it succeeds, the time is over, or a signal comes.
    pub(crate) fn open<T>(
        self,
        signals: &Signals,
        mut open: impl FnMut() -> Result<T, Error>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        let mut told = false;
        loop {
            let error = match open() {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let wait = match Exit::of_kind(error.kind()) {
                Exit::NotFound if is_missing(&error) => self.for_ring(error, started)?,
                Exit::InUse => self.for_place(error, started)?,
                _ => return Err(error.into()),
            };
            if !told && !self.quiet {
                say(wait);
            }
            told = true;
            if signals.sleep(AGAIN)? == Woken::Signal {
                return Err(Failure::new(signals.exit(), "ended by a signal while it waited").into());
            }
        }
    }

    fn for_ring(self, error: Error, started: Instant) -> anyhow::Result<String> {
        match self.ring {
            None => Err(error.into()),
            Some(Some(limit)) if started.elapsed() >= limit => {
                let what = if is_stage(&error) { "stage" } else { "ring" };
                let message = format!("no {what} came within {}: {error}", units::time(limit));
                Err(Failure::new(Exit::Timeout, message).into())
            }
            Some(_) => {
                let what = if is_stage(&error) { "no stage to follow" } else { "no ring" };
                Ok(format!("{}: {what} yet; waiting for it", shown::path(self.path)))
            }
        }
    }

    fn for_place(self, error: Error, started: Instant) -> anyhow::Result<String> {
        let message = match self.place {
            None => format!("{error}; --wait-for-turn TIME waits for it"),
            Some(limit) if started.elapsed() >= limit => {
                format!("still in use after {}: {error}", units::time(limit))
            }
            Some(_) => return Ok(format!("waiting for a turn: {error}")),
        };
        Err(Failure::new(Exit::InUse, message).into())
    }
}

/// Does nothing exist at the path, or no stage in the ring?
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. } | Error::NoDirectory { .. }) || is_stage(error)
}

fn is_stage(error: &Error) -> bool {
    matches!(error, Error::NoStage { .. })
}
