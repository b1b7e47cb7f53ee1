//! A row of a table, for as long as one handle writes it.

use std::fmt;

use super::Table;
use crate::error::Error;
use crate::schema::Typed;
use crate::sync::bell;

/// A row of a [`Table`] that this handle writes, and nobody else until it is dropped.
///
/// Dropping it commits nothing: each [`set`](Self::set) is whole by itself. One that is forgotten keeps its row until its
/// handle is dropped, or its process ends.
#[must_use = "the row is given back as soon as this is dropped"]
pub struct TableRow<'a, T: Typed> {
    table: &'a Table<T>,
    number: u32,
    version: u64,
    was_abandoned: bool,
}

impl<'a, T: Typed> TableRow<'a, T> {
    /// The caller has the row's word.
    pub(super) fn new(table: &'a Table<T>, number: u32, was_abandoned: bool) -> Result<Self, Error> {
        table.note(number);
        let mut row = Self { table, number, version: 0, was_abandoned };
        row.version = table.cells(number)?.version();
        table.member.check_memory().map(|()| row)
    }

    /// Commits `value`, and wakes readers that wait for a change. Returns its version: the number of this commit in the
    /// row, where the first value has 1. Never waits for a reader. Readers see the old value or this one, whole, whenever
    /// the process is killed.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn set(&mut self, value: &T) -> Result<u64, Error> {
        self.table.member.check()?;
        self.version = self.table.cells(self.number)?.commit(self.version, value.as_bytes());
        bell::ring(&self.table.member.views().line.change);
        self.table.member.check_memory().map(|()| self.version)
    }

    /// The last committed value of the row.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn get(&self) -> Result<T, Error> {
        self.table.member.check()?;
        let mut value = T::new_zeroed();
        self.table.cells(self.number)?.read_alone(value.as_mut_bytes());
        self.table.member.check_memory().map(|()| value)
    }

    /// Which row it is.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The number of commits in the row, the first value included. Continues from writer to writer, and wraps at `2^64`.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the writer before this one died with the row. Its last commit is whole; it may have had more to commit.
    pub fn was_abandoned(&self) -> bool {
        self.was_abandoned
    }
}

impl<T: Typed> Drop for TableRow<'_, T> {
    fn drop(&mut self) {
        self.table.give(self.number);
    }
}

impl<T: Typed> fmt::Debug for TableRow<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRow")
            .field("number", &self.number)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
