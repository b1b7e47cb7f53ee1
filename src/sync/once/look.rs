//! Something that is done once, as a read-only look shows it.

use super::Deed;
use crate::atomics::at;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::look::{Look, State};
use crate::sync::owned::Owned;
use crate::sync::shape::Shape;

impl Look for Deed {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let line = region.views().line;
        let is_done = line.done.load(at!(N_PEEK, Relaxed)) == 1;
        let attempts = line.attempts.load(at!(N_ATTEMPTS, Relaxed));
        // Once it is done, a number there is that of a handle that died before it gave the word back.
        let owner = Owned::new(&line.owner, &line.watch).owner().filter(|_| !is_done);
        (State::Once { is_done, attempts }, owner.into_iter().collect())
    }
}
