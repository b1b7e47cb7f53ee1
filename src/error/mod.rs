//! All errors, each with what to do about it.

use std::io;
use std::path::PathBuf;

use crate::schema::Schema;

mod call;
mod fault;
mod kind;
mod receive;
mod send;
mod text;

pub use call::{CallError, ReplyError};
pub use fault::Corruption;
pub(crate) use fault::Fault;
pub use kind::ErrorKind;
pub use receive::RecvError;
pub use send::SendError;

/// The kind of an object in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A ring of records: [`Producer`](crate::Producer), [`Consumer`](crate::Consumer).
    Ring,
    /// A latest value: [`Latest`](crate::sync::Latest).
    Latest,
    /// A mutex: [`Mutex`](crate::sync::Mutex).
    Mutex,
    /// A semaphore: [`Semaphore`](crate::sync::Semaphore).
    Semaphore,
    /// An event: [`Event`](crate::sync::Event).
    Event,
    /// A barrier: [`Barrier`](crate::sync::Barrier).
    Barrier,
    /// A latch: [`Latch`](crate::sync::Latch).
    Latch,
    /// Something that is done once: [`Once`](crate::sync::Once).
    Once,
    /// A condition variable: [`Condvar`](crate::sync::Condvar).
    Condvar,
    /// A reader-writer lock: [`RwLock`](crate::sync::RwLock).
    RwLock,
    /// A table of values: [`Table`](crate::sync::Table).
    Table,
    /// What the members of a group of consumers share: [`GroupMember`](crate::GroupMember).
    Group,
    /// A service: [`Server`](crate::service::Server), [`Client`](crate::service::Client).
    Service,
}

impl Kind {
    #[cfg(not(loom))]
    pub(crate) const ALL: [Self; 13] = [
        Self::Ring,
        Self::Latest,
        Self::Mutex,
        Self::Semaphore,
        Self::Event,
        Self::Barrier,
        Self::Latch,
        Self::Once,
        Self::Condvar,
        Self::RwLock,
        Self::Table,
        Self::Group,
        Self::Service,
    ];

    /// As in a sentence.
    fn with_article(self) -> String {
        let article = if matches!(self, Self::Event) { "an" } else { "a" };
        format!("{article} {self}")
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ring => "ring",
            Self::Latest => "latest value",
            Self::Mutex => "mutex",
            Self::Semaphore => "semaphore",
            Self::Event => "event",
            Self::Barrier => "barrier",
            Self::Latch => "latch",
            Self::Once => "once",
            Self::Condvar => "condition variable",
            Self::RwLock => "reader-writer lock",
            Self::Table => "table",
            Self::Group => "group",
            Self::Service => "service",
        })
    }
}

/// Why an object could not be created, opened, used or inspected.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file exists at the path.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// There is no file at the path.
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// The directory does not exist, so nothing can be created in it.
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The path names something that is not a regular file.
    NotRegular {
        /// Where.
        path: PathBuf,
        /// What is there instead: a directory, a FIFO, a symbolic link, ...
        kind: &'static str,
    },
    /// The mode or the owner of the file, or of its directory, forbids what this process tried.
    Permission {
        /// Where.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The owner and mode of the file, or of its directory if there is no file yet. `None`: they could not be
        /// read either, or the mode is not the cause.
        rights: Option<Rights>,
    },
    /// The file system is mounted read-only.
    ReadOnly {
        /// Where.
        path: PathBuf,
    },
    /// The file belongs to another unprivileged user. For rings, [`Options::any_owner`](crate::Options::any_owner) accepts
    /// it; for other objects, opening it without creating it does.
    ForeignOwner {
        /// Where.
        path: PathBuf,
        /// Its owner.
        rights: Rights,
    },
    /// The file system is not suitable: it cannot keep memory, locks and wake-ups coherent between processes, or
    /// cannot guarantee that allocated blocks can be written.
    Filesystem {
        /// Where.
        path: PathBuf,
        /// Its type.
        kind: String,
        /// Why it is not suitable.
        why: &'static str,
    },
    /// There is not enough room for the whole file.
    NoSpace {
        /// Where.
        path: PathBuf,
        /// Bytes it needs.
        bytes: u64,
        /// What is short.
        shortage: Shortage,
        /// Bytes that a file could still have there, if known. Other processes may take them meanwhile.
        free: Option<u64>,
        /// The largest capacity of a ring that fits into these bytes, with the same options otherwise. `None`: not
        /// even the smallest fits, it is not known, or the object is no ring.
        largest: Option<u64>,
    },
    /// The process may not make files as large as this one (`RLIMIT_FSIZE`).
    FileSizeLimit {
        /// Where.
        path: PathBuf,
        /// Bytes it needs.
        bytes: u64,
        /// Bytes the process may give a file.
        limit: u64,
    },
    /// The file does not start with the magic number that the files of all objects have.
    NotARing {
        /// Where.
        path: PathBuf,
        /// The expected kind. `None`: any.
        wanted: Option<Kind>,
    },
    /// The file is an object of another kind.
    OtherKind {
        /// Where.
        path: PathBuf,
        /// Its kind.
        found: Kind,
        /// The expected kind.
        wanted: Kind,
    },
    /// The value changed so fast that no copy of it was whole.
    Busy,
    /// Another process has the one handle that writes the value.
    WriterAlive {
        /// The process id that it stored, a hint: 0 if it stored none.
        pid: u32,
    },
    /// The file is shorter than the identity page of an object.
    TooShort {
        /// Where.
        path: PathBuf,
        /// The expected kind. `None`: any.
        wanted: Option<Kind>,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The file's size is not the size that its own geometry requires.
    WrongSize {
        /// Where.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The size its geometry requires.
        expected: u64,
    },
    /// The file has holes where its blocks should be: touching them could raise SIGBUS.
    Sparse {
        /// Where.
        path: PathBuf,
    },
    /// A format version that this build does not read.
    Version {
        /// Where.
        path: PathBuf,
        /// The file's major version.
        major: u32,
        /// The file's minor version.
        minor: u32,
    },
    /// Written by a machine of another byte order, word size or page size.
    Foreign {
        /// Where.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The identity page does not match its checksum, or contradicts itself.
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file is a copy: its identity page names another file.
    Copied {
        /// Where.
        path: PathBuf,
    },
    /// The object was created under another boot id, and no process holds a lock on it: the machine has been rebooted
    /// since, or the object belongs to a container with a boot id of its own.
    EarlierBoot {
        /// Where.
        path: PathBuf,
    },
    /// The cursors or records contradict each other: another process wrote garbage into the ring.
    Corrupt(Corruption),
    /// Another producer holds the ring, running or stopped.
    ProducerAlive {
        /// The process id that it stored, a hint only.
        pid: u32,
    },
    /// Another server has the service, running or stopped.
    ServerAlive {
        /// The process id that it stored, a hint only.
        pid: u32,
    },
    /// No living producer holds the ring, so the request cannot be carried out.
    NoProducer,
    /// A process that may only read the file holds a read lock on it, which blocks other lock holders.
    ReadLocked {
        /// What it blocks: the producer's place, the name, the slots, a seat.
        what: &'static str,
    },
    /// Every consumer slot is taken.
    SlotsTaken {
        /// How many slots the ring has.
        slots: u32,
        /// How many of them are kept by names whose consumers are away.
        saved: u32,
    },
    /// A living consumer uses the name.
    NameInUse {
        /// The name.
        name: String,
    },
    /// The name is that of a group, for its members only.
    NameOfGroup {
        /// The name.
        name: String,
    },
    /// No consumer ever attached under the name, or it was forgotten.
    NameUnknown {
        /// The name.
        name: String,
    },
    /// No stage has the name: no consumer with an open gate is attached under it, and none is away whose gate is held.
    NoStage {
        /// The name.
        name: String,
    },
    /// The name is that of a consumer which cannot be followed.
    NotAStage {
        /// The name.
        name: String,
        /// Why not.
        what: &'static str,
    },
    /// Others follow the stage with this name, so it is not forgotten.
    NameFollowed {
        /// The name.
        name: String,
        /// The slot of one of its followers.
        slot: u32,
    },
    /// The ring keeps no name in the slot of this number, or has no such slot.
    SlotUnknown {
        /// The number.
        slot: u32,
    },
    /// Names are 1 to 63 bytes of UTF-8 without NUL.
    BadName {
        /// What was asked for.
        name: String,
    },
    /// The slot of this number does not block the producer, or does not exist.
    NotGated {
        /// The number.
        slot: u32,
    },
    /// The consumer in the slot of this number is alive, and is gated without a budget: nothing may be overwritten
    /// before it releases it.
    NotEvictable {
        /// The number.
        slot: u32,
        /// The process id that it stored, a hint only; 0 for a group, whose members are several.
        pid: u32,
    },
    /// The start asked for is no longer, or not yet, in the ring; or it is before what the consumer's
    /// [stage](crate::Attach::after) has received.
    StartGone {
        /// The sequence asked for.
        asked: u64,
        /// The oldest sequence that can be started from, or the first that the stage has received.
        oldest: u64,
        /// The sequence of the next record to be published.
        next: u64,
    },
    /// The ring was created to refuse consumers that can be overwritten, including those that start in the past.
    GatedOnly,
    /// Capacities are powers of two from 4 KiB to 1 TiB.
    Capacity {
        /// Bytes asked for.
        asked: u64,
    },
    /// An invalid option.
    BadOption {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The values in the file are of another type, or the file is untyped.
    WrongSchema {
        /// What the handle was opened for.
        asked: Schema,
        /// What the file was created for; `None`: for records of any kind.
        found: Option<Schema>,
    },
    /// The last holder died or panicked, and nobody has said since that what the lock guards is in order.
    Abandoned,
    /// A party died or left before it arrived, or one gave up: the others cannot all meet in this round.
    Broken,
    /// The time was over.
    TimedOut,
    /// The call would wait for what its caller holds: a lock that the calling thread has through another handle, or
    /// permits that the handle has itself.
    Deadlock,
    /// Every seat of the object has a living handle.
    SeatsTaken {
        /// How many seats the object has.
        seats: u32,
        /// The process ids that the handles stored, a hint only: each once.
        pids: Vec<u32>,
    },
    /// Another process wrote garbage into the object.
    Garbage {
        /// What is wrong in it.
        what: &'static str,
    },
    /// The handle came over a `fork`; it belongs to the parent.
    Forked,
    /// Part of the handle's memory is gone: its file was cut short, or a page of it could not be allocated. Reported
    /// only after [`guard_against_truncation`](crate::guard_against_truncation); without it the process dies by
    /// SIGBUS.
    Truncated,
    /// The descriptors handed over are not those of a sealed ring.
    NotSealed {
        /// What is wrong with them.
        what: &'static str,
    },
    /// Any other refusal of the operating system.
    Io {
        /// Where, or empty.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Owner and permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rights {
    /// User id of its owner.
    pub user: u32,
    /// Its group id.
    pub group: u32,
    /// Its permission bits, as in `chmod`.
    pub mode: u32,
}

/// The resource that is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortage {
    /// Room on the file system.
    FileSystem,
    /// A quota on the file system.
    Quota,
    /// Files (inodes) on the file system.
    Files,
    /// Memory limit of this process's control group, which is charged for a file in memory.
    ControlGroup,
    /// Memory of the machine.
    Memory,
    /// Huge pages of the machine, or of the control group.
    HugePages,
}

impl Error {
    /// Whether the start of another process may end it: what is asked for is not there yet.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::NoStage { .. })
    }
}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Forked => Self::Forked,
            Fault::Truncated => Self::Truncated,
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
