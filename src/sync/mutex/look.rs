//! A mutex as a read-only look shows it.

use super::value::Value;
use crate::atomics::at;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::cells::Cells;
use crate::sync::guarded::CELLS;
use crate::sync::look::{Look, State};
use crate::sync::owned::Owned;
use crate::sync::shape::Shape;

impl Look for Value {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let views = region.views();
        let state = State::Mutex {
            value: region.shape().content.schema,
            version: Cells::new(&views.line.version, views.items, 0, CELLS).version(),
            is_abandoned: views.line.abandoned.load(at!(M_ABANDONED, Relaxed)) != 0,
        };
        let owner = Owned::new(&views.line.owner, &views.line.watch).owner();
        (state, owner.into_iter().collect())
    }
}
