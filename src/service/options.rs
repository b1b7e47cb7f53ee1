//! Options of a service and of a call.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::memory::extents::page_bytes;
use crate::memory::format::Format;
use crate::memory::permissions::check_mode;
use crate::schema::{Schema, Typed};
use crate::service::shape::Shape;
use crate::wait::clock;

/// Options of a service.
///
/// ```
/// let options = quoit::service::ServiceOptions::new().clients(4).request_bytes(1 << 20).mode(0o660);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until a service is made with them"]
pub struct ServiceOptions {
    clients: u64,
    request_bytes: u64,
    reply_bytes: u64,
    largest_reply: Option<u64>,
    requests: u64,
    replies: u64,
    mode: u32,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            clients: 16,
            request_bytes: 64 << 10,
            reply_bytes: 64 << 10,
            largest_reply: None,
            requests: 0,
            replies: 0,
            mode: 0o600,
        }
    }
}

impl ServiceOptions {
    /// 16 clients; for each of them 64 KiB for requests, and as many for replies; replies of 1 KiB; mode 0600.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many clients may be there at a time: 1 to 1024, default 16. A client that died needs no place any more.
    pub fn clients(self, clients: u32) -> Self {
        Self { clients: clients.into(), ..self }
    }

    /// Bytes for the requests of each client that have not ended: a power of two from 4 KiB to 1 GiB, default 64 KiB. The
    /// largest request has half of that, less 24 bytes; each takes up its payload, rounded up to 8, and 16 bytes.
    pub fn request_bytes(self, bytes: u64) -> Self {
        Self { request_bytes: bytes, ..self }
    }

    /// Bytes for the replies that a client has not taken yet. As [`request_bytes`](Self::request_bytes).
    pub fn reply_bytes(self, bytes: u64) -> Self {
        Self { reply_bytes: bytes, ..self }
    }

    /// Payload bytes of the largest last reply to a call; default: 1/64 of the bytes for replies, or the size of the
    /// replies' type. The server takes no call unless there is room for such a reply, beside those of the calls that it
    /// has taken already, and for one more. So it never waits to answer; and if this is large, fewer calls of a client run
    /// at a time.
    pub fn largest_reply(self, bytes: u64) -> Self {
        Self { largest_reply: Some(bytes), ..self }
    }

    /// Requests are values of type `Q`, and last replies of type `R`. Only servers and clients of these types can open
    /// the service.
    pub fn types<Q: Typed, R: Typed>(self) -> Self {
        Self { requests: Schema::of::<Q>().to_word(), replies: Schema::of::<R>().to_word(), ..self }
    }

    /// Permission bits of the file, whatever the umask; default 0600. Clients need read and write permission.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    #[cfg(not(loom))]
    pub(super) fn file_mode(&self) -> u32 {
        self.mode
    }

    #[cfg(not(loom))]
    pub(super) fn types_asked(&self) -> Option<(Schema, Schema)> {
        Schema::from_word(self.requests).zip(Schema::from_word(self.replies))
    }

    pub(super) fn shape(&self) -> Result<Shape, Error> {
        check_mode(self.mode)?;
        let usual =
            Schema::from_word(self.replies).map_or(self.reply_bytes / 64, |schema| u64::from(schema.size));
        let shape = Shape {
            clients: self.clients,
            request_bytes: self.request_bytes,
            reply_bytes: self.reply_bytes,
            largest_reply: self.largest_reply.unwrap_or(usual),
            requests: self.requests,
            replies: self.replies,
            alignment: page_bytes(),
        };
        shape.check()?;
        Ok(shape)
    }
}

/// How a call is made.
///
/// ```
/// # use std::time::Duration;
/// let how = quoit::service::CallOptions::new().timeout(Duration::from_millis(50)).repeatable(true);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until a call is made with them"]
pub struct CallOptions {
    /// On the monotonic clock; 0: none.
    pub(super) until_ns: u64,
    pub(super) is_repeatable: bool,
}

impl CallOptions {
    /// Without a deadline; not repeatable.
    pub fn new() -> Self {
        Self::default()
    }

    /// The call ends by `deadline`, as [`CallError::NotExecuted`](crate::CallError::NotExecuted) or
    /// [`CallError::Unanswered`](crate::CallError::Unanswered). The server can see it.
    pub fn deadline(self, deadline: Instant) -> Self {
        Self { until_ns: clock::deadline_ns(deadline).max(1), ..self }
    }

    /// As [`deadline`](Self::deadline), `timeout` from now.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { until_ns: clock::after_ns(timeout).max(1), ..self }
    }

    /// How long it is until the deadline; 0: it has passed. `None`: there is none.
    pub fn time_left(&self) -> Option<Duration> {
        let left = || Duration::from_nanos(self.until_ns.saturating_sub(clock::monotonic_ns()));
        (self.until_ns != 0).then(left)
    }

    /// Whether the next server may run the call again if the one that has taken it dies. Then it runs once or more; its
    /// replies begin anew each time. Default: no, so it runs once at most.
    pub fn repeatable(self, repeatable: bool) -> Self {
        Self { is_repeatable: repeatable, ..self }
    }
}
