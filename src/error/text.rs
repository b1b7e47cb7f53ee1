//! The texts of errors: where, what, and what to do about it.

use core::fmt;

use super::fault::{FORKED, TRUNCATED};
use super::{Error, Kind, Rights, Shortage};
use crate::limits::{MAX_CAPACITY, MIN_CAPACITY};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { path } => {
                write!(f, "{}: there is a file already; open it, or remove it first", path.display())
            }
            Self::NotFound { path } => {
                write!(f, "{}: no such file; create it first, or check the path", path.display())
            }
            Self::NoDirectory { path } => {
                write!(f, "{}: no such directory; create it first, or check the path", path.display())
            }
            Self::NotRegular { path, kind } => {
                write!(f, "{}: this is a {kind}, not a regular file; use another path", path.display())
            }
            Self::Permission { path, action, rights: Some(rights) } => write!(
                f,
                "{}: no permission to {action}: {rights}, and this process is user {}; ask the owner for it (files are \
                 made with mode 0600 unless told otherwise)",
                path.display(),
                own_user()
            ),
            Self::Permission { path, action, rights: None } => write!(
                f,
                "{}: no permission to {action}; ask the owner for it (files are made with mode 0600 unless told \
                 otherwise)",
                path.display()
            ),
            Self::ReadOnly { path } => write!(
                f,
                "{}: its file system is mounted read-only: what is there can be read, as by observers; to write, use \
                 another file system",
                path.display()
            ),
            Self::ForeignOwner { path, rights } => write!(
                f,
                "{}: it belongs to another user ({rights}, and this process is user {}), who can read and truncate it; use \
                 another path, or, if that user is trusted, open it without creating it (rings: Options::any_owner)",
                path.display(),
                own_user()
            ),
            Self::Filesystem { path, kind, why } => write!(
                f,
                "{}: {kind} {why}; put the file on tmpfs (/dev/shm), ext4 or XFS",
                path.display()
            ),
            Self::NoSpace { path, bytes, shortage, free, largest } => {
                write!(f, "{}: {shortage} no room for the {bytes} bytes of the file", path.display())?;
                if let Some(free) = free {
                    write!(f, ", but for {free}")?;
                }
                match largest {
                    Some(largest) => write!(f, "; free some, or ask for a capacity of {largest} bytes at most"),
                    None => f.write_str("; free some, or ask for less"),
                }
            }
            Self::FileSizeLimit { path, bytes, limit } => write!(
                f,
                "{}: this process may create files of at most {limit} bytes, and this one needs {bytes}; raise RLIMIT_FSIZE \
                 (LimitFSIZE= of a systemd unit, ulimit -f), or ask for less",
                path.display()
            ),
            Self::NotARing { path, wanted } => {
                write!(f, "{}: not {}; check the path", path.display(), expected(*wanted))
            }
            Self::OtherKind { path, found, wanted } => {
                let (found, wanted) = (found.with_article(), wanted.with_article());
                write!(f, "{}: this is {found}, not {wanted}; check the path", path.display())
            }
            Self::Busy => f.write_str(
                "the value kept changing while it was read; try again; or have it committed less often, read it under its lock \
                 (RwLock), or create it with more cells (Latest, Table)",
            ),
            Self::WriterAlive { pid } => write!(
                f,
                "this value has a living writer (process {pid}); there is one writer at a time: wait for it \
                 to end, or open the value for reading"
            ),
            Self::ServerAlive { pid } => write!(
                f,
                "this service has a living server (process {pid} by its own account); a stopped process is alive too: \
                 end it before another takes over"
            ),
            Self::TooShort { path, bytes, wanted } => write!(
                f,
                "{}: only {bytes} bytes, shorter than the first page; it was cut off or is not {}: check the path, or \
                 remove it and create it again",
                path.display(),
                expected(*wanted)
            ),
            Self::WrongSize { path, bytes, expected } => write!(
                f,
                "{}: {bytes} bytes, but its geometry asks for {expected}; it was cut off or grown: remove it and \
                 create it again",
                path.display()
            ),
            Self::Sparse { path } => write!(
                f,
                "{}: the file has holes, so using it could end in SIGBUS; remove it and create it again \
                 (copies are not accepted)",
                path.display()
            ),
            Self::Version { path, major, minor } => write!(
                f,
                "{}: format version {major}.{minor}, and this build reads {}.0 to {}.{}; use the quoit it was \
                 made with, or create it again",
                path.display(),
                crate::limits::MAJOR,
                crate::limits::MAJOR,
                crate::limits::MINOR
            ),
            Self::Foreign { path, what } => write!(
                f,
                "{}: made on a machine with another {what}; files cannot move between such machines: create it \
                 again on this one",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                f,
                "{}: the identity page is damaged ({what}); remove the file and create it again",
                path.display()
            ),
            Self::Copied { path } => write!(
                f,
                "{}: this is a copy, or was restored from one, and what it holds may never have been so; use the original, or \
                 remove it and create it again",
                path.display()
            ),
            Self::EarlierBoot { path } => write!(
                f,
                "{}: made under another boot id, and nobody uses it now: left over from before the machine was last \
                 started, or of a container with a boot id of its own; if no container uses it, remove it and create \
                 it again",
                path.display()
            ),
            Self::Corrupt(corruption) => corruption.fmt(f),
            Self::ProducerAlive { pid } => write!(
                f,
                "the ring has a living producer (process {pid} by its own account); a stopped process is alive \
                 too: end it before another takes over"
            ),
            Self::NotGated { slot } => {
                write!(f, "slot {slot} has no consumer that blocks the producer; `quoit info` shows which one does")
            }
            Self::NotEvictable { slot, pid: 0 } => write!(
                f,
                "the group in slot {slot} was promised that nothing is overwritten before it is acknowledged, so it cannot be \
                 evicted while a member lives: end its members (`quoit info` shows them); one made with a budget \
                 (Group::gated_for) can be evicted, but a group keeps its options until it is forgotten"
            ),
            Self::NotEvictable { slot, pid } => write!(
                f,
                "the consumer in slot {slot} (process {pid} by its own account) was promised that nothing is \
                 overwritten before it releases it, so it cannot be evicted while it lives: end it, or have it attach \
                 with a budget (gated_for) or as evictable"
            ),
            Self::NoProducer => f.write_str(
                "the ring has no living producer that could do it; `quoit forget` frees what is kept for a name",
            ),
            Self::ReadLocked { what } => write!(
                f,
                "a process that may only read the file holds a read lock on {what}, which blocks others until it ends; \
                 see who has the file open (`fuser -v`), and end it, or give the file a mode that keeps it out (0600)"
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
            Self::NameOfGroup { name } => write!(
                f,
                "{name:?} is the name of a group; join it (GroupMember::join), take another name, or forget the group \
                 once it has no members (`quoit forget`)"
            ),
            Self::NameUnknown { name } => {
                write!(f, "the ring has no consumer with the name {name:?}; check the spelling, and the ring")
            }
            Self::NoStage { name } => write!(
                f,
                "no stage has the name {name:?}: start the consumer with this name first, gated, or wait for it \
                 (open_wait); `quoit info` shows which names there are"
            ),
            Self::NotAStage { name, what } => write!(
                f,
                "the consumer with the name {name:?} cannot be followed: {what}; follow one that is gated"
            ),
            Self::NameFollowed { name, slot } => write!(
                f,
                "{name:?} is followed by the consumer in slot {slot}, which waits for it; end its followers first, or \
                 take its gate (`quoit evict`), which its followers are told"
            ),
            Self::SlotUnknown { slot } => {
                write!(f, "slot {slot} keeps no name; `quoit info` shows which slots do")
            }
            Self::BadName { name } => {
                write!(f, "invalid name {name:?}: use 1 to 63 bytes of UTF-8 without NUL")
            }
            Self::StartGone { asked, oldest, next } => write!(
                f,
                "sequence {asked} cannot be started at: there are {oldest} up to, but not including, {next}; start \
                 at oldest or newest"
            ),
            Self::GatedOnly => f.write_str(
                "the ring was created for gated consumers only, since its producer writes in place; attach gated \
                 without a budget, starting at the newest record",
            ),
            Self::Capacity { asked } => {
                write!(
                    f,
                    "a capacity of {asked} bytes: it must be a power of two from 4 KiB to 1 TiB; {}",
                    Nearest(*asked)
                )
            }
            Self::BadOption { what } => f.write_str(what),
            Self::WrongSchema { asked, found } => {
                match found {
                    Some(found) => write!(f, "the file holds values of {found}, not of {asked}")?,
                    None => write!(f, "the ring was created for records of any kind, not for values of {asked}")?,
                }
                f.write_str("; open it with its own type, or create another one with this type's schema")
            }
            Self::Abandoned => f.write_str(
                "the last holder died or panicked while it held this lock; take it with `recover`, check what it guards, \
                 and say `recovered`",
            ),
            Self::Broken => f.write_str(
                "a party died or left before it arrived, or gave up; when all parties are there again, reset it",
            ),
            Self::TimedOut => f.write_str("the time was over; try again, or wait longer"),
            Self::Deadlock => f.write_str(
                "this call would wait for what its own caller holds: a lock, through another handle on this thread, or \
                 permits of this handle; use what is held, or drop it first",
            ),
            Self::SeatsTaken { seats, pids } => {
                write!(f, "all {seats} seats are taken by living handles, of processes")?;
                for (number, pid) in pids.iter().enumerate() {
                    write!(f, "{} {pid}", if number == 0 { "" } else { "," })?;
                    // 0: it is not stored yet.
                    if *pid != 0 && is_unseen(*pid) {
                        f.write_str(
                            " (not there: it has ended and a child keeps its seat, or it is in another PID namespace)",
                        )?;
                    }
                }
                f.write_str(
                    "; drop one of them, or end its process and what that has started, or create the object with more \
                     seats",
                )
            }
            Self::Garbage { what } => write!(
                f,
                "the object contradicts itself: {what}; another process wrote garbage into it: remove the file and \
                 create it again"
            ),
            Self::Forked => FORKED.fmt(f),
            Self::Truncated => TRUNCATED.fmt(f),
            Self::NotSealed { what } => write!(
                f,
                "not a sealed ring: {what}; other processes that hold these descriptors could change or cut what is read \
                 through them: take no ring from this peer, or ask it for one made with Ring::sealed"
            ),
            // The system's text is the source of this error. Callers print it once, from there.
            Self::Io { path, action, source } => {
                if !path.as_os_str().is_empty() {
                    write!(f, "{}: ", path.display())?;
                }
                write!(f, "could not {action}")?;
                remedy(source).map_or(Ok(()), |remedy| write!(f, " ({remedy})"))
            }
        }
    }
}

/// What to do about what the system said. `None`: its own words, which follow as the source, say all there is.
fn remedy(source: &std::io::Error) -> Option<&'static str> {
    use std::io::ErrorKind::{
        Interrupted, InvalidFilename, InvalidInput, OutOfMemory, PermissionDenied, StorageFull, Unsupported,
        WouldBlock,
    };
    // The standard library has no stable kind for the first two, ENFILE and EMFILE.
    let remedy = match (source.raw_os_error(), source.kind()) {
        (Some(23), _) => "raise the limit of open files of the machine (sysctl fs.file-max)",
        (Some(24), _) => {
            "close what is not needed, or raise the limit of open files (ulimit -n, LimitNOFILE= of a systemd unit)"
        }
        (_, OutOfMemory) => "free some memory, or raise the limit of this process or its control group",
        (_, PermissionDenied) => "give this process the permission, or a system-call filter that allows it",
        (_, StorageFull) => "free some space",
        (_, Unsupported) => "use a kernel, a file system and a system-call filter that have it",
        (_, Interrupted | WouldBlock) => "try again",
        (_, InvalidFilename) => "choose a shorter name",
        (_, InvalidInput) => "choose another name or value",
        _ => return None,
    };
    Some(remedy)
}

/// What was expected at a path, with its article.
fn expected(wanted: Option<Kind>) -> String {
    wanted.map_or_else(|| "a file of quoit".into(), Kind::with_article)
}

/// The valid capacities on either side of an invalid one.
struct Nearest(u64);

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..MIN_CAPACITY => write!(f, "the smallest is {}", Size(MIN_CAPACITY)),
            asked @ MIN_CAPACITY..MAX_CAPACITY => {
                let below = 1 << asked.ilog2();
                write!(f, "the nearest are {} and {}", Size(below), Size(2 * below))
            }
            _ => write!(f, "the largest is {}", Size(MAX_CAPACITY)),
        }
    }
}

/// A power of two from 1 KiB up.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = match self.0.ilog2() {
            ..20 => ("KiB", 10),
            20..30 => ("MiB", 20),
            30..40 => ("GiB", 30),
            _ => ("TiB", 40),
        };
        write!(f, "{} {unit}", self.0 >> scale)
    }
}

/// Whether there is no process with this id. The kernel is asked: `/proc` may hide those of other users.
#[cfg(not(loom))]
fn is_unseen(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

#[cfg(loom)]
fn is_unseen(_: u32) -> bool {
    false
}

fn own_user() -> u32 {
    #[cfg(not(loom))]
    let user = rustix::process::geteuid().as_raw();
    #[cfg(loom)]
    let user = 0;
    user
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, group, mode } = self;
        write!(f, "owner {user}, group {group}, mode {mode:04o}")
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileSystem => "the file system has",
            Self::Files => "the file system has no inode left, and so",
            Self::ControlGroup => "the memory control group of this process has",
            Self::Memory => "the machine's memory has",
            Self::HugePages => "the pool of huge pages has",
            Self::Quota => "the quota on the file system has",
        })
    }
}
