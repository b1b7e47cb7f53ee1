//! What a ring says about itself, once, when it is made: encoded, decoded, checked; and the first state of
//! every other word.

#[cfg(not(loom))]
use std::os::fd::BorrowedFd;
#[cfg(not(loom))]
use std::path::Path;

#[cfg(not(loom))]
use rustix::fs::{AtFlags, StatxFlags};
#[cfg(not(loom))]
use rustix::io::Errno;

use crate::atomics::{AtomicU64, at};
#[cfg(not(loom))]
use crate::error::Error;
use crate::layout::{Areas, Geometry, STAMP_NONE};
#[cfg(not(loom))]
use crate::layout::{ENDIAN_MARK, IDENTITY_BYTES, MAGIC, MAJOR, MINOR, identity, option};
use crate::wait::clock::wall_ns;
#[cfg(not(loom))]
use crate::wait::mode::WaitMode;

/// Everything immutable about one ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) geometry: Geometry,
    /// Random: tells a ring from another one at the same path.
    pub(crate) ring_id: u128,
    /// The kernel's number for the time since the machine was started; 0: unknown, or a ring on the heap.
    pub(crate) boot_id: u128,
    /// Wall-clock time, ns since 1970.
    pub(crate) created_ns: u64,
    /// The file that it was written into; of a ring on the heap, none.
    pub(crate) file: FileNumber,
}

impl Identity {
    /// A new ring's.
    pub(crate) fn new(geometry: Geometry, boot_id: u128, file: FileNumber) -> Self {
        Self { geometry, ring_id: random(), boot_id, created_ns: wall_ns(), file }
    }
}

/// What tells a file from every other one of this machine, copies of it above all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileNumber {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// When it came to be, ns since 1970: a file system may give the number of one that was removed to the next. 0: it
    /// does not say.
    pub(crate) born_ns: u64,
}

#[cfg(not(loom))]
impl FileNumber {
    pub(crate) fn of(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(file)?;
        let more = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok();
        let born =
            more.filter(|more| more.stx_mask & StatxFlags::BTIME.bits() != 0).map(|more| more.stx_btime);
        let born_ns = born.map_or(0, |time| {
            (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(u64::from(time.tv_nsec))
        });
        Ok(Self { device: stat.st_dev, inode: stat.st_ino, born_ns })
    }

    /// Whether a file of this number can be the one of `other`.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        let is_born_then = self.born_ns == other.born_ns || self.born_ns == 0 || other.born_ns == 0;
        (self.device, self.inode) == (other.device, other.inode) && is_born_then
    }
}

#[cfg(not(loom))]
fn random() -> u128 {
    let mut bytes = [0; 16];
    // All sixteen come at once: only requests of more than 256 bytes are ever cut short. Where the kernel has
    // none to give, rings are told apart by their creation time alone.
    let random = || rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let _ = rustix::io::retry_on_intr(random);
    u128::from_le_bytes(bytes)
}

#[cfg(loom)]
fn random() -> u128 {
    0
}

fn set(word: &AtomicU64, value: u64) {
    word.store(value, at!(INIT_WORD, Relaxed));
}

/// Brings a ring of zeroed memory into its first state. Nobody else can see it yet.
pub(crate) fn initialise(areas: &Areas<'_>, identity: &Identity) {
    let Geometry { origin_position, origin_sequence, wait, .. } = identity.geometry;
    let Areas { head, index, .. } = areas;
    set(&head.inline.published, origin_position);
    set(&head.inline.stamp, STAMP_NONE);
    set(&head.reserve.reserve, origin_position);
    set(&head.reserve.odd_began, origin_position);
    set(&head.reserve.mode, wait.to_bits());
    for entry in *index {
        // Odd: no record starts in the segment yet.
        set(&entry.position, 1);
    }
    let first = &index[identity.geometry.segment(origin_position)];
    set(&first.sequence, origin_sequence);
    set(&first.time_ns, identity.created_ns);
    set(&first.position, origin_position);
    #[cfg(not(loom))]
    write(areas, identity);
}

/// Writes the identity words, the magic number last: it says that everything else is there.
#[cfg(not(loom))]
fn write(areas: &Areas<'_>, identity: &Identity) {
    let words = &areas.head.identity;
    for (number, value) in identity.encode().into_iter().enumerate().skip(1) {
        set(&words[number], value);
    }
    words[identity::MAGIC].store(MAGIC, at!(INIT_MAGIC, Release));
}

#[cfg(not(loom))]
impl Identity {
    /// The words of the identity page.
    pub(crate) fn encode(&self) -> [u64; identity::END] {
        let geometry = &self.geometry;
        let mut words = [0; identity::END];
        words[identity::MAGIC] = MAGIC;
        words[identity::VERSION] = u64::from(MAJOR) << 32 | u64::from(MINOR);
        words[identity::ENDIAN_MARK] = ENDIAN_MARK;
        words[identity::FILE_BYTES] = geometry.file_bytes();
        words[identity::ALIGNMENT] = geometry.alignment;
        words[identity::CAPACITY] = geometry.capacity;
        words[identity::SEGMENTS] = geometry.segments;
        words[identity::SLOTS] = u64::from(geometry.slots);
        words[identity::OPTIONS] = geometry.option_bits();
        words[identity::HARD_LIMIT_NS] = geometry.hard_limit_ns;
        words[identity::ORIGIN_POSITION] = geometry.origin_position;
        words[identity::ORIGIN_SEQUENCE] = geometry.origin_sequence;
        words[identity::RING_ID] = self.ring_id as u64;
        words[identity::RING_ID + 1] = (self.ring_id >> 64) as u64;
        words[identity::BOOT_ID] = self.boot_id as u64;
        words[identity::BOOT_ID + 1] = (self.boot_id >> 64) as u64;
        words[identity::CREATED_NS] = self.created_ns;
        words[identity::FILE] = self.file.device;
        words[identity::FILE + 1] = self.file.inode;
        words[identity::FILE + 2] = self.file.born_ns;
        words[identity::SCHEMA] = geometry.schema;
        words[identity::CHECKSUM] = checksum(&words);
        words
    }

    /// Checks a private copy of the identity page, from the magic number to the last field.
    pub(crate) fn decode(page: &[u8; IDENTITY_BYTES], path: &Path) -> Result<Self, Error> {
        let words = words(page);
        let damaged = |what| Error::Damaged { path: path.into(), what };
        if words[identity::MAGIC] != MAGIC {
            return Err(Error::NotARing { path: path.into() });
        }
        // Before the version, which on such a machine could not be read.
        if words[identity::ENDIAN_MARK] == ENDIAN_MARK.swap_bytes() {
            return Err(Error::Foreign { path: path.into(), what: "byte order" });
        }
        let version = words[identity::VERSION];
        let (major, minor) = ((version >> 32) as u32, version as u32);
        if major != MAJOR || minor > MINOR {
            return Err(Error::Version { path: path.into(), major, minor });
        }
        if words[identity::ENDIAN_MARK] != ENDIAN_MARK {
            return Err(damaged("byte order mark"));
        }
        if words[identity::CHECKSUM] != checksum(&words) {
            return Err(damaged("checksum"));
        }
        let options = words[identity::OPTIONS];
        if options & !option::KNOWN != 0 {
            return Err(damaged("unknown options"));
        }
        let wait = WaitMode::from_bits((options & option::WAIT_MASK) >> option::WAIT_SHIFT);
        let geometry = Geometry {
            capacity: words[identity::CAPACITY],
            segments: words[identity::SEGMENTS],
            slots: u32::try_from(words[identity::SLOTS]).map_err(|_| damaged("number of slots"))?,
            alignment: words[identity::ALIGNMENT],
            inline: options & option::INLINE != 0,
            gated_only: options & option::GATED_ONLY != 0,
            wait: wait.ok_or_else(|| damaged("wait mode"))?,
            hard_limit_ns: words[identity::HARD_LIMIT_NS],
            sealed: false,
            origin_position: words[identity::ORIGIN_POSITION],
            origin_sequence: words[identity::ORIGIN_SEQUENCE],
            schema: words[identity::SCHEMA],
        };
        geometry.check().map_err(|error| match error {
            Error::BadOption { what } => damaged(what),
            _ => damaged("capacity"),
        })?;
        if words[identity::FILE_BYTES] != geometry.file_bytes() {
            return Err(damaged("file size"));
        }
        let pair = |number: usize| u128::from(words[number + 1]) << 64 | u128::from(words[number]);
        Ok(Self {
            geometry,
            ring_id: pair(identity::RING_ID),
            boot_id: pair(identity::BOOT_ID),
            created_ns: words[identity::CREATED_NS],
            file: FileNumber {
                device: words[identity::FILE],
                inode: words[identity::FILE + 1],
                born_ns: words[identity::FILE + 2],
            },
        })
    }
}

#[cfg(not(loom))]
fn words(page: &[u8; IDENTITY_BYTES]) -> [u64; identity::END] {
    let (words, _) = page.as_chunks::<8>();
    std::array::from_fn(|number| u64::from_le_bytes(words[number]))
}

#[cfg(not(loom))]
fn checksum(words: &[u64; identity::END]) -> u64 {
    let covered = words[identity::GEOMETRY..]
        .iter()
        .fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes()));
    u64::from(covered)
}
