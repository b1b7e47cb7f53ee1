//! `quoit info`: shows the state of a ring, or of another object. It maps the file read-only.

mod document;
mod groups;
mod object;
mod policy;
mod service;
mod table;

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::{Inspector, Kind, Snapshot};

use crate::exit::{Exit, Failure};
use crate::output;
use crate::signals::{Signals, Woken};
use crate::standing::{self, Standing};
use crate::{shown, units};

/// Show a ring's geometry, cursors, producer and consumers; of a service, its server, clients and calls; of any other
/// object, who holds it, who waits, and who died with something of it. Nobody notices.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring, or another object
    path: PathBuf,
    /// Print one JSON document; with --watch, one per line
    #[arg(long)]
    json: bool,
    /// Show a line at this interval until Ctrl-C, of a ring with rates
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    watch: Option<Duration>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    match quoit::kind_of(&args.path)? {
        Kind::Ring => {}
        Kind::Service => return service::run(&args),
        _ => return object::run(&args),
    }
    let inspector = Inspector::open(&args.path)?;
    let snapshot = inspector.snapshot()?;
    if let Some(every) = args.watch {
        return watch(&args, &inspector, every.max(Duration::from_millis(10)));
    }
    if args.json {
        let mut text = serde_json::to_string_pretty(&document::Document::of(
            &args.path,
            &snapshot,
            &groups::of(&args.path, &snapshot),
            None,
        ))?;
        text.push('\n');
        output::print(&text)?;
    } else {
        let mut text = table::table(&args.path, &snapshot);
        text.push_str(&groups::text(&groups::of(&args.path, &snapshot)));
        output::print(&text)?;
    }
    // Shown as far as possible; the exit code reports the corruption.
    match snapshot.corruption {
        Some(corruption) => Err(quoit::Error::Corrupt(corruption).into()),
        None => Ok(Exit::Done),
    }
}

/// Rates per second between two readings.
#[derive(Clone, Copy, Debug)]
struct Rates {
    records: f64,
    bytes: f64,
}

impl Rates {
    fn between(before: &Snapshot, after: &Snapshot, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        Self {
            records: after.records.wrapping_sub(before.records) as f64 / seconds,
            bytes: after.bytes.wrapping_sub(before.bytes) as f64 / seconds,
        }
    }
}

fn watch(args: &Args, inspector: &Inspector, every: Duration) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let mut before = inspector.snapshot()?;
    let mut looked = Instant::now();
    let mut found = looked;
    loop {
        if signals.sleep(every.saturating_sub(looked.elapsed()))? == Woken::Signal {
            return Ok(Exit::Done);
        }
        let after = inspector.snapshot()?;
        let now = Instant::now();
        if now - found >= Duration::from_secs(1) {
            found = now;
            if inspector.is_stale() {
                let message = "the ring's file was removed or replaced; look again at the new one";
                return Err(Failure::new(Exit::RingGone, message).into());
            }
        }
        let rates = Rates::between(&before, &after, now - looked);
        let line = if args.json {
            serde_json::to_string(&document::Document::of(
                &args.path,
                &after,
                &groups::of(&args.path, &after),
                Some(rates),
            ))?
        } else {
            line(&after, rates)
        };
        match output::print(&format!("{line}\n")) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Exit::Done),
            printed => printed?,
        }
        (before, looked) = (after, now);
    }
}

fn line(snapshot: &Snapshot, rates: Rates) -> String {
    let mut line = format!(
        "{}  {} records/s  {}/s  next {}",
        standing::producer(snapshot).0,
        units::count(rates.records as u64),
        units::bytes(rates.bytes as u64),
        snapshot.next_sequence
    );
    for consumer in &snapshot.consumers {
        let name = consumer.name.as_deref().map_or_else(|| format!("#{}", consumer.slot), shown::text);
        let (lag, lost) = (units::count(consumer.lag_records), units::count(consumer.lost.records));
        // Writing to a string cannot fail.
        let _ = write!(line, "  {name}: lag {lag} lost {lost}");
        if Standing::of(consumer) == Standing::Stopped {
            line.push_str(" stopped");
        }
    }
    line
}
