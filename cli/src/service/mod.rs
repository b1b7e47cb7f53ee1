//! Services in words: the same wherever they are shown.

mod document;

use quoit::service::{ClientInfo, ServerInfo, Snapshot};

pub(crate) use self::document::Document;
use crate::{standing, units};

/// Its state in one line.
pub(crate) fn state(service: &Snapshot) -> String {
    let sum = |calls: fn(&ClientInfo) -> u32| {
        service.clients.iter().map(|client| u64::from(calls(client))).sum::<u64>()
    };
    let (queued, taken) = (sum(|client| client.queued), sum(|client| client.taken));
    let mut words = format!("{} queued, {} taken", units::counted(queued, "call"), units::count(taken));
    if service.garbage.is_some() {
        words.push_str(", corrupt");
    }
    words
}

/// Who serves.
pub(crate) fn server(service: &Snapshot) -> String {
    match &service.server {
        None => "none yet".into(),
        Some(server) if server.is_alive => standing::process(server.pid),
        Some(server) => format!("none; the last one was process {}", server.pid),
    }
}

/// How many processes take part.
pub(crate) fn in_use(service: &Snapshot) -> usize {
    let server = service.server.iter().filter(|server| server.is_alive).count();
    server + service.clients.iter().filter(|client| client.is_alive).count()
}

/// Everybody that takes part.
pub(crate) fn everybody(service: &Snapshot) -> impl Iterator<Item = String> {
    let server = service.server.iter().filter(|server| server.is_alive);
    let server = server.map(|server| format!("the server ({})", standing::process(server.pid)));
    let clients = service.clients.iter().filter(|client| client.is_alive);
    server.chain(clients.map(|client| format!("a client ({})", standing::process(client.pid))))
}

/// Whether a participant lives, in one word.
pub(crate) fn life(is_alive: bool, pid: u32) -> &'static str {
    match is_alive {
        false => "dead",
        true if standing::is_stopped(pid) => "stopped",
        true => "alive",
    }
}

fn server_life(server: &ServerInfo) -> &'static str {
    life(server.is_alive, server.pid)
}
