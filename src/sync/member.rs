//! A handle on an object with seats: its memory, and its own seat.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
#[cfg(not(loom))]
use std::os::fd::OwnedFd;
#[cfg(not(loom))]
use std::path::Path;

#[cfg(not(loom))]
use crate::atomics::FutexWord;
use crate::atomics::at;
use crate::error::{Error, Fault};
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
#[cfg(not(loom))]
use crate::memory::map::SharedWord;
use crate::memory::permissions::Access;
use crate::memory::region::Region;
use crate::seats::{self, Incarnation};
use crate::sync::shape::{Content, Seat, Shape, Views};
use crate::sync::threads::Holder;
use crate::wait::clock;

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHolder {
    /// The process id that its handle stored, a hint only: that process may have ended, and a child that has its proof of life keep
    /// what it held. 0: it is dead, and its seat has another handle.
    pub pid: u32,
    /// Is it alive, running or stopped? `false`: the next locker takes the lock from it.
    pub is_alive: bool,
}

/// One handle on an object with seats.
pub(crate) struct Member<K: Content> {
    region: Region<Shape<K>>,
    me: Incarnation,
    /// The owner of a word that was asked about last by a call that does not wait, and when.
    asked: Cell<(Option<Incarnation>, u64)>,
    /// The handle that was found dead last.
    dead: Cell<Option<Incarnation>>,
    holder: Holder,
}

/// How often a call that does not wait asks about the same owner, ns.
const ASK_NS: u64 = if cfg!(loom) { 0 } else { 1_000_000 };

impl<K: Content> Member<K> {
    /// Creates an object in a file at `path`. `first` stores its first state; nobody else sees it before.
    #[cfg(not(loom))]
    pub(crate) fn create(
        path: &Path,
        shape: &Shape<K>,
        mode: u32,
        first: impl FnOnce(&Self),
    ) -> Result<Self, Error> {
        let (region, draft) = Region::create(path, shape, mode)?;
        let member = Self::sit_as_usual(region)?;
        first(&member);
        member.region.publish(draft)?;
        Ok(member)
    }

    /// Opens the object at `path`, if `check` finds nothing wrong with its shape.
    #[cfg(not(loom))]
    pub(crate) fn open(
        path: &Path,
        owners: Owners,
        check: impl FnOnce(&Shape<K>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let region = Region::open_of(path, Access::Peer, owners)?;
        check(region.shape())?;
        Self::sit_as_usual(region)
    }

    /// Opens the object at `path`, or creates it. A file of another unprivileged user is refused, and what is left of
    /// an earlier boot is replaced.
    #[cfg(not(loom))]
    pub(crate) fn open_or_create(
        path: &Path,
        shape: &Shape<K>,
        mode: u32,
        check: impl Fn(&Shape<K>) -> Result<(), Error>,
        first: impl Fn(&Self),
    ) -> Result<Self, Error> {
        let open = || Self::open(path, Owners::Trusted, &check);
        let create = || Self::create(path, shape, mode, &first);
        arrival::open_or_create::<Shape<K>, _>(path, Owners::Trusted, open, create)
    }

    /// Creates an object in this process's memory.
    pub(crate) fn local(shape: Shape<K>, first: impl FnOnce(&Self)) -> Result<Self, Error> {
        let member = Self::sit_as_usual(Region::heap(shape)?)?;
        first(&member);
        Ok(member)
    }

    /// Another handle on the same object.
    pub(crate) fn try_clone(&self) -> Result<Self, Error> {
        Self::sit_as_usual(self.region.reopen(Access::Peer)?)
    }

    /// As [`Region::share_locks`].
    #[cfg(not(loom))]
    pub(crate) fn proof_of_life(&self) -> Result<OwnedFd, Error> {
        self.region.share_locks()
    }

    /// As [`Region::is_stale`].
    #[cfg(not(loom))]
    pub(crate) fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    /// The same, on one of these seats.
    pub(crate) fn join(&self, seats: Range<usize>) -> Result<Self, Error> {
        Self::sit(self.region.reopen(Access::Peer)?, seats)
    }

    fn sit_as_usual(region: Region<Shape<K>>) -> Result<Self, Error> {
        let Shape { seats, content, .. } = region.shape();
        let seats = content.usual_seats(*seats as usize);
        Self::sit(region, seats)
    }

    /// Takes a free seat, one that is preferred if there is any.
    fn sit(region: Region<Shape<K>>, range: Range<usize>) -> Result<Self, Error> {
        let views = region.views();
        let numbered = || (range.start as u32..).zip(views.seats.get(range.clone()).unwrap_or_default());
        let seats = || numbered().map(|(number, seat)| (number, &seat.generation));
        let is_preferred = |number: u32| K::is_preferred(views, number as usize);
        let me = match seats::take_any(&region, seats(), is_preferred)? {
            // What is preferred changes at any time, so all are tried, whatever was seen.
            None => seats::take_any(&region, seats(), |_| true)?,
            me => me,
        };
        let Some(me) = me else {
            let taken = numbered().map(|(number, seat)| (number, &seat.generation, pid(seat)));
            return Err(seats::none_free(&region, taken));
        };
        let seat = &views.seats[me.number as usize];
        seat.pid.store(std::process::id().into(), at!(E_HINTS, Relaxed));
        seat.since.store(clock::wall_ns(), at!(E_HINTS, Relaxed));
        let holder = Holder::new(region.id(), me);
        region.or_memory_gone(Ok(()))?;
        let asked = Cell::new((None, 0));
        Ok(Self { region, me, asked, dead: Cell::new(None), holder })
    }

    /// Gives the seat up, so that the others may notice at once. The handle is of no use after that.
    pub(crate) fn leave(&self) {
        seats::leave(&self.region, self.me.number, self.me.generation);
    }

    /// Who has a seat, or had it last. `None`: nobody ever had it.
    pub(crate) fn sitter(&self, number: usize) -> Option<Incarnation> {
        seats::occupant(number as u32, &self.views().seats.get(number)?.generation)
    }

    pub(crate) fn region(&self) -> &Region<Shape<K>> {
        &self.region
    }

    pub(crate) fn me(&self) -> Incarnation {
        self.me
    }

    pub(crate) fn content(&self) -> &K {
        &self.region.shape().content
    }

    #[inline(always)]
    pub(crate) fn views(&self) -> Views<'_, K> {
        self.region.views()
    }

    /// A word of its memory, for another thread.
    #[cfg(not(loom))]
    pub(crate) fn share_word(&self, word: &FutexWord) -> Option<SharedWord> {
        self.region.share_word(word)
    }

    /// Whether the handle is of use.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<(), Error> {
        Ok(self.check_handle()?)
    }

    /// The same, with what is wrong in a byte.
    #[inline(always)]
    pub(crate) fn check_handle(&self) -> Result<(), Fault> {
        // A ghost would wait for others, who may wait for its death.
        #[cfg(loom)]
        if crate::atomics::is_ghost() {
            return Err(Fault::Forked);
        }
        if self.region.broken() { Err(self.region.fault()) } else { Ok(()) }
    }

    /// As [`check`](Self::check), after accesses to the memory.
    #[inline(always)]
    pub(crate) fn check_memory(&self) -> Result<(), Error> {
        Ok(self.check_access()?)
    }

    /// The same, with what is wrong in a byte.
    #[inline(always)]
    pub(crate) fn check_access(&self) -> Result<(), Fault> {
        if self.region.memory_gone() { Err(self.region.fault()) } else { Ok(()) }
    }

    /// Is this a number that a handle on this object can have?
    pub(crate) fn could_exist(&self, other: Incarnation) -> bool {
        other.could_exist(self.views().seats.len() as u32)
    }

    /// Is another handle alive? One system call, unless it was found dead last time: nobody comes back to life, and a dead
    /// handle may have had many things.
    pub(crate) fn is_alive(&self, other: Incarnation) -> bool {
        let is_alive = self.dead.get() != Some(other) && other.is_alive(&self.region);
        // A number that garbage made up may be somebody's in the future.
        let has_been = |last: Incarnation| last.generation >= other.generation;
        if !is_alive && self.sitter(other.number as usize).is_some_and(has_been) {
            self.dead.set(Some(other));
        }
        is_alive
    }

    /// Whether a call that does not wait may ask the kernel about this owner: a loop of such calls would ask each time.
    #[cfg_attr(loom, allow(clippy::absurd_extreme_comparisons, reason = "the models have no time"))]
    pub(crate) fn may_ask(&self, other: Incarnation) -> bool {
        let now = clock::monotonic_ns();
        let (last, at_ns) = self.asked.get();
        let is_known = self.dead.get() == Some(other);
        let may = is_known || last != Some(other) || now.saturating_sub(at_ns) >= ASK_NS;
        if may {
            self.asked.set((Some(other), now));
        }
        may
    }

    /// Which thread uses what this handle holds.
    #[inline(always)]
    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Whether the calling thread holds, through another handle, what that handle has.
    pub(crate) fn waits_for_itself(&self, other: Incarnation) -> bool {
        Holder::is_here(self.region.id(), other)
    }

    pub(crate) fn note_waiting(&self, waits: bool) {
        self.seat(self.me).waits.store(if waits { self.me.generation } else { 0 }, at!(E_HINTS, Relaxed));
    }

    /// Who has a word with this number in it. One system call if it is not this handle.
    pub(crate) fn lock_holder(&self, owner: Incarnation) -> Result<LockHolder, Error> {
        if !self.could_exist(owner) {
            return Err(NOBODYS);
        }
        let is_alive = owner == self.me || self.is_alive(owner);
        let pid = if self.sitter(owner.number as usize) == Some(owner) { pid(self.seat(owner)) } else { 0 };
        Ok(LockHolder { pid, is_alive })
    }

    /// The processes of the other handles that wait: those alive among the seats that say so.
    pub(crate) fn waiting(&self) -> Vec<u32> {
        if self.check().is_err() {
            return Vec::new();
        }
        let seats = (0..).zip(self.views().seats);
        let waiting = seats.filter(|(number, seat)| {
            let generation = seat.waits.load(at!(E_HINTS_READ, Relaxed));
            let other = Incarnation { number: *number, generation };
            self.could_exist(other) && other != self.me && self.is_alive(other)
        });
        waiting.map(|(_, seat)| pid(seat)).collect()
    }

    fn seat(&self, of: Incarnation) -> &Seat {
        &self.views().seats[of.number as usize]
    }
}

/// The error if a word names an owner that cannot exist.
pub(crate) const NOBODYS: Error = Error::Garbage { what: "a word names an owner that cannot exist" };

fn pid(seat: &Seat) -> u32 {
    seat.pid.load(at!(E_HINTS_READ, Relaxed)) as u32
}

impl<K: Content> fmt::Debug for Member<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("region", &self.region).field("me", &self.me).finish_non_exhaustive()
    }
}
