//! An event as a read-only look shows it.

use super::signal::Signal;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::look::{Look, State};
use crate::sync::shape::Shape;

impl Look for Signal {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let now = region.views().line.look();
        let reset = region.shape().content.reset;
        (State::Event { reset, is_set: now.is_set(), count: now.count() }, Vec::new())
    }
}
