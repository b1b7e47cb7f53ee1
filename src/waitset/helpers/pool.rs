//! The helpers of a process.

use std::sync::{Arc, Mutex, OnceLock};

use super::many::Many;
use super::single::Single;
use super::{Errand, SINGLES, lock};
use crate::error::Error;
use crate::memory::fork;
use crate::memory::map::guard_forks;
use crate::wait::futex::Refused;

/// One for each process on the way from the first that had one to this one. A child has none of its parent's threads, and
/// may find its parent's locks held; it uses its own.
pub(super) struct Pool {
    /// Which process this is the pool of: how many forks lead to it.
    forks: OnceLock<u32>,
    helpers: Mutex<Helpers>,
    /// Why no thread sleeps on several words.
    refused: OnceLock<Refused>,
    next: OnceLock<Box<Pool>>,
}

struct Helpers {
    many: Vec<Arc<Many>>,
    singles: Vec<Arc<Single>>,
    owners: u64,
}

static FIRST: Pool = Pool::new();

impl Pool {
    const fn new() -> Self {
        Self {
            forks: OnceLock::new(),
            helpers: Mutex::new(Helpers { many: Vec::new(), singles: Vec::new(), owners: 0 }),
            refused: OnceLock::new(),
            next: OnceLock::new(),
        }
    }

    pub(super) fn of_this_process() -> Result<&'static Self, Error> {
        // Only then are forks counted.
        guard_forks()?;
        let forks = fork::forks();
        let mut pool = &FIRST;
        while *pool.forks.get_or_init(|| forks) != forks {
            pool = pool.next.get_or_init(|| Box::new(Self::new()));
        }
        Ok(pool)
    }

    pub(super) fn is_of_this_process(&self) -> bool {
        self.forks.get() == Some(&fork::forks())
    }

    pub(super) fn next_owner(&self) -> u64 {
        let mut helpers = lock(&self.helpers);
        helpers.owners += 1;
        helpers.owners
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    pub(super) fn refuse(&self, refused: Refused) {
        let _ = self.refused.set(refused);
    }

    /// Gives errands to threads that sleep on many words, first to those that had the owner's before. Returns who has
    /// them now.
    pub(super) fn give_to_many(
        &'static self,
        owner: u64,
        before: &[Arc<Many>],
        mut errands: Vec<Errand>,
    ) -> Result<Vec<Arc<Many>>, Error> {
        let mut have = Vec::new();
        for many in before {
            if many.give(owner, &mut errands) {
                have.push(Arc::clone(many));
            }
        }
        if errands.is_empty() {
            return Ok(have);
        }
        let mut helpers = lock(&self.helpers);
        helpers.many.retain(|many| !many.has_ended());
        for many in &helpers.many {
            let is_new = !have.iter().any(|other| Arc::ptr_eq(other, many));
            if is_new && many.give(owner, &mut errands) {
                have.push(Arc::clone(many));
            }
        }
        while !errands.is_empty() {
            let many = Many::start(&self.refused, owner, &mut errands)?;
            helpers.many.push(Arc::clone(&many));
            have.push(many);
        }
        Ok(have)
    }

    /// Gives each errand to a thread that sleeps on one word, as far as there are. Returns who has them now, and whether
    /// all are given.
    pub(super) fn give_to_singles(&self, errands: Vec<Errand>) -> (Vec<Arc<Single>>, bool) {
        let mut helpers = lock(&self.helpers);
        helpers.singles.retain(|single| !single.has_ended());
        let (mut have, mut is_all) = (Vec::new(), true);
        for errand in errands {
            let adopts = helpers.singles.iter().find(|single| single.adopt(&errand));
            let takes = || helpers.singles.iter().find(|single| single.give(&errand));
            if let Some(single) = adopts.or_else(takes) {
                have.push(Arc::clone(single));
            } else if helpers.singles.len() < SINGLES
                && let Ok(single) = Single::start(errand)
            {
                helpers.singles.push(Arc::clone(&single));
                have.push(single);
            } else {
                is_all = false;
            }
        }
        (have, is_all)
    }
}
