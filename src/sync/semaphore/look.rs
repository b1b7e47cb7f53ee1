//! A semaphore as a read-only look shows it.

use super::permits::{Permits, owners};
use crate::memory::region::Region;
use crate::seats::Incarnation;
use crate::sync::look::{Look, State};
use crate::sync::shape::Shape;

impl Look for Permits {
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>) {
        let words = region.views().items;
        let owners: Vec<_> = owners(words).collect();
        let (permits, available) = (words.len() as u32, (words.len() - owners.len()) as u32);
        (State::Semaphore { permits, available }, owners)
    }
}
