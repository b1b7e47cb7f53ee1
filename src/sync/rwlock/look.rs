//! A reader-writer lock as a read-only look shows it.

use super::readers::Value;
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
        let lock = &views.line.lock;
        let writer = Owned::new(&lock.owner, &lock.watch).owner();
        let readers = (0..)
            .zip(views.seats)
            .map(|(number, seat)| Incarnation { number, generation: seat.reads.load(at!(K_PEEK, Relaxed)) });
        let readers: Vec<_> = readers.filter(|reader| reader.generation != 0).collect();
        let state = State::RwLock {
            value: region.shape().content.schema,
            version: Cells::new(&lock.version, views.items, 0, CELLS).version(),
            readers: readers.len() as u32,
            is_abandoned: lock.abandoned.load(at!(M_ABANDONED, Relaxed)) != 0,
        };
        (state, writer.into_iter().chain(readers).collect())
    }
}
