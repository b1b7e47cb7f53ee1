//! A reader-writer lock as a read-only look shows it.

use super::readers::Value;
use crate::atomics::at;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::guarded;
use crate::sync::look::{Look, State};
use crate::sync::shape::Shape;

impl Look for Value {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let views = region.views();
        let guarded::Seen { version, is_abandoned, owner } = views.line.lock.seen();
        let readers = (0..).zip(views.seats).filter_map(|(number, seat)| {
            let generation = seat.reads.load(at!(K_PEEK, Relaxed));
            (generation != 0).then_some(Incarnation { number, generation })
        });
        let readers: Vec<_> = readers.collect();
        let value = region.shape().content.schema;
        let state = State::RwLock { value, version, is_abandoned, readers: readers.len() as u32 };
        (state, owner.into_iter().chain(readers).collect())
    }
}
