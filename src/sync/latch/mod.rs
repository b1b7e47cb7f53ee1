//! Something that opens once a number of parties have arrived.

use std::fmt;
use std::ops::Range;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomics::AtomicU64;
use crate::error::{Error, Kind};
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::sync::member::Member;
use crate::sync::options::SyncOptions;
use crate::sync::rounds::{self, End, Line, Lookout};
#[cfg(not(loom))]
use crate::sync::shape::Shape;
use crate::sync::shape::{Content, Views};
use crate::wait::clock;

#[cfg(not(loom))]
mod look;
mod party;
mod source;

pub use party::LatchParty;

/// How many parties arrive. They have the first seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parties {
    count: u64,
}

impl Content for Parties {
    const KIND: Kind = Kind::Latch;

    type Line = Line;

    type Item = AtomicU64;

    fn check(&self, seats: u64) -> Result<(), Error> {
        if (1..seats).contains(&self.count) {
            Ok(())
        } else {
            Err(Error::BadOption { what: "a latch has at least one party, and a seat for one that waits" })
        }
    }

    fn items(&self) -> u64 {
        self.count
    }

    fn usual_seats(&self, seats: usize) -> Range<usize> {
        self.count as usize..seats
    }

    fn is_preferred(views: Views<'_, Self>, number: usize) -> bool {
        rounds::is_awaited(views, number)
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        [self.count, 0]
    }

    #[cfg(not(loom))]
    fn decode([count, unused]: [u64; 2]) -> Option<Self> {
        (unused == 0).then_some(Self { count })
    }
}

/// Something that processes wait for, and that opens for good once a number of parties have arrived.
///
/// Whoever has a `Latch` waits. A party is a [`LatchParty`], which [`join`](Self::join) makes, and which arrives without
/// waiting. A party that has not joined yet is waited for. One that dies, or is dropped, before it arrives *breaks* the
/// latch: those that wait get [`Error::Broken`], until somebody [resets](Self::reset) it. An arrival counts also if the
/// party died since.
///
/// What a party did before it arrived, those that waited see.
///
/// A latch is one of the things that a [`WaitSet`](crate::WaitSet) waits for.
///
/// One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`). Other threads of the process
/// get handles of their own, from [`try_clone`](Self::try_clone). After a `fork` only the parent may use a handle.
///
/// ```
/// use quoit::sync::{Latch, SyncOptions};
///
/// let path = format!("/dev/shm/up-{}", std::process::id());
/// let up = Latch::create(&path, &SyncOptions::new(), 2)?;
///
/// // In each of two other processes:
/// let party = Latch::open(&path)?.join()?;
/// party.arrive()?;
/// # assert!(!up.try_wait()?);
/// # Latch::open(&path)?.join()?.arrive()?;
///
/// up.wait()?;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Latch {
    member: Member<Parties>,
    lookout: Lookout,
}

impl Latch {
    /// Creates a latch for so many parties at `path`: at least 1. The [seats](SyncOptions::seats) of the options are for
    /// those that wait, beside those of the parties; all together there are at most 4096. No process ever sees the file
    /// incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions, parties: u32) -> Result<Self, Error> {
        let count = parties.into();
        let shape = options.shape_of(count + options.seat_count(), Parties { count })?;
        Ok(Self::new(Member::create(path.as_ref(), &shape, options.file_mode(), |_| {})?))
    }

    /// Opens the latch at `path`, to wait or to join.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; [`Error::SeatsTaken`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Member::open(path.as_ref(), Owners::Any, |_| Ok(()))?))
    }

    /// As [`open`](Self::open), for a latch that may not exist yet: waits until `deadline` for it to be created. With a
    /// deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    /// Opens the latch at `path`, or creates it if there is none. A file of another unprivileged user is refused: in a
    /// directory that everybody may write to, anybody can be there first. A leftover of an earlier boot is replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    /// [`Error::BadOption`] if the one that is there is for another number of parties.
    #[cfg(not(loom))]
    pub fn open_or_create(
        path: impl AsRef<Path>,
        options: &SyncOptions,
        parties: u32,
    ) -> Result<Self, Error> {
        let count = parties.into();
        let shape = options.shape_of(count + options.seat_count(), Parties { count })?;
        let check = |found: &Shape<Parties>| {
            if found.content.count == count {
                Ok(())
            } else {
                Err(Error::BadOption { what: "the latch is there already, for another number of parties" })
            }
        };
        let (path, mode) = (path.as_ref(), options.file_mode());
        Ok(Self::new(Member::open_or_create(path, &shape, mode, check, |_| {})?))
    }

    /// Creates a latch in this process's own memory, for its threads: [`try_clone`](Self::try_clone) and
    /// [`join`](Self::join) create their handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions, parties: u32) -> Result<Self, Error> {
        let count = parties.into();
        let shape = options.shape_of(count + options.seat_count(), Parties { count })?;
        Ok(Self::new(Member::local(shape, |_| {})?))
    }

    fn new(member: Member<Parties>) -> Self {
        Self { member, lookout: Lookout::default() }
    }

    /// Another handle that waits, for another thread. For a latch in a file this takes `/proc` and the permission to open
    /// the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(self.member.try_clone()?))
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this latch. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// Becomes a party, beside this handle. It takes what [`try_clone`](Self::try_clone) takes.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`] if as many parties as there may be are there; otherwise as [`try_clone`](Self::try_clone).
    pub fn join(&self) -> Result<LatchParty, Error> {
        Ok(LatchParty::new(self.member.join(0..self.member.views().items.len())?))
    }

    /// How many parties it takes.
    pub fn parties(&self) -> u32 {
        self.member.views().items.len() as u32
    }

    /// How many parties have not arrived. A hint: it may change at any time.
    pub fn missing(&self) -> u32 {
        let is_closed = self.member.check().is_ok() && !self.member.views().line.look().is_passed();
        if is_closed { rounds::missing(&self.member) as u32 } else { 0 }
    }

    /// Waits until the latch is open, without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`]; [`Error::Forked`], [`Error::Truncated`].
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_until(u64::MAX)
    }

    /// Whether the latch is open.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<bool, Error> {
        match self.wait_until(0) {
            Ok(()) => Ok(true),
            Err(Error::TimedOut) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// As [`wait`](Self::wait), until `deadline`. With a deadline that has passed it looks once.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_deadline(&self, deadline: Instant) -> Result<(), Error> {
        self.wait_until(clock::deadline_ns(deadline))
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.wait_until(clock::after_ns(timeout))
    }

    fn wait_until(&self, until_ns: u64) -> Result<(), Error> {
        self.member.check()?;
        let begun = self.member.views().line.look();
        if begun.is_broken() {
            return Err(Error::Broken);
        }
        if begun.is_passed() {
            return self.member.check_memory();
        }
        match rounds::wait(&self.member, begun, until_ns)? {
            End::Passed { .. } => Ok(()),
            End::Broken => Err(Error::Broken),
        }
    }

    /// Whether the latch is broken. A hint: it may change at any time.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn is_broken(&self) -> Result<bool, Error> {
        self.member.check()?;
        let is_broken = self.member.views().line.look().is_broken();
        self.member.check_memory().map(|()| is_broken)
    }

    /// Closes a latch that is broken, so that all parties may arrive anew. Let all of them join before: one that has gone
    /// counts as dead. Does nothing to a latch that is open, or that is not broken.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn reset(&self) -> Result<(), Error> {
        self.member.check()?;
        let line = self.member.views().line;
        let seen = line.look();
        if seen.is_broken() {
            line.reset(seen);
        }
        self.member.check_memory()
    }

    /// The processes of the other handles that sleep until it is open, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.member.waiting()
    }
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch").field("member", &self.member).finish_non_exhaustive()
    }
}
