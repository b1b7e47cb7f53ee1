//! A condition variable as a read-only look shows it.

use super::Meeting;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::look::{Look, State};
use crate::sync::shape::Shape;

impl Look for Meeting {
    fn look(_: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        (State::Condvar, Vec::new())
    }
}
