//! Something that is done once, by whoever comes first.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomics::{AtomicU64, OwnedWord, Word, at};
use crate::error::{Error, Kind};
#[cfg(not(loom))]
use crate::memory::arrival;
use crate::memory::block::block;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::sync::member::{LockHolder, Member};
use crate::sync::options::SyncOptions;
use crate::sync::owned::{Owned, Taken};
use crate::sync::shape::Content;
use crate::wait::clock;

#[cfg(not(loom))]
mod look;

block! {
    /// Whether it is done, and who is at it.
    pub(crate) struct Line: 128 bytes, aligned to 128 {
        /// Who is at it.
        at 0: pub(crate) owner: OwnedWord,
        /// Who of those that wait watches the owner.
        at 8: pub(crate) watch: AtomicU64,
        /// 1: it is done.
        at 16: pub(crate) done: AtomicU64,
        /// How many died or panicked at it.
        at 24: pub(crate) attempts: AtomicU64,
    }
}

/// The kind of object. It has nothing but its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deed;

impl Content for Deed {
    const KIND: Kind = Kind::Once;

    type Line = Line;

    type Item = Word;

    fn check(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn items(&self) -> u64 {
        0
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        [0, 0]
    }

    #[cfg(not(loom))]
    fn decode(words: [u64; 2]) -> Option<Self> {
        (words == [0, 0]).then_some(Self)
    }
}

/// What is known of a deed to whoever does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnceState {
    /// How many have died or panicked at it before. If it is not 0, it may be half done.
    pub attempts: u64,
}

/// Something that is done once, by the first process that comes, while all others wait until it is done.
///
/// It is done *at least* once: a process that dies at it, at any instruction, or panics, leaves it to the next one, which
/// is [told](OnceState::attempts). What was done, everybody sees afterwards.
///
/// Each handle has a seat in the file. One thread at a time may use a handle; it may move between threads (`Send`, not
/// `Sync`). Other threads of the process get handles of their own, from [`try_clone`](Self::try_clone). After a `fork`
/// only the parent may use a handle.
///
/// ```
/// use quoit::sync::{Once, SyncOptions};
///
/// let path = format!("/dev/shm/tables-{}", std::process::id());
///
/// // In every process:
/// let mut once = Once::open_or_create(&path, &SyncOptions::new())?;
/// let mine = once.call(|state| {
///     if state.attempts > 0 {
///         // Remove what an earlier attempt may have left.
///     }
///     // Create the tables.
/// })?;
/// assert!(mine, "it was done here");
/// assert!(!once.call(|_| unreachable!())?);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Once {
    member: Member<Deed>,
}

impl Once {
    /// Creates it at `path`, not done. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions) -> Result<Self, Error> {
        let shape = options.shape(Deed)?;
        Ok(Self { member: Member::create(path.as_ref(), &shape, options.file_mode(), |_| {})? })
    }

    /// Opens the one at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; [`Error::SeatsTaken`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self { member: Member::open(path.as_ref(), Owners::Any, |_| Ok(()))? })
    }

    /// As [`open`](Self::open), for one that may not exist yet: waits until `deadline` for it to be created. With a
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

    /// Opens the one at `path`, or creates it if there is none. A file of another unprivileged user is refused: in a
    /// directory that everybody may write to, anybody can be there first. A leftover of an earlier boot is replaced, so it
    /// is done once in each boot.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &SyncOptions) -> Result<Self, Error> {
        let (path, shape, mode) = (path.as_ref(), options.shape(Deed)?, options.file_mode());
        Ok(Self { member: Member::open_or_create(path, &shape, mode, |_| Ok(()), |_| {})? })
    }

    /// Creates one in this process's own memory, for its threads: [`try_clone`](Self::try_clone) creates their handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions) -> Result<Self, Error> {
        Ok(Self { member: Member::local(options.shape(Deed)?, |_| {})? })
    }

    /// Another handle on the same, for another thread. For one in a file this takes `/proc` and the permission to open
    /// the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self { member: self.member.try_clone()? })
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this object. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// Calls `deed` unless it is done, and waits while another is at it. Returns whether it was done here.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] if the calling thread is at it, through another handle of this process. [`Error::Forked`],
    /// [`Error::Truncated`], [`Error::Garbage`].
    pub fn call(&mut self, deed: impl FnOnce(OnceState)) -> Result<bool, Error> {
        self.call_until(deed, u64::MAX)
    }

    /// As [`call`](Self::call), if nobody is at it. `None`: somebody is, and it is not done.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn try_call(&mut self, deed: impl FnOnce(OnceState)) -> Result<Option<bool>, Error> {
        match self.call_until(deed, 0) {
            Err(Error::TimedOut) => Ok(None),
            done => done.map(Some),
        }
    }

    /// As [`call`](Self::call). Waits until `deadline` for others that are at it; its own call takes as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`Error::TimedOut`].
    pub fn call_deadline(&mut self, deadline: Instant, deed: impl FnOnce(OnceState)) -> Result<bool, Error> {
        self.call_until(deed, clock::deadline_ns(deadline))
    }

    /// As [`call`](Self::call). Waits for at most `timeout` for others that are at it.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`Error::TimedOut`].
    pub fn call_timeout(&mut self, timeout: Duration, deed: impl FnOnce(OnceState)) -> Result<bool, Error> {
        self.call_until(deed, clock::after_ns(timeout))
    }

    fn call_until(&mut self, deed: impl FnOnce(OnceState), until_ns: u64) -> Result<bool, Error> {
        if self.is_done()? {
            return Ok(false);
        }
        let line = self.member.views().line;
        let owned = Owned::new(&line.owner, &line.watch);
        if !owned.take(self.member.me()) && owned.wait(&self.member, until_ns)? == Taken::FromTheDead {
            note_failure(line);
        }
        // From here on, it is given back whatever happens.
        let attempt = Attempt::begin(&self.member);
        if self.is_done()? {
            return Ok(false);
        }
        deed(OnceState { attempts: line.attempts.load(at!(N_ATTEMPTS, Relaxed)) });
        self.member.check()?;
        // [N1] Release. Pairs with [N2].
        // Orders: the deed before it is done.
        // Without it: somebody who finds that it is done misses what was done.
        line.done.store(1, at!(N1_DONE, Release));
        drop(attempt);
        self.member.check_memory().map(|()| true)
    }

    /// Whether it is done.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn is_done(&self) -> Result<bool, Error> {
        self.member.check()?;
        // [N2] Acquire. Pairs with [N1].
        // Orders: that it is done before everything that rests on it.
        // Without it: see [N1].
        let is_done = self.member.views().line.done.load(at!(N2_IS_DONE, Acquire)) == 1;
        self.member.check_memory().map(|()| is_done)
    }

    /// Who is at it now, or died at it. Nobody once it is done. One system call if somebody else is.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn holder(&self) -> Result<Option<LockHolder>, Error> {
        // A handle that was killed after it stored `done`, and before it gave the word back, leaves its number there for good.
        if self.is_done()? {
            return Ok(None);
        }
        let line = self.member.views().line;
        let owner = Owned::new(&line.owner, &line.watch).owner();
        let holder = owner.map(|owner| self.member.lock_holder(owner)).transpose()?;
        self.member.check_memory().map(|()| holder)
    }

    /// The processes of the other handles that sleep until it is done, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.member.waiting()
    }
}

/// One more died or panicked at it. Only the owner counts.
fn note_failure(line: &Line) {
    let attempts = line.attempts.load(at!(N_ATTEMPTS, Relaxed));
    line.attempts.store(attempts.wrapping_add(1), at!(N_ATTEMPTS_WRITE, Relaxed));
}

/// The word is held. Dropping this gives it back; by a panic, the attempt is counted.
struct Attempt<'a> {
    member: &'a Member<Deed>,
    in_panic: bool,
}

impl<'a> Attempt<'a> {
    fn begin(member: &'a Member<Deed>) -> Self {
        member.holder().enter();
        Self { member, in_panic: std::thread::panicking() }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.member.holder().leave();
        if self.member.check().is_err() {
            return;
        }
        let line = self.member.views().line;
        if !self.in_panic && std::thread::panicking() {
            note_failure(line);
        }
        Owned::new(&line.owner, &line.watch).give(self.member.me());
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("member", &self.member).finish_non_exhaustive()
    }
}
