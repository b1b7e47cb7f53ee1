//! A service as JSON. Additions keep the schema number; anything else raises it.

use std::path::Path;

use quoit::Schema;
use quoit::service::{ClientInfo, ServerInfo, Snapshot};
use serde::Serialize;

use super::{life, server_life};
use crate::json::Name;

#[derive(Debug, Serialize)]
pub(crate) struct Document {
    schema: u32,
    kind: &'static str,
    path: Name,
    id: String,
    created_unix_ns: u64,
    file_bytes: u64,
    seats: u32,
    request_bytes: u64,
    reply_bytes: u64,
    largest_reply: u64,
    /// `null`: bytes of any kind.
    requests: Option<Type>,
    replies: Option<Type>,
    /// `null`: there was none yet.
    server: Option<Server>,
    clients: Vec<Client>,
    /// What is wrong in the service; `null` is healthy.
    corruption: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Type {
    size: u32,
    tag: u32,
}

#[derive(Debug, Serialize)]
struct Server {
    pid: u32,
    /// `alive`, `stopped`, or `dead`.
    state: &'static str,
    is_waiting: bool,
    since_unix_ns: u64,
}

#[derive(Debug, Serialize)]
struct Client {
    seat: u32,
    pid: u32,
    /// As the server's.
    state: &'static str,
    is_waiting: bool,
    /// Calls that no server has taken.
    queued: u32,
    /// Calls that a server has taken and not answered.
    taken: u32,
    /// Replies that it has not taken.
    unread: u32,
    requests_free: u64,
    replies_free: u64,
    /// The server waits until it takes replies.
    is_behind: bool,
    since_unix_ns: u64,
}

impl Document {
    pub(crate) fn of(path: &Path, service: &Snapshot) -> Self {
        let types = service.types.map(|(requests, replies)| (Type::of(requests), Type::of(replies)));
        let (requests, replies) = types.unzip();
        Self {
            schema: 1,
            kind: "service",
            path: Name::of(path),
            id: format!("{:032x}", service.id),
            created_unix_ns: service.created_ns,
            file_bytes: service.file_bytes,
            seats: service.seats,
            request_bytes: service.request_bytes,
            reply_bytes: service.reply_bytes,
            largest_reply: service.largest_reply,
            requests,
            replies,
            server: service.server.as_ref().map(Server::of),
            clients: service.clients.iter().map(Client::of).collect(),
            corruption: service.garbage,
        }
    }
}

impl Type {
    fn of(schema: Schema) -> Self {
        Self { size: schema.size, tag: schema.tag }
    }
}

impl Server {
    fn of(server: &ServerInfo) -> Self {
        Self {
            pid: server.pid,
            state: server_life(server),
            is_waiting: server.is_waiting,
            since_unix_ns: server.since_ns,
        }
    }
}

impl Client {
    fn of(client: &ClientInfo) -> Self {
        Self {
            seat: client.seat,
            pid: client.pid,
            state: life(client.is_alive, client.pid),
            is_waiting: client.is_waiting,
            queued: client.queued,
            taken: client.taken,
            unread: client.unread,
            requests_free: client.requests_free,
            replies_free: client.replies_free,
            is_behind: client.is_behind,
            since_unix_ns: client.since_ns,
        }
    }
}
