//! Something that has happened, or not yet.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::sync::bell;
use crate::sync::member::Member;
use crate::sync::options::SyncOptions;
#[cfg(not(loom))]
use crate::sync::shape::Shape;
use crate::wait::clock;
use crate::wait::doorbell;

#[cfg(not(loom))]
mod look;
mod signal;
mod source;

pub(crate) use signal::Signal;

/// What ends the signal of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reset {
    /// Only [`Event::reset`]. Until then everybody who waits or comes later goes on.
    Manual,
    /// The first waiter that takes it. Each signal lets one waiter go on.
    Auto,
}

/// Something that processes wait for, and that any of them can say has happened.
///
/// An event is set or not. With [`Reset::Manual`] it stays set, and lets everybody pass, until it is reset. A waiter also
/// goes on if the event was set and reset again while it slept. With [`Reset::Auto`] each signal lets one waiter go on,
/// and setting an event that is set already does not make two signals of one. A signal that was taken by a process which
/// then dies is gone; for work that must not get lost, use a [`Semaphore`](crate::sync::Semaphore) or a ring.
///
/// What was done before the event is set, its waiters see.
///
/// An event is one of the things that a [`WaitSet`](crate::WaitSet) waits for.
///
/// Each handle has a seat in the file. One thread at a time may use a handle; it may move between threads (`Send`, not
/// `Sync`). Other threads of the process get handles of their own, from [`try_clone`](Self::try_clone). After a `fork`
/// only the parent may use a handle.
///
/// ```
/// use std::time::Duration;
///
/// use quoit::sync::{Event, Reset, SyncOptions};
///
/// let path = format!("/dev/shm/ready-{}", std::process::id());
/// let ready = Event::create(&path, &SyncOptions::new(), Reset::Manual)?;
///
/// // In any other process:
/// let same = Event::open(&path)?;
/// assert!(!same.try_wait()?);
/// ready.set()?;
/// same.wait_timeout(Duration::from_secs(1))?;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Event {
    member: Member<Signal>,
    /// The count of the last look for a wait for many things.
    noticed: u64,
}

impl Event {
    /// Creates an event at `path` that is not set. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions, reset: Reset) -> Result<Self, Error> {
        let shape = options.shape(Signal { reset })?;
        Ok(Self::new(Member::create(path.as_ref(), &shape, options.file_mode(), |_| {})?))
    }

    /// Opens the event at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; [`Error::SeatsTaken`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Member::open(path.as_ref(), Owners::Any, |_| Ok(()))?))
    }

    /// As [`open`](Self::open), for an event that may not exist yet: waits until `deadline` for it to be created. With a
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

    /// Opens the event at `path`, or creates it if there is none. A file of another unprivileged user is refused: in a
    /// directory that everybody may write to, anybody can be there first. A leftover of an earlier boot is replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    /// [`Error::BadOption`] if the one that is there is reset in another way.
    #[cfg(not(loom))]
    pub fn open_or_create(
        path: impl AsRef<Path>,
        options: &SyncOptions,
        reset: Reset,
    ) -> Result<Self, Error> {
        let shape = options.shape(Signal { reset })?;
        let check = |found: &Shape<Signal>| {
            if found.content.reset == reset {
                Ok(())
            } else {
                Err(Error::BadOption { what: "the event is there already, and is reset in another way" })
            }
        };
        let (path, mode) = (path.as_ref(), options.file_mode());
        Ok(Self::new(Member::open_or_create(path, &shape, mode, check, |_| {})?))
    }

    /// Creates an event in this process's own memory, for its threads: [`try_clone`](Self::try_clone) creates their
    /// handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions, reset: Reset) -> Result<Self, Error> {
        Ok(Self::new(Member::local(options.shape(Signal { reset })?, |_| {})?))
    }

    fn new(member: Member<Signal>) -> Self {
        let noticed = member.views().line.look().count();
        Self { member, noticed }
    }

    /// Another handle on the same event, for another thread. For an event in a file this takes `/proc` and the permission
    /// to open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(self.member.try_clone()?))
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this event. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// What ends its signal.
    pub fn reset_by(&self) -> Reset {
        self.member.content().reset
    }

    /// Sets the event, and wakes its waiters. `false`: it was set already.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn set(&self) -> Result<bool, Error> {
        self.member.check()?;
        let line = self.member.views().line;
        let is_new = line.set();
        bell::ring(&line.bell);
        self.member.check_memory().map(|()| is_new)
    }

    /// Resets the event: whoever waits from now on waits for the next signal. `false`: it was not set.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn reset(&self) -> Result<bool, Error> {
        self.member.check()?;
        let was_set = self.member.views().line.reset();
        self.member.check_memory().map(|()| was_set)
    }

    /// Whether the event is set. Takes no signal. A hint: it may change at any time.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn is_set(&self) -> Result<bool, Error> {
        self.member.check()?;
        let is_set = self.member.views().line.look().is_set();
        self.member.check_memory().map(|()| is_set)
    }

    /// How often the event was set while it was not. It wraps at `2^63`.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn count(&self) -> Result<u64, Error> {
        self.member.check()?;
        let count = self.member.views().line.look().count();
        self.member.check_memory().map(|()| count)
    }

    /// Waits until the event is set, without a limit. With [`Reset::Auto`] it takes the signal.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_until(u64::MAX)
    }

    /// Whether the event is set. With [`Reset::Auto`] it takes the signal.
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

    /// The processes of the handles that sleep until the event is set, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.member.waiting()
    }

    fn wait_until(&self, until_ns: u64) -> Result<(), Error> {
        self.member.check()?;
        let line = self.member.views().line;
        let begin = line.look();
        let seen = std::cell::Cell::new(begin);
        let look = || {
            let now = line.look();
            seen.set(now);
            let is_over = match self.reset_by() {
                Reset::Manual => now.is_set() || now.count() != begin.count(),
                Reset::Auto => now.is_set() && line.take(now),
            };
            Ok(is_over.then_some(()))
        };
        let has_changed = || line.has_changed(seen.get());
        bell::wait(&self.member, &line.bell, until_ns, |_| doorbell::SLICE_NS, look, has_changed)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("member", &self.member).finish_non_exhaustive()
    }
}
