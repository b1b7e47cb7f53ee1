//! A mutex as a read-only look shows it.

use super::value::Value;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::guarded;
use crate::sync::look::{Look, State};
use crate::sync::shape::Shape;

impl Look for Value {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let guarded::Seen { version, is_abandoned, owner } = region.views().line.seen();
        let value = region.shape().content.schema;
        (State::Mutex { value, version, is_abandoned }, owner.into_iter().collect())
    }
}
