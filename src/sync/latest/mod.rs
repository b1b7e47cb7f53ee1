//! The latest value of something: a state, a configuration, a last price.

use crate::error::Error;
use crate::memory::extents::page_bytes;
use crate::memory::format::Format;
use crate::memory::lock::Lock;
use crate::memory::permissions::check_mode;
use crate::schema::Schema;
use crate::sync::cells::Cells;

mod bytes;
#[cfg(not(loom))]
mod look;
mod reading;
mod shape;
mod source;
mod typed;
mod writing;

pub use bytes::{Bytes, LatestBytes, LatestBytesReader};
#[cfg(not(loom))]
pub(crate) use look::snapshot;
use shape::{Shape, Views};
pub use typed::{Latest, LatestReader};

/// The lock of the writer.
const WRITER: Lock = Lock::of(0);

pub(crate) type Region = crate::memory::region::Region<Shape>;

#[inline]
fn cells_in(region: &Region) -> Cells<'_> {
    cells_of(region, region.shape().cell_words() as usize)
}

/// As `cells_in`, for a caller who knows how many words a cell has.
#[inline(always)]
fn cells_of(region: &Region, words: usize) -> Cells<'_> {
    let Views { head, data, .. } = region.views();
    Cells::new(&head.writer.version, data, words, region.shape().cells)
}

/// Options of a latest value.
///
/// ```
/// let options = quoit::sync::LatestOptions::new().cells(4).mode(0o640);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until a value is made with them"]
pub struct LatestOptions {
    cells: u64,
    mode: u32,
}

impl Default for LatestOptions {
    fn default() -> Self {
        Self { cells: 2, mode: 0o600 }
    }
}

impl LatestOptions {
    /// 2 cells, mode 0600.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of copies of the value in the file, 2 to 16; default 2. A reader starts again if `cells - 1` commits
    /// happen during its copy, so a large value that changes often needs more cells.
    pub fn cells(self, cells: u32) -> Self {
        Self { cells: cells.into(), ..self }
    }

    /// Permission bits of the file, whatever the umask; default 0600. Readers need read permission. A change wakes
    /// readers that may also write the file; the others poll.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    fn shape(&self, schema: Schema) -> Result<Shape, Error> {
        check_mode(self.mode)?;
        let shape = Shape { schema, cells: self.cells, alignment: page_bytes() };
        shape.check()?;
        Ok(shape)
    }
}
