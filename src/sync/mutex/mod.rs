//! A lock, and the value that it guards.

use std::fmt;
#[cfg(not(loom))]
use std::os::fd::OwnedFd;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::schema::Typed;
use crate::sync::guarded::{self, Guarded, IfAbandoned};
use crate::sync::member::{LockHolder, Member};
use crate::sync::options::SyncOptions;
#[cfg(not(loom))]
use crate::sync::shape::Shape;
use crate::wait::clock;

mod guard;
#[cfg(not(loom))]
mod look;
mod value;

pub use guard::MutexGuard;
pub(crate) use value::Value;

/// A lock between processes, and the value that it guards.
///
/// [`lock`](Self::lock) gives a guard with a private copy of the value. [`commit`](MutexGuard::commit), or dropping a
/// guard through which the value was changed, commits the copy and unlocks. The commit is one store: whoever locks
/// next has the last committed value, whole, also if the holder was killed, at any instruction.
///
/// A holder that dies or panics *abandons* the mutex. The kernel says that it died, no timeout: a stopped holder keeps
/// the lock. Everybody who waits or comes later gets [`Error::Abandoned`], until somebody takes the lock with
/// [`recover`](Self::recover), checks what it guards, and says [`recovered`](MutexGuard::recovered). The value itself
/// needs no check; what was done outside it may be half done. A `Mutex<()>` guards only what is outside.
///
/// The type consists of plain bytes, see [`Typed`]; its size and tag are stored in the file. Each handle has a seat in
/// the file. One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`), and a guard may
/// not. Other threads of the process get handles of their own, from [`try_clone`](Self::try_clone). After a `fork` only
/// the parent may use a handle or a guard.
///
/// Who waits looks a moment, then sleeps. A lock is not handed over in turn, but a newcomer lets a sleeper that has
/// waited for more than a millisecond go first.
///
/// ```
/// use quoit::sync::{Mutex, SyncOptions};
///
/// let path = format!("/dev/shm/counter-{}", std::process::id());
/// let mut counter = Mutex::create(&path, &SyncOptions::new(), &0_u64)?;
///
/// // In any other process:
/// let mut same = Mutex::<u64>::open(&path)?;
/// let mut guard = same.lock()?;
/// *guard += 1;
/// guard.commit()?;
///
/// assert_eq!(*counter.lock()?, 1);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Where the death of a holder is no reason to stop:
///
/// ```
/// use quoit::sync::{Mutex, SyncOptions};
///
/// # let mut ledger = Mutex::local(&SyncOptions::new(), &[1_u64, 1])?;
/// let mut guard = ledger.recover()?;
/// if guard.is_abandoned() {
///     // Check what the dead holder may have left half done outside.
///     guard.recovered();
/// }
/// guard[0] += 1;
/// guard.commit()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A second lock through one handle does not compile:
///
/// ```compile_fail,E0499
/// # use quoit::sync::{Mutex, SyncOptions};
/// let mut mutex = Mutex::local(&SyncOptions::new(), &())?;
/// let first = mutex.lock()?;
/// let second = mutex.lock()?;
/// drop(first);
/// # Ok::<(), quoit::Error>(())
/// ```
pub struct Mutex<T> {
    guarded: Guarded<Value, T>,
}

impl<T: Typed> Mutex<T> {
    /// Creates a mutex at `path` with `first` in it. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions, first: &T) -> Result<Self, Error> {
        let shape = options.shape(Value::of::<T>())?;
        Self::new(Member::create(path.as_ref(), &shape, options.file_mode(), |member| {
            guarded::store(member, first)
        })?)
    }

    /// Opens the mutex at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if its value is of another type; [`Error::OtherKind`]; [`Error::SeatsTaken`]; any other
    /// error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::new(Member::open(path.as_ref(), Owners::Any, check::<T>)?)
    }

    /// As [`open`](Self::open), for a mutex that may not exist yet: waits until `deadline` for it to be created. With a
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

    /// Opens the mutex at `path`, or creates it with `first` in it if there is none. A file of another unprivileged user
    /// is refused: in a directory that everybody may write to, anybody can be there first. A leftover of an earlier boot
    /// is replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &SyncOptions, first: &T) -> Result<Self, Error> {
        let shape = options.shape(Value::of::<T>())?;
        let first = |member: &Member<Value>| guarded::store(member, first);
        Self::new(Member::open_or_create(path.as_ref(), &shape, options.file_mode(), check::<T>, first)?)
    }

    /// Creates a mutex in this process's own memory, for its threads: [`try_clone`](Self::try_clone) creates their
    /// handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions, first: &T) -> Result<Self, Error> {
        Self::new(Member::local(options.shape(Value::of::<T>())?, |member| guarded::store(member, first))?)
    }

    fn new(member: Member<Value>) -> Result<Self, Error> {
        Ok(Self { guarded: Guarded::new(member)? })
    }

    /// Another handle on the same mutex, for another thread. For a mutex in a file this takes `/proc` and the
    /// permission to open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Self::new(self.guarded.member.try_clone()?)
    }

    /// A descriptor that keeps this handle alive, for a process to inherit. While a copy of it is open anywhere, what it
    /// holds is not taken from it, even if this process is killed. Dropping the handle ends that.
    ///
    /// It closes on `exec`: clear that flag for the process that is to have it. It may write the file.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] for a mutex on the heap; [`Error::Forked`], [`Error::Truncated`], [`Error::Io`].
    #[cfg(not(loom))]
    pub fn proof_of_life(&self) -> Result<OwnedFd, Error> {
        self.guarded.member.proof_of_life()
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this mutex. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.guarded.member.is_stale()
    }

    /// Waits for the lock, without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Abandoned`]: a holder died or panicked, and the lock was not recovered since. The lock is not held
    /// then; [`recover`](Self::recover) takes it. [`Error::Deadlock`] if the calling thread holds the lock through another
    /// handle of this process. [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    #[inline]
    pub fn lock(&mut self) -> Result<MutexGuard<'_, T>, Error> {
        self.enter(u64::MAX, IfAbandoned::Refuse)
    }

    /// Takes the lock if it is free. `None`: it is not. Takes it from a dead holder as well, but a call that follows
    /// within a millisecond of another may not notice the death.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), without [`Error::Deadlock`].
    #[inline]
    pub fn try_lock(&mut self) -> Result<Option<MutexGuard<'_, T>>, Error> {
        match self.enter(0, IfAbandoned::Refuse) {
            Err(Error::TimedOut) => Ok(None),
            guard => guard.map(Some),
        }
    }

    /// As [`lock`](Self::lock), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock); [`Error::TimedOut`].
    pub fn lock_deadline(&mut self, deadline: Instant) -> Result<MutexGuard<'_, T>, Error> {
        self.enter(clock::deadline_ns(deadline), IfAbandoned::Refuse)
    }

    /// As [`lock`](Self::lock), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock); [`Error::TimedOut`].
    pub fn lock_timeout(&mut self, timeout: Duration) -> Result<MutexGuard<'_, T>, Error> {
        self.enter(clock::after_ns(timeout), IfAbandoned::Refuse)
    }

    /// As [`lock`](Self::lock), whether the mutex was abandoned or not: [`is_abandoned`](MutexGuard::is_abandoned) of
    /// the guard says so. It stays abandoned until the guard's [`recovered`](MutexGuard::recovered).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), without [`Error::Abandoned`].
    pub fn recover(&mut self) -> Result<MutexGuard<'_, T>, Error> {
        self.enter(u64::MAX, IfAbandoned::Accept)
    }

    /// As [`recover`](Self::recover), if the lock is free. `None`: it is not. As with [`try_lock`](Self::try_lock), a call
    /// that follows soon may not notice a death.
    ///
    /// # Errors
    ///
    /// As [`recover`](Self::recover), without [`Error::Deadlock`].
    pub fn try_recover(&mut self) -> Result<Option<MutexGuard<'_, T>>, Error> {
        match self.enter(0, IfAbandoned::Accept) {
            Err(Error::TimedOut) => Ok(None),
            guard => guard.map(Some),
        }
    }

    /// As [`recover`](Self::recover), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`recover`](Self::recover); [`Error::TimedOut`].
    pub fn recover_deadline(&mut self, deadline: Instant) -> Result<MutexGuard<'_, T>, Error> {
        self.enter(clock::deadline_ns(deadline), IfAbandoned::Accept)
    }

    /// As [`recover`](Self::recover), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`recover`](Self::recover); [`Error::TimedOut`].
    pub fn recover_timeout(&mut self, timeout: Duration) -> Result<MutexGuard<'_, T>, Error> {
        self.enter(clock::after_ns(timeout), IfAbandoned::Accept)
    }

    #[inline(always)]
    fn enter(&mut self, until_ns: u64, if_abandoned: IfAbandoned) -> Result<MutexGuard<'_, T>, Error> {
        self.guarded.member.check()?;
        let is_abandoned = self.guarded.acquire(until_ns)?;
        if is_abandoned && if_abandoned == IfAbandoned::Refuse {
            self.guarded.give();
            return Err(Error::Abandoned);
        }
        MutexGuard::new(&mut self.guarded)
    }

    /// Who holds the lock now. One system call if somebody else does.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn holder(&self) -> Result<Option<LockHolder>, Error> {
        self.guarded.holder()
    }

    /// Whether somebody has waited for the lock for more than a millisecond. Who waits for it lets that one pass;
    /// [`try_lock`](Self::try_lock) does not. A hint.
    pub fn is_somebody_impatient(&self) -> bool {
        self.guarded.member.check().is_ok() && self.guarded.is_somebody_impatient()
    }

    /// The processes of the handles that sleep until they get the lock, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.guarded.member.waiting()
    }

    /// Whether a holder died or panicked, and the lock was not recovered since. A hint, unless the lock is held.
    pub fn is_abandoned(&self) -> bool {
        self.guarded.is_abandoned()
    }
}

/// Refuses a value of another type.
#[cfg(not(loom))]
fn check<T: Typed>(shape: &Shape<Value>) -> Result<(), Error> {
    guarded::check_type::<T>(shape.content.schema)
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("member", &self.guarded.member).finish_non_exhaustive()
    }
}
