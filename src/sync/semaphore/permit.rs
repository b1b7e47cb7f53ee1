//! A permit, or several that were taken together.

use std::fmt;

use super::Semaphore;
use super::permits::{self, Taken};

/// A permit of a [`Semaphore`], or several that were taken together. Dropping it gives all of them back. If it is
/// forgotten, they come back when its handle is dropped, or dies.
#[must_use = "the permit is given back as soon as this is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// Numbers of permits: the first one, so that a single one needs no memory, and the others.
    first: Option<usize>,
    more: Vec<usize>,
    is_abandoned: bool,
}

impl<'a> Permit<'a> {
    /// None yet.
    pub(super) fn new(semaphore: &'a Semaphore) -> Self {
        Self { semaphore, first: None, more: Vec::new(), is_abandoned: false }
    }

    pub(super) fn add(&mut self, taken: Taken) {
        match self.first {
            None => self.first = Some(taken.number),
            Some(_) => self.more.push(taken.number),
        }
        self.is_abandoned |= taken.is_abandoned;
        self.semaphore.held.update(|held| held + 1);
    }

    /// How many permits these are.
    pub fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// Whether the last holder of one of them died with it. What it did may be half done.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Gives all of them back.
    pub(super) fn give_back(&mut self) {
        let Semaphore { member, held, .. } = self.semaphore;
        let numbers = self.first.take().into_iter().chain(self.more.drain(..));
        if member.check().is_err() {
            return;
        }
        let (views, before) = (member.views(), held.get());
        for number in numbers {
            permits::give(&views.items[number], member.me());
            held.update(|held| held - 1);
        }
        if held.get() < before {
            self.semaphore.ring();
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count()).finish_non_exhaustive()
    }
}
