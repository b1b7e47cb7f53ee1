//! How a call ended without a reply, and why a reply was not sent.

use core::fmt;
use std::io;

use super::fault::Fault;
use super::{Error, ErrorKind};

/// How a call of a [service](crate::service) ended without a reply, or why it was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// There is no room for the request until the server has ended earlier ones. Nothing was sent. Collect replies and
    /// try again, or use a form that waits.
    Full,
    /// The request is larger than the service takes. Nothing was sent.
    TooLarge {
        /// Its payload bytes.
        len: usize,
        /// The most payload bytes of a request.
        max: usize,
    },
    /// The deadline passed before a server took the call. It has not run, and never will.
    NotExecuted,
    /// The deadline passed after a server had taken the call. It may have run, may still run, or may never.
    Unanswered,
    /// The server that had taken the call is dead. It may have run, in part or in full.
    ServerGone,
    /// The server answered with an error.
    Failed(Vec<u8>),
    /// The server dropped the request unanswered.
    Dropped,
    /// The reply is not a value of the client's type. The call has run.
    WrongReply {
        /// Bytes of the reply.
        len: usize,
        /// Bytes of the type.
        expected: usize,
    },
    /// The call is not in flight: it has ended before, or is another client's.
    NotInFlight,
    /// The client is of no use.
    Client(Error),
}

/// Why a reply was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplyError {
    /// There is no room for one more reply until the client has taken earlier ones. Try again, or use a form that waits.
    Full,
    /// The reply is larger than the service takes.
    TooLarge {
        /// Its payload bytes.
        len: usize,
        /// The most payload bytes of this reply.
        max: usize,
    },
    /// The deadline passed, and there still was no room.
    TimedOut,
    /// The client is gone, does not wait for the call any more, or has written garbage.
    ClientGone,
    /// The server is of no use.
    Server(Error),
}

impl CallError {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full => ErrorKind::Full,
            Self::TooLarge { .. } | Self::NotInFlight => ErrorKind::Unsuitable,
            Self::NotExecuted | Self::Unanswered => ErrorKind::TimedOut,
            Self::ServerGone => ErrorKind::ServerGone,
            Self::Failed(_) | Self::Dropped => ErrorKind::CallFailed,
            Self::WrongReply { .. } => ErrorKind::Mismatch,
            Self::Client(error) => error.kind(),
        }
    }

    /// Whether it is certain that the call has not run and never will.
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::Full | Self::TooLarge { .. } | Self::NotExecuted)
    }
}

impl ReplyError {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full => ErrorKind::Full,
            Self::TooLarge { .. } => ErrorKind::Unsuitable,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::ClientGone => ErrorKind::Closed,
            Self::Server(error) => error.kind(),
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<Error> for ReplyError {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        Self::Client(fault.into())
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the requests of this client are full: collect replies, then call again"),
            Self::TooLarge { len, max } => write!(
                f,
                "a request of {len} bytes: this service takes up to {max}; create it with more bytes for requests"
            ),
            Self::NotExecuted => f.write_str(
                "no server took the call before the deadline: it has not run, and never will; see whether a server \
                 runs, or wait longer",
            ),
            Self::Unanswered => f.write_str(
                "the server took the call, and did not answer before the deadline: it may have run; look before you \
                 repeat it, or wait longer",
            ),
            Self::ServerGone => f.write_str(
                "the server died with the call: it may have run; look before you repeat it, or make such calls repeatable",
            ),
            Self::Failed(text) => {
                write!(f, "the server answered with an error: {}", String::from_utf8_lossy(text))
            }
            Self::Dropped => f.write_str("the server dropped the request unanswered; see what it says itself"),
            Self::WrongReply { len, expected } => write!(
                f,
                "a reply of {len} bytes, where the type has {expected}; client and server differ: build both anew"
            ),
            Self::NotInFlight => {
                f.write_str("this call is not in flight: it has ended before, or another client made it; wait for it once")
            }
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the client has not taken enough of its replies; try again, or wait"),
            Self::TooLarge { len, max } => write!(
                f,
                "a reply of {len} bytes: up to {max} are possible here; create the service with a larger largest reply"
            ),
            Self::TimedOut => {
                f.write_str("the client did not take enough of its replies before the deadline; wait longer, or end the call")
            }
            Self::ClientGone => f.write_str("the client does not wait for the call any more; end it"),
            Self::Server(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl std::error::Error for ReplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        Self::new(error.kind().into(), error)
    }
}

impl From<ReplyError> for io::Error {
    fn from(error: ReplyError) -> Self {
        Self::new(error.kind().into(), error)
    }
}
