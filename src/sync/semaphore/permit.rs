//! A permit, or several that were taken together.

use std::cell::Cell;
use std::fmt;
use std::iter::successors;

use super::Semaphore;
use super::permits::Taken;

/// No permit.
pub(super) const NONE: u32 = u32::MAX;
/// Beside the number of a permit: the last holder of one of them died with it.
const ABANDONED: u64 = 1 << 32;

/// A permit of a [`Semaphore`], or several that were taken together. Dropping it gives all of them back. If it is
/// forgotten, they come back when its handle is dropped, or dies.
// Two words, which move in registers: what is stored word by word and moved in pairs of words waits for those stores.
#[must_use = "the permit is given back as soon as this is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// The number of the one that was taken last, in the low half. The handle knows which was taken before it.
    last: u64,
}

impl<'a> Permit<'a> {
    /// None yet.
    pub(super) fn new(semaphore: &'a Semaphore) -> Self {
        Self { semaphore, last: NONE.into() }
    }

    /// One that was just taken.
    #[inline(always)]
    pub(super) fn one(semaphore: &'a Semaphore, taken: Taken) -> Self {
        let mut permit = Self { semaphore, last: NONE.into() };
        permit.add(taken);
        permit
    }

    #[inline(always)]
    pub(super) fn add(&mut self, Taken { number, is_abandoned }: Taken) {
        let Semaphore { held, before, .. } = self.semaphore;
        if let Some(before) = before.get(number) {
            before.set(self.last as u32);
        }
        let abandoned = if is_abandoned { ABANDONED } else { self.last & ABANDONED };
        self.last = abandoned | number as u64;
        held.update(|held| held + 1);
    }

    /// How many permits these are.
    pub fn count(&self) -> usize {
        numbers(&self.semaphore.before, self.last).count()
    }

    /// Whether the last holder of one of them died with it. What it did may be half done.
    pub fn is_abandoned(&self) -> bool {
        self.last & ABANDONED != 0
    }

    /// Gives all of them back.
    #[inline(always)]
    pub(super) fn give_back(&mut self) {
        let numbers = numbers(&self.semaphore.before, self.last);
        self.last = NONE.into();
        if self.semaphore.member.check().is_err() {
            return;
        }
        let mut is_waited_for = false;
        for number in numbers {
            is_waited_for |= self.semaphore.give(number);
        }
        if is_waited_for {
            self.semaphore.ring();
        }
    }
}

/// Of permits that were taken together: the numbers, from that of the last one on.
#[inline(always)]
fn numbers(before: &[Cell<u32>], last: u64) -> impl Iterator<Item = usize> {
    let number = |number: u32| (number != NONE).then_some(number as usize);
    // Garbage can make a permit be taken twice, and so a ring of these.
    successors(number(last as u32), move |last| number(before.get(*last)?.get())).take(before.len())
}

impl Drop for Permit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count()).finish_non_exhaustive()
    }
}
