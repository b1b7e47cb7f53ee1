//! Options of a new ring. They are fixed when the file is created.

#[cfg(not(loom))]
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::memory::extents::{HUGE_PAGE, page_bytes};
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::memory::format::Format;
use crate::memory::permissions::check_mode;
#[cfg(not(loom))]
use crate::ring::Region;
use crate::ring::geometry::Geometry;
use crate::schema::Schema;
use crate::schema::Typed;
use crate::wait::clock::duration_ns;
use crate::wait::mode::WaitMode;

/// Options of a new ring: capacity, slots, and how long its producer waits for slow consumers.
///
/// ```no_run
/// use std::time::Duration;
///
/// let options = quoit::Options::new().capacity(64 << 20).hard_limit(Duration::from_millis(5));
/// options.create("/dev/shm/prices")?;
/// # Ok::<(), quoit::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until a ring is created with them"]
pub struct Options {
    capacity: u64,
    slots: u32,
    inline: bool,
    wait: WaitMode,
    hard_limit: Option<Duration>,
    gated_only: bool,
    times: bool,
    huge_pages: bool,
    mode: u32,
    any_owner: bool,
    origin_position: u64,
    origin_sequence: u64,
    schema: Option<Schema>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            capacity: 16 << 20,
            slots: 32,
            inline: true,
            wait: WaitMode::default(),
            hard_limit: None,
            gated_only: false,
            times: false,
            huge_pages: false,
            mode: 0o600,
            any_owner: false,
            origin_position: 0,
            origin_sequence: 0,
            schema: None,
        }
    }
}

impl Options {
    /// 16 MiB, 32 slots, inline copies, `membarrier`, no limit, mode 0600.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the capacity in bytes, a power of two from 4 KiB to 1 TiB. Default: 16 MiB. A record takes its length
    /// rounded up to a multiple of 8, plus 8 bytes; the largest takes half the capacity.
    pub fn capacity(self, bytes: u64) -> Self {
        Self { capacity: bytes, ..self }
    }

    /// Sets how many consumers can be attached at a time, including names whose consumers are away: 1 to 1024.
    /// Default: 32. Observers take no slot.
    pub fn slots(self, slots: u32) -> Self {
        Self { slots, ..self }
    }

    /// Whether the producer also copies a record that is sent singly, and fits 104 bytes, next to `published`.
    /// Readers that keep up then get it with one cache miss instead of two. Default: on. The producer omits the
    /// copies while it sends more than ten million records a second.
    pub fn inline(self, on: bool) -> Self {
        Self { inline: on, ..self }
    }

    /// Sets how consumers and the producer block. Default: [`WaitMode::Membarrier`].
    pub fn wait(self, mode: WaitMode) -> Self {
        Self { wait: mode, ..self }
    }

    /// Sets the longest budget of any consumer, whatever it asked for: how long it may hold the producer up in one
    /// lap. A gated consumer that exceeds it becomes lossy and receives [`Event::Evicted`](crate::Event::Evicted).
    /// Must be more than zero. Default: no limit.
    pub fn hard_limit(self, limit: Duration) -> Self {
        Self { hard_limit: Some(limit), ..self }
    }

    /// Refuses every consumer that could be overwritten, so that the producer can fill its claims in place as slices.
    /// A consumer that starts in the past could be overwritten until the producer has seen its gate. Therefore every
    /// consumer starts at the newest record, and a name that was not held resumes there. Cannot be combined with a
    /// hard limit. Default: off.
    pub fn gated_only(self, on: bool) -> Self {
        Self { gated_only: on, ..self }
    }

    /// Whether records carry the time at which they were published: [`Record::time`](crate::Record::time). Default: off.
    ///
    /// The time takes 8 bytes more of the ring for each record, so the largest payload is 8 bytes shorter, and payloads of
    /// up to 96 bytes have an inline copy. It counts in no number of payload bytes. The producer looks at the clock
    /// for each record that it publishes alone, and once for a batch, when it publishes it. Times never decrease, not even
    /// from one producer to the next.
    ///
    /// With times, readers can start at a time ([`Start::Time`](crate::Start::Time), [`Start::Wall`](crate::Start::Wall)), and
    /// a [`Merge`](crate::Merge) can put records of several rings in order.
    pub fn times(self, on: bool) -> Self {
        Self { times: on, ..self }
    }

    /// Whether the parts of the file begin at multiples of 2 MiB, in the file and in memory. The kernel needs this to
    /// use huge pages for them. The file grows by up to 6 MiB. Default: off. When on, request huge pages with
    /// [`Memory::huge_pages`](crate::Memory::huge_pages), unless the file system uses them for every file.
    pub fn huge_pages(self, on: bool) -> Self {
        Self { huge_pages: on, ..self }
    }

    /// Sets the permission bits of the file, regardless of the umask: read and write for user, group and others. The
    /// owner always has both. Consumers need both; observers only need to read. Default: 0600.
    ///
    /// `docs/guarantees.md`, "What is not promised", says what a process that may write the file can do. A process
    /// that may only read it can keep new handles out, by placing a read lock on the bytes that show which
    /// participants live. Then no process becomes producer, attaches, or forgets a name ([`Error::ReadLocked`]);
    /// handles that are already open are not affected.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Whether [`Producer::open_or_create`](crate::Producer::open_or_create) accepts an existing ring that another
    /// unprivileged user owns. That user chose its mode and capacity, can read it and can cut it short. Default: off;
    /// such a ring is [`Error::ForeignOwner`]. Rings of this process's effective user and of root are always
    /// accepted. No other call checks the owner, since each names a ring that is expected to exist.
    pub fn any_owner(self, on: bool) -> Self {
        Self { any_owner: on, ..self }
    }

    /// Makes the ring one for records of `T`, and says so in its file. [`TypedProducer`](crate::TypedProducer) and
    /// [`TypedConsumer`](crate::TypedConsumer) refuse a ring of another type or of none. Untyped handles open it like
    /// any other. Default: records of any kind.
    pub fn schema<T: Typed>(self) -> Self {
        Self { schema: Some(Schema::of::<T>()), ..self }
    }

    /// Sets where the stream begins: a byte position, a multiple of 8, and a sequence. For tests of the wrap at 2^64.
    #[doc(hidden)]
    pub fn origin(self, position: u64, sequence: u64) -> Self {
        Self { origin_position: position, origin_sequence: sequence, ..self }
    }

    /// Makes a ring at `path` that has no producer yet: short for [`Ring::create`](crate::Ring::create). No file may
    /// exist at the path.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is a file at the path, [`Error::NotRegular`] if there is anything else,
    /// [`Error::NoSpace`] if there is no room for the whole ring, [`Error::FileSizeLimit`] if the process may not
    /// create a file of this size, [`Error::Filesystem`] if the file system does not keep memory and locks coherent
    /// between processes, [`Error::Capacity`] or [`Error::BadOption`] for invalid options. An error leaves no file
    /// behind.
    #[cfg(not(loom))]
    pub fn create(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let (region, draft) = Region::create(path.as_ref(), &self.geometry()?, self.file_mode())?;
        region.publish(draft)
    }

    /// Permission bits of the file.
    #[cfg(not(loom))]
    pub(crate) fn file_mode(&self) -> u32 {
        self.mode
    }

    /// Which owners of the file are accepted.
    #[cfg(not(loom))]
    pub(crate) fn owners(&self) -> Owners {
        if self.any_owner { Owners::Any } else { Owners::Trusted }
    }

    /// The ring's shape, with every option checked.
    pub(crate) fn geometry(&self) -> Result<Geometry, Error> {
        check_mode(self.mode)?;
        if self.hard_limit.is_some_and(|limit| limit.is_zero()) {
            return Err(Error::BadOption {
                what: "the hard limit is more than zero; leave it out for no limit",
            });
        }
        if self.gated_only && self.hard_limit.is_some() {
            return Err(Error::BadOption {
                what: "a hard limit lets consumers be overwritten, which gated-only rings refuse; choose one",
            });
        }
        let geometry = Geometry {
            capacity: self.capacity,
            segments: Geometry::segments_for(self.capacity),
            slots: self.slots,
            alignment: if self.huge_pages { HUGE_PAGE } else { page_bytes() },
            inline: self.inline,
            gated_only: self.gated_only,
            timed: self.times,
            wait: self.wait,
            hard_limit_ns: self.hard_limit.map_or(0, duration_ns),
            sealed: false,
            origin_position: self.origin_position,
            origin_sequence: self.origin_sequence,
            schema: self.schema.map_or(0, Schema::to_word),
        };
        geometry.check()?;
        Ok(geometry)
    }
}
