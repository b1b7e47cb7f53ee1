//! Why a record was not sent.

use core::fmt;

use super::fault::{FORKED, Fault, TRUNCATED};

/// Why a record was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// A gated consumer has not released the space yet. Try again, or use a form that waits.
    /// [`Producer::held_by`](crate::Producer::held_by) gives the details.
    Full {
        /// Its slot; of several, the one furthest behind.
        slot: u32,
    },
    /// The deadline passed while a gated consumer held the space.
    TimedOut {
        /// As in `Full`.
        slot: u32,
    },
    /// The batch spans half the ring: publish it and start another.
    BatchFull,
    /// The record is larger than half the ring allows.
    TooLarge {
        /// Its payload bytes.
        len: usize,
        /// Maximum payload bytes of a record on this ring.
        max: usize,
    },
    /// The handle came over a `fork`; it belongs to the parent.
    Forked,
    /// Part of the ring's memory is gone, and the record with it. Final for this handle; see [`Error::Truncated`](crate::Error::Truncated).
    Truncated,
}

impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Forked => Self::Forked,
            Fault::Truncated => Self::Truncated,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { slot } => {
                write!(
                    f,
                    "the ring is full: the gated consumer in slot {slot} has not released the space yet; \
                     wait (send), or see who it is (Producer::held_by, `quoit info`)"
                )
            }
            Self::TimedOut { slot } => write!(
                f,
                "the ring was still full when the deadline passed: the gated consumer in slot {slot} has not \
                 released the space; wait longer, or see who it is (Producer::held_by, `quoit info`)"
            ),
            Self::BatchFull => f.write_str("the batch holds half the ring; publish it and start another"),
            Self::TooLarge { len, max } => {
                write!(
                    f,
                    "a record of {len} bytes: this ring takes up to {max}; create it with a larger capacity"
                )
            }
            Self::Forked => FORKED.fmt(f),
            Self::Truncated => TRUNCATED.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}
