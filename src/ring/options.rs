//! How a ring is made. All of it is fixed with the file; nobody else chooses any of it later.

#[cfg(not(loom))]
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::memory::extents::HUGE_PAGE;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::ring::Region;
use crate::ring::layout::Geometry;
use crate::schema::Schema;
use crate::schema::Typed;
use crate::wait::clock::duration_ns;
use crate::wait::mode::WaitMode;

/// How a ring is made: capacity, slots, and what its producer puts up with.
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

    /// Bytes that the ring holds, a power of two from 4 KiB to 1 TiB; 16 MiB unless set. Every record takes
    /// its length rounded up to 8, and 8 bytes more; the largest takes half the capacity.
    pub fn capacity(self, bytes: u64) -> Self {
        Self { capacity: bytes, ..self }
    }

    /// How many consumers can be attached at a time, names whose consumers are away included; 1 to 1024, 32
    /// unless set. Observers take no slot.
    pub fn slots(self, slots: u32) -> Self {
        Self { slots, ..self }
    }

    /// Whether a record that is sent singly and fits 104 bytes is also copied beside the cursor. Readers that
    /// keep up then get it with one cache miss in place of two. On unless set; a producer leaves the copies out by
    /// itself while it sends more than ten million records a second.
    pub fn inline(self, on: bool) -> Self {
        Self { inline: on, ..self }
    }

    /// How consumers and the producer sleep; [`WaitMode::Membarrier`] unless set.
    pub fn wait(self, mode: WaitMode) -> Self {
        Self { wait: mode, ..self }
    }

    /// The longest that any consumer, whatever it asked for, may hold the producer up. A gated consumer that
    /// exceeds it becomes lossy and is told so. More than zero; no limit unless set.
    pub fn hard_limit(self, limit: Duration) -> Self {
        Self { hard_limit: Some(limit), ..self }
    }

    /// Refuses every consumer that could be overwritten, so that the producer may fill its claims in place. A consumer
    /// that starts in the past could be, until the producer has looked at its gate: everybody starts at the newest record,
    /// and a name that was not held goes on there.
    /// Goes with no hard limit. Off unless set.
    pub fn gated_only(self, on: bool) -> Self {
        Self { gated_only: on, ..self }
    }

    /// Whether the parts of the file begin at multiples of 2 MiB, in the file and in memory, without which the kernel
    /// has no huge pages for them. The file grows by up to 6 MiB. Off unless set; huge pages are then to be had with
    /// [`Memory::huge_pages`](crate::Memory::huge_pages), or where the file system gives them to every file.
    pub fn huge_pages(self, on: bool) -> Self {
        Self { huge_pages: on, ..self }
    }

    /// Permission bits of the file, whatever the umask: read and write for user, group and others. Consumers
    /// need both, observers only need to read. 0600 unless set; the owner always has both.
    ///
    /// `docs/guarantees.md`, "What is not promised", says what a process that may write the file can do. One that may only
    /// read it can keep newcomers out, by a read lock on the bytes that show who is alive: nobody then becomes producer,
    /// attaches, or forgets a name ([`Error::ReadLocked`]), and those who are attached go on.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Whether [`Producer::open_or_create`](crate::Producer::open_or_create) goes on with a ring that another
    /// unprivileged user owns, who chose its mode and capacity, can read along and can cut it short. Off unless set: such
    /// a ring is [`Error::ForeignOwner`]. Those of this process's effective user and of root are always taken. No other
    /// call asks whose a ring is: they name one that is there.
    pub fn any_owner(self, on: bool) -> Self {
        Self { any_owner: on, ..self }
    }

    /// Makes the ring one for records of `T`: its file says so, and [`TypedProducer`](crate::TypedProducer) and
    /// [`TypedConsumer`](crate::TypedConsumer) open no ring that says something else. Untyped handles open it as any
    /// other. For records of any kind unless set.
    pub fn schema<T: Typed>(self) -> Self {
        Self { schema: Some(Schema::of::<T>()), ..self }
    }

    /// Where the stream begins: a byte position, a multiple of 8, and a sequence. For tests of the wrap at
    /// 2^64.
    #[doc(hidden)]
    pub fn origin(self, position: u64, sequence: u64) -> Self {
        Self { origin_position: position, origin_sequence: sequence, ..self }
    }

    /// Makes a ring at `path` that has no producer yet: short for [`Ring::create`](crate::Ring::create). The path must name
    /// nothing so far.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is a file at the path, [`Error::NotRegular`] if there is anything else, [`Error::NoSpace`] if there is no room for the whole ring,
    /// [`Error::FileSizeLimit`] if the process may not make so large a file, [`Error::Filesystem`] if it is none that keeps memory and locks coherent between
    /// processes, [`Error::Capacity`] or [`Error::BadOption`] for options that make no sense. Nothing is left
    /// behind on an error.
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

    /// Whose file will do.
    #[cfg(not(loom))]
    pub(crate) fn owners(&self) -> Owners {
        if self.any_owner { Owners::Any } else { Owners::Trusted }
    }

    /// The ring's shape, with every option checked.
    pub(crate) fn geometry(&self) -> Result<Geometry, Error> {
        if self.mode & !0o666 != 0 || self.mode & 0o600 != 0o600 {
            return Err(Error::BadOption {
                what: "the mode has read and write bits only, and both of the owner's, as in 0600 or 0640",
            });
        }
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

#[cfg(not(loom))]
fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(loom)]
fn page_bytes() -> u64 {
    4096
}
