//! Options of a table.

use super::rows::Rows;
use crate::error::Error;
use crate::schema::Typed;
use crate::sync::options::SyncOptions;
use crate::sync::shape::Shape;

/// Options of a [`Table`](crate::sync::Table).
///
/// ```
/// let options = quoit::sync::TableOptions::new(500).seats(8).mode(0o640);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until a table is made with them"]
pub struct TableOptions {
    rows: u64,
    cells: u64,
    common: SyncOptions,
}

impl TableOptions {
    /// So many rows, 1 to 1,048,576, of 2 cells each; 64 seats, mode 0600.
    pub fn new(rows: u32) -> Self {
        Self { rows: rows.into(), cells: 2, common: SyncOptions::new() }
    }

    /// Number of copies of each value in the file, 2 to 16; default 2. A reader starts again if `cells - 1` commits to its
    /// row happen during its copy, so a large value that changes often needs more cells.
    pub fn cells(self, cells: u32) -> Self {
        Self { cells: cells.into(), ..self }
    }

    /// How many handles that write may be open at a time, in all processes together: 1 to 4096, default 64. Readers need
    /// no seat, nor does a handle whose process died.
    pub fn seats(self, seats: u32) -> Self {
        Self { common: self.common.seats(seats), ..self }
    }

    /// Permission bits of the file, whatever the umask; default 0600. A [`Table`](crate::sync::Table) needs read and write
    /// permission, a [`TableReader`](crate::sync::TableReader) read permission. A change wakes readers that may also
    /// write the file; the others poll.
    pub fn mode(self, mode: u32) -> Self {
        Self { common: self.common.mode(mode), ..self }
    }

    pub(super) fn shape<T: Typed>(&self) -> Result<Shape<Rows>, Error> {
        self.common.shape(Rows::of::<T>(self.rows, self.cells))
    }

    #[cfg(not(loom))]
    pub(super) fn file_mode(&self) -> u32 {
        self.common.file_mode()
    }
}
