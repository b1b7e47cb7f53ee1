//! Everything that can go wrong, each with what to do about it.

use core::fmt;
use std::io;
use std::path::PathBuf;

/// Why a ring could not be created, opened, attached to, or asked about.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is a file at the path already.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// There is no file at the path.
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// There is no such directory, so no ring can be created in it.
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
    /// The file's mode or owner does not let this process do what it asked for.
    Permission {
        /// Where.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
    },
    /// The file system cannot keep memory, locks and wake-ups coherent between processes.
    Filesystem {
        /// Where.
        path: PathBuf,
        /// What kind it is.
        kind: String,
    },
    /// The file system has no room for the whole ring.
    NoSpace {
        /// Where.
        path: PathBuf,
        /// Bytes the ring needs.
        bytes: u64,
    },
    /// The file does not start with a ring's magic number.
    NotARing {
        /// Where.
        path: PathBuf,
    },
    /// The file is shorter than a ring's identity page.
    TooShort {
        /// Where.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The file's size is not what its own geometry asks for.
    WrongSize {
        /// Where.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The size its geometry asks for.
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
    /// The identity page does not agree with its checksum, or with itself.
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A leftover: the machine has been started anew since the ring was created.
    EarlierBoot {
        /// Where.
        path: PathBuf,
    },
    /// The cursors or records contradict each other: another process wrote garbage into the ring.
    Corrupt(Corruption),
    /// Another producer holds the ring, running or stopped.
    ProducerAlive {
        /// Its process id as it wrote it, a hint only.
        pid: u32,
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
    /// No consumer ever attached under the name, or it was forgotten.
    NameUnknown {
        /// The name.
        name: String,
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
    /// The start asked for is no longer, or not yet, in the ring.
    StartGone {
        /// The sequence asked for.
        asked: u64,
        /// The oldest sequence that can be started from.
        oldest: u64,
        /// The sequence of the next record to be published.
        next: u64,
    },
    /// The ring was created to refuse consumers that can be overwritten, be it only because they start in the past.
    GatedOnly,
    /// Capacities are powers of two from 4 KiB to 1 TiB.
    Capacity {
        /// Bytes asked for.
        asked: u64,
    },
    /// An option that makes no sense.
    BadOption {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The handle came over a `fork`; it belongs to the parent.
    Forked,
    /// Part of the handle's memory is gone: its file was cut short, or a page of it could not be had. Told only after
    /// [`guard_against_truncation`](crate::guard_against_truncation); without it the process dies by SIGBUS.
    Truncated,
    /// The descriptors handed over are not those of a sealed ring.
    NotSealed {
        /// What is wrong with them.
        what: &'static str,
    },
    /// This process has as many open handles as can be guarded against `fork`.
    TooManyHandles {
        /// The limit.
        limit: usize,
    },
    /// Any other refusal of the operating system.
    Io {
        /// Where, or empty.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// Where the ring contradicts itself, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Byte position in the stream.
    pub position: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// Why a record was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// A gated consumer has not released the space yet. Try again, or use a form that waits.
    Full,
    /// The deadline passed while a gated consumer held the space.
    TimedOut,
    /// The batch holds half the ring: publish it and go on with another.
    BatchFull,
    /// The record is larger than half the ring allows.
    TooLarge {
        /// Its payload bytes.
        len: usize,
        /// Most payload bytes of a record on this ring.
        max: usize,
    },
    /// The handle came over a `fork`; it belongs to the parent.
    Forked,
    /// Part of the ring's memory is gone, and the record with it. Final for this handle; see [`Error::Truncated`].
    Truncated,
}

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
    /// Part of the ring's memory is gone. Final for this handle; see [`Error::Truncated`].
    Truncated,
}

/// What makes a handle useless for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Forked,
    Truncated,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Forked => Self::Forked,
            Fault::Truncated => Self::Truncated,
        }
    }
}

impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Forked => Self::Forked,
            Fault::Truncated => Self::Truncated,
        }
    }
}

impl From<Fault> for RecvError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Forked => Self::Forked,
            Fault::Truncated => Self::Truncated,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { path } => {
                write!(f, "{}: there is a file already; open it, or remove it first", path.display())
            }
            Self::NotFound { path } => {
                write!(f, "{}: no such file; create the ring first, or check the path", path.display())
            }
            Self::NoDirectory { path } => {
                write!(f, "{}: no such directory; make it first, or check the path", path.display())
            }
            Self::NotRegular { path, kind } => {
                write!(f, "{}: this is a {kind}, and a ring is a regular file; use another path", path.display())
            }
            Self::Permission { path, action } => write!(
                f,
                "{}: no permission to {action}; ask the owner for it (rings are made with mode 0600 unless told \
                 otherwise)",
                path.display()
            ),
            Self::Filesystem { path, kind } => write!(
                f,
                "{}: {kind} does not keep memory and locks coherent between processes; put the ring on tmpfs \
                 (/dev/shm), ext4, xfs or btrfs",
                path.display()
            ),
            Self::NoSpace { path, bytes } => write!(
                f,
                "{}: the file system has no room for the {bytes} bytes of the ring; free some, or ask for a \
                 smaller capacity",
                path.display()
            ),
            Self::NotARing { path } => {
                write!(f, "{}: not a quoit ring; check the path", path.display())
            }
            Self::TooShort { path, bytes } => write!(
                f,
                "{}: only {bytes} bytes, shorter than a ring's first page; it was cut off or is no ring: check the \
                 path, or remove it and create the ring anew",
                path.display()
            ),
            Self::WrongSize { path, bytes, expected } => write!(
                f,
                "{}: {bytes} bytes, but its geometry asks for {expected}; it was cut off or grown: remove it and \
                 create the ring anew",
                path.display()
            ),
            Self::Sparse { path } => write!(
                f,
                "{}: the file has holes, so using it could end in SIGBUS; remove it and create the ring anew \
                 (copies of rings are not rings)",
                path.display()
            ),
            Self::Version { path, major, minor } => write!(
                f,
                "{}: format version {major}.{minor}, and this build reads {}.0 to {}.{}; use the quoit it was \
                 made with, or create the ring anew",
                path.display(),
                crate::layout::MAJOR,
                crate::layout::MAJOR,
                crate::layout::MINOR
            ),
            Self::Foreign { path, what } => write!(
                f,
                "{}: made on a machine with another {what}; rings cannot move between such machines: create the \
                 ring anew on this one",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                f,
                "{}: the identity page is damaged ({what}); remove the file and create the ring anew",
                path.display()
            ),
            Self::EarlierBoot { path } => write!(
                f,
                "{}: left over from before the machine was last started; remove it and create the ring anew",
                path.display()
            ),
            Self::Corrupt(corruption) => corruption.fmt(f),
            Self::ProducerAlive { pid } => write!(
                f,
                "the ring has a living producer (process {pid} by its own account); a stopped process is alive \
                 too: end it before another takes over"
            ),
            Self::SlotsTaken { slots, saved } => write!(
                f,
                "all {slots} consumer slots are taken, {saved} of them by names whose consumers are away; forget those \
                 that will not come back (`quoit forget RING --away-for 1h`, or one by its name), end a consumer, \
                 or create the ring with more slots"
            ),
            Self::NameInUse { name } => {
                write!(f, "a living consumer uses the name {name:?}; end it first, or take another name")
            }
            Self::NameUnknown { name } => {
                write!(f, "the ring knows no consumer by the name {name:?}; check the spelling, and the ring")
            }
            Self::SlotUnknown { slot } => {
                write!(f, "slot {slot} keeps no name; `quoit info` shows which slots do")
            }
            Self::BadName { name } => {
                write!(f, "{name:?} is no name: 1 to 63 bytes of UTF-8 without NUL are")
            }
            Self::StartGone { asked, oldest, next } => write!(
                f,
                "sequence {asked} is not in the ring: it holds {oldest} up to, but not including, {next}; start \
                 at oldest or newest"
            ),
            Self::GatedOnly => f.write_str(
                "the ring was created for gated consumers only, since its producer writes in place; attach gated \
                 without a deadline, starting at the newest record",
            ),
            Self::Capacity { asked } => {
                write!(f, "a capacity of {asked} bytes: it must be a power of two from 4 KiB to 1 TiB")
            }
            Self::BadOption { what } => f.write_str(what),
            Self::Forked => FORKED.fmt(f),
            Self::Truncated => TRUNCATED.fmt(f),
            Self::NotSealed { what } => write!(
                f,
                "no sealed ring: {what}; whoever else holds these descriptors could change or cut what is read \
                 through them: take no ring from this peer, or ask it for one made with Options::sealed"
            ),
            Self::TooManyHandles { limit } => {
                write!(f, "this process has {limit} open ring handles, the most it can guard; drop some")
            }
            Self::Io { path, action, source } if path.as_os_str().is_empty() => {
                write!(f, "could not {action}: {source}")
            }
            Self::Io { path, action, source } => {
                write!(f, "{}: could not {action}: {source}", path.display())
            }
        }
    }
}

const FORKED: &str =
    "this handle came over a fork and belongs to the parent; open the ring anew in the child";

const TRUNCATED: &str = "memory of the ring is gone: its file was cut short, or the file system had no page to give; drop \
                         the handle, see who writes to the file, and create the ring anew";

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the ring contradicts itself at position {}: {}; another process wrote garbage into it: remove the \
             file and create the ring anew",
            self.position, self.what
        )
    }
}

impl std::error::Error for Corruption {}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl From<Corruption> for RecvError {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the ring is full: a gated consumer has not released the space yet"),
            Self::TimedOut => f.write_str("the ring was still full when the deadline passed"),
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
