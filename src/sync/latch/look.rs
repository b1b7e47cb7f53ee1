//! A latch as a read-only look shows it.

use super::Parties;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::look::{Look, State};
use crate::sync::rounds;
use crate::sync::shape::Shape;

impl Look for Parties {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let views = region.views();
        let round = rounds::peek(views.line);
        let state = State::Latch {
            parties: views.items.len() as u32,
            missing: if round.is_passed() { 0 } else { rounds::missing(views) as u32 },
            is_open: round.is_passed(),
            is_broken: round.is_broken(),
        };
        (state, Vec::new())
    }
}
