//! The identity page of an object, written once at creation: encoded, decoded, checked.

#[cfg(not(loom))]
use std::os::fd::BorrowedFd;
#[cfg(not(loom))]
use std::path::Path;

#[cfg(not(loom))]
use rustix::fs::{AtFlags, StatxFlags};
#[cfg(not(loom))]
use rustix::io::Errno;

#[cfg(not(loom))]
use crate::atomics::{AtomicU64, at};
#[cfg(not(loom))]
use crate::error::{Error, Kind};
#[cfg(not(loom))]
use crate::limits::{MAJOR, MINOR};
#[cfg(not(loom))]
use crate::memory::extents::HUGE_PAGE;
use crate::memory::format::Format;
use crate::wait::clock::wall_ns;

/// `quoit\r\n` and a byte that no text file starts a line with; as a little-endian word.
#[cfg(not(loom))]
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"quoit\r\n\x1a");
/// Equals this number only on a machine of the same byte order.
#[cfg(not(loom))]
pub(crate) const ENDIAN_MARK: u64 = 0x0102_0304_0506_0708;

/// Bytes of the identity page.
pub(crate) const IDENTITY_BYTES: usize = 4096;
/// Words of the identity page. The models have no files, and do not use it.
pub(crate) const IDENTITY_WORDS: usize = if cfg!(loom) { 1 } else { IDENTITY_BYTES / 8 };

/// Word numbers in the identity page. All of it is written once, before any other process sees the file.
#[cfg(not(loom))]
pub(crate) mod word {
    pub(crate) const MAGIC: usize = 0;
    /// `major << 32 | minor`.
    pub(crate) const VERSION: usize = 1;
    pub(crate) const ENDIAN_MARK: usize = 2;
    /// CRC-32C of the words from `CHECKED` to `END`, in the low half.
    pub(crate) const CHECKSUM: usize = 3;

    pub(crate) const CHECKED: usize = 4;
    /// Eight letters.
    pub(crate) const KIND: usize = 4;
    pub(crate) const FILE_BYTES: usize = 5;
    pub(crate) const ALIGNMENT: usize = 6;
    pub(crate) const ID: usize = 7;
    pub(crate) const BOOT_ID: usize = 9;
    pub(crate) const CREATED_NS: usize = 11;
    /// Device, inode and time of birth of the file itself.
    pub(crate) const FILE: usize = 12;
    /// Not used: 0.
    pub(crate) const UNUSED: usize = 15;
    /// The kind's own words.
    pub(crate) const SHAPE: usize = 16;
    pub(crate) const END: usize = SHAPE + crate::memory::format::SHAPE_WORDS;

    /// Of a sealed object, after the checked words: device and inode of the file with its control area.
    pub(crate) const CONTROL_FILE: usize = 32;
}

/// Everything immutable about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity<F> {
    pub(crate) shape: F,
    /// Random: distinguishes an object from another one at the same path.
    pub(crate) id: u128,
    /// The kernel's boot id; 0: unknown, or an object on the heap.
    pub(crate) boot_id: u128,
    /// Wall-clock time, ns since 1970.
    pub(crate) created_ns: u64,
    /// The file that it was written into; none for an object on the heap.
    pub(crate) file: FileNumber,
}

impl<F: Format> Identity<F> {
    /// A new object's.
    pub(crate) fn new(shape: F, boot_id: u128, file: FileNumber) -> Self {
        Self { shape, id: random(), boot_id, created_ns: wall_ns(), file }
    }
}

/// What distinguishes a file from every other one of this machine, in particular from its copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileNumber {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Time of birth, ns since 1970: a file system may reuse the inode number of a removed file. 0: not available.
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

    /// Whether a file with this identity can be the one of `other`.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        let is_born_then = self.born_ns == other.born_ns || self.born_ns == 0 || other.born_ns == 0;
        (self.device, self.inode) == (other.device, other.inode) && is_born_then
    }
}

#[cfg(not(loom))]
fn random() -> u128 {
    let mut bytes = [0; 16];
    // All sixteen bytes come at once: only requests of more than 256 bytes are ever cut short. If the kernel has none
    // to give, only the creation time distinguishes rings.
    let random = || rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    let _ = rustix::io::retry_on_intr(random);
    u128::from_le_bytes(bytes)
}

#[cfg(loom)]
fn random() -> u128 {
    0
}

/// Writes the identity words, the magic number last: it marks everything else as complete.
#[cfg(not(loom))]
pub(crate) fn write<F: Format>(words: &[AtomicU64], identity: &Identity<F>) {
    for (word, value) in words.iter().zip(identity.encode()).skip(1) {
        word.store(value, at!(INIT_WORD, Relaxed));
    }
    words[word::MAGIC].store(MAGIC, at!(INIT_MAGIC, Release));
}

/// The word that encodes a kind, in letters.
#[cfg(not(loom))]
fn tag(kind: Kind) -> u64 {
    u64::from_le_bytes(match kind {
        Kind::Ring => *b"ring    ",
        Kind::Latest => *b"latest  ",
        Kind::Mutex => *b"mutex   ",
        Kind::Semaphore => *b"semaphor",
        Kind::Event => *b"event   ",
        Kind::Barrier => *b"barrier ",
        Kind::Latch => *b"latch   ",
        Kind::Once => *b"once    ",
        Kind::Condvar => *b"condvar ",
        Kind::RwLock => *b"rwlock  ",
        Kind::Table => *b"table   ",
        Kind::Group => *b"group   ",
        Kind::Service => *b"service ",
    })
}

/// The kind of the object that a private copy of an identity page describes, if this build can read it. `wanted`: the
/// kind that an error is to name.
#[cfg(not(loom))]
pub(crate) fn kind(page: &[u8; IDENTITY_BYTES], path: &Path, wanted: Option<Kind>) -> Result<Kind, Error> {
    let words = words(page);
    let damaged = |what| Error::Damaged { path: path.into(), what };
    if words[word::MAGIC] != MAGIC {
        return Err(Error::NotARing { path: path.into(), wanted });
    }
    // Before the version, which is not readable on such a machine.
    if words[word::ENDIAN_MARK] == ENDIAN_MARK.swap_bytes() {
        return Err(Error::Foreign { path: path.into(), what: "byte order" });
    }
    let version = words[word::VERSION];
    let (major, minor) = ((version >> 32) as u32, version as u32);
    if major != MAJOR || minor > MINOR {
        return Err(Error::Version { path: path.into(), major, minor });
    }
    if words[word::ENDIAN_MARK] != ENDIAN_MARK {
        return Err(damaged("byte order mark"));
    }
    if words[word::CHECKSUM] != checksum(&words) {
        return Err(damaged("checksum"));
    }
    let found = Kind::ALL.into_iter().find(|kind| tag(*kind) == words[word::KIND]);
    found.ok_or_else(|| damaged("kind of object"))
}

#[cfg(not(loom))]
impl<F: Format> Identity<F> {
    /// The words of the identity page.
    pub(crate) fn encode(&self) -> [u64; word::END] {
        let extents = self.shape.extents();
        let mut words = [0; word::END];
        words[word::MAGIC] = MAGIC;
        words[word::VERSION] = u64::from(MAJOR) << 32 | u64::from(MINOR);
        words[word::ENDIAN_MARK] = ENDIAN_MARK;
        words[word::KIND] = tag(F::KIND);
        words[word::FILE_BYTES] = extents.file_bytes();
        words[word::ALIGNMENT] = extents.alignment;
        words[word::ID] = self.id as u64;
        words[word::ID + 1] = (self.id >> 64) as u64;
        words[word::BOOT_ID] = self.boot_id as u64;
        words[word::BOOT_ID + 1] = (self.boot_id >> 64) as u64;
        words[word::CREATED_NS] = self.created_ns;
        words[word::FILE] = self.file.device;
        words[word::FILE + 1] = self.file.inode;
        words[word::FILE + 2] = self.file.born_ns;
        words[word::SHAPE..].copy_from_slice(&self.shape.encode());
        words[word::CHECKSUM] = checksum(&words);
        words
    }

    /// Checks a private copy of the identity page, from the magic number to the last field.
    pub(crate) fn decode(page: &[u8; IDENTITY_BYTES], path: &Path) -> Result<Self, Error> {
        let found = kind(page, path, Some(F::KIND))?;
        if found != F::KIND {
            return Err(Error::OtherKind { path: path.into(), found, wanted: F::KIND });
        }
        let words = words(page);
        let damaged = |what| Error::Damaged { path: path.into(), what };
        let alignment = words[word::ALIGNMENT];
        if !alignment.is_power_of_two() || !(4096..=HUGE_PAGE).contains(&alignment) {
            return Err(damaged("the alignment is a power of two from 4 KiB to 2 MiB"));
        }
        if words[word::UNUSED] != 0 {
            return Err(damaged("a word that this version does not use"));
        }
        let shape = std::array::from_fn(|number| words[word::SHAPE + number]);
        let shape = F::decode(&shape, alignment).map_err(damaged)?;
        shape.check().map_err(|error| match error {
            Error::BadOption { what } => damaged(what),
            _ => damaged("capacity"),
        })?;
        if words[word::FILE_BYTES] != shape.extents().file_bytes() {
            return Err(damaged("file size"));
        }
        let pair = |number: usize| u128::from(words[number + 1]) << 64 | u128::from(words[number]);
        Ok(Self {
            shape,
            id: pair(word::ID),
            boot_id: pair(word::BOOT_ID),
            created_ns: words[word::CREATED_NS],
            file: FileNumber {
                device: words[word::FILE],
                inode: words[word::FILE + 1],
                born_ns: words[word::FILE + 2],
            },
        })
    }
}

#[cfg(not(loom))]
fn words(page: &[u8; IDENTITY_BYTES]) -> [u64; word::END] {
    let (words, _) = page.as_chunks::<8>();
    std::array::from_fn(|number| u64::from_le_bytes(words[number]))
}

#[cfg(not(loom))]
fn checksum(words: &[u64; word::END]) -> u64 {
    let covered =
        words[word::CHECKED..].iter().fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes()));
    u64::from(covered)
}
