//! A handle on an object with seats: its memory, and its own seat.

use std::cell::Cell;
use std::fmt;
#[cfg(not(loom))]
use std::path::Path;

use crate::atomics::at;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
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
    /// The process id that its handle stored, a hint only.
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
        let member = Self::sit(region)?;
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
        Self::sit(region)
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
        let member = Self::sit(Region::heap(shape)?)?;
        first(&member);
        Ok(member)
    }

    /// Another handle on the same object.
    pub(crate) fn try_clone(&self) -> Result<Self, Error> {
        Self::sit(self.region.reopen(Access::Peer)?)
    }

    /// Takes a free seat.
    fn sit(region: Region<Shape<K>>) -> Result<Self, Error> {
        let seats = region.views().seats;
        for (number, seat) in (0..).zip(seats) {
            let Some(vacancy) = seats::lock(&region, number, &seat.generation)? else { continue };
            let Some(generation) = vacancy.take(&region, &seat.generation)? else { continue };
            seat.pid.store(std::process::id().into(), at!(E_HINTS, Relaxed));
            seat.since.store(clock::wall_ns(), at!(E_HINTS, Relaxed));
            let me = Incarnation { number, generation };
            let holder = Holder::new(region.id(), me);
            region.or_memory_gone(Ok(()))?;
            return Ok(Self { region, me, asked: Cell::new((None, 0)), holder });
        }
        Err(no_seat(&region))
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

    /// Whether the handle is of use.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<(), Error> {
        // A ghost would wait for others, who may wait for its death.
        #[cfg(loom)]
        if crate::atomics::is_ghost() {
            return Err(Error::Forked);
        }
        if self.region.broken() { Err(self.region.fault().into()) } else { Ok(()) }
    }

    /// As [`check`](Self::check), after accesses to the memory.
    #[inline(always)]
    pub(crate) fn check_memory(&self) -> Result<(), Error> {
        if self.region.memory_gone() { Err(self.region.fault().into()) } else { Ok(()) }
    }

    /// Is this a number that a handle on this object can have?
    pub(crate) fn could_exist(&self, other: Incarnation) -> bool {
        other.could_exist(self.views().seats.len() as u32)
    }

    /// Is another handle alive? One system call.
    pub(crate) fn is_alive(&self, other: Incarnation) -> bool {
        other.is_alive(&self.region)
    }

    /// Whether a call that does not wait may ask the kernel about this owner: a loop of such calls would ask each time.
    #[cfg_attr(loom, allow(clippy::absurd_extreme_comparisons, reason = "the models have no time"))]
    pub(crate) fn may_ask(&self, other: Incarnation) -> bool {
        let now = clock::monotonic_ns();
        let (last, at_ns) = self.asked.get();
        let may = last != Some(other) || now.saturating_sub(at_ns) >= ASK_NS;
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
        Ok(LockHolder { pid: pid(self.seat(owner)), is_alive })
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

fn no_seat<K: Content>(region: &Region<Shape<K>>) -> Error {
    let seats = region.views().seats;
    let is_read_locked =
        (0..).zip(seats).any(|(number, seat)| seats::is_read_locked(region, number, &seat.generation));
    if is_read_locked {
        return Error::ReadLocked { what: "a seat" };
    }
    let mut pids: Vec<u32> = seats.iter().map(pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Error::SeatsTaken { seats: seats.len() as u32, pids }
}

impl<K: Content> fmt::Debug for Member<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("region", &self.region).field("me", &self.me).finish_non_exhaustive()
    }
}
