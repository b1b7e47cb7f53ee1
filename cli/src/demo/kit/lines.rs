//! What the children say, as JSON lines on their standard output.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Between two reports.
const REPORT: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// It takes part.
    Here,
    /// Its figures so far, as its role has them.
    Progress(Figures),
    /// What it was told of another's death.
    Told { what: String },
    /// What must not happen.
    Broken { what: String },
    /// It has done what it was asked to, and ends.
    Done,
}

/// Each role uses those that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Calls ended, records sent or acknowledged, phases passed.
    pub(crate) done: u64,
    /// Calls that ended without a reply, records handed out again, phases broken.
    pub(crate) other: u64,
}

/// Writes one line in one piece: a killed child must not leave half a line.
pub(crate) fn tell(line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Reports now and then.
pub(crate) struct Reporter(Instant);

impl Reporter {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Whether it was time for a report, which is made.
    pub(crate) fn report(&mut self, figures: Figures) -> io::Result<bool> {
        let is_due = self.0.elapsed() >= REPORT;
        if is_due {
            self.0 = Instant::now();
            tell(&Line::Progress(figures))?;
        }
        Ok(is_due)
    }
}
