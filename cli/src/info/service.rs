//! `quoit info` of a service.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use quoit::service::{Inspector, Snapshot};

use super::Args;
use crate::exit::{Exit, Failure};
use crate::service::{self, Document};
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

fn table(path: &Path, service: &Snapshot) -> String {
    let mut text = String::new();
    let mut row = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<10} {value}");
    };
    row("object", shown::path(path));
    row("kind", format!("service  (id {:032x}, created {})", service.id, units::ago(service.created_ns)));
    let alive = service.clients.iter().filter(|client| client.is_alive).count() as u64;
    row(
        "size",
        format!(
            "{} on disk, {} for clients, {} in use",
            units::bytes(service.file_bytes),
            units::counted(service.seats.into(), "seat"),
            units::count(alive)
        ),
    );
    let (requests, replies) = service.types.unzip();
    let of = |schema: Option<quoit::Schema>| schema.map_or_else(String::new, |schema| format!(", {schema}"));
    row("requests", format!("{} for each client{}", units::bytes(service.request_bytes), of(requests)));
    row(
        "replies",
        format!(
            "{} for each client, the last one of a call at most {}{}",
            units::bytes(service.reply_bytes),
            units::bytes(service.largest_reply),
            of(replies)
        ),
    );
    row("server", service::server(service));
    let has_taken = service.clients.iter().any(|client| client.taken > 0);
    let is_dead = service.server.as_ref().is_some_and(|server| !server.is_alive);
    let note =
        if has_taken && is_dead { "; the next server decides what becomes of those taken" } else { "" };
    row("state", format!("{}{note}", service::state(service)));
    if let Some(garbage) = service.garbage {
        row("corrupt", garbage.into());
    }
    if !service.clients.is_empty() {
        text.push('\n');
        text.push_str(&clients(service));
    }
    text
}

fn clients(service: &Snapshot) -> String {
    let head = ["seat", "process", "state", "queued", "taken", "unread", "room", "waits", "since"];
    let mut rows = vec![head.map(str::to_owned)];
    for client in &service.clients {
        let behind = if client.is_behind { ", holds replies up" } else { "" };
        rows.push([
            client.seat.to_string(),
            client.pid.to_string(),
            format!("{}{behind}", service::life(client.is_alive, client.pid)),
            units::count(client.queued.into()),
            units::count(client.taken.into()),
            units::count(client.unread.into()),
            format!("{} + {}", units::bytes(client.requests_free), units::bytes(client.replies_free)),
            if client.is_waiting { "waits" } else { "-" }.into(),
            units::ago(client.since_ns),
        ]);
    }
    columns::aligned(&rows, &[false, false, true, false, false, false, true, true, true])
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
            let clients = units::counted(snapshot.clients.len() as u64, "client");
            format!("{}  server {}  {clients}", service::state(&snapshot), service::server(&snapshot))
        };
        match output::print(&format!("{line}\n")) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Exit::Done),
            printed => printed?,
        }
    }
}
