//! A read-only view of a service, for people and tools.

use std::path::Path;

use crate::atomics::{AtomicU64, at};
use crate::error::Error;
use crate::memory::format::Format;
use crate::memory::permissions::Access;
use crate::schema::Schema;
use crate::seats::{self, Incarnation};
use crate::service::channel::{Channel, Found, Message};
use crate::service::header::State;
use crate::service::shape::Shape;
use crate::service::{Region, server_lives};
use crate::wait::doorbell;

/// Walks through a channel before it is taken for one that others only changed at that moment.
const TRIES: u32 = 16;

/// Shows the state of a service through a read-only map. It takes no seat, and nobody notices it. It needs permission to
/// read. Any number of threads may each use one of their own (`Send`).
///
/// ```
/// use quoit::service::{CallOptions, Client, Inspector, Server, ServiceOptions};
///
/// let path = format!("/dev/shm/looked-at-{}", std::process::id());
/// let server = Server::create(&path, &ServiceOptions::new())?;
/// let mut client = Client::open(&path)?;
/// client.start(b"hello", CallOptions::new())?;
///
/// // In any other process:
/// let snapshot = Inspector::open(&path)?.snapshot()?;
/// assert!(snapshot.server.is_some_and(|server| server.is_alive));
/// assert_eq!((snapshot.clients[0].queued, snapshot.clients[0].taken), (1, 0));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Inspector {
    region: Region,
}

/// A service at one moment. The fields are read one after another, so they may be slightly out of step while the service
/// is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its own random number.
    pub id: u128,
    /// When it was created, wall clock, ns since 1970.
    pub created_ns: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// How many clients there may be at a time.
    pub seats: u32,
    /// Bytes for the requests of each client.
    pub request_bytes: u64,
    /// Bytes for the replies to each client.
    pub reply_bytes: u64,
    /// Payload bytes of the largest last reply.
    pub largest_reply: u64,
    /// The types of requests and of last replies. `None`: bytes of any kind.
    pub types: Option<(Schema, Schema)>,
    /// The server that came last. `None`: there was none yet.
    pub server: Option<ServerInfo>,
    /// The clients that live, by seat; and the dead that have left calls.
    pub clients: Vec<ClientInfo>,
    /// What is wrong in the service: another process wrote garbage into it. Counts leave that out.
    pub garbage: Option<&'static str>,
}

/// The server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its process id, as it stored it: a hint.
    pub pid: u32,
    /// When it came, wall clock, ns since 1970, as it stored it.
    pub since_ns: u64,
    /// Is it alive, running or stopped?
    pub is_alive: bool,
    /// It sleeps until there is something to do; or died while it did.
    pub is_waiting: bool,
}

/// A client of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The number of its seat, as [`Request::client`](crate::service::Request::client) has it.
    pub seat: u32,
    /// Its process id, as it stored it: a hint.
    pub pid: u32,
    /// When it came, wall clock, ns since 1970, as it stored it.
    pub since_ns: u64,
    /// Is it alive, running or stopped?
    pub is_alive: bool,
    /// It sleeps until something comes; or died while it did.
    pub is_waiting: bool,
    /// Calls that no server has taken, and those that wait for the next server to run them again. Calls of a client
    /// before it on the seat do not count, here and in `taken`.
    pub queued: u32,
    /// Calls that a server has taken and not answered. If it is dead, they wait for the next one to decide what becomes
    /// of them.
    pub taken: u32,
    /// Replies that the client has not taken.
    pub unread: u32,
    /// Bytes for requests that are free: the server has ended what was there.
    pub requests_free: u64,
    /// Bytes for replies that are free.
    pub replies_free: u64,
    /// The server waits until the client takes replies: there is no room for one more.
    pub is_behind: bool,
}

impl Inspector {
    /// Opens the service at `path` read-only.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; any other error of opening the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self { region: Region::open(path.as_ref(), Access::Reader)? })
    }

    /// Reads everything once. Makes a system call for the server and one for every seat that was ever used. Garbage in the
    /// service is not an error here: see [`Snapshot::garbage`].
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        let snapshot = snapshot(&self.region);
        self.region.or_memory_gone(Ok(snapshot))
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this service. Takes three system calls.
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }
}

fn snapshot(region: &Region) -> Snapshot {
    let shape = region.shape();
    let mut garbage = None;
    let clients = (0..region.views().seats.len()).filter_map(|number| client(region, number, &mut garbage));
    let clients = clients.collect();
    Snapshot {
        id: region.id(),
        created_ns: region.created_ns(),
        file_bytes: shape.extents().file_bytes(),
        seats: shape.clients as u32,
        request_bytes: shape.request_bytes,
        reply_bytes: shape.reply_bytes,
        largest_reply: shape.largest_reply,
        types: types(shape),
        server: server(region),
        clients,
        garbage,
    }
}

fn types(shape: &Shape) -> Option<(Schema, Schema)> {
    Schema::from_word(shape.requests).zip(Schema::from_word(shape.replies))
}

fn server(region: &Region) -> Option<ServerInfo> {
    let words = region.views().server;
    let generation = words.generation.load(at!(Q_GENERATION, Relaxed));
    (generation != 0).then(|| ServerInfo {
        pid: words.pid.load(at!(Q_HINTS_READ, Relaxed)) as u32,
        since_ns: words.since.load(at!(Q_HINTS_READ, Relaxed)),
        is_alive: server_lives(region, generation),
        is_waiting: doorbell::is_armed(&words.bell),
    })
}

/// `None`: nobody has the seat, and nobody left calls there.
fn client(region: &Region, number: usize, garbage: &mut Option<&'static str>) -> Option<ClientInfo> {
    let seat = &region.views().seats[number];
    let who: Incarnation = seats::occupant(number as u32, &seat.generation)?;
    let shape = region.shape();
    let channels = region.views().channels(shape, number);
    let origin = seat.origin.load(at!(Q_ORIGIN_READ, Relaxed));
    let requests = in_use(channels.requests, &seat.requests_released, |used, message| {
        let is_own = message.position.wrapping_sub(origin) as i64 >= 0;
        match message.header.state() {
            Some(State::Queued | State::Again) => used.queued += u32::from(is_own),
            Some(State::Taken) => used.taken += u32::from(is_own),
            Some(State::Withdrawn | State::Answered | State::Lost) => {}
            None => return false,
        }
        true
    });
    let replies = in_use(channels.replies, &seat.replies_released, |used, message| {
        used.unread += 1;
        message.header.part().is_some()
    });
    if requests.is_garbage || replies.is_garbage {
        *garbage = Some("a channel of a service holds what no server or client writes");
    }
    let client = ClientInfo {
        seat: who.number,
        pid: seat.pid.load(at!(Q_HINTS_READ, Relaxed)) as u32,
        since_ns: seat.since.load(at!(Q_HINTS_READ, Relaxed)),
        is_alive: who.is_alive(region),
        is_waiting: doorbell::is_armed(&seat.bell),
        queued: requests.queued,
        taken: requests.taken,
        unread: replies.unread,
        requests_free: shape.request_bytes.saturating_sub(requests.bytes),
        replies_free: shape.reply_bytes.saturating_sub(replies.bytes),
        is_behind: seat.starved.load(at!(Q_STARVED_LOOK, Relaxed)) != 0,
    };
    (client.is_alive || client.queued > 0 || client.taken > 0).then_some(client)
}

/// What is in a channel and not released.
#[derive(Clone, Copy, Debug, Default)]
struct InUse {
    bytes: u64,
    queued: u32,
    taken: u32,
    unread: u32,
    is_garbage: bool,
}

/// Walks through a channel that others may change meanwhile: what it meets may be overwritten by then, and make no sense.
/// If nothing was released meanwhile, it cannot be that.
fn in_use(
    channel: Channel<'_>,
    released: &AtomicU64,
    mut count: impl FnMut(&mut InUse, Message) -> bool,
) -> InUse {
    let mut used = InUse::default();
    for _ in 0..TRIES {
        let from = released.load(at!(Q_PEEK, Relaxed));
        used = walk(channel, from, &mut count);
        if !used.is_garbage || released.load(at!(Q_PEEK, Relaxed)) == from {
            return used;
        }
    }
    InUse { is_garbage: false, ..used }
}

fn walk(channel: Channel<'_>, from: u64, mut count: impl FnMut(&mut InUse, Message) -> bool) -> InUse {
    let mut used = InUse { is_garbage: !from.is_multiple_of(8), ..InUse::default() };
    let mut position = from;
    while !used.is_garbage {
        match channel.peek(position) {
            Found::Nothing { position: end } => {
                position = end;
                break;
            }
            Found::Message(message) => {
                position = message.end();
                used.is_garbage =
                    position.wrapping_sub(from) > channel.capacity() || !count(&mut used, message);
            }
            Found::Garbage => used.is_garbage = true,
        }
    }
    used.bytes = position.wrapping_sub(from);
    used
}
