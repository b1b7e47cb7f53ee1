//! Why a member of a group got, or did, nothing.

use core::fmt;
use std::io;

use crate::error::{Corruption, Error, ErrorKind, Fault};
use crate::group::dead_letters::DeadLetterError;

/// Why a member of a group received nothing, or could not acknowledge.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupError {
    /// The time was over and no record had come. The next call continues.
    TimedOut,
    /// The producer ended cleanly, and every record is acknowledged, or this member has it. Another producer may open
    /// the ring and continue.
    Closed,
    /// The producer died, and every record that it published is acknowledged, or this member has it. Another producer
    /// may open the ring and continue.
    ProducerGone,
    /// This member has as many records as it may have. Acknowledge one, or give one back.
    Unacknowledged {
        /// How many it may have.
        limit: u32,
    },
    /// This member does not have the record any more: it acknowledged it or gave it back, or the lease time was over and
    /// another member has it.
    NotLeased {
        /// Sequence of the record.
        sequence: u64,
    },
    /// A record was handed out as often as it may be, and could not be put into the ring for [dead
    /// letters](crate::Group::max_deliveries). It stays, no member gets it, and whoever receives tries again, a tenth of a second
    /// later at the earliest. The next call goes on with other records.
    DeadLetter {
        /// Sequence of the record.
        sequence: u64,
        /// Why.
        error: DeadLetterError,
    },
    /// Something is wrong with the ring, the group's file, or this handle.
    Failed(Error),
}

impl GroupError {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::Closed,
            Self::ProducerGone => ErrorKind::ProducerGone,
            Self::Unacknowledged { .. } | Self::NotLeased { .. } => ErrorKind::Unsuitable,
            Self::DeadLetter { error, .. } => error.kind(),
            Self::Failed(error) => error.kind(),
        }
    }
}

impl From<Error> for GroupError {
    fn from(error: Error) -> Self {
        match error {
            Error::TimedOut => Self::TimedOut,
            error => Self::Failed(error),
        }
    }
}

impl From<Fault> for GroupError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.into())
    }
}

impl From<Corruption> for GroupError {
    fn from(corruption: Corruption) -> Self {
        Self::Failed(corruption.into())
    }
}

impl From<GroupError> for io::Error {
    fn from(error: GroupError) -> Self {
        Self::new(error.kind().into(), error)
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("nothing came before the time was over; receive again, or wait longer"),
            Self::Closed => f.write_str(
                "the producer closed the ring, and every record is acknowledged; receive again to wait for the next producer, \
                 or end",
            ),
            Self::ProducerGone => {
                f.write_str(
                    "the producer died, and every record that it published is acknowledged; start it again, and receive again \
                     to go on with the next one, or end",
                )
            }
            Self::Unacknowledged { limit } => write!(
                f,
                "this member has {limit} records, which is as many as it may have; acknowledge one, or give one back"
            ),
            Self::NotLeased { sequence } => write!(
                f,
                "this member does not have record {sequence}: it acknowledged it or gave it back, or another member has \
                 it since the lease time was over; go on with the next record"
            ),
            Self::DeadLetter { sequence, error } => write!(
                f,
                "record {sequence} was handed out as often as it may be, and the ring for dead letters does not take it: \
                 {error}; it is tried again until it does"
            ),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GroupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::DeadLetter { error, .. } => error.source(),
            Self::Failed(error) => error.source(),
            _ => None,
        }
    }
}
