//! Seats: which participants have a handle on an object, and which of them are alive.
//!
//! A seat is a numbered place in an object for one participant. Its word holds the generation of the participant that
//! had it last; 0: none yet. A seat and its generation name one *incarnation*. A participant is alive while it holds
//! the kernel's lock on the byte of its incarnation. So one lock query about the number in the word tells whether it
//! lives, and a later participant on the same seat cannot be taken for it. The seat also has a byte of its own,
//! locked only while the seat is being taken or examined:
//!
//! ```text
//! 1  lock the seat's byte                     refused: it is being taken
//! 2  is the present incarnation's byte free?  else its participant lives
//! 3  lock the next incarnation's byte
//! 4  store the next generation
//! 5  unlock the seat's byte
//! ```
//!
//! A process killed during these steps leaves a free seat, with its generation raised or not.

use crate::atomics::{AtomicU64, at};
use crate::error::Error;
use crate::memory::format::Format;
use crate::memory::lock::Lock;
use crate::memory::region::Region;

/// First byte of the seats' own locks, one after the other: each held while its seat is being taken.
const SEATS: u64 = 4096;
/// First byte of the incarnations' locks.
const INCARNATIONS: u64 = 1 << 60;
/// Bits of a seat's number, and of a generation.
const SEAT_BITS: u32 = 14;
const GENERATION_BITS: u32 = 46;

/// The lock of a seat that is being taken.
pub(crate) fn taking(number: u32) -> Lock {
    Lock::of(SEATS + u64::from(number))
}

/// The lock that a participant holds for life.
pub(crate) fn incarnation(number: u32, generation: u64) -> Lock {
    let generation = generation & ((1 << GENERATION_BITS) - 1);
    Lock::of(INCARNATIONS + (generation << SEAT_BITS | u64::from(number) & ((1 << SEAT_BITS) - 1)))
}

/// The generation after one. Never 0, which means none.
fn after(generation: u64) -> u64 {
    (generation.wrapping_add(1) & ((1 << GENERATION_BITS) - 1)).max(1)
}

/// One participant, of the past or the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation {
    pub(crate) number: u32,
    pub(crate) generation: u64,
}

impl Incarnation {
    /// Is it a number that a participant of an object with so many seats can have?
    pub(crate) fn could_exist(self, seats: u32) -> bool {
        self.number < seats && (1..1 << GENERATION_BITS).contains(&self.generation)
    }

    /// Is it alive? One system call. A handle must not ask about itself: the kernel reports its own locks as free.
    pub(crate) fn is_alive<F: Format>(self, region: &Region<F>) -> bool {
        region.locked(incarnation(self.number, self.generation))
    }
}

/// Who has a seat, or had it last. `None`: nobody ever had it.
pub(crate) fn occupant(number: u32, word: &AtomicU64) -> Option<Incarnation> {
    let generation = word.load(at!(E_GENERATION, Relaxed));
    (generation != 0).then_some(Incarnation { number, generation })
}

/// Is the participant that the seat's word names alive? One system call. A handle must not ask about its own seat:
/// the kernel reports its own locks as free.
pub(crate) fn is_alive<F: Format>(region: &Region<F>, number: u32, word: &AtomicU64) -> bool {
    let generation = word.load(at!(E_GENERATION, Relaxed));
    generation != 0 && region.locked(incarnation(number, generation))
}

/// A seat whose participant is gone, locked so that no other process can take or examine it meanwhile.
#[derive(Debug)]
#[must_use = "the seat stays locked until it is taken or given up"]
pub(crate) struct Vacancy {
    number: u32,
    generation: u64,
}

/// Locks a seat. `None`: its participant is alive, or another process is about to take it.
pub(crate) fn lock<F: Format>(
    region: &Region<F>,
    number: u32,
    word: &AtomicU64,
) -> Result<Option<Vacancy>, Error> {
    if !region.lock(taking(number))? {
        return Ok(None);
    }
    // The lock orders this after everything that the last one to take the seat stored.
    let generation = word.load(at!(E_GENERATION, Relaxed));
    if generation != 0 && region.locked(incarnation(number, generation)) {
        region.unlock(taking(number));
        return Ok(None);
    }
    Ok(Some(Vacancy { number, generation }))
}

impl Vacancy {
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Takes the seat, and returns the new generation. `None`: another process holds its lock, against the protocol.
    pub(crate) fn take<F: Format>(self, region: &Region<F>, word: &AtomicU64) -> Result<Option<u64>, Error> {
        let next = after(self.generation);
        let taken = region.lock(incarnation(self.number, next));
        if let Ok(true) = taken {
            word.store(next, at!(E_TAKE, Relaxed));
        }
        self.give_up(region);
        Ok(taken?.then_some(next))
    }

    /// Leaves the seat free to be taken.
    pub(crate) fn give_up<F: Format>(self, region: &Region<F>) {
        region.unlock(taking(self.number));
    }
}

/// Takes the first free seat of those that have these words, and that is wanted. `None`: none of them is both.
pub(crate) fn take_any<'a, F: Format>(
    region: &Region<F>,
    seats: impl Iterator<Item = (u32, &'a AtomicU64)>,
    is_wanted: impl Fn(u32) -> bool,
) -> Result<Option<Incarnation>, Error> {
    for (number, word) in seats.filter(|(number, _)| is_wanted(*number)) {
        let Some(vacancy) = lock(region, number, word)? else { continue };
        // The lock orders this look after all that the last one on the seat has done.
        if !is_wanted(number) {
            vacancy.give_up(region);
            continue;
        }
        if let Some(generation) = vacancy.take(region, word)? {
            return Ok(Some(Incarnation { number, generation }));
        }
    }
    Ok(None)
}

/// The participant leaves its seat.
pub(crate) fn leave<F: Format>(region: &Region<F>, number: u32, generation: u64) {
    region.unlock(incarnation(number, generation));
}

/// Whether only a reader's lock keeps the seat from being taken.
pub(crate) fn is_read_locked<F: Format>(region: &Region<F>, number: u32, word: &AtomicU64) -> bool {
    let generation = word.load(at!(E_GENERATION, Relaxed));
    region.is_read_locked(taking(number)) || region.is_read_locked(incarnation(number, after(generation)))
}

/// Why there is no seat to be had, where the participants note their processes. `seats`: each one's number, word and process.
pub(crate) fn none_free<'a, F: Format>(
    region: &Region<F>,
    seats: impl Iterator<Item = (u32, &'a AtomicU64, u32)>,
) -> Error {
    let mut pids = Vec::new();
    for (number, word, pid) in seats {
        if is_read_locked(region, number, word) {
            return Error::ReadLocked { what: "a seat" };
        }
        pids.push(pid);
    }
    let seats = pids.len() as u32;
    pids.sort_unstable();
    pids.dedup();
    Error::SeatsTaken { seats, pids }
}
