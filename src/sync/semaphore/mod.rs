//! A number of permits, for something that only so many may do at a time.

use std::cell::Cell;
use std::fmt;
#[cfg(not(loom))]
use std::os::fd::OwnedFd;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomics::at;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::sync::bell;
use crate::sync::looks::Looks;
use crate::sync::member::{LockHolder, Member};
use crate::sync::options::SyncOptions;
use crate::sync::owned::Owned;
use crate::sync::watch::PATIENCE_NS;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

#[cfg(not(loom))]
mod look;
mod permit;
mod permits;

use permit::NONE;
pub use permit::Permit;
pub(crate) use permits::Permits;
use permits::Taken;

/// How often whoever waits for permits asks whether their holders live, ns, and how much longer than that it waits at
/// least, so that many holders do not cost a processor.
const SWEEP_NS: u64 = if cfg!(loom) { 0 } else { doorbell::PROBE_NS };
const SWEEP_PART: u64 = 16;

/// A number of permits, between processes: only so many may hold one at a time.
///
/// [`acquire`](Self::acquire) takes a permit, and dropping the [`Permit`] gives it back. A handle may have several. Only
/// the handle that took a permit gives it back, unlike a POSIX semaphore, whose count anybody may raise: so the permits
/// of a holder that dies, at any instruction, are given back for it, and no count can go wrong. Whoever takes such a
/// permit next can [ask](Permit::is_abandoned).
///
/// Each handle has a seat in the file. One thread at a time may use a handle; it may move between threads (`Send`, not
/// `Sync`), and a permit stays with its handle. Other threads of the process get handles of their own, from
/// [`try_clone`](Self::try_clone). After a `fork` only the parent may use a handle or a permit.
///
/// Who waits takes turns with the others that wait. A newcomer may be faster, but lets one that has waited for more
/// than a millisecond go first. Who waits for several permits keeps those that it has got already, and so gets the rest.
///
/// ```
/// use quoit::sync::{Semaphore, SyncOptions};
///
/// let path = format!("/dev/shm/workers-{}", std::process::id());
/// let workers = Semaphore::create(&path, &SyncOptions::new(), 2)?;
///
/// // In any other process:
/// let same = Semaphore::open(&path)?;
/// let one = same.acquire()?;
/// let other = same.acquire()?;
/// assert!(workers.try_acquire()?.is_none());
/// drop(one);
/// assert!(workers.try_acquire()?.is_some());
/// # drop(other);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Semaphore {
    member: Member<Permits>,
    /// Permits of this handle.
    held: Cell<usize>,
    /// The permit that it took last: where it looks first.
    last: Cell<usize>,
    /// For each permit of a [`Permit`], the one that was taken before it.
    before: Box<[Cell<u32>]>,
}

impl Semaphore {
    /// Creates a semaphore of so many permits at `path`: 1 to 4096. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions, permits: u32) -> Result<Self, Error> {
        let shape = options.shape(Permits { count: permits.into() })?;
        Ok(Self::new(Member::create(path.as_ref(), &shape, options.file_mode(), |_| {})?))
    }

    /// Opens the semaphore at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; [`Error::SeatsTaken`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Member::open(path.as_ref(), Owners::Any, |_| Ok(()))?))
    }

    /// As [`open`](Self::open), for a semaphore that may not exist yet: waits until `deadline` for it to be created. With
    /// a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    /// Opens the semaphore at `path`, whatever its number of permits, or creates it if there is none. A file of another
    /// unprivileged user is refused: in a directory that everybody may write to, anybody can be there first. A leftover
    /// of an earlier boot is replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    #[cfg(not(loom))]
    pub fn open_or_create(
        path: impl AsRef<Path>,
        options: &SyncOptions,
        permits: u32,
    ) -> Result<Self, Error> {
        let shape = options.shape(Permits { count: permits.into() })?;
        let (path, mode) = (path.as_ref(), options.file_mode());
        Ok(Self::new(Member::open_or_create(path, &shape, mode, |_| Ok(()), |_| {})?))
    }

    /// Creates a semaphore in this process's own memory, for its threads: [`try_clone`](Self::try_clone) creates their
    /// handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions, permits: u32) -> Result<Self, Error> {
        Ok(Self::new(Member::local(options.shape(Permits { count: permits.into() })?, |_| {})?))
    }

    fn new(member: Member<Permits>) -> Self {
        // Handles begin to look at different permits, so that they get into each other's way less.
        let permits = member.views().items.len();
        let first = 8 * member.me().number as usize % permits;
        let before = vec![Cell::new(NONE); permits].into();
        Self { member, held: Cell::new(0), last: Cell::new(first), before }
    }

    /// Another handle on the same semaphore, for another thread. For a semaphore in a file this takes `/proc` and the
    /// permission to open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(self.member.try_clone()?))
    }

    /// A descriptor that keeps this handle alive, for a process to inherit. While a copy of it is open anywhere, its
    /// permits are not taken from it, even if this process is killed. Dropping the handle ends that.
    ///
    /// It closes on `exec`: clear that flag for the process that is to have it. It may write the file.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] for a semaphore on the heap; [`Error::Forked`], [`Error::Truncated`], [`Error::Io`].
    #[cfg(not(loom))]
    pub fn proof_of_life(&self) -> Result<OwnedFd, Error> {
        self.member.proof_of_life()
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this semaphore. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// Waits for a permit, without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] if this handle has all of them. [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, Error> {
        self.enter(1, u64::MAX)
    }

    /// Takes a permit if one is free. `None`: none is. Takes it from a dead holder as well, but a call that follows
    /// within a millisecond of another may not notice the death.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    #[inline]
    pub fn try_acquire(&self) -> Result<Option<Permit<'_>>, Error> {
        self.try_acquire_many(1)
    }

    /// As [`acquire`](Self::acquire), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); [`Error::TimedOut`].
    pub fn acquire_deadline(&self, deadline: Instant) -> Result<Permit<'_>, Error> {
        self.enter(1, clock::deadline_ns(deadline))
    }

    /// As [`acquire`](Self::acquire), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); [`Error::TimedOut`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, Error> {
        self.enter(1, clock::after_ns(timeout))
    }

    /// Waits for `count` permits, without a limit. All or none.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if `count` is 0, or more than there are. [`Error::Deadlock`] if it is more than there are
    /// besides those that this handle has. Otherwise as [`acquire`](Self::acquire).
    pub fn acquire_many(&self, count: u32) -> Result<Permit<'_>, Error> {
        self.enter(count, u64::MAX)
    }

    /// Takes `count` permits if as many are free. `None`: they are not, or, if it is about several, somebody waits for
    /// permits at the moment or takes several itself. So of calls that get into each other's way one gets what there is.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if `count` is 0, or more than there are. Otherwise as [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_many(&self, count: u32) -> Result<Option<Permit<'_>>, Error> {
        match self.enter(count, 0) {
            Err(Error::TimedOut | Error::Deadlock) => Ok(None),
            permit => permit.map(Some),
        }
    }

    /// As [`acquire_many`](Self::acquire_many), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many); [`Error::TimedOut`].
    pub fn acquire_many_deadline(&self, count: u32, deadline: Instant) -> Result<Permit<'_>, Error> {
        self.enter(count, clock::deadline_ns(deadline))
    }

    /// As [`acquire_many`](Self::acquire_many), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many); [`Error::TimedOut`].
    pub fn acquire_many_timeout(&self, count: u32, timeout: Duration) -> Result<Permit<'_>, Error> {
        self.enter(count, clock::after_ns(timeout))
    }

    /// How many permits there are, taken or not.
    pub fn permits(&self) -> u32 {
        self.member.views().items.len() as u32
    }

    /// How many permits are free, those of the dead not counted. A hint: it may change at any time.
    pub fn available(&self) -> u32 {
        if self.member.check().is_ok() { permits::free(self.member.views().items) as u32 } else { 0 }
    }

    /// Who has permits now, each once. One system call for each.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn holders(&self) -> Result<Vec<LockHolder>, Error> {
        self.member.check()?;
        let holders = permits::holders(&self.member)?;
        let holders = holders.into_iter().map(|holder| self.member.lock_holder(holder)).collect();
        self.member.check_memory().and(holders)
    }

    /// Whether somebody has waited for permits for more than a millisecond. Who waits for one lets that one pass;
    /// [`try_acquire`](Self::try_acquire) does not. A hint.
    pub fn is_somebody_impatient(&self) -> bool {
        self.member.check().is_ok() && self.lets_pass()
    }

    /// The processes of the handles that sleep until they get permits, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.member.waiting()
    }

    /// Gives back every permit that this handle has. No [`Permit`] of it is there, so these are permits that were forgotten.
    pub fn give_back_forgotten(&mut self) {
        if self.held.get() > 0 && self.member.check().is_ok() {
            for word in self.member.views().items {
                permits::give(word, self.member.me());
            }
            self.held.set(0);
            self.ring();
        }
    }

    fn turn(&self) -> Owned<'_> {
        let line = self.member.views().line;
        Owned::new(&line.turn, &line.watch)
    }

    #[inline(always)]
    fn enter(&self, count: u32, until_ns: u64) -> Result<Permit<'_>, Error> {
        if count == 1
            && let Some(taken) = self.take_last()
        {
            return Ok(Permit::one(self, taken));
        }
        self.enter_slowly(count, until_ns)
    }

    /// Takes the permit that this handle took last, if it is free, and nobody is to go first.
    #[inline(always)]
    fn take_last(&self) -> Option<Taken> {
        let (number, member) = (self.last.get(), &self.member);
        let is_taken = member.check().is_ok()
            && !self.lets_pass()
            && permits::take_given(member.views().items.get(number)?, member.me());
        // If the memory is gone, so is the permit, and the full way says why.
        (is_taken && member.check_memory().is_ok()).then_some(Taken { number, is_abandoned: false })
    }

    #[inline(never)]
    fn enter_slowly(&self, count: u32, until_ns: u64) -> Result<Permit<'_>, Error> {
        self.member.check()?;
        let (count, there) = (count as usize, self.member.views().items.len());
        if !(1..=there).contains(&count) {
            return Err(Error::BadOption {
                what: "ask for one permit at least, and for no more than the semaphore has",
            });
        }
        if count > there - self.held.get() {
            return Err(Error::Deadlock);
        }
        let mut permit = Permit::new(self);
        let is_trying = until_ns == 0;
        // Several take a turn: of two calls that had got a part each, both would find too few.
        if is_trying && count == 1 {
            return self.try_to_take(&mut permit, count).map(|()| permit);
        }
        if count == 1 && !self.lets_pass() && self.take_one(&mut permit) {
            return self.member.check_memory().map(|()| permit);
        }
        let turn = self.turn();
        // Another call that does not wait has its turn for a moment only.
        let mut looks = if is_trying { Looks::new() } else { Looks::none() };
        while turn.owner().is_some() && looks.wait() {}
        if !turn.take(self.member.me()) {
            turn.wait(&self.member, until_ns)?;
        }
        let collected = match is_trying {
            true => self.try_to_take(&mut permit, count),
            false => self.collect(&mut permit, count, until_ns),
        };
        self.member.views().line.long.store(0, at!(P_LONG, Relaxed));
        turn.give(self.member.me());
        collected.map(|()| permit)
    }

    /// Has the one whose turn it is waited for so long that newcomers let it go first?
    #[inline(always)]
    fn lets_pass(&self) -> bool {
        self.member.views().line.long.load(at!(P_LONG_LOOK, Relaxed)) != 0 && self.turn().owner().is_some()
    }

    /// Takes a permit more if one is free.
    fn take_one(&self, permit: &mut Permit<'_>) -> bool {
        let taken = permits::take(self.member.views().items, self.last.get(), self.member.me());
        if let Some(Taken { number, .. }) = taken {
            self.last.set(number);
        }
        taken.map(|taken| permit.add(taken)).is_some()
    }

    /// Takes as many as are missing, or none.
    fn take_at_once(&self, permit: &mut Permit<'_>, count: usize) -> bool {
        if count > 1 && permits::free(self.member.views().items) < count {
            return false;
        }
        for _ in 0..count {
            if !self.take_one(permit) {
                permit.give_back();
                return false;
            }
        }
        true
    }

    /// Takes as many if they are there, those of the dead included.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if they are not; [`Error::Garbage`]; what is wrong with the handle.
    fn try_to_take(&self, permit: &mut Permit<'_>, count: usize) -> Result<(), Error> {
        let mut is_taken = self.take_at_once(permit, count);
        if !is_taken && self.may_sweep() && permits::sweep(&self.member)? {
            is_taken = self.take_at_once(permit, count);
            // There may be more than were taken.
            self.ring();
        }
        self.member.check_memory()?;
        if is_taken { Ok(()) } else { Err(Error::TimedOut) }
    }

    /// Waits for as many permits as are missing. Its turn keeps all others from waiting beside it.
    #[cfg_attr(loom, allow(clippy::unnecessary_min_or_max, reason = "the models have no time"))]
    fn collect(&self, permit: &mut Permit<'_>, count: usize, until_ns: u64) -> Result<(), Error> {
        let line = self.member.views().line;
        let began_ns = clock::monotonic_ns();
        let mut sweeps_at_ns = began_ns.saturating_add(doorbell::armed_ns(SWEEP_NS));
        let mut looks = Looks::new();
        let mut missing = count;
        loop {
            self.member.check()?;
            while missing > 0 && self.take_one(permit) {
                missing -= 1;
            }
            if missing == 0 {
                return self.member.check_memory();
            }
            if looks.wait() {
                continue;
            }
            let now = clock::monotonic_ns();
            let is_late = until_ns != u64::MAX && now >= until_ns;
            if now >= sweeps_at_ns || (is_late && self.may_sweep()) {
                let is_swept = permits::sweep(&self.member)?;
                let after_ns = clock::monotonic_ns();
                let took_ns = after_ns.saturating_sub(now);
                let slice_ns = doorbell::armed_ns(SWEEP_NS.max(SWEEP_PART * took_ns));
                sweeps_at_ns = after_ns.saturating_add(slice_ns);
                if is_swept {
                    continue;
                }
            }
            if is_late {
                return Err(Error::TimedOut);
            }
            if now.saturating_sub(began_ns) >= PATIENCE_NS {
                line.long.store(1, at!(P_LONG, Relaxed));
            }
            self.sleep(until_ns.min(sweeps_at_ns));
        }
    }

    /// Whether a call that does not wait may look for dead holders.
    fn may_sweep(&self) -> bool {
        // The holders are asked about together, so this handle stands for all of them.
        self.member.may_ask(self.member.me())
    }

    /// Gives one of its permits back. Whether somebody waits for it, and the bell is to be rung.
    #[inline(always)]
    fn give(&self, number: usize) -> bool {
        // Garbage can make a permit count twice.
        self.held.update(|held| held.saturating_sub(1));
        permits::give(&self.member.views().items[number], self.member.me())
    }

    /// Wakes whoever waits for permits.
    fn ring(&self) {
        bell::ring(&self.member.views().line.bell);
    }

    /// Sleeps until a permit may be free.
    fn sleep(&self, until_ns: u64) {
        let views = self.member.views();
        self.member.note_waiting(true);
        let heavy = |word: &_| doorbell::heavy_for(word, Some(WaitMode::Fence));
        let is_true = || permits::wait_for_any(views.items) || self.member.check_memory().is_err();
        doorbell::sleep(&views.line.bell, heavy, is_true, until_ns);
        doorbell::disarm(&views.line.bell);
        self.member.note_waiting(false);
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        self.give_back_forgotten();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("member", &self.member)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}
