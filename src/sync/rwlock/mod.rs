//! A lock that several may hold to read, or one to write, and the value that it guards.

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
use crate::sync::cells::whole;
use crate::sync::guarded::{self, Guarded, IfAbandoned};
use crate::sync::member::{LockHolder, Member};
use crate::sync::options::SyncOptions;
#[cfg(not(loom))]
use crate::sync::shape::Shape;
use crate::wait::clock;

mod guards;
#[cfg(not(loom))]
mod look;
mod readers;

pub use guards::{ReadGuard, WriteGuard};
pub(crate) use readers::Value;

/// A lock between processes that several may hold to read, or one to write, and the value that it guards.
///
/// [`get`](Self::get) reads the last committed value, whole, without the lock. [`read`](Self::read) keeps writers out
/// meanwhile, for what is outside the value. [`write`](Self::write) gives a guard with a private copy, which
/// [`commit`](WriteGuard::commit), or dropping the guard, commits by one store: whoever comes next has the last committed
/// value, also if the writer was killed, at any instruction.
///
/// A writer that dies or panics *abandons* the lock, as with a [`Mutex`](crate::sync::Mutex): everybody gets
/// [`Error::Abandoned`] until somebody takes it with [`recover`](Self::recover) and says
/// [`recovered`](WriteGuard::recovered); [`get`](Self::get) goes on. A reader that dies is forgotten.
///
/// Writers go first: a reader that comes while a writer waits, waits too. So reading twice in one thread, through two
/// handles, can wait for itself, with a writer in between.
///
/// Each handle has a seat in the file. One thread at a time may use a handle; it may move between threads (`Send`, not
/// `Sync`), and a guard may not. Other threads of the process get handles of their own, from
/// [`try_clone`](Self::try_clone). After a `fork` only the parent may use a handle or a guard.
///
/// ```
/// use quoit::sync::{RwLock, SyncOptions};
///
/// let path = format!("/dev/shm/routes-{}", std::process::id());
/// let mut routes = RwLock::create(&path, &SyncOptions::new(), &[0_u32; 4])?;
///
/// // In any other process:
/// let mut same = RwLock::<[u32; 4]>::open(&path)?;
/// let reading = same.read()?;
/// assert!(routes.try_read()?.is_some() && routes.try_write()?.is_none());
/// drop(reading);
///
/// let mut guard = routes.write()?;
/// guard[0] = 7;
/// guard.commit()?;
/// assert_eq!(same.get()?[0], 7);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RwLock<T> {
    guarded: Guarded<Value, T>,
}

impl<T: Typed> RwLock<T> {
    /// Creates a lock at `path` with `first` in it. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions, first: &T) -> Result<Self, Error> {
        let (path, shape) = (path.as_ref(), options.shape(Value::of::<T>())?);
        Self::new(Member::create(path, &shape, options.file_mode(), |member| guarded::store(member, first))?)
    }

    /// Opens the lock at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if its value is of another type; [`Error::OtherKind`]; [`Error::SeatsTaken`]; any other
    /// error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::new(Member::open(path.as_ref(), Owners::Any, check::<T>)?)
    }

    /// As [`open`](Self::open), for a lock that may not exist yet: waits until `deadline` for it to be created. With a
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

    /// Opens the lock at `path`, or creates it with `first` in it if there is none. A file of another unprivileged user
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

    /// Creates a lock in this process's own memory, for its threads: [`try_clone`](Self::try_clone) creates their
    /// handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions, first: &T) -> Result<Self, Error> {
        let shape = options.shape(Value::of::<T>())?;
        Self::new(Member::local(shape, |member| guarded::store(member, first))?)
    }

    fn new(member: Member<Value>) -> Result<Self, Error> {
        Ok(Self { guarded: Guarded::new(member)? })
    }

    /// Another handle on the same lock, for another thread. For a lock in a file this takes `/proc` and the permission to
    /// open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Self::new(self.guarded.member.try_clone()?)
    }

    /// A descriptor that keeps this handle alive, for a process to inherit. While a copy of it is open anywhere, what it
    /// holds, to read or to write, is not taken from it, even if this process is killed. Dropping the handle ends that.
    ///
    /// It closes on `exec`: clear that flag for the process that is to have it. It may write the file.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] for a lock on the heap; [`Error::Forked`], [`Error::Truncated`], [`Error::Io`].
    #[cfg(not(loom))]
    pub fn proof_of_life(&self) -> Result<OwnedFd, Error> {
        self.guarded.member.proof_of_life()
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this lock. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.guarded.member.is_stale()
    }

    /// The last committed value, whole, without the lock: whatever readers and writers do.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if commits came too fast for a copy, a thousand times in a row. [`Error::Forked`],
    /// [`Error::Truncated`].
    pub fn get(&self) -> Result<T, Error> {
        let member = &self.guarded.member;
        member.check()?;
        let cells = self.guarded.cells();
        let (value, _) = whole(member.region(), || cells.try_get())?;
        Ok(value)
    }

    /// As [`get`](Self::get), into a value that is there already: a large one does not go through the stack.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). Part of the value may be of another one then.
    pub fn get_into(&self, value: &mut T) -> Result<(), Error> {
        let member = &self.guarded.member;
        member.check()?;
        let cells = self.guarded.cells();
        whole(member.region(), || cells.read(value.as_mut_bytes()))?;
        Ok(())
    }

    /// Waits for the lock to read, without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Abandoned`]: a writer died or panicked, and the lock was not recovered since. It is not held then.
    /// [`Error::Deadlock`] if the calling thread writes, through another handle of this process. [`Error::Forked`],
    /// [`Error::Truncated`], [`Error::Garbage`].
    pub fn read(&mut self) -> Result<ReadGuard<'_, T>, Error> {
        self.read_until(u64::MAX, IfAbandoned::Refuse)
    }

    /// Takes the lock to read if there is no writer. `None`: there is.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), without [`Error::Deadlock`].
    pub fn try_read(&mut self) -> Result<Option<ReadGuard<'_, T>>, Error> {
        match self.read_until(0, IfAbandoned::Refuse) {
            Err(Error::TimedOut) => Ok(None),
            guard => guard.map(Some),
        }
    }

    /// As [`read`](Self::read), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::TimedOut`].
    pub fn read_deadline(&mut self, deadline: Instant) -> Result<ReadGuard<'_, T>, Error> {
        self.read_until(clock::deadline_ns(deadline), IfAbandoned::Refuse)
    }

    /// As [`read`](Self::read), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`Error::TimedOut`].
    pub fn read_timeout(&mut self, timeout: Duration) -> Result<ReadGuard<'_, T>, Error> {
        self.read_until(clock::after_ns(timeout), IfAbandoned::Refuse)
    }

    /// As [`read`](Self::read), whether the lock was abandoned or not: [`is_abandoned`](ReadGuard::is_abandoned) of the
    /// guard says so. Only a writer can say that it is [`recovered`](WriteGuard::recovered).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), without [`Error::Abandoned`].
    pub fn read_anyway(&mut self) -> Result<ReadGuard<'_, T>, Error> {
        self.read_until(u64::MAX, IfAbandoned::Accept)
    }

    /// As [`read_anyway`](Self::read_anyway), if there is no writer. `None`: there is.
    ///
    /// # Errors
    ///
    /// As [`read_anyway`](Self::read_anyway), without [`Error::Deadlock`].
    pub fn try_read_anyway(&mut self) -> Result<Option<ReadGuard<'_, T>>, Error> {
        match self.read_until(0, IfAbandoned::Accept) {
            Err(Error::TimedOut) => Ok(None),
            guard => guard.map(Some),
        }
    }

    /// As [`read_anyway`](Self::read_anyway), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`read_anyway`](Self::read_anyway); [`Error::TimedOut`].
    pub fn read_anyway_deadline(&mut self, deadline: Instant) -> Result<ReadGuard<'_, T>, Error> {
        self.read_until(clock::deadline_ns(deadline), IfAbandoned::Accept)
    }

    /// As [`read_anyway`](Self::read_anyway), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`read_anyway`](Self::read_anyway); [`Error::TimedOut`].
    pub fn read_anyway_timeout(&mut self, timeout: Duration) -> Result<ReadGuard<'_, T>, Error> {
        self.read_until(clock::after_ns(timeout), IfAbandoned::Accept)
    }

    fn read_until(&mut self, until_ns: u64, if_abandoned: IfAbandoned) -> Result<ReadGuard<'_, T>, Error> {
        let Guarded { member, .. } = &self.guarded;
        member.check()?;
        readers::raise(member);
        if !self.guarded.is_free() {
            readers::lower(member);
            // In turn with the writers: the word is this handle's for a moment.
            self.guarded.acquire(until_ns)?;
            readers::raise_as_writer(member);
            self.guarded.give();
        }
        let guard = ReadGuard::new(&mut self.guarded)?;
        match guard.is_abandoned() && if_abandoned == IfAbandoned::Refuse {
            true => Err(Error::Abandoned),
            false => Ok(guard),
        }
    }

    /// Waits for the lock to write, without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Abandoned`]: a writer died or panicked, and the lock was not recovered since. It is not held then;
    /// [`recover`](Self::recover) takes it. [`Error::Deadlock`] if the calling thread reads or writes, through another
    /// handle of this process. [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn write(&mut self) -> Result<WriteGuard<'_, T>, Error> {
        self.write_until(u64::MAX, IfAbandoned::Refuse)
    }

    /// Takes the lock to write if nobody has it. `None`: somebody has.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), without [`Error::Deadlock`].
    pub fn try_write(&mut self) -> Result<Option<WriteGuard<'_, T>>, Error> {
        match self.write_until(0, IfAbandoned::Refuse) {
            Err(Error::TimedOut) => Ok(None),
            guard => guard.map(Some),
        }
    }

    /// As [`write`](Self::write), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); [`Error::TimedOut`].
    pub fn write_deadline(&mut self, deadline: Instant) -> Result<WriteGuard<'_, T>, Error> {
        self.write_until(clock::deadline_ns(deadline), IfAbandoned::Refuse)
    }

    /// As [`write`](Self::write), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); [`Error::TimedOut`].
    pub fn write_timeout(&mut self, timeout: Duration) -> Result<WriteGuard<'_, T>, Error> {
        self.write_until(clock::after_ns(timeout), IfAbandoned::Refuse)
    }

    /// As [`write`](Self::write), whether the lock was abandoned or not: [`is_abandoned`](WriteGuard::is_abandoned) of the
    /// guard says so. It stays abandoned until the guard's [`recovered`](WriteGuard::recovered).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), without [`Error::Abandoned`].
    pub fn recover(&mut self) -> Result<WriteGuard<'_, T>, Error> {
        self.write_until(u64::MAX, IfAbandoned::Accept)
    }

    /// As [`recover`](Self::recover), if nobody has the lock. `None`: somebody has.
    ///
    /// # Errors
    ///
    /// As [`recover`](Self::recover), without [`Error::Deadlock`].
    pub fn try_recover(&mut self) -> Result<Option<WriteGuard<'_, T>>, Error> {
        match self.write_until(0, IfAbandoned::Accept) {
            Err(Error::TimedOut) => Ok(None),
            guard => guard.map(Some),
        }
    }

    /// As [`recover`](Self::recover), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`recover`](Self::recover); [`Error::TimedOut`].
    pub fn recover_deadline(&mut self, deadline: Instant) -> Result<WriteGuard<'_, T>, Error> {
        self.write_until(clock::deadline_ns(deadline), IfAbandoned::Accept)
    }

    /// As [`recover`](Self::recover), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`recover`](Self::recover); [`Error::TimedOut`].
    pub fn recover_timeout(&mut self, timeout: Duration) -> Result<WriteGuard<'_, T>, Error> {
        self.write_until(clock::after_ns(timeout), IfAbandoned::Accept)
    }

    fn write_until(&mut self, until_ns: u64, if_abandoned: IfAbandoned) -> Result<WriteGuard<'_, T>, Error> {
        let Guarded { member, .. } = &self.guarded;
        member.check()?;
        // A read guard of this handle was forgotten.
        readers::forget(member);
        let is_abandoned = self.guarded.acquire(until_ns)?;
        let drained = match is_abandoned && if_abandoned == IfAbandoned::Refuse {
            true => Err(Error::Abandoned),
            false => readers::drain(member, until_ns),
        };
        if let Err(error) = drained {
            self.guarded.give();
            return Err(error);
        }
        WriteGuard::new(&mut self.guarded)
    }

    /// Who writes, or waits for the readers to leave, now. One system call if somebody else does.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn writer(&self) -> Result<Option<LockHolder>, Error> {
        self.guarded.holder()
    }

    /// Who reads now, this handle not counted. One system call for each.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn readers(&self) -> Result<Vec<LockHolder>, Error> {
        let member = &self.guarded.member;
        member.check()?;
        let readers = readers::all(member).map(|reader| member.lock_holder(reader)).collect();
        member.check_memory().and(readers)
    }

    /// Whether somebody has waited for more than a millisecond, behind a writer. Who waits lets that one pass;
    /// [`try_read`](Self::try_read) and [`try_write`](Self::try_write) do not. A hint.
    pub fn is_somebody_impatient(&self) -> bool {
        self.guarded.member.check().is_ok() && self.guarded.is_somebody_impatient()
    }

    /// The guard of a lock that this handle holds to write, and whose guard was forgotten: so a guard can be kept where no
    /// borrow can. Its copy is the last committed value. `None`: this handle does not write.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn regain_forgotten(&mut self) -> Result<Option<WriteGuard<'_, T>>, Error> {
        self.guarded.member.check()?;
        if self.guarded.is_own() { WriteGuard::new(&mut self.guarded).map(Some) } else { Ok(None) }
    }

    /// Gives back what this handle holds, to read or to write. No guard of it is there, so it is of a guard that was
    /// forgotten. What was changed in that guard is not committed.
    pub fn give_back_forgotten(&mut self) {
        let Guarded { member, .. } = &self.guarded;
        member.holder().leave();
        if member.check().is_ok() {
            readers::forget(member);
            self.guarded.give();
        }
    }

    /// The processes of the handles that sleep until they get the lock, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.guarded.member.waiting()
    }

    /// Whether a writer died or panicked, and the lock was not recovered since. A hint, unless the lock is held.
    pub fn is_abandoned(&self) -> bool {
        self.guarded.is_abandoned()
    }
}

/// Refuses a value of another type.
#[cfg(not(loom))]
fn check<T: Typed>(shape: &Shape<Value>) -> Result<(), Error> {
    guarded::check_type::<T>(shape.content.schema)
}

impl<T> Drop for RwLock<T> {
    fn drop(&mut self) {
        if self.guarded.member.check().is_ok() {
            readers::forget(&self.guarded.member);
        }
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("member", &self.guarded.member).finish_non_exhaustive()
    }
}
