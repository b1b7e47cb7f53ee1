//! A reader of all rows of a table.

use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use super::rows::{self, Region, no_row};
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
use crate::memory::permissions::Access;
use crate::schema::Typed;
use crate::sync::bell;
use crate::sync::member::NOBODYS;
use crate::wait::clock;

/// Reads the rows of a [`Table`](super::Table). Needs only permission to read the file, and no seat.
///
/// One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`). After a `fork` only the parent
/// may use it.
///
/// ```
/// use quoit::sync::{Table, TableOptions};
///
/// let board = Table::local(&TableOptions::new(2), &0_u64)?;
/// let mut reader = board.reader()?;
/// // Each row is new at first.
/// assert_eq!((reader.next()?, reader.next()?), ((0, 0), (1, 0)));
///
/// board.set(1, &10_842)?;
/// assert_eq!(reader.next()?, (1, 10_842));
/// # Ok::<(), quoit::Error>(())
/// ```
pub struct TableReader<T> {
    pub(super) region: Region,
    /// Whether this handle may write the word that it sleeps on. If not, no writer wakes it.
    pub(super) is_woken: bool,
    /// By row: the version that was returned last; 0: none.
    seen: Box<[u64]>,
    /// The row to look at first.
    turn: usize,
    _value: PhantomData<T>,
}

impl<T: Typed> TableReader<T> {
    /// Opens the table at `path` for reading.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if its values are of another type; [`Error::OtherKind`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let (region, is_woken) = match Region::open(path, Access::Peer) {
            Err(Error::Permission { .. } | Error::ReadOnly { .. }) => {
                (Region::open(path, Access::Reader)?, false)
            }
            region => (region?, true),
        };
        super::check::<T>(region.shape())?;
        Ok(Self::new(region, is_woken))
    }

    /// As [`open`](Self::open), for a table that may not exist yet: waits until `deadline` for it to be created. With a
    /// deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    pub(super) fn new(region: Region, is_woken: bool) -> Self {
        let seen = vec![0; region.shape().content.rows as usize].into();
        Self { region, is_woken, seen, turn: 0, _value: PhantomData }
    }

    /// Another handle that reads, for another thread. It has returned nothing yet. For a table in a file this takes `/proc`
    /// and the permission to open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let access = if self.is_woken { Access::Peer } else { Access::Reader };
        Ok(Self::new(self.region.reopen(access)?, self.is_woken))
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this table. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    /// How many rows there are. They count from 0.
    pub fn rows(&self) -> u32 {
        self.seen.len() as u32
    }

    /// The latest value of a row. Never waits: it copies a value, and starts again if too many commits happened meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if there is no such row. [`Error::Busy`] if it started again a thousand times in a row: use more
    /// [cells](super::TableOptions::cells). [`Error::Forked`], [`Error::Truncated`].
    pub fn get(&mut self, row: u32) -> Result<T, Error> {
        let (value, version) = rows::read(&self.region, row)?;
        *self.seen.get_mut(row as usize).ok_or_else(no_row)? = version;
        Ok(value)
    }

    /// Waits until `deadline` for a row with a value that this handle has not returned yet, and returns both. `None`: the
    /// deadline passed. Rows take turns, so one that changes all the time does not hide the others; each is new at first. A
    /// value that is replaced before its turn is never seen.
    ///
    /// The death of a writer does not end the wait: another may continue. A change wakes a sleeping reader. A handle that
    /// may not write the file polls every 1 to 20 milliseconds, less often the longer nothing has come.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn next_deadline(&mut self, deadline: Instant) -> Result<Option<(u32, T)>, Error> {
        self.wait(clock::deadline_ns(deadline))
    }

    /// A row with a value that this handle has not returned yet, and that value, if there is one. Never waits.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn try_next(&mut self) -> Result<Option<(u32, T)>, Error> {
        self.wait(0)
    }

    /// As [`next_deadline`](Self::next_deadline), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<(u32, T)>, Error> {
        self.wait(clock::after_ns(timeout))
    }

    /// As [`next_deadline`](Self::next_deadline), without a deadline.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    // Not an iterator: it has no end.
    #[expect(clippy::should_implement_trait, reason = "it has no end, and may fail")]
    pub fn next(&mut self) -> Result<(u32, T), Error> {
        loop {
            if let Some(changed) = self.wait(u64::MAX)? {
                return Ok(changed);
            }
        }
    }

    fn wait(&mut self, until_ns: u64) -> Result<Option<(u32, T)>, Error> {
        let bell = &self.region.views().line.change;
        if !bell::listen(bell, self.is_woken, until_ns, || self.is_ready()) {
            return Ok(None);
        }
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        let row = self.first_changed().unwrap_or(self.turn);
        self.turn = (row + 1) % self.seen.len().max(1);
        let value = self.get(row as u32)?;
        Ok(Some((row as u32, value)))
    }

    /// Whether there is something to read, or something is wrong with the handle.
    pub(super) fn is_ready(&self) -> bool {
        self.region.broken() || self.first_changed().is_some() || self.region.memory_gone()
    }

    fn first_changed(&self) -> Option<usize> {
        rows::first_changed(self.region.views(), &self.seen, self.turn)
    }

    /// Is there a row with a value that this handle has not returned yet?
    pub fn has_changed(&self) -> bool {
        !self.region.broken() && self.first_changed().is_some()
    }

    /// The version of the value of a row that was returned last: the number of its commit in that row. `None`: none was, or
    /// there is no such row.
    pub fn version(&self, row: u32) -> Option<u64> {
        self.seen.get(row as usize).copied().filter(|version| *version != 0)
    }

    /// Is there a writer of a row, running or stopped? One system call.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if there is no such row. [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn writer_alive(&self, row: u32) -> Result<bool, Error> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        let views = self.region.views();
        let owner = rows::owned(views, row).ok_or_else(no_row)?.owner();
        if owner.is_some_and(|owner| !owner.could_exist(views.seats.len() as u32)) {
            return Err(NOBODYS);
        }
        let is_alive = owner.is_some_and(|owner| owner.is_alive(&self.region));
        self.region.or_memory_gone(Ok(is_alive))
    }
}

impl<T> fmt::Debug for TableReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableReader").field("rows", &self.seen.len()).finish_non_exhaustive()
    }
}
