//! A barrier as a read-only look shows it.

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
        let state = State::Barrier {
            parties: views.items.len() as u32,
            missing: rounds::missing(views) as u32,
            round: round.number(),
            is_broken: round.is_broken(),
        };
        (state, Vec::new())
    }
}
