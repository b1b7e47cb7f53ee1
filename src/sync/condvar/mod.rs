//! Waiting, with a lock given up meanwhile, until something that the lock guards has changed.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomics::{AtomicU64, FutexWord, Word};
use crate::error::{Error, Kind};
#[cfg(not(loom))]
use crate::memory::arrival;
use crate::memory::block::block;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::schema::Typed;
use crate::sync::member::Member;
use crate::sync::mutex::MutexGuard;
use crate::sync::options::SyncOptions;
use crate::sync::shape::Content;
use crate::sync::watch::Watch;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::futex;

#[cfg(not(loom))]
mod look;

block! {
    /// Where they sleep.
    pub(crate) struct Line: 128 bytes, aligned to 128 {
        at 0: pub(crate) bell: FutexWord,
        /// Who of those that wait watches the owner of the mutex.
        at 8: pub(crate) watch: AtomicU64,
    }
}

/// The kind of object. It has nothing but its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meeting;

impl Content for Meeting {
    const KIND: Kind = Kind::Condvar;

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

/// Lets processes wait until something that a [`Mutex`](crate::sync::Mutex) guards has changed.
///
/// It is a file of its own, for one mutex; a mutex may have several. Who waits gives its lock up, in one step to
/// whoever notifies under the same lock: nobody sleeps through a change. Notify after the change is committed, under the
/// lock or after it.
///
/// If a holder of the mutex dies, those that wait get [`Error::Abandoned`], whatever they wait for. A process that is killed
/// between its change and its notification costs the others 100 ms: then they look for themselves. So does one that is
/// killed just as [`notify_one`](Self::notify_one) has woken it.
///
/// Each handle has a seat in the file. One thread at a time may use a handle; it may move between threads (`Send`, not
/// `Sync`). Other threads of the process get handles of their own, from [`try_clone`](Self::try_clone). After a `fork`
/// only the parent may use a handle.
///
/// ```
/// use quoit::sync::{Condvar, Mutex, SyncOptions};
///
/// let options = SyncOptions::new();
/// let mut stock = Mutex::local(&options, &0_u64)?;
/// let changed = Condvar::local(&options)?;
///
/// let (mut store, notify) = (stock.try_clone()?, changed.try_clone()?);
/// let supplier = std::thread::spawn(move || {
///     *store.lock()? += 3;
///     notify.notify_all()
/// });
///
/// let guard = stock.lock()?;
/// let mut guard = changed.wait_while(guard, |stock| *stock < 2)?;
/// *guard -= 2;
/// guard.commit()?;
/// # supplier.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Condvar {
    member: Member<Meeting>,
}

impl Condvar {
    /// Creates a condition variable at `path`. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions) -> Result<Self, Error> {
        let shape = options.shape(Meeting)?;
        Ok(Self { member: Member::create(path.as_ref(), &shape, options.file_mode(), |_| {})? })
    }

    /// Opens the condition variable at `path`.
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

    /// Opens the condition variable at `path`, or creates it if there is none. A file of another unprivileged user is
    /// refused: in a directory that everybody may write to, anybody can be there first. A leftover of an earlier boot is
    /// replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &SyncOptions) -> Result<Self, Error> {
        let (path, shape, mode) = (path.as_ref(), options.shape(Meeting)?, options.file_mode());
        Ok(Self { member: Member::open_or_create(path, &shape, mode, |_| Ok(()), |_| {})? })
    }

    /// Creates a condition variable in this process's own memory, for its threads: [`try_clone`](Self::try_clone) creates
    /// their handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions) -> Result<Self, Error> {
        Ok(Self { member: Member::local(options.shape(Meeting)?, |_| {})? })
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
    /// now does not get this condition variable. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// Commits what was changed through the guard, unlocks, sleeps until it is notified, and locks again. It may also
    /// return without that; [`wait_while`](Self::wait_while) looks again.
    ///
    /// # Errors
    ///
    /// The lock is not held after any of them. [`Error::Abandoned`], [`Error::Forked`], [`Error::Truncated`],
    /// [`Error::Garbage`].
    pub fn wait<'a, T: Typed>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_until(guard, u64::MAX)
    }

    /// As [`wait`](Self::wait), until `deadline`. If the lock can be had then, it returns with it once; whoever waits
    /// again with the same deadline gets [`Error::TimedOut`]. So a loop looks once more before it gives up.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_deadline<'a, T: Typed>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_until(guard, clock::deadline_ns(deadline))
    }

    /// As [`wait`](Self::wait), for at most `timeout`. A loop needs one deadline for all of its turns:
    /// [`wait_deadline`](Self::wait_deadline).
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_timeout<'a, T: Typed>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_until(guard, clock::after_ns(timeout))
    }

    /// Waits while `condition` holds of the value. Returns at once if it does not.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while<'a, T: Typed>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&T) -> bool,
    ) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_while_until(guard, condition, u64::MAX)
    }

    /// As [`wait_while`](Self::wait_while), until `deadline`. With a deadline that has passed it looks once.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_while_deadline<'a, T: Typed>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
        condition: impl FnMut(&T) -> bool,
    ) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_while_until(guard, condition, clock::deadline_ns(deadline))
    }

    /// As [`wait_while`](Self::wait_while), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_while_timeout<'a, T: Typed>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&T) -> bool,
    ) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_while_until(guard, condition, clock::after_ns(timeout))
    }

    fn wait_while_until<'a, T: Typed>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&T) -> bool,
        until_ns: u64,
    ) -> Result<MutexGuard<'a, T>, Error> {
        while condition(&guard) {
            guard = self.wait_until(guard, until_ns)?;
        }
        Ok(guard)
    }

    fn wait_until<'a, T: Typed>(
        &self,
        mut guard: MutexGuard<'a, T>,
        until_ns: u64,
    ) -> Result<MutexGuard<'a, T>, Error> {
        self.member.check()?;
        if clock::is_past(until_ns) {
            return Err(Error::TimedOut);
        }
        // Under the lock: whoever notifies of what is changed from now on has had the lock since, and sees the mark.
        let armed = doorbell::arm(&self.member.views().line.bell);
        guard.give_up()?;
        self.member.note_waiting(true);
        self.sleep(&guard, armed, until_ns);
        self.member.note_waiting(false);
        self.member.check_memory()?;
        let taken = guard.take_again(until_ns);
        if taken.is_err() {
            // It may have been woken instead of another one.
            doorbell::notify_one(&self.member.views().line.bell);
        }
        taken.map(|()| guard)
    }

    /// Sleeps until it is notified, a time is over, or the owner of the mutex is dead.
    fn sleep<T: Typed>(&self, guard: &MutexGuard<'_, T>, armed: u32, until_ns: u64) {
        let line = self.member.views().line;
        let mut watch = Watch::new(&line.watch);
        let began_ns = clock::monotonic_ns();
        // A notification may be lost with the process that made it or took it: look for oneself now and then.
        let until_ns = until_ns.min(began_ns.saturating_add(doorbell::armed_ns(doorbell::SLICE_NS)));
        let mut now = began_ns;
        loop {
            let slice_ns = watch.slice_ns(&self.member, now.saturating_sub(began_ns));
            let slice_ends_ns = now.saturating_add(doorbell::armed_ns(slice_ns));
            let is_notified = doorbell::sleep_on(&line.bell, armed, until_ns.min(slice_ends_ns));
            if is_notified
                || clock::is_past(until_ns)
                || guard.is_owner_dead()
                || self.member.check().is_err()
            {
                break;
            }
            now = clock::monotonic_ns();
        }
        if watch.end(&self.member) {
            // Another one is to watch.
            futex::wake(&line.bell, 1);
        }
    }

    /// Wakes one that waits.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn notify_one(&self) -> Result<(), Error> {
        self.member.check()?;
        doorbell::notify_one(&self.member.views().line.bell);
        self.member.check_memory()
    }

    /// Wakes all that wait.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn notify_all(&self) -> Result<(), Error> {
        self.member.check()?;
        crate::sync::bell::ring(&self.member.views().line.bell);
        self.member.check_memory()
    }

    /// The processes of the other handles that wait, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.member.waiting()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("member", &self.member).finish_non_exhaustive()
    }
}
