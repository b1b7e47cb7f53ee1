//! One look at an object, or one after the other: the same for every kind.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Args;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::signals::{Signals, Woken};

/// What looks at the objects of a kind, and how that is shown.
pub(super) trait Look: Sized {
    type Snapshot;

    fn open(path: &Path) -> Result<Self, quoit::Error>;

    fn snapshot(&self) -> Result<Self::Snapshot, quoit::Error>;

    /// Whether the file at the path is another one by now, or none.
    fn is_stale(&self) -> bool;

    /// All of it.
    fn text(&self, path: &Path, now: &Self::Snapshot) -> String;

    /// One of several looks. The one before was so long ago.
    fn line(&self, path: &Path, now: &Self::Snapshot, before: (&Self::Snapshot, Duration)) -> String;

    /// For JSON. `before`: as for a line, if it is one of several.
    fn document(
        &self,
        path: &Path,
        now: &Self::Snapshot,
        before: Option<(&Self::Snapshot, Duration)>,
    ) -> impl Serialize;

    /// What is wrong in the object. The rest is shown all the same.
    fn fault(now: &Self::Snapshot) -> Option<quoit::Error>;
}

pub(super) fn run<L: Look>(args: &Args) -> anyhow::Result<Exit> {
    let look = L::open(&args.path)?;
    let snapshot = look.snapshot()?;
    if let Some(every) = args.watch {
        return watch(args, &look, snapshot, every.max(Duration::from_millis(10)));
    }
    let text = if args.json {
        serde_json::to_string_pretty(&look.document(&args.path, &snapshot, None))? + "\n"
    } else {
        look.text(&args.path, &snapshot)
    };
    output::print(&text)?;
    match L::fault(&snapshot) {
        Some(fault) => Err(fault.into()),
        None => Ok(Exit::Done),
    }
}

fn watch<L: Look>(args: &Args, look: &L, mut before: L::Snapshot, every: Duration) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let mut looked = Instant::now();
    let mut found = looked;
    loop {
        if signals.sleep(every.saturating_sub(looked.elapsed()))? == Woken::Signal {
            return Ok(Exit::Done);
        }
        let snapshot = look.snapshot()?;
        let now = Instant::now();
        if now - found >= Duration::from_secs(1) {
            found = now;
            if look.is_stale() {
                let message = "the file was removed or replaced; look again at the new one";
                return Err(Failure::new(Exit::RingGone, message).into());
            }
        }
        let since = (&before, now - looked);
        let line = if args.json {
            serde_json::to_string(&look.document(&args.path, &snapshot, Some(since)))?
        } else {
            look.line(&args.path, &snapshot, since)
        };
        match output::print(&format!("{line}\n")) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Exit::Done),
            printed => printed?,
        }
        (before, looked) = (snapshot, now);
    }
}
