//! Seats: who has a handle on an object, and who of them lives.
//!
//! A seat is a place in an object for one participant, with a number. Its word tells the generation of the participant that
//! had it last; 0: nobody yet. Alive is who holds the kernel's lock on the byte of that *incarnation*, of the seat and its
//! generation: so whether it lives is one question about the number that stands in the word, and no successor on the seat
//! can answer for it. The seat has a byte of its own as well, held only while it is being taken, or looked after:
//!
//! ```text
//! 1  lock the seat's byte                     somebody has it: it is being taken
//! 2  is the present incarnation's byte free?  else its participant lives
//! 3  lock the next incarnation's byte
//! 4  store the next generation
//! 5  unlock the seat's byte
//! ```
//!
//! Whoever is killed in here leaves a seat that is free, with a generation more or without.

use crate::atomics::{AtomicU64, at};
use crate::error::Error;
use crate::memory::format::Format;
use crate::memory::lock::Lock;
use crate::memory::region::Region;

/// From here on, one behind the other: the seats, each while it is being taken.
const SEATS: u64 = 4096;
/// From here on: the incarnations.
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

/// The generation after one. Never 0, which is nobody's.
fn after(generation: u64) -> u64 {
    (generation.wrapping_add(1) & ((1 << GENERATION_BITS) - 1)).max(1)
}

/// Does the participant live that the seat's word names? One system call. Not for a handle to ask about its own seat: the
/// kernel says that its locks are free to it.
pub(crate) fn is_alive<F: Format>(region: &Region<F>, number: u32, word: &AtomicU64) -> bool {
    let generation = word.load(at!(E_GENERATION, Relaxed));
    generation != 0 && region.locked(incarnation(number, generation))
}

/// A seat whose participant is gone, and which nobody else can take, or look after, meanwhile.
#[derive(Debug)]
#[must_use = "the seat stays locked until it is taken or given up"]
pub(crate) struct Vacancy {
    number: u32,
    generation: u64,
}

/// Locks a seat. `None`: its participant lives, or somebody else is about to take it.
pub(crate) fn lock<F: Format>(
    region: &Region<F>,
    number: u32,
    word: &AtomicU64,
) -> Result<Option<Vacancy>, Error> {
    if !region.lock(taking(number))? {
        return Ok(None);
    }
    // The lock orders this after whatever the last one to take it stored.
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

    /// Takes the seat, and returns the new generation. `None`: somebody holds its lock, who should not.
    pub(crate) fn take<F: Format>(self, region: &Region<F>, word: &AtomicU64) -> Result<Option<u64>, Error> {
        let next = after(self.generation);
        let taken = region.lock(incarnation(self.number, next));
        if let Ok(true) = taken {
            word.store(next, at!(E_TAKE, Relaxed));
        }
        self.give_up(region);
        Ok(taken?.then_some(next))
    }

    /// Leaves the seat to whoever wants it.
    pub(crate) fn give_up<F: Format>(self, region: &Region<F>) {
        region.unlock(taking(self.number));
    }
}

/// The participant leaves its seat.
pub(crate) fn leave<F: Format>(region: &Region<F>, number: u32, generation: u64) {
    region.unlock(incarnation(number, generation));
}

/// Whether a seat could be had but for a reader's lock.
pub(crate) fn is_read_locked<F: Format>(region: &Region<F>, number: u32, word: &AtomicU64) -> bool {
    let generation = word.load(at!(E_GENERATION, Relaxed));
    region.is_read_locked(taking(number)) || region.is_read_locked(incarnation(number, after(generation)))
}
