//! Request and reply between processes: one server, and clients that call it.
//!
//! A service is one file, or a block on the heap for the threads of one process. A [`Server`] takes requests and answers
//! them; a [`Client`] makes calls. A client may have any number of calls in flight. The server answers them in any order,
//! with one reply or several, and may serve many clients.
//!
//! ```
//! use quoit::service::{CallOptions, Client, Server, ServiceOptions};
//!
//! let path = format!("/dev/shm/upper-{}", std::process::id());
//! let server = Server::create(&path, &ServiceOptions::new())?;
//!
//! // In any other process:
//! let mut client = Client::open(&path)?;
//! let call = client.start(b"hello", CallOptions::new())?;
//!
//! let request = server.recv()?;
//! let reply = request.payload().to_vec().to_ascii_uppercase();
//! request.reply(&reply)?;
//!
//! let answer = client.recv()?;
//! assert_eq!(answer.call(), call);
//! assert_eq!(answer.into_result()?.to_vec(), b"HELLO");
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a call ends
//!
//! Each call ends exactly once, and every end says what is known:
//!
//! | end | the call has run |
//! |---|---|
//! | a reply, or an error from the server | yes |
//! | the server dropped the request | perhaps in part |
//! | [`NotExecuted`](crate::CallError::NotExecuted) | no, and it never will |
//! | [`Unanswered`](crate::CallError::Unanswered), [`ServerGone`](crate::CallError::ServerGone) | perhaps |
//!
//! One word decides, by a compare-exchange: of the server, that it takes the call, or of the client, that nobody ever does.
//! A call that no server has taken waits for one, until its deadline; without a deadline, for good. A call that was taken
//! by a server that dies ends as `ServerGone`, unless it was made [`repeatable`](CallOptions::repeatable): then the next
//! server runs it again.
//!
//! # Room
//!
//! Each client has room for its requests and for its replies, and is alone in it. A client whose requests are full waits for
//! the server; one that does not take its replies keeps back no other client. The server takes a call only if there is room
//! for its [largest reply](ServiceOptions::largest_reply), so an answer never waits.
//!
//! `docs/service.md` has what happens when a process dies, and how we know.

use crate::atomics::FutexWord;
#[cfg(not(loom))]
use crate::error::Error;
#[cfg(not(loom))]
use crate::schema::Schema;
use crate::seats::Incarnation;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

mod channel;
mod client;
mod clones;
mod header;
#[cfg(not(loom))]
mod inspect;
mod options;
mod payload;
mod server;
mod shape;
mod typed;

pub use client::{Answer, CallId, Client, Outcome, RequestClaim};
#[cfg(not(loom))]
pub use inspect::{ClientInfo, Inspector, ServerInfo, Snapshot};
pub use options::{CallOptions, ServiceOptions};
pub use payload::Payload;
pub use server::{ReplyClaim, Request, Server};
use shape::Shape;
pub use typed::{TypedClient, TypedRequest, TypedServer};

type Region = crate::memory::region::Region<Shape>;

/// Looks before the first sleep.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

/// The incarnation of a server: its seat comes after those of the clients.
fn server_seat(region: &Region, generation: u64) -> Incarnation {
    Incarnation { number: region.shape().clients as u32, generation }
}

/// Does the server of this generation live? One system call. The server itself must not ask.
fn server_lives(region: &Region, generation: u64) -> bool {
    generation != 0 && server_seat(region, generation).is_alive(region)
}

/// Wakes whoever sleeps on the bell, after something was made true. For rare events: always with a full fence, so it
/// works without a handle's mode.
fn ring(bell: &FutexWord) {
    doorbell::notify(bell, WaitMode::Fence);
}

/// The same after each message, by the mode that this handle's process can use: a full fence would wait for the lines of
/// the message, which the other side polls.
#[inline(always)]
fn ring_as(mode: WaitMode, bell: &FutexWord) {
    doorbell::notify(bell, mode);
}

/// Sleeps on the bell, unless something is true, until a point on the monotonic clock at most. `waited_ns`: for how long
/// already. Without a barrier it is a nap, the longer the longer that is.
fn sleep(bell: &FutexWord, until_ns: u64, waited_ns: u64, is_true: impl FnOnce() -> bool) {
    doorbell::sleep_or_nap(bell, doorbell::heavy_of_both, is_true, until_ns, doorbell::nap_ns(waited_ns));
}

/// Refuses a service of other types. `None`: of any.
#[cfg(not(loom))]
fn check_types(shape: &Shape, types: Option<(Schema, Schema)>) -> Result<(), Error> {
    let Some((requests, replies)) = types else { return Ok(()) };
    for (asked, word) in [(requests, shape.requests), (replies, shape.replies)] {
        let found = Schema::from_word(word);
        if found != Some(asked) {
            return Err(Error::WrongSchema { asked, found });
        }
    }
    Ok(())
}
