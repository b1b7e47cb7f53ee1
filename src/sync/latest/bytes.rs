//! A latest value that is a byte string, of any length up to a maximum.

use std::fmt;
use std::ops::Deref;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::LatestOptions;
use super::reading::{Reader, read};
use super::writing::Writer;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::schema::{Schema, Typed};
use crate::wait::clock;

/// The tag of byte strings.
const TAG: u32 = u32::from_le_bytes(*b"byte");
/// Bytes of the length, which stands before the bytes themselves.
const LENGTH: usize = 8;

/// A function, so that it is built only where it is returned: an error is large. `garbage` likewise.
#[cold]
fn too_long() -> Error {
    Error::BadOption { what: "the byte string is longer than the value has room for" }
}

#[cold]
fn garbage() -> Error {
    Error::Garbage { what: "the length of a byte string is larger than its room" }
}

/// A byte string of at most `N` bytes, as a value: [`Typed`]. A [`Latest`](super::Latest) of it is what
/// [`LatestBytes`] writes, and `quoit set` with `--max N`.
///
/// ```
/// use quoit::sync::Bytes;
///
/// let name = Bytes::<16>::new(b"EURUSD").expect("short enough");
/// assert_eq!(&name[..], b"EURUSD");
/// assert!(Bytes::<4>::new(b"EURUSD").is_none());
/// ```
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct Bytes<const N: usize> {
    length: [u8; LENGTH],
    bytes: [u8; N],
}

impl<const N: usize> Typed for Bytes<N> {
    const TAG: u32 = TAG;
}

impl<const N: usize> Bytes<N> {
    /// A value with these bytes. `None`: there are more than `N`.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut value = Self { length: (bytes.len() as u64).to_le_bytes(), bytes: [0; N] };
        value.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(value)
    }
}

/// The bytes. All `N` of them if another process stored a length that is larger.
impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let length = u64::from_le_bytes(self.length).min(N as u64) as usize;
        &self.bytes[..length]
    }
}

impl<const N: usize> PartialEq for Bytes<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Bytes<N> {}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

/// The type of byte strings of at most `max` bytes.
fn schema(max: u32) -> Schema {
    Schema { size: max.saturating_add(LENGTH as u32), tag: TAG }
}

fn is_string(schema: Schema) -> bool {
    schema.tag == TAG && schema.size as usize >= LENGTH
}

/// Stores a byte string in the bytes of a value, as [`Bytes`] has it.
fn store(string: &[u8], value: &mut [u8]) -> Result<(), Error> {
    let (length, bytes) = value.split_at_mut_checked(LENGTH).ok_or_else(too_long)?;
    let (own, rest) = bytes.split_at_mut_checked(string.len()).ok_or_else(too_long)?;
    length.copy_from_slice(&(string.len() as u64).to_le_bytes());
    own.copy_from_slice(string);
    rest.fill(0);
    Ok(())
}

/// The byte string in the bytes of a value.
fn load(value: &[u8]) -> Option<&[u8]> {
    let (length, bytes) = value.split_first_chunk::<LENGTH>()?;
    bytes.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// As [`Latest`](super::Latest), for a byte string whose greatest length is chosen when the value is created.
///
/// ```
/// use quoit::sync::{Bytes, LatestBytes, LatestBytesReader, LatestOptions, LatestReader};
///
/// let path = format!("/dev/shm/state-{}", std::process::id());
/// let mut state = LatestBytes::create(&path, &LatestOptions::new(), 64, b"starting")?;
///
/// // In any other process, with the type or without:
/// let mut reader = LatestBytesReader::open(&path)?;
/// let mut typed = LatestReader::<Bytes<64>>::open(&path)?;
/// state.set(b"running")?;
/// assert_eq!(reader.get()?, b"running");
/// assert_eq!(&typed.get()?[..], b"running");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LatestBytes {
    writer: Writer,
    value: Vec<u8>,
}

impl LatestBytes {
    /// Creates a byte string of at most `max` bytes at `path` with `first` in it, and becomes its writer.
    ///
    /// # Errors
    ///
    /// As [`Latest::create`](super::Latest::create); [`Error::BadOption`] if `first` is longer, or `max` is 1 GiB or
    /// more.
    #[cfg(not(loom))]
    pub fn create(
        path: impl AsRef<Path>,
        options: &LatestOptions,
        max: u32,
        first: &[u8],
    ) -> Result<Self, Error> {
        let value = value(max, first, options)?;
        let writer = Writer::create(path.as_ref(), options, schema(max), &value)?;
        Ok(Self { writer, value })
    }

    /// Opens the byte string at `path` as its next writer. What was last committed stays.
    ///
    /// # Errors
    ///
    /// As [`Latest::open`](super::Latest::open); [`Error::WrongSchema`] if the value is no byte string.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::over(Writer::open(path.as_ref(), Owners::Any, |found| check(found, schema(0)))?)
    }

    /// As [`open`](Self::open), for a byte string that may not exist yet, as
    /// [`Latest::open_wait`](super::Latest::open_wait) does.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    /// Opens the byte string at `path`, whatever its maximum, or creates it with `first` in it if there is none. A file of
    /// another unprivileged user is refused, and what is left of an earlier boot is replaced.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    #[cfg(not(loom))]
    pub fn open_or_create(
        path: impl AsRef<Path>,
        options: &LatestOptions,
        max: u32,
        first: &[u8],
    ) -> Result<Self, Error> {
        let (schema, first) = (schema(max), value(max, first, options)?);
        let check = |found| check(found, schema);
        Self::over(Writer::open_or_create(path.as_ref(), options, schema, &first, check)?)
    }

    /// Creates a byte string in this process's own memory, for its threads: [`reader`](Self::reader) creates their
    /// handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &LatestOptions, max: u32, first: &[u8]) -> Result<Self, Error> {
        let value = value(max, first, options)?;
        Ok(Self { writer: Writer::local(options, schema(max), &value)?, value })
    }

    fn over(writer: Writer) -> Result<Self, Error> {
        let value = vec![0; writer.region().shape().schema.size as usize];
        Ok(Self { writer, value })
    }

    /// The most bytes that it has room for.
    pub fn max(&self) -> usize {
        self.value.len() - LENGTH
    }

    /// Commits a byte string, and wakes readers that wait for a change. Returns its version, as
    /// [`Latest::set`](super::Latest::set) does.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] if it is longer than [`max`](Self::max); [`Error::Forked`], [`Error::Truncated`].
    pub fn set(&mut self, string: &[u8]) -> Result<u64, Error> {
        store(string, &mut self.value)?;
        self.writer.set(&self.value)
    }

    /// The last committed byte string.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`]; [`Error::Garbage`] if its length cannot be.
    pub fn get(&mut self) -> Result<&[u8], Error> {
        read(self.writer.region(), &mut self.value)?;
        load(&self.value).ok_or_else(garbage)
    }

    /// The number of commits, the first one included.
    pub fn version(&self) -> u64 {
        self.writer.version()
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this value. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.writer.is_stale()
    }

    /// A reader of the same byte string, for another thread, as [`Latest::reader`](super::Latest::reader).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn reader(&self) -> Result<LatestBytesReader, Error> {
        Ok(LatestBytesReader::new(self.writer.reader()?))
    }
}

/// The bytes of the first value.
fn value(max: u32, first: &[u8], options: &LatestOptions) -> Result<Vec<u8>, Error> {
    // Before there is memory for it.
    options.shape(schema(max))?;
    let mut value = vec![0; schema(max).size as usize];
    store(first, &mut value)?;
    Ok(value)
}

fn check(found: Schema, asked: Schema) -> Result<(), Error> {
    if is_string(found) { Ok(()) } else { Err(Error::WrongSchema { asked, found: Some(found) }) }
}

/// As [`LatestReader`](super::LatestReader), for values of any type: of a byte string its bytes, of any other value all
/// the bytes that it has. Needs only permission to read the file.
pub struct LatestBytesReader {
    pub(super) reader: Reader,
    value: Vec<u8>,
}

impl LatestBytesReader {
    /// Opens the value at `path` for reading.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Reader::open(path.as_ref(), |_| Ok(()))?))
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
        let value = vec![0; reader.region.shape().schema.size as usize];
        Self { reader, value }
    }

    /// Another handle that reads, for another thread, as [`LatestReader::try_clone`](super::LatestReader::try_clone).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(self.reader.try_clone()?))
    }

    /// The type of the value.
    pub fn schema(&self) -> Schema {
        self.reader.region.shape().schema
    }

    /// Whether the value is a byte string. If not, [`get`](Self::get) returns all bytes of the value.
    pub fn is_string(&self) -> bool {
        is_string(self.schema())
    }

    /// The latest value. Never waits.
    ///
    /// # Errors
    ///
    /// As [`LatestReader::get`](super::LatestReader::get); [`Error::Garbage`] if the length of a byte string cannot be.
    pub fn get(&mut self) -> Result<&[u8], Error> {
        self.reader.get(&mut self.value)?;
        if !self.is_string() {
            return Ok(&self.value);
        }
        load(&self.value).ok_or_else(garbage)
    }

    /// Waits until `deadline` for a value that this handle has not returned yet, as
    /// [`LatestReader::next_deadline`](super::LatestReader::next_deadline) does. `None`: the deadline passed.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn next_deadline(&mut self, deadline: Instant) -> Result<Option<&[u8]>, Error> {
        if self.reader.wait(clock::deadline_ns(deadline)) { self.get().map(Some) } else { Ok(None) }
    }

    /// The latest value, if this handle has not returned it yet. Never waits.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn try_next(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.reader.is_ready() { self.get().map(Some) } else { Ok(None) }
    }

    /// As [`next_deadline`](Self::next_deadline), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<&[u8]>, Error> {
        if self.reader.wait(clock::after_ns(timeout)) { self.get().map(Some) } else { Ok(None) }
    }

    /// As [`next_deadline`](Self::next_deadline), without a deadline.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    // Not an iterator: it has no end.
    #[expect(clippy::should_implement_trait, reason = "it has no end, and may fail")]
    pub fn next(&mut self) -> Result<&[u8], Error> {
        while !self.reader.wait(u64::MAX) {}
        self.get()
    }

    /// Becomes the next writer of a byte string, beside this reader, as
    /// [`LatestReader::next_writer`](super::LatestReader::next_writer).
    ///
    /// # Errors
    ///
    /// As there; [`Error::WrongSchema`] if the value is no byte string.
    pub fn next_writer(&self) -> Result<LatestBytes, Error> {
        check(self.schema(), schema(0))?;
        LatestBytes::over(Writer::after(&self.reader)?)
    }

    /// Is there a value that this handle has not returned yet?
    pub fn has_changed(&self) -> bool {
        self.reader.has_changed()
    }

    /// The version of the value that was returned last. `None`: none was.
    pub fn version(&self) -> Option<u64> {
        self.reader.version()
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

impl fmt::Debug for LatestBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestBytes").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LatestBytesReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestBytesReader").field("seen", &self.version()).finish_non_exhaustive()
    }
}
