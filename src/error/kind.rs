//! What to do about an error, without a list of its variants.

use core::fmt;
use std::io;

use super::{Error, RecvError, SendError};

/// The class of an error, for code that acts on it: an exit code, a number in another language, a decision to try
/// again. [`Error::kind`], [`SendError::kind`] and [`RecvError::kind`] return it.
///
/// A new variant of an error uses an existing kind if one fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file, its directory, the name or the slot does not exist.
    NotFound,
    /// The path does not lead to the requested object: not a file of this library, or an object of another kind.
    NotARing,
    /// A file exists at the path.
    Exists,
    /// An object, but not one that this build, this machine or this boot can use: another version or schema, a damaged
    /// file, a copy.
    Mismatch,
    /// In use by a living process: the place of the one producer, writer or server, the name, or every slot or seat. It may
    /// be free later.
    InUse,
    /// The mode or owner of a file forbids it, or a guarantee given to another consumer.
    Denied,
    /// There is no room for it.
    NoSpace,
    /// Invalid on any ring: an option, a name, a capacity.
    Invalid,
    /// Invalid for this ring, or for the file system of this path: a start that is gone, a record that is too long, a
    /// slot that does not block the producer.
    Unsuitable,
    /// A send that does not wait found the ring full. It may succeed later.
    Full,
    /// The time was over. It may succeed later.
    TimedOut,
    /// Everything was received and the producer ended cleanly. Another one may come.
    Closed,
    /// Everything was received and the producer died. Another one may come.
    ProducerGone,
    /// The consumer that this one follows is gone. It may come back.
    StageGone,
    /// The server that had taken a call died. The call may have run.
    ServerGone,
    /// The server ended a call without a result.
    CallFailed,
    /// No producer is alive to do it. One may come.
    NoProducer,
    /// The last holder of a lock died or panicked. What the lock guards may be half done.
    Abandoned,
    /// The parties of a barrier or latch cannot all meet any more.
    Broken,
    /// The caller would wait for itself.
    Deadlock,
    /// Another process wrote garbage into the object. Final for a handle on a ring.
    Corrupt,
    /// Part of the object's memory is gone: its file was cut short. Final for the handle.
    Truncated,
    /// The handle came over a `fork`. Final for the handle, in this process.
    Forked,
    /// Any other refusal of the operating system.
    System,
}

impl Error {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. }
            | Self::NoDirectory { .. }
            | Self::NameUnknown { .. }
            | Self::NoStage { .. }
            | Self::SlotUnknown { .. } => ErrorKind::NotFound,
            Self::NotRegular { .. }
            | Self::NotARing { .. }
            | Self::OtherKind { .. }
            | Self::TooShort { .. } => ErrorKind::NotARing,
            Self::Exists { .. } => ErrorKind::Exists,
            Self::Version { .. }
            | Self::Foreign { .. }
            | Self::Damaged { .. }
            | Self::WrongSize { .. }
            | Self::Sparse { .. }
            | Self::Copied { .. }
            | Self::EarlierBoot { .. }
            | Self::WrongSchema { .. } => ErrorKind::Mismatch,
            Self::ProducerAlive { .. }
            | Self::WriterAlive { .. }
            | Self::ServerAlive { .. }
            | Self::SlotsTaken { .. }
            | Self::SeatsTaken { .. }
            | Self::NameInUse { .. }
            | Self::NameOfGroup { .. }
            | Self::NameFollowed { .. }
            | Self::ReadLocked { .. } => ErrorKind::InUse,
            Self::Permission { .. }
            | Self::ReadOnly { .. }
            | Self::ForeignOwner { .. }
            | Self::NotEvictable { .. }
            | Self::NotSealed { .. } => ErrorKind::Denied,
            Self::NoSpace { .. } | Self::FileSizeLimit { .. } => ErrorKind::NoSpace,
            Self::Capacity { .. } | Self::BadOption { .. } | Self::BadName { .. } => ErrorKind::Invalid,
            Self::StartGone { .. }
            | Self::GatedOnly
            | Self::NotGated { .. }
            | Self::NotAStage { .. }
            | Self::Filesystem { .. } => ErrorKind::Unsuitable,
            Self::NoProducer => ErrorKind::NoProducer,
            Self::Busy | Self::TimedOut => ErrorKind::TimedOut,
            Self::Abandoned => ErrorKind::Abandoned,
            Self::Broken => ErrorKind::Broken,
            Self::Deadlock => ErrorKind::Deadlock,
            Self::Corrupt(_) | Self::Garbage { .. } => ErrorKind::Corrupt,
            Self::Truncated => ErrorKind::Truncated,
            Self::Forked => ErrorKind::Forked,
            Self::Io { .. } => ErrorKind::System,
        }
    }
}

impl SendError {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } => ErrorKind::Full,
            Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::BatchFull | Self::TooLarge { .. } => ErrorKind::Unsuitable,
            Self::Forked => ErrorKind::Forked,
            Self::Truncated => ErrorKind::Truncated,
        }
    }
}

impl RecvError {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::Closed,
            Self::ProducerGone => ErrorKind::ProducerGone,
            Self::StageGone => ErrorKind::StageGone,
            Self::WrongLength { .. } => ErrorKind::Mismatch,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Forked => ErrorKind::Forked,
            Self::Truncated => ErrorKind::Truncated,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::NotARing => "not what was asked for",
            Self::Exists => "there already",
            Self::Mismatch => "cannot be used here",
            Self::InUse => "in use",
            Self::Denied => "denied",
            Self::NoSpace => "no space",
            Self::Invalid => "invalid",
            Self::Unsuitable => "unsuitable",
            Self::Full => "full",
            Self::TimedOut => "timed out",
            Self::Closed => "closed",
            Self::ProducerGone => "producer gone",
            Self::StageGone => "stage gone",
            Self::ServerGone => "server gone",
            Self::CallFailed => "call failed",
            Self::NoProducer => "no producer",
            Self::Abandoned => "abandoned",
            Self::Broken => "broken",
            Self::Deadlock => "deadlock",
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::Forked => "handle of another process",
            Self::System => "refused by the system",
        })
    }
}

impl From<ErrorKind> for io::ErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::NotARing | ErrorKind::Mismatch | ErrorKind::Corrupt => Self::InvalidData,
            ErrorKind::Exists => Self::AlreadyExists,
            ErrorKind::InUse => Self::ResourceBusy,
            ErrorKind::Denied => Self::PermissionDenied,
            ErrorKind::NoSpace => Self::StorageFull,
            ErrorKind::Invalid | ErrorKind::Unsuitable => Self::InvalidInput,
            ErrorKind::Full => Self::WouldBlock,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::Deadlock => Self::Deadlock,
            ErrorKind::Closed | ErrorKind::Truncated => Self::UnexpectedEof,
            ErrorKind::ProducerGone
            | ErrorKind::NoProducer
            | ErrorKind::StageGone
            | ErrorKind::ServerGone => Self::BrokenPipe,
            ErrorKind::Abandoned
            | ErrorKind::Broken
            | ErrorKind::CallFailed
            | ErrorKind::Forked
            | ErrorKind::System => Self::Other,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind().into(), error)
    }
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        Self::new(error.kind().into(), error)
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        Self::new(error.kind().into(), error)
    }
}
