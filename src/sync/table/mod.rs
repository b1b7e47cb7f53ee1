//! A table of values, each with one writer at a time and any number of readers.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::memory::permissions::Access;
use crate::schema::Typed;
use crate::sync::cells::Cells;
#[cfg(not(loom))]
use crate::sync::guarded;
use crate::sync::member::{LockHolder, Member};
use crate::sync::owned::{Owned, Taken};
#[cfg(not(loom))]
use crate::sync::shape::Shape;
use crate::wait::clock;

#[cfg(not(loom))]
mod look;
mod options;
mod reader;
mod row;
mod rows;
mod source;

pub use options::TableOptions;
pub use reader::TableReader;
pub use row::TableRow;
pub(crate) use rows::Rows;
use rows::no_row;

/// A handle that writes the rows of a table of values, such as a board of prices, of which only the latest version of
/// each matters.
///
/// A row is written by one handle at a time, which [`row`](Self::row) makes its writer for as long as it wants. Any number
/// of processes read all rows, each with a [`TableReader`], without a lock and without the writers' knowledge, and may
/// wait for a change. They always get a whole value. If a writer is killed, at any instruction, the last committed value
/// of its row stays whole, and the next writer goes on from there. Rows are independent: nothing is read or committed of
/// several rows at one moment.
///
/// The type consists of plain bytes, see [`Typed`]; its size and tag are stored in the file. Each handle has a seat in the
/// file. One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`), and a [`TableRow`] may
/// not. Other threads of the process get handles of their own, from [`try_clone`](Self::try_clone). After a `fork` only
/// the parent may use a handle.
///
/// ```
/// use quoit::sync::{Table, TableOptions, TableReader};
///
/// let path = format!("/dev/shm/board-{}", std::process::id());
/// let board = Table::create(&path, &TableOptions::new(100), &0_u64)?;
/// let mut euro = board.row(7)?;
///
/// // In any other process:
/// let mut reader = TableReader::<u64>::open(&path)?;
/// assert_eq!(reader.get(7)?, 0);
///
/// euro.set(&10_842)?;
/// assert_eq!(reader.get(7)?, 10_842);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Table<T> {
    member: Member<Rows>,
    /// By row: whether this handle writes it.
    held: Box<[Cell<bool>]>,
    /// How many those are.
    held_count: Cell<usize>,
    _value: PhantomData<T>,
}

impl<T: Typed> Table<T> {
    /// Creates a table at `path` with `first` in each row. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &TableOptions, first: &T) -> Result<Self, Error> {
        let (path, shape) = (path.as_ref(), options.shape::<T>()?);
        Ok(Self::new(Member::create(path, &shape, options.file_mode(), |member| fill(member, first))?))
    }

    /// Opens the table at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if its values are of another type; [`Error::OtherKind`]; [`Error::SeatsTaken`]; any other
    /// error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Member::open(path.as_ref(), Owners::Any, check::<T>)?))
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

    /// Opens the table at `path`, or creates it with `first` in each row if there is none. A file of another unprivileged
    /// user is refused: in a directory that everybody may write to, anybody can be there first. A leftover of an earlier
    /// boot is replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    /// [`Error::BadOption`] if the one that is there has another number of rows.
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &TableOptions, first: &T) -> Result<Self, Error> {
        let (path, shape) = (path.as_ref(), options.shape::<T>()?);
        let check = |found: &Shape<Rows>| {
            check::<T>(found)?;
            if found.content.rows == shape.content.rows {
                Ok(())
            } else {
                Err(Error::BadOption { what: "the table is there already, with another number of rows" })
            }
        };
        let first = |member: &Member<Rows>| fill(member, first);
        Ok(Self::new(Member::open_or_create(path, &shape, options.file_mode(), check, first)?))
    }

    /// Creates a table in this process's own memory, for its threads: [`try_clone`](Self::try_clone) and
    /// [`reader`](Self::reader) create their handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &TableOptions, first: &T) -> Result<Self, Error> {
        Ok(Self::new(Member::local(options.shape::<T>()?, |member| fill(member, first))?))
    }

    fn new(member: Member<Rows>) -> Self {
        let held = (0..member.content().rows).map(|_| Cell::new(false)).collect();
        Self { member, held, held_count: Cell::new(0), _value: PhantomData }
    }

    /// Another handle that writes, for another thread. For a table in a file this takes `/proc` and the permission to
    /// open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(self.member.try_clone()?))
    }

    /// A reader of the same table. It takes what [`try_clone`](Self::try_clone) takes, but for the seat.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn reader(&self) -> Result<TableReader<T>, Error> {
        Ok(TableReader::new(self.member.region().reopen(Access::Peer)?, true))
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this table. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// How many rows there are. They count from 0.
    pub fn rows(&self) -> u32 {
        self.held.len() as u32
    }

    /// The last committed value of a row, whoever writes it. As [`TableReader::get`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get(&self, row: u32) -> Result<T, Error> {
        Ok(rows::read(self.member.region(), row)?.0)
    }

    /// Becomes the writer of a row, and waits without a limit while another handle is that.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if there is no such row. [`Error::Deadlock`] if this handle writes it already, or the calling
    /// thread does, through another handle of this process. [`Error::Forked`], [`Error::Truncated`],
    /// [`Error::Garbage`].
    pub fn row(&self, row: u32) -> Result<TableRow<'_, T>, Error> {
        self.row_until(row, u64::MAX)
    }

    /// Becomes the writer of a row that nobody writes. `None`: somebody does. Takes it from a dead writer as well, but a
    /// call that follows within a millisecond of another may not notice the death.
    ///
    /// # Errors
    ///
    /// As [`row`](Self::row), without [`Error::Deadlock`].
    pub fn try_row(&self, row: u32) -> Result<Option<TableRow<'_, T>>, Error> {
        match self.row_until(row, 0) {
            Err(Error::TimedOut | Error::Deadlock) => Ok(None),
            row => row.map(Some),
        }
    }

    /// As [`row`](Self::row), until `deadline`. With a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`row`](Self::row); [`Error::TimedOut`].
    pub fn row_deadline(&self, row: u32, deadline: Instant) -> Result<TableRow<'_, T>, Error> {
        self.row_until(row, clock::deadline_ns(deadline))
    }

    /// As [`row`](Self::row), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`row`](Self::row); [`Error::TimedOut`].
    pub fn row_timeout(&self, row: u32, timeout: Duration) -> Result<TableRow<'_, T>, Error> {
        self.row_until(row, clock::after_ns(timeout))
    }

    fn row_until(&self, row: u32, until_ns: u64) -> Result<TableRow<'_, T>, Error> {
        self.member.check()?;
        // Taken again by the same handle, it would be written through two.
        if self.held.get(row as usize).ok_or_else(no_row)?.get() {
            return Err(Error::Deadlock);
        }
        let (owned, me) = (self.owned(row)?, self.member.me());
        let was_abandoned = !owned.take(me) && owned.wait(&self.member, until_ns)? == Taken::FromTheDead;
        TableRow::new(self, row, was_abandoned)
    }

    /// Commits `value` in a row, and is its writer for that long only: it waits without a limit while another handle is that.
    /// Returns its version, as [`TableRow::set`].
    ///
    /// # Errors
    ///
    /// As [`row`](Self::row).
    pub fn set(&self, row: u32, value: &T) -> Result<u64, Error> {
        self.row(row)?.set(value)
    }

    /// As [`set`](Self::set), if nobody writes the row. `None`: somebody does, or this handle has a [`TableRow`] of it.
    ///
    /// # Errors
    ///
    /// As [`try_row`](Self::try_row).
    pub fn try_set(&self, row: u32, value: &T) -> Result<Option<u64>, Error> {
        self.try_row(row)?.map(|mut row| row.set(value)).transpose()
    }

    /// As [`set`](Self::set). Waits until `deadline` for whoever writes the row.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); [`Error::TimedOut`].
    pub fn set_deadline(&self, row: u32, value: &T, deadline: Instant) -> Result<u64, Error> {
        self.row_deadline(row, deadline)?.set(value)
    }

    /// As [`set`](Self::set). Waits for at most `timeout` for whoever writes the row.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set); [`Error::TimedOut`].
    pub fn set_timeout(&self, row: u32, value: &T, timeout: Duration) -> Result<u64, Error> {
        self.row_timeout(row, timeout)?.set(value)
    }

    /// Who writes a row now. One system call if it is another handle.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if there is no such row. [`Error::Forked`], [`Error::Truncated`], [`Error::Garbage`].
    pub fn writer(&self, row: u32) -> Result<Option<LockHolder>, Error> {
        self.member.check()?;
        let owner = self.owned(row)?.owner();
        let holder = owner.map(|owner| self.member.lock_holder(owner)).transpose()?;
        self.member.check_memory().map(|()| holder)
    }

    fn cells(&self, row: u32) -> Result<Cells<'_>, Error> {
        rows::cells(self.member.views(), self.member.content(), row).ok_or_else(no_row)
    }
}

impl<T> Table<T> {
    /// The processes of the other handles that sleep until they may write a row, as they stored their ids. A hint.
    pub fn waiting(&self) -> Vec<u32> {
        self.member.waiting()
    }

    fn owned(&self, row: u32) -> Result<Owned<'_>, Error> {
        rows::owned(self.member.views(), row).ok_or_else(no_row)
    }

    /// This handle writes the row.
    fn note(&self, row: u32) {
        if let Some(held) = self.held.get(row as usize) {
            held.set(true);
            self.held_count.set(self.held_count.get() + 1);
            self.member.holder().enter();
        }
    }

    /// It writes the row no longer.
    fn give(&self, row: u32) {
        let Some(held) = self.held.get(row as usize) else { return };
        held.set(false);
        self.held_count.set(self.held_count.get() - 1);
        if self.held_count.get() == 0 {
            self.member.holder().leave();
        }
        if self.member.check().is_ok()
            && let Ok(owned) = self.owned(row)
        {
            owned.give(self.member.me());
        }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // Rows that were forgotten.
        if self.held_count.get() > 0 {
            let forgotten = (0..self.held.len() as u32).filter(|row| self.held[*row as usize].get());
            forgotten.for_each(|row| self.give(row));
        }
    }
}

/// Stores the first value in each row.
fn fill<T: Typed>(member: &Member<Rows>, first: &T) {
    let rows = (0..member.content().rows as u32)
        .filter_map(|row| rows::cells(member.views(), member.content(), row));
    rows.for_each(|cells| {
        cells.commit(0, first.as_bytes());
    });
}

/// Refuses values of another type.
#[cfg(not(loom))]
fn check<T: Typed>(shape: &Shape<Rows>) -> Result<(), Error> {
    guarded::check_type::<T>(shape.content.schema)
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("member", &self.member).finish_non_exhaustive()
    }
}
