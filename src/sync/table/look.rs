//! A table as a read-only look shows it.

use super::rows::{self, Rows};
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::look::{Look, State};
use crate::sync::shape::Shape;

impl Look for Rows {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let (views, content) = (region.views(), &region.shape().content);
        let owner = |number| rows::owned(views, number)?.owner();
        let writers: Vec<_> = (0..views.items.len() as u32).filter_map(owner).collect();
        let state = State::Table {
            value: content.schema,
            rows: views.items.len() as u32,
            written: writers.len() as u32,
            cells: content.cells as u32,
        };
        (state, writers)
    }
}
