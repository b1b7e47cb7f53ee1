//! How the parent of a demo spends its time: it hears its children, draws, and notices a signal or a key.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::exit::{Exit, Failure};
use crate::signals::Signals;

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// Longest single wait, so that a signal or a key is noticed.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// How long the children may take to start, and to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// The parent of some demo.
pub(crate) trait Parent {
    /// Whether a key asks for the end.
    fn is_quit(&mut self) -> Result<bool>;

    /// Hears the next report, if one comes in time.
    fn hear_one(&mut self, time: Duration);

    /// When it drew last.
    fn drawn(&self) -> Instant;

    fn draw(&mut self) -> Result<()>;

    /// Continues until the condition holds. False: it did not hold in time.
    fn until(&mut self, signals: &Signals, is_done: impl Fn(&Self) -> bool) -> Result<bool> {
        let began = Instant::now();
        while !is_done(self) {
            if began.elapsed() > PATIENCE {
                return Ok(false);
            }
            self.step(signals, LOOK)?;
        }
        Ok(true)
    }

    /// Hears reports for a limited time, and draws when due.
    fn step(&mut self, signals: &Signals, idle: Duration) -> Result<()> {
        if signals.caught() || self.is_quit()? {
            let exit = if signals.caught() { signals.exit() } else { Exit::Interrupted };
            bail!(Failure::new(exit, "stopped before the end; no process and no file is left"));
        }
        self.hear_one(idle.min(LOOK));
        if self.drawn().elapsed() >= FRAME {
            self.draw()?;
        }
        Ok(())
    }
}
