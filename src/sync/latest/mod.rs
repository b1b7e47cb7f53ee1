//! The latest value of something: a state, a configuration, a last price.

use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::path::Path;
use std::time::Instant;

use crossbeam_utils::Backoff;

use crate::atomics::{FutexWord, at};
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
use crate::memory::extents::page_bytes;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::memory::format::Format;
use crate::memory::lock::Lock;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
use crate::memory::permissions::check_mode;
use crate::schema::{Schema, Typed};
use crate::sync::cells::Cells;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

mod shape;
mod source;

use shape::{Shape, Views};

/// The lock of the writer.
const WRITER: Lock = Lock::of(0);
/// Attempts to copy a value that keeps changing, before the reader gets [`Error::Busy`].
const TRIES: u32 = if cfg!(loom) { 3 } else { 1000 };

type Region = crate::memory::region::Region<Shape>;

fn cells<'a>(region: &'a Region) -> Cells<'a> {
    let Views { head, data, .. } = region.views();
    let shape = region.shape();
    Cells::new(&head.writer.version, data, shape.cell_words() as usize, shape.cells)
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

    fn shape<T: Typed>(&self) -> Result<Shape, Error> {
        check_mode(self.mode)?;
        let shape = Shape { schema: Schema::of::<T>(), cells: self.cells, alignment: page_bytes() };
        shape.check()?;
        Ok(shape)
    }
}

/// Refuses a value of another type.
#[cfg(not(loom))]
fn check<T: Typed>(region: &Region) -> Result<(), Error> {
    let (asked, found) = (Schema::of::<T>(), region.shape().schema);
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
    region: Region,
    version: u64,
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
        let (region, draft) = Region::create(path.as_ref(), &options.shape::<T>()?, options.mode)?;
        let mut latest = Self::take_over(region)?;
        latest.set(first)?;
        latest.region.publish(draft)?;
        Ok(latest)
    }

    /// Opens the value at `path` as its next writer. The last committed value stays.
    ///
    /// # Errors
    ///
    /// [`Error::WriterAlive`] while another writer lives, running or stopped; [`Error::WrongSchema`] if it is of
    /// another type; [`Error::OtherKind`]; any other error of opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_of(path.as_ref(), Owners::Any)
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
        let path = path.as_ref();
        let open = || Self::open_of(path, Owners::Trusted);
        let create = || Self::create(path, options, first);
        arrival::open_or_create::<Shape, _>(path, Owners::Trusted, open, create)
    }

    #[cfg(not(loom))]
    fn open_of(path: &Path, owners: Owners) -> Result<Self, Error> {
        let region = Region::open_of(path, Access::Writer, owners)?;
        check::<T>(&region)?;
        Self::take_over(region)
    }

    /// Creates a value in this process's own memory, for its threads: [`reader`](Self::reader) creates their handles.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &LatestOptions, first: &T) -> Result<Self, Error> {
        let mut latest = Self::take_over(Region::heap(options.shape::<T>()?)?)?;
        latest.set(first)?;
        Ok(latest)
    }

    fn take_over(region: Region) -> Result<Self, Error> {
        let pid = &region.views().head.writer.pid;
        if !region.lock(WRITER)? {
            let pid = pid.load(at!(L_PID, Relaxed)) as u32;
            return Err(region.refusal(WRITER, "the writer's place", Error::WriterAlive { pid }));
        }
        pid.store(std::process::id().into(), at!(L_PID_WRITE, Relaxed));
        let version = cells(&region).version();
        region.or_memory_gone(Ok(()))?;
        Ok(Self { region, version, _value: PhantomData })
    }

    /// Commits `value`, and wakes readers that wait for a change. Returns its version: the number of this commit,
    /// where the first value has 1. Never waits for a reader. Readers see the old value or this one, whole, whenever
    /// the process is killed.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn set(&mut self, value: &T) -> Result<u64, Error> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        self.version = cells(&self.region).commit(self.version, value.as_bytes());
        doorbell::notify(&self.region.views().control.change, WaitMode::Fence);
        self.region.or_memory_gone(Ok(self.version))
    }

    /// The last committed value.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn get(&self) -> Result<T, Error> {
        Ok(read(&self.region)?.0)
    }

    /// The version of the value: the number of commits, the first one included. Continues from writer to writer, and
    /// wraps at `2^64`.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A reader of a value in this process's own memory.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] for a value in a file, which [`LatestReader::open`] reads.
    pub fn reader(&self) -> Result<LatestReader<T>, Error> {
        Ok(LatestReader::new(self.region.share()?, true))
    }
}

/// Reads the latest value. Needs only permission to read the file.
///
/// One thread at a time may use a handle; it may move between threads (`Send`, not `Sync`). After a `fork` only the parent
/// may use it.
pub struct LatestReader<T> {
    region: Region,
    /// Whether this handle may write the word that it sleeps on. If not, no writer wakes it.
    is_woken: bool,
    seen: Option<u64>,
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
        let path = path.as_ref();
        let (region, is_woken) = match Region::open(path, Access::Participant) {
            Err(Error::Permission { .. } | Error::ReadOnly { .. }) => {
                (Region::open(path, Access::Reader)?, false)
            }
            region => (region?, true),
        };
        check::<T>(&region)?;
        Ok(Self::new(region, is_woken))
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

    fn new(region: Region, is_woken: bool) -> Self {
        Self { region, is_woken, seen: None, _value: PhantomData }
    }

    /// The latest value. Never waits: it copies a value, and starts again if too many commits happened meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if that happened a thousand times in a row: use more [cells](LatestOptions::cells).
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn get(&mut self) -> Result<T, Error> {
        let (value, version) = read(&self.region)?;
        self.seen = Some(version);
        Ok(value)
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
        self.wait(clock::deadline_ns(deadline))
    }

    /// As [`next_deadline`](Self::next_deadline), without a deadline.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    // Not an iterator: it has no end.
    #[expect(clippy::should_implement_trait, reason = "it has no end, and may fail")]
    pub fn next(&mut self) -> Result<T, Error> {
        loop {
            if let Some(value) = self.wait(u64::MAX)? {
                return Ok(value);
            }
        }
    }

    fn wait(&mut self, until_ns: u64) -> Result<Option<T>, Error> {
        let backoff = Backoff::new();
        let begin_ns = clock::monotonic_ns();
        loop {
            if self.region.broken() {
                return Err(self.region.fault().into());
            }
            if self.has_changed() {
                return self.get().map(Some);
            }
            if clock::is_past(until_ns) {
                return Ok(None);
            }
            if cfg!(loom) || backoff.is_completed() {
                self.sleep(begin_ns, until_ns);
            } else {
                backoff.snooze();
            }
        }
    }

    fn sleep(&self, begin_ns: u64, until_ns: u64) {
        let word = &self.region.views().control.change;
        let is_true = || self.has_changed() || self.region.memory_gone();
        if self.is_woken {
            let heavy = |word: &FutexWord| doorbell::heavy_for(word, Some(WaitMode::Fence));
            doorbell::sleep(word, heavy, is_true, until_ns);
        } else {
            let now = clock::monotonic_ns();
            let nap_ns = doorbell::nap_ns(now.saturating_sub(begin_ns));
            doorbell::doze(word, is_true, until_ns.min(now.saturating_add(nap_ns)));
        }
    }

    /// Is there a value that this handle has not returned yet?
    pub fn has_changed(&self) -> bool {
        !self.region.broken() && self.seen != Some(cells(&self.region).version())
    }

    /// The version of the value that was returned last. `None`: none was.
    pub fn version(&self) -> Option<u64> {
        self.seen
    }

    /// Becomes the next writer of a value in this process's own memory, beside this reader.
    ///
    /// # Errors
    ///
    /// [`Error::WriterAlive`] while there is one; [`Error::BadOption`] for a value in a file, which [`Latest::open`]
    /// writes.
    pub fn next_writer(&self) -> Result<Latest<T>, Error> {
        Latest::take_over(self.region.share()?)
    }

    /// Is there a writer, running or stopped? One system call.
    pub fn writer_alive(&self) -> bool {
        self.region.locked(WRITER)
    }
}

/// The current value and its version.
fn read<T: Typed>(region: &Region) -> Result<(T, u64), Error> {
    if region.broken() {
        return Err(region.fault().into());
    }
    let mut value = T::new_zeroed();
    let backoff = Backoff::new();
    for _ in 0..TRIES {
        let version = cells(region).read(value.as_mut_bytes());
        if region.memory_gone() {
            return Err(region.fault().into());
        }
        if let Some(version) = version {
            return Ok((value, version));
        }
        if !cfg!(loom) {
            backoff.spin();
        }
    }
    Err(Error::Busy)
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest").field("version", &self.version).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for LatestReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestReader").field("seen", &self.seen).finish_non_exhaustive()
    }
}
