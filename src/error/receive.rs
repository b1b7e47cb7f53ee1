//! Why nothing more is received.

use core::fmt;

use super::fault::{Corruption, FORKED, Fault, TRUNCATED};

/// Why nothing more is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// Everything was received and the producer ended cleanly. Another producer may open the ring and go on.
    Closed,
    /// Everything was received and the producer died. Another producer may open the ring and go on.
    ProducerGone,
    /// Another process wrote garbage into the ring. Final for this handle.
    Corrupt(Corruption),
    /// The handle came over a `fork`; it belongs to the parent.
    Forked,
    /// Part of the ring's memory is gone. Final for this handle; see [`Error::Truncated`](crate::Error::Truncated).
    Truncated,
}

impl From<Fault> for RecvError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Forked => Self::Forked,
            Fault::Truncated => Self::Truncated,
        }
    }
}

impl From<Corruption> for RecvError {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the producer closed the ring and everything was received"),
            Self::ProducerGone => f.write_str("the producer died and everything it published was received"),
            Self::Corrupt(corruption) => corruption.fmt(f),
            Self::Forked => FORKED.fmt(f),
            Self::Truncated => TRUNCATED.fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}
