//! Existing ring files: the checks before one is mapped, and whether a path still leads to it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, pread, retry_on_intr};

use crate::error::{Error, Kind};
use crate::memory::filesystem;
use crate::memory::fork::Descriptor;
use crate::memory::format::Format;
use crate::memory::identity::{self, FileNumber, IDENTITY_BYTES, Identity, word};
use crate::memory::lock;
use crate::memory::permissions::Access;
use crate::memory::refusal::{denied, kind_name, refusal, rights};

/// Whose files are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// Every user's.
    Any,
    /// Those of this user, and of root, who can do anything anyway.
    Trusted,
}

/// Opens the ring at `path` and checks everything about it that never changes.
pub(crate) fn open<F: Format>(
    path: &Path,
    access: Access,
    owners: Owners,
) -> Result<(Descriptor, Identity<F>), Error> {
    let file = Descriptor::open(|| open_file(path, access))?;
    let identity = examine(file.as_fd(), path, owners)?;
    Ok((file, identity))
}

/// The kind of the object at `path`. Reads the file's first page only: whether the object can be used is not checked.
/// It needs permission to read.
///
/// # Errors
///
/// [`Error::NotARing`] and [`Error::TooShort`] if it is no object of this library; [`Error::Damaged`],
/// [`Error::Version`], [`Error::Foreign`] if it cannot be told; any other error of opening the file.
pub fn kind_of(path: impl AsRef<Path>) -> Result<Kind, Error> {
    let path = path.as_ref();
    let file = Descriptor::open(|| open_file(path, Access::Reader))?;
    let (_, page) = first_page(file.as_fd(), path, Owners::Any, None)?;
    identity::kind(&page, path, None)
}

/// What the file system says about the file, and a private copy of its identity page.
fn first_page(
    file: BorrowedFd<'_>,
    path: &Path,
    owners: Owners,
    wanted: Option<Kind>,
) -> Result<(Stat, [u8; IDENTITY_BYTES]), Error> {
    let stat = stat(file, path)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(Error::NotRegular { path: path.into(), kind: kind_name(kind) });
    }
    let is_trusted = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
    if owners == Owners::Trusted && !is_trusted {
        return Err(Error::ForeignOwner { path: path.into(), rights: rights(&stat) });
    }
    filesystem::check(file, path)?;
    let page = read_identity(file, path, stat.st_size as u64, wanted)?;
    Ok((stat, page))
}

fn examine<F: Format>(file: BorrowedFd<'_>, path: &Path, owners: Owners) -> Result<Identity<F>, Error> {
    let (stat, page) = first_page(file, path, owners, Some(F::KIND))?;
    let bytes = stat.st_size as u64;
    let identity = Identity::<F>::decode(&page, path)?;
    let extents = identity.shape.extents();
    if !extents.alignment.is_multiple_of(rustix::param::page_size() as u64) {
        return Err(Error::Foreign { path: path.into(), what: "page size" });
    }
    let expected = extents.file_bytes();
    if bytes != expected {
        return Err(Error::WrongSize { path: path.into(), bytes, expected });
    }
    // `st_blocks` counts units of 512 bytes, whatever the file system's blocks.
    if (stat.st_blocks as u64).saturating_mul(512) < bytes {
        return Err(Error::Sparse { path: path.into() });
    }
    let boot = boot_id();
    // Some containers have a boot id of their own, so check the locks as well: they do not outlive a boot.
    if boot != 0 && identity.boot_id != 0 && boot != identity.boot_id && !is_in_use(file, path)? {
        return Err(Error::EarlierBoot { path: path.into() });
    }
    // After that check: a reboot may change device numbers.
    if !identity.file.is_of(&FileNumber::of(file).map_err(|errno| refusal(path, ASK_WHICH, errno))?) {
        return Err(Error::Copied { path: path.into() });
    }
    if nameless(file, path)? {
        return Err(Error::NotFound { path: path.into() });
    }
    Ok(identity)
}

/// The fields of `statx` that distinguish files.
pub(crate) const ASK_WHICH: &str = "ask which file it is";

/// Does a participant hold a lock on the ring?
fn is_in_use(file: BorrowedFd<'_>, path: &Path) -> Result<bool, Error> {
    let action = "ask for locks";
    lock::has_participants(file).map_err(|source| Error::Io { path: path.into(), action, source })
}

/// Removes the ring at `path` if it is left over from before a reboot and not in use. By the time this returns, the
/// path may lead to something else.
///
/// If several processes do so at once, one removes it. The lock that excludes all others, participants included, is
/// on the file; its holder checks once more whether the path still leads to that file.
pub(crate) fn remove_leftover<F: Format>(path: &Path, owners: Owners) -> Result<(), Error> {
    let file = Descriptor::open(|| open_file(path, Access::Writer))?;
    match examine::<F>(file.as_fd(), path, owners) {
        Err(Error::EarlierBoot { .. }) => {}
        other => return other.map(drop),
    }
    let action = "lock the leftover of an earlier boot";
    let locked = lock::try_lock_all(file.as_fd());
    match locked.map_err(|source| Error::Io { path: path.into(), action, source })? {
        lock::Attempt::Locked => {}
        // A process uses it after all, or is about to remove it.
        lock::Attempt::Held => return Ok(()),
        lock::Attempt::ReadLocked => {
            return Err(Error::ReadLocked { what: "the leftover of an earlier boot" });
        }
    }
    if is_stale(file.as_fd(), path) {
        return Ok(());
    }
    let action = "remove the leftover of an earlier boot";
    fs::unlink(path).map_err(|errno| match errno {
        Errno::ACCESS | Errno::PERM => denied(path, action, directory_stat(path)),
        _ => refusal(path, action, errno),
    })
}

fn directory_stat(path: &Path) -> Result<Stat, Errno> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => fs::stat("."),
        Some(parent) => fs::stat(parent),
        None => Err(Errno::NOENT),
    }
}

fn open_file(path: &Path, access: Access) -> Result<OwnedFd, Error> {
    let (rights, action) = match access {
        Access::Writer | Access::Participant | Access::Peer => (OFlags::RDWR, "read and write it"),
        Access::Reader => (OFlags::RDONLY, "read it"),
    };
    // Never `O_CREAT`. `O_NONBLOCK` keeps a FIFO or a device at the path from blocking this.
    let flags = rights | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let not_regular = |kind| Error::NotRegular { path: path.into(), kind };
    retry_on_intr(|| fs::open(path, flags, Mode::empty())).map_err(|errno| match errno {
        Errno::LOOP => not_regular("symbolic link"),
        Errno::ISDIR => not_regular("directory"),
        Errno::NXIO | Errno::NODEV => not_regular("socket or device"),
        Errno::ACCESS | Errno::PERM => {
            denied(path, action, retry_on_intr(|| fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)))
        }
        _ => refusal(path, action, errno),
    })
}

/// Another open file description of the same file.
pub(crate) fn reopened(file: BorrowedFd<'_>, rights: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    retry_on_intr(|| fs::open(&path, rights | OFlags::CLOEXEC, Mode::empty()))
}

/// A private copy of the identity page. Read, not mapped: another process could cut a mapping short.
fn read_identity(
    file: BorrowedFd<'_>,
    path: &Path,
    bytes: u64,
    wanted: Option<Kind>,
) -> Result<[u8; IDENTITY_BYTES], Error> {
    let mut page = [0; IDENTITY_BYTES];
    let mut done = 0;
    while done < page.len() {
        let read = retry_on_intr(|| pread(file, &mut page[done..], done as u64))
            .map_err(|errno| refusal(path, "read the identity page", errno))?;
        if read == 0 {
            return Err(Error::TooShort { path: path.into(), bytes: bytes.min(done as u64), wanted });
        }
        done += read;
    }
    Ok(page)
}

/// The identity in the records of a sealed ring, and the device and inode of the file that it names as its control
/// area. No memory descriptor survives a reboot.
pub(crate) fn sealed_identity<F: Format>(
    file: BorrowedFd<'_>,
    path: &Path,
    bytes: u64,
) -> Result<(Identity<F>, [u64; 2]), Error> {
    let page = read_identity(file, path, bytes, Some(F::KIND))?;
    let identity = Identity::<F>::decode(&page, path)?;
    if !identity.shape.extents().alignment.is_multiple_of(rustix::param::page_size() as u64) {
        return Err(Error::Foreign { path: path.into(), what: "page size" });
    }
    let (words, _) = page.as_chunks::<8>();
    let control = [0, 1].map(|number| u64::from_le_bytes(words[word::CONTROL_FILE + number]));
    Ok((identity, control))
}

/// The kernel's random boot id; 0: not available.
pub(crate) fn boot_id() -> u128 {
    let Ok(text) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return 0 };
    let digits = text.trim().replace('-', "");
    // Half a number would be the id of another boot.
    if digits.len() == 32 { u128::from_str_radix(&digits, 16).unwrap_or(0) } else { 0 }
}

/// Whether the open file has no name any more.
pub(crate) fn nameless(file: BorrowedFd<'_>, path: &Path) -> Result<bool, Error> {
    Ok(stat(file, path)?.st_nlink == 0)
}

/// Whether a new open of `path` would reach another file, or none.
fn is_stale(file: BorrowedFd<'_>, path: &Path) -> bool {
    let Ok(mine) = fs::fstat(file) else { return true };
    let there = retry_on_intr(|| fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW));
    let other = match there {
        Ok(there) => (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino),
        Err(Errno::NOENT | Errno::NOTDIR) => true,
        // Without permission the answer is not known.
        Err(_) => false,
    };
    mine.st_nlink == 0 || other
}

/// Whether a new open of `path` would not reach this ring: it reaches another file, none, or a file that was cut
/// short or overwritten.
pub(crate) fn is_gone<F: Format>(file: BorrowedFd<'_>, path: &Path, identity: &Identity<F>) -> bool {
    let Ok(mine) = fs::fstat(file) else { return true };
    if mine.st_size as u64 != identity.shape.extents().file_bytes() || is_stale(file, path) {
        return true;
    }
    let mut id = [0; 16];
    let read = retry_on_intr(|| pread(file, &mut id, 8 * word::ID as u64));
    // A file that cannot be read still exists.
    read.is_ok_and(|read| read < id.len() || u128::from_le_bytes(id) != identity.id)
}

fn stat(file: impl AsFd, path: &Path) -> Result<Stat, Error> {
    fs::fstat(file).map_err(|errno| refusal(path, "read the size of the file", errno))
}
