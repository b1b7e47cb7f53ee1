//! Why nothing more is received.

use core::fmt;

use super::fault::{Corruption, FORKED, Fault, TRUNCATED};

/// Why nothing more is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The time was over and no record had come. The next call continues.
    TimedOut,
    /// Everything was received and the producer ended cleanly. Another producer may open the ring and continue.
    Closed,
    /// Everything was received and the producer died. Another producer may open the ring and continue.
    ProducerGone,
    /// The consumer that this one [follows](crate::Attach::after) has left or died and its gate is not held, or its gate was
    /// taken. Everything that it had released was received. A further call waits a tenth of a second for it to come back
    /// under its name, then returns the same error again. If it lost records meanwhile, this consumer cannot follow it any
    /// more: attach again. To receive everything published, call [`Consumer::unfollow`](crate::Consumer::unfollow).
    StageGone,
    /// A typed consumer received a record whose length is not that of its type: it was published untyped. It counts
    /// as received, and the next call continues.
    WrongLength {
        /// Sequence of the record.
        sequence: u64,
        /// Its payload bytes.
        len: usize,
        /// Bytes of the type.
        expected: usize,
    },
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
            Self::TimedOut => f.write_str("nothing came before the time was over; receive again, or wait longer"),
            Self::WrongLength { sequence, len, expected } => write!(
                f,
                "record {sequence} has {len} bytes, and this consumer's type has {expected}: it was published by a \
                 producer without the type; call again for the record after it"
            ),
            Self::Closed => f.write_str(
                "the producer closed the ring and everything was received; receive again to wait for the next producer, or end",
            ),
            Self::ProducerGone => f.write_str(
                "the producer died and everything it published was received; start it again, and receive again to go on with \
                 the next one, or end",
            ),
            Self::StageGone => f.write_str(
                "the consumer that this one follows is gone, and everything it had released was received; start that one \
                 again under its name, with a hold so that others wait for it, then this one; or go on without it \
                 (Consumer::unfollow)",
            ),
            Self::Corrupt(corruption) => corruption.fmt(f),
            Self::Forked => FORKED.fmt(f),
            Self::Truncated => TRUNCATED.fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}
