//! `quoit info` of a service.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use quoit::service::{Inspector, Snapshot};
use serde::Serialize;

use super::look::Look;
use crate::service::{self, Document};
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
        let clients = units::counted(now.clients.len() as u64, "client");
        format!("{}  server {}  {clients}", service::state(now), service::server(now))
    }

    fn document(&self, path: &Path, now: &Snapshot, _: Option<(&Snapshot, Duration)>) -> impl Serialize {
        Document::of(path, now)
    }

    fn fault(now: &Snapshot) -> Option<quoit::Error> {
        now.garbage.map(|what| quoit::Error::Garbage { what })
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
