//! The layout of a table: what each byte of its data area means.
//!
//! | part | holds |
//! |---|---|
//! | the line | the word that readers sleep on |
//! | the rows | for each the word of its writer, and its version |
//! | the cells | for each row the copies of its value, one after the other |

use crate::atomics::{AtomicU64, FutexWord, OwnedWord, at};
use crate::error::{Error, Kind};
use crate::memory::block::block;
use crate::schema::{Schema, Typed};
use crate::sync::cells::{Cells, whole};
use crate::sync::guarded;
use crate::sync::owned::Owned;
use crate::sync::shape::{Content, Shape, Views};

/// Most rows of a table.
const MAX_ROWS: u64 = 1 << 20;
/// Most copies of a value.
const MAX_CELLS: u64 = 16;
/// The cells of a row start at a multiple of this, so that writers of different rows do not share a cache line.
const ROW_WORDS: u64 = if cfg!(loom) { 1 } else { 8 };

/// The error for a row that the table does not have. A function, so that it is built only where it is returned: an error is large.
#[cold]
pub(super) fn no_row() -> Error {
    Error::BadOption { what: "the table has no such row; they count from 0" }
}

pub(super) type Region = crate::memory::region::Region<Shape<Rows>>;

block! {
    /// What the rows have in common.
    pub(crate) struct Line: 128 bytes, aligned to 128 {
        /// Readers sleep here until a row changes.
        at 0: pub(crate) change: FutexWord,
    }
}

block! {
    /// One row, without its value.
    pub(crate) struct Row: 64 bytes, aligned to 64 {
        /// Who writes it.
        at 0: pub(crate) owner: OwnedWord,
        /// Who of those that wait for it watches its writer.
        at 8: pub(crate) watch: AtomicU64,
        /// How many commits there were.
        at 16: pub(crate) version: AtomicU64,
    }
}

/// How many rows there are, and what stands in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(super) schema: Schema,
    pub(super) rows: u64,
    pub(super) cells: u64,
}

impl Rows {
    pub(super) fn of<T: Typed>(rows: u64, cells: u64) -> Self {
        Self { schema: Schema::of::<T>(), rows, cells }
    }

    fn cell_words(&self) -> u64 {
        u64::from(self.schema.size).div_ceil(8)
    }

    /// Words of all cells of a row.
    fn row_words(&self) -> u64 {
        (self.cells * self.cell_words()).next_multiple_of(ROW_WORDS)
    }
}

impl Content for Rows {
    const KIND: Kind = Kind::Table;

    type Line = Line;

    type Item = Row;

    fn check(&self, _: u64) -> Result<(), Error> {
        if !(1..=MAX_ROWS).contains(&self.rows) {
            return Err(Error::BadOption { what: "a table has 1 to 1048576 rows" });
        }
        if !(2..=MAX_CELLS).contains(&self.cells) {
            return Err(Error::BadOption { what: "a row has 2 to 16 cells" });
        }
        guarded::check_size(self.schema)
    }

    fn items(&self) -> u64 {
        self.rows
    }

    fn words(&self) -> u64 {
        self.rows * self.row_words()
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        [self.schema.to_word(), self.cells << 32 | self.rows]
    }

    #[cfg(not(loom))]
    fn decode([schema, counts]: [u64; 2]) -> Option<Self> {
        Some(Self { schema: Schema::of_word(schema), rows: counts & 0xffff_ffff, cells: counts >> 32 })
    }
}

/// The cells of one row. `None`: there is no such row.
#[inline]
pub(super) fn cells<'a>(views: Views<'a, Rows>, shape: &Rows, number: u32) -> Option<Cells<'a>> {
    let (row, size) = (views.items.get(number as usize)?, shape.row_words() as usize);
    let first = number as usize * size;
    let words = views.words.get(first..first + size)?;
    Some(Cells::new(&row.version, words, shape.cell_words() as usize, shape.cells))
}

/// The word of the writer of one row. `None`: there is no such row.
#[inline]
pub(super) fn owned<'a>(views: Views<'a, Rows>, number: u32) -> Option<Owned<'a>> {
    views.items.get(number as usize).map(|row| Owned::new(&row.owner, &row.watch))
}

/// The value of one row, and its version.
#[inline(always)]
pub(super) fn read<T: Typed>(region: &Region, number: u32) -> Result<(T, u64), Error> {
    let cells = cells(region.views(), &region.shape().content, number).ok_or_else(no_row)?;
    Ok(whole(region, || cells.try_get())?)
}

/// The first row from `first` on, around the end, whose version is another than the one in `seen`.
pub(super) fn first_changed(views: Views<'_, Rows>, seen: &[u64], first: usize) -> Option<usize> {
    let (before, behind) = (0..first, first..seen.len());
    behind.chain(before).find(|number| {
        let row = views.items.get(*number);
        // As [L3] in `cells.rs`, whose fence is in the read that follows.
        row.is_some_and(|row| row.version.load(at!(L3_VERSION, Relaxed)) != seen[*number])
    })
}
