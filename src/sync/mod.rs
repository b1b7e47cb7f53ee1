//! Objects by which processes share values and coordinate.

mod cells;
mod latest;

pub use latest::{Latest, LatestOptions, LatestReader};
