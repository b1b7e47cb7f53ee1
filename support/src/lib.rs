//! What tests, fuzz targets and `cargo verify` have in common: dice, contents of records, and where things stand in a
//! ring's file.
//!
//! It does not depend on the library. The library's source is compiled four ways, and each check brings its own: what
//! speaks of its handles is a file that the checks mount, such as `tests/common/mod.rs`. Two oracles that are to be
//! independent of each other share nothing from here but the contents of records.

pub mod dice;
pub mod offsets;
mod payload;

pub use payload::{fill, payload};
