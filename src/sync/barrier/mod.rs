//! A place where a number of parties meet, round after round.

use std::cell::Cell;
use std::fmt;
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
use crate::sync::rounds::{self, End, Line, Lookout, Round};
#[cfg(not(loom))]
use crate::sync::shape::Shape;
use crate::sync::shape::{Content, Views};
use crate::wait::clock;

#[cfg(not(loom))]
mod look;
mod source;

/// How many parties meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parties {
    count: u64,
}

impl Content for Parties {
    const KIND: Kind = Kind::Barrier;

    type Line = Line;

    type Item = AtomicU64;

    fn check(&self, seats: u64) -> Result<(), Error> {
        if self.count == seats {
            Ok(())
        } else {
            Err(Error::BadOption { what: "a barrier has as many seats as parties" })
        }
    }

    fn items(&self) -> u64 {
        self.count
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

/// A round that a party has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierPass {
    /// Whether it was this party that said that all have arrived: exactly one of them in each round, unless that one
    /// died.
    pub is_leader: bool,
    /// The number of the round. A reset skips one.
    pub round: u64,
}

/// A place where a number of processes meet, round after round: nobody goes on before all have arrived.
///
/// Each handle is one party, and there are exactly as many seats as parties: the number of [seats](SyncOptions::seats) in
/// the options has no meaning here. A party that has not come yet is waited for. One that dies or leaves before it
/// arrives, or gives up after a time limit, *breaks* the round: all others get [`Error::Broken`], and so does everybody
/// until somebody [resets](Self::reset) the barrier. The arrival of a party that died since counts; its replacement begins
/// with the next round.
///
/// What a party did before it arrived, all others see when they have passed.
///
/// Who has something else to do meanwhile [arrives](Self::arrive) first and waits later. A barrier is then one of the things
/// that a [`WaitSet`](crate::WaitSet) waits for.
///
/// One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`). Other threads of the process
/// get handles of their own, from [`try_clone`](Self::try_clone). After a `fork` only the parent may use a handle.
///
/// ```
/// use quoit::sync::{Barrier, SyncOptions};
///
/// let path = format!("/dev/shm/step-{}", std::process::id());
/// let first = Barrier::create(&path, &SyncOptions::new(), 2)?;
///
/// // The other party, in any other process:
/// let second = Barrier::open(&path)?;
/// let other = std::thread::spawn(move || second.wait());
///
/// let passed = first.wait()?;
/// assert_ne!(passed.is_leader, other.join().unwrap()?.is_leader);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Barrier {
    member: Member<Parties>,
    /// `None`: it has not come to a round, or was told how that one ended.
    place: Cell<Option<Place>>,
    lookout: Lookout,
}

/// Where a party is that has come to a round.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Whoever had its seat before has arrived in this round: it arrives in the next one.
    Behind(Round),
    /// It has arrived in this round.
    Arrived(Round),
    /// It has arrived in this round, and said that all have.
    Leads(Round),
}

impl Barrier {
    /// Creates a barrier for so many parties at `path`: 1 to 4096. The handle is the first of them. No process ever sees
    /// the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &SyncOptions, parties: u32) -> Result<Self, Error> {
        let count = parties.into();
        let shape = options.shape_of(count, Parties { count })?;
        Ok(Self::new(Member::create(path.as_ref(), &shape, options.file_mode(), |_| {})?))
    }

    /// Opens the barrier at `path`, as another party.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; [`Error::SeatsTaken`] if all parties are there; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Member::open(path.as_ref(), Owners::Any, |_| Ok(()))?))
    }

    /// As [`open`](Self::open), for a barrier that may not exist yet: waits until `deadline` for it to be created. With a
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

    /// Opens the barrier at `path`, or creates it if there is none. A file of another unprivileged user is refused: in a
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
        let shape = options.shape_of(count, Parties { count })?;
        let check = |found: &Shape<Parties>| {
            if found.content.count == count {
                Ok(())
            } else {
                Err(Error::BadOption { what: "the barrier is there already, for another number of parties" })
            }
        };
        let (path, mode) = (path.as_ref(), options.file_mode());
        Ok(Self::new(Member::open_or_create(path, &shape, mode, check, |_| {})?))
    }

    /// Creates a barrier in this process's own memory, for its threads: [`try_clone`](Self::try_clone) creates their
    /// handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &SyncOptions, parties: u32) -> Result<Self, Error> {
        let count = parties.into();
        Ok(Self::new(Member::local(options.shape_of(count, Parties { count })?, |_| {})?))
    }

    fn new(member: Member<Parties>) -> Self {
        Self { member, place: Cell::new(None), lookout: Lookout::default() }
    }

    /// Another party of the same barrier, for another thread. For a barrier in a file this takes `/proc` and the
    /// permission to open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(self.member.try_clone()?))
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this barrier. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// How many parties meet.
    pub fn parties(&self) -> u32 {
        self.member.views().items.len() as u32
    }

    /// How many parties have not arrived in this round. A hint: it may change at any time.
    pub fn missing(&self) -> u32 {
        if self.member.check().is_ok() { rounds::missing(&self.member) as u32 } else { 0 }
    }

    /// Arrives, and does not wait. The next wait, in any form, is for the end of this round, and so is that of a
    /// [`WaitSet`](crate::WaitSet), which [`try_wait`](Self::try_wait) ends. Does nothing if this party has arrived already,
    /// and was not told yet how the round ended.
    ///
    /// If whoever had this party's seat before has arrived in this round, the party arrives in the next one, as soon as a
    /// wait finds that it has begun.
    ///
    /// ```
    /// use quoit::sync::{Barrier, SyncOptions};
    ///
    /// let first = Barrier::local(&SyncOptions::new(), 2)?;
    /// let second = first.try_clone()?;
    /// first.arrive()?;
    /// // Work that nobody waits for.
    /// assert!(first.try_wait()?.is_none());
    /// second.arrive()?;
    /// assert_eq!((first.wait()?.round, second.wait()?.round), (0, 0));
    /// # Ok::<(), quoit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Broken`]; [`Error::Forked`], [`Error::Truncated`].
    pub fn arrive(&self) -> Result<(), Error> {
        self.enter()?;
        // All others may have arrived.
        self.is_over(false);
        self.member.check_memory()
    }

    /// Arrives, unless it has [arrived](Self::arrive) before, and waits for all others, without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`]; [`Error::Forked`], [`Error::Truncated`].
    pub fn wait(&self) -> Result<BarrierPass, Error> {
        self.wait_until(u64::MAX)
    }

    /// Arrives if all others have arrived, and so passes. `None`: they have not. After [`arrive`](Self::arrive): whether
    /// the round is over.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Option<BarrierPass>, Error> {
        self.member.check()?;
        if self.place.get().is_some() {
            return match self.is_over(true) {
                true => self.wait().map(Some),
                false => self.member.check_memory().map(|()| None),
            };
        }
        let begun = self.member.views().line.look();
        if begun.is_broken() {
            return Err(Error::Broken);
        }
        if !rounds::is_last(&self.member, begun) {
            return self.member.check_memory().map(|()| None);
        }
        if rounds::arrive(&self.member, begun) {
            return self.pass(begun, u64::MAX).map(Some);
        }
        // Whoever had the seat before was the last to arrive, and died before it said that the round is over.
        rounds::look_on(&self.member, begun, &mut 0, false);
        self.member.check_memory().map(|()| None)
    }

    /// As [`wait`](Self::wait), until `deadline`. Giving up breaks the round for all others.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_deadline(&self, deadline: Instant) -> Result<BarrierPass, Error> {
        self.wait_until(clock::deadline_ns(deadline))
    }

    /// As [`wait`](Self::wait), for at most `timeout`. Giving up breaks the round for all others.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); [`Error::TimedOut`].
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierPass, Error> {
        self.wait_until(clock::after_ns(timeout))
    }

    fn wait_until(&self, until_ns: u64) -> Result<BarrierPass, Error> {
        loop {
            match self.enter()? {
                Place::Arrived(begun) => return self.pass(begun, until_ns),
                Place::Leads(begun) => return self.told(begun, End::Passed { is_leader: true }),
                Place::Behind(begun) => {
                    if rounds::wait(&self.member, begun, until_ns)? == End::Broken {
                        return Err(Error::Broken);
                    }
                }
            }
        }
    }

    /// Arrives in this round, unless the party waits for the end of one.
    fn enter(&self) -> Result<Place, Error> {
        self.member.check()?;
        let now = self.member.views().line.look();
        match self.place.get() {
            Some(Place::Behind(begun)) if begun != now => {}
            Some(place) => return Ok(place),
            None => {}
        }
        if now.is_broken() {
            return Err(Error::Broken);
        }
        let has_arrived = rounds::arrive(&self.member, now);
        let place = if has_arrived { Place::Arrived(now) } else { Place::Behind(now) };
        self.place.set(Some(place));
        Ok(place)
    }

    /// Whether a wait of this party, which has come to a round, would end at once. `asks`: whether to ask the kernel about
    /// the parties that are missing.
    fn is_over(&self, asks: bool) -> bool {
        loop {
            let begun = match self.enter() {
                Ok(Place::Arrived(begun) | Place::Behind(begun)) => begun,
                Ok(Place::Leads(_)) | Err(_) => return true,
            };
            let end = self.lookout.look(&self.member, begun, asks);
            match (self.place.get(), end) {
                (_, None) => return false,
                // It arrives in the next round, unless there is none.
                (Some(Place::Behind(_)), Some(_)) => {}
                (_, Some(end)) => {
                    if end == (End::Passed { is_leader: true }) {
                        self.place.set(Some(Place::Leads(begun)));
                    }
                    return true;
                }
            }
        }
    }

    /// Waits for the end of a round in which this party has arrived.
    fn pass(&self, begun: Round, until_ns: u64) -> Result<BarrierPass, Error> {
        let end = match rounds::wait(&self.member, begun, until_ns) {
            Err(Error::TimedOut) => {
                if self.member.views().line.break_round(begun) {
                    self.place.set(None);
                    return Err(Error::TimedOut);
                }
                // It was over just before.
                rounds::look_on(&self.member, begun, &mut 0, false).unwrap_or(End::Broken)
            }
            end => end?,
        };
        self.told(begun, end)
    }

    /// The party is told how a round ended in which it has arrived.
    fn told(&self, begun: Round, end: End) -> Result<BarrierPass, Error> {
        self.place.set(None);
        match end {
            End::Passed { is_leader } => Ok(BarrierPass { is_leader, round: begun.number() }),
            End::Broken => Err(Error::Broken),
        }
    }

    /// Whether the round is broken. A hint: it may change at any time.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn is_broken(&self) -> Result<bool, Error> {
        self.member.check()?;
        let is_broken = self.member.views().line.look().is_broken();
        self.member.check_memory().map(|()| is_broken)
    }

    /// Breaks the round: whoever waits, or comes later, gets [`Error::Broken`].
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn abort(&self) -> Result<(), Error> {
        self.member.check()?;
        let line = self.member.views().line;
        loop {
            let seen = line.look();
            if seen.is_broken() || line.break_round(seen) {
                return self.member.check_memory();
            }
        }
    }

    /// Begins anew, with a round in which nobody has arrived. Whoever waits, or has arrived to wait later, gets
    /// [`Error::Broken`], but for this party.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn reset(&self) -> Result<(), Error> {
        self.member.check()?;
        self.place.set(None);
        let line = self.member.views().line;
        let mut seen = line.look();
        // If another is faster, what it made of the round will do, unless it broke it.
        while !line.reset(seen) {
            seen = line.look();
            if !seen.is_broken() {
                break;
            }
        }
        self.member.check_memory()
    }

    /// The processes of the other parties that sleep here, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.member.waiting()
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        if self.member.check().is_ok() {
            self.member.leave();
            crate::sync::bell::ring(&self.member.views().line.bell);
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("member", &self.member).finish_non_exhaustive()
    }
}
