//! The latest value of a type.

use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use super::LatestOptions;
use super::reading::{Reader, read_typed};
use super::writing::Writer;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::schema::{Schema, Typed};
use crate::wait::clock;

/// Refuses a value of another type.
#[cfg(not(loom))]
fn check<T: Typed>(found: Schema) -> Result<(), Error> {
    let asked = Schema::of::<T>();
    if found == asked { Ok(()) } else { Err(Error::WrongSchema { asked, found: Some(found) }) }
}

/// The writing handle of a value of which only the latest version matters.
///
/// Any number of processes read it, each with a [`LatestReader`], without a lock and without the writer's knowledge.
/// They always get a whole value. The writer holds a kernel lock while it lives. If it is killed, at any instruction,
/// the last committed value stays whole, and the next writer continues.
///
/// The type consists of plain bytes, see [`Typed`]; its size and tag are stored in the file. One thread at a time may
/// use a handle; it may move between threads (`Send`, not `Sync`). After a `fork` only the parent may use it.
///
/// ```
/// use quoit::sync::{Latest, LatestOptions, LatestReader};
/// use quoit::Typed;
/// use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(Clone, Copy, FromBytes, Immutable, IntoBytes)]
/// #[zerocopy(crate = "quoit::zerocopy")]
/// #[repr(C)]
/// struct Quote {
///     bid: u64,
///     ask: u64,
/// }
///
/// impl Typed for Quote {
///     const TAG: u32 = 1;
/// }
///
/// let path = format!("/dev/shm/quote-{}", std::process::id());
/// let mut quote = Latest::create(&path, &LatestOptions::new(), &Quote { bid: 10841, ask: 10843 })?;
///
/// // In any other process:
/// let mut reader = LatestReader::<Quote>::open(&path)?;
/// assert_eq!(reader.get()?.bid, 10841);
///
/// quote.set(&Quote { bid: 10842, ask: 10844 })?;
/// assert_eq!(reader.get()?.ask, 10844);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Latest<T> {
    writer: Writer,
    _value: PhantomData<T>,
}

impl<T: Typed> Latest<T> {
    /// Creates the value at `path` with `first` in it, and becomes its writer. No process ever sees the file
    /// incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &LatestOptions, first: &T) -> Result<Self, Error> {
        Ok(Self::new(Writer::create(path.as_ref(), options, Schema::of::<T>(), first.as_bytes())?))
    }

    /// Opens the value at `path` as its next writer. The last committed value stays.
    ///
    /// # Errors
    ///
    /// [`Error::WriterAlive`] while another writer lives, running or stopped; [`Error::WrongSchema`] if it is of
    /// another type; [`Error::OtherKind`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Writer::open(path.as_ref(), Owners::Any, check::<T>)?))
    }

    /// As [`open`](Self::open), for a value that may not exist yet: waits until `deadline` for it to be created. With a
    /// deadline that has passed it tries once. It does not wait for another writer to end.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    /// Opens the value at `path`, or creates it with `first` in it if there is none. A file of another unprivileged user is
    /// refused: in a directory that everybody may write to, anybody can be there first. A leftover of an earlier boot is
    /// replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &LatestOptions, first: &T) -> Result<Self, Error> {
        let (path, schema) = (path.as_ref(), Schema::of::<T>());
        Ok(Self::new(Writer::open_or_create(path, options, schema, first.as_bytes(), check::<T>)?))
    }

    /// Creates a value in this process's own memory, for its threads: [`reader`](Self::reader) creates their handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &LatestOptions, first: &T) -> Result<Self, Error> {
        Ok(Self::new(Writer::local(options, Schema::of::<T>(), first.as_bytes())?))
    }

    fn new(writer: Writer) -> Self {
        Self { writer, _value: PhantomData }
    }

    /// Commits `value`, and wakes readers that wait for a change. Returns its version: the number of this commit,
    /// where the first value has 1. Never waits for a reader. Readers see the old value or this one, whole, whenever
    /// the process is killed.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn set(&mut self, value: &T) -> Result<u64, Error> {
        self.writer.set(value.as_bytes())
    }

    /// The last committed value.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    #[inline(always)]
    pub fn get(&self) -> Result<T, Error> {
        let (value, _) = read_typed(self.writer.region())?;
        Ok(value)
    }

    /// The version of the value: the number of commits, the first one included. Continues from writer to writer, and
    /// wraps at `2^64`.
    pub fn version(&self) -> u64 {
        self.writer.version()
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this value. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.writer.is_stale()
    }

    /// A reader of the same value, for another thread. For a value in a file this takes `/proc` and the permission to open
    /// the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn reader(&self) -> Result<LatestReader<T>, Error> {
        Ok(LatestReader::new(self.writer.reader()?))
    }
}

/// Reads the latest value. Needs only permission to read the file.
///
/// One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`). After a `fork` only the parent
/// may use it.
pub struct LatestReader<T> {
    pub(super) reader: Reader,
    _value: PhantomData<T>,
}

impl<T: Typed> LatestReader<T> {
    /// Opens the value at `path` for reading.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSchema`] if it is of another type; [`Error::OtherKind`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Reader::open(path.as_ref(), check::<T>)?))
    }

    /// As [`open`](Self::open), for a value that may not exist yet: waits until `deadline` for it to be created. With
    /// a deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    fn new(reader: Reader) -> Self {
        Self { reader, _value: PhantomData }
    }

    /// Another handle that reads, for another thread. It has returned no value yet. For a value in a file this takes `/proc`
    /// and the permission to open the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]; any other error of opening the file.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(self.reader.try_clone()?))
    }

    /// The latest value. Never waits: it copies a value, and starts again if too many commits happened meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if that happened a thousand times in a row: use more [cells](LatestOptions::cells).
    /// [`Error::Forked`], [`Error::Truncated`].
    #[inline(always)]
    pub fn get(&mut self) -> Result<T, Error> {
        self.reader.get_typed()
    }

    /// Waits until `deadline` for a value that this handle has not returned yet. `None`: the deadline passed. The
    /// first call returns at once. A value that is replaced between two calls is never seen.
    ///
    /// The death of the writer does not end the wait: another may continue. A change wakes a sleeping reader. A handle
    /// that may not write the file polls every 1 to 20 milliseconds, less often the longer nothing has come.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn next_deadline(&mut self, deadline: Instant) -> Result<Option<T>, Error> {
        if self.reader.wait(clock::deadline_ns(deadline)) { self.get().map(Some) } else { Ok(None) }
    }

    /// The latest value, if this handle has not returned it yet. Never waits.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn try_next(&mut self) -> Result<Option<T>, Error> {
        if self.reader.is_ready() { self.get().map(Some) } else { Ok(None) }
    }

    /// As [`next_deadline`](Self::next_deadline), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<T>, Error> {
        if self.reader.wait(clock::after_ns(timeout)) { self.get().map(Some) } else { Ok(None) }
    }

    /// As [`next_deadline`](Self::next_deadline), without a deadline.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    // Not an iterator: it has no end.
    #[expect(clippy::should_implement_trait, reason = "it has no end, and may fail")]
    pub fn next(&mut self) -> Result<T, Error> {
        while !self.reader.wait(u64::MAX) {}
        self.get()
    }

    /// Is there a value that this handle has not returned yet?
    pub fn has_changed(&self) -> bool {
        self.reader.has_changed()
    }

    /// The version of the value that was returned last. `None`: none was.
    pub fn version(&self) -> Option<u64> {
        self.reader.version()
    }

    /// Becomes the next writer of the value, beside this reader, as [`Latest::open`] does. For a value in a file this takes
    /// `/proc` and the permission to write the file; its name need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::WriterAlive`] while there is one; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the
    /// file.
    pub fn next_writer(&self) -> Result<Latest<T>, Error> {
        Ok(Latest::new(Writer::after(&self.reader)?))
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this value. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.reader.region.is_stale()
    }

    /// Is there a writer, running or stopped? One system call.
    pub fn writer_alive(&self) -> bool {
        self.reader.writer_alive()
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest").field("version", &self.writer.version()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for LatestReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestReader").field("seen", &self.reader.version()).finish_non_exhaustive()
    }
}
