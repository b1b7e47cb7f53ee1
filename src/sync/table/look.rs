//! A table as a read-only look shows it.

use super::rows::Rows;
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::look::{Look, State};
use crate::sync::owned::Owned;
use crate::sync::shape::Shape;

impl Look for Rows {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let Rows { schema, rows, cells } = region.shape().content;
        let state = State::Table { value: schema, rows: rows as u32, cells: cells as u32 };
        let writers =
            region.views().items.iter().filter_map(|row| Owned::new(&row.owner, &row.watch).owner());
        (state, writers.collect())
    }
}
