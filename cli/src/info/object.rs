//! `quoit info` of an object other than a ring.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use quoit::sync::{Inspector, Snapshot, State};
use serde::Serialize;

use super::look::Look;
use crate::object::{self, Document};
use crate::{columns, shown, units};

impl Look for Inspector {
    type Snapshot = Snapshot;

    fn open(path: &Path) -> Result<Self, quoit::Error> {
        Self::open(path)
    }

    fn snapshot(&self) -> Result<Snapshot, quoit::Error> {
        self.snapshot()
    }

    fn is_stale(&self) -> bool {
        self.is_stale()
    }

    fn text(&self, path: &Path, now: &Snapshot) -> String {
        table(path, now)
    }

    fn line(&self, _: &Path, now: &Snapshot, _: (&Snapshot, Duration)) -> String {
        let holders: Vec<String> = object::holders(now).map(object::who).collect();
        let by = if holders.is_empty() { String::new() } else { format!(" by {}", holders.join("; ")) };
        format!("{}{by}  {} waiting", object::state(now), object::waiting(now))
    }

    fn document(&self, path: &Path, now: &Snapshot, _: Option<(&Snapshot, Duration)>) -> impl Serialize {
        Document::of(path, now)
    }

    fn fault(now: &Snapshot) -> Option<quoit::Error> {
        now.garbage.map(|what| quoit::Error::Garbage { what })
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
        State::Mutex { value, version, .. } | State::RwLock { value, version, .. } if value.size > 0 => {
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
        if matches!(
            object.state,
            State::Mutex { is_abandoned: true, .. } | State::RwLock { is_abandoned: true, .. }
        ) {
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
