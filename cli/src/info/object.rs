//! `quoit info` of an object other than a ring.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use quoit::sync::{Inspector, Snapshot, State};

use super::Args;
use crate::exit::{Exit, Failure};
use crate::object::{self, Document};
use crate::signals::{Signals, Woken};
use crate::{columns, output, shown, units};

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let inspector = Inspector::open(&args.path)?;
    let snapshot = inspector.snapshot()?;
    if let Some(every) = args.watch {
        return watch(args, &inspector, every.max(Duration::from_millis(10)));
    }
    if args.json {
        let mut text = serde_json::to_string_pretty(&Document::of(&args.path, &snapshot))?;
        text.push('\n');
        output::print(&text)?;
    } else {
        output::print(&table(&args.path, &snapshot))?;
    }
    // Shown as far as possible; the exit code reports the garbage.
    match snapshot.garbage {
        Some(what) => Err(quoit::Error::Garbage { what }.into()),
        None => Ok(Exit::Done),
    }
}

fn table(path: &Path, object: &Snapshot) -> String {
    let mut text = String::new();
    let mut row = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<10} {value}");
    };
    row("object", shown::path(path));
    row(
        "kind",
        format!("{}  (id {:032x}, created {})", object.kind, object.id, units::ago(object.created_ns)),
    );
    let in_use = object.participants.iter().filter(|who| who.is_alive).count() as u64;
    row(
        "size",
        format!(
            "{} on disk, {}, {} in use",
            units::bytes(object.file_bytes),
            units::counted(object.seats.into(), "seat"),
            units::count(in_use)
        ),
    );
    match &object.state {
        State::Mutex { value, version, .. } if value.size > 0 => {
            row("value", format!("{value}, version {version}"));
        }
        State::Latest { value, cells, version, writer_pid, .. } => {
            row(
                "value",
                format!(
                    "{}, version {version}, {}",
                    object::value_type(*value),
                    units::counted((*cells).into(), "cell")
                ),
            );
            let writer = match object.participants.first() {
                Some(writer) => object::who(writer),
                None if *version == 0 => "none".into(),
                None => format!("none; the last one was process {writer_pid}"),
            };
            row("writer", writer);
        }
        _ => {}
    }
    if !matches!(object.state, State::Latest { .. }) {
        row("state", object::state(object));
        for holder in object::holders(object) {
            let dead = if holder.is_alive { "" } else { ": whoever comes next takes it over" };
            row("held by", format!("{}{dead}", object::who(holder)));
        }
        if matches!(object.state, State::Mutex { is_abandoned: true, .. }) {
            row(
                "abandoned",
                "a holder died, and nobody has said since that what it guards is in order".into(),
            );
        }
    }
    if let Some(garbage) = object.garbage {
        row("corrupt", garbage.into());
    }
    if object.seats > 0 && !object.participants.is_empty() {
        text.push('\n');
        text.push_str(&participants(object));
    }
    text
}

fn participants(object: &Snapshot) -> String {
    let head = ["seat", "process", "state", "holds", "waits", "since"];
    let mut rows = vec![head.map(str::to_owned)];
    for who in &object.participants {
        rows.push([
            who.seat.to_string(),
            who.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            object::life(who).into(),
            if who.holds > 0 { who.holds.to_string() } else { "-".into() },
            if who.is_waiting { "waits" } else { "-" }.into(),
            who.since_ns.map_or_else(|| "-".into(), units::ago),
        ]);
    }
    columns::aligned(&rows, &[false, false, true, false, true, true])
}

fn watch(args: &Args, inspector: &Inspector, every: Duration) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let mut found = Instant::now();
    loop {
        if signals.sleep(every)? == Woken::Signal {
            return Ok(Exit::Done);
        }
        let snapshot = inspector.snapshot()?;
        if found.elapsed() >= Duration::from_secs(1) {
            found = Instant::now();
            if inspector.is_stale() {
                let message = "the file was removed or replaced; look again at the new one";
                return Err(Failure::new(Exit::RingGone, message).into());
            }
        }
        let line = if args.json {
            serde_json::to_string(&Document::of(&args.path, &snapshot))?
        } else {
            line(&snapshot)
        };
        match output::print(&format!("{line}\n")) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Exit::Done),
            printed => printed?,
        }
    }
}

fn line(object: &Snapshot) -> String {
    let holders: Vec<String> = object::holders(object).map(object::who).collect();
    let by = if holders.is_empty() { String::new() } else { format!(" by {}", holders.join("; ")) };
    format!("{}{by}  {} waiting", object::state(object), object::waiting(object))
}
