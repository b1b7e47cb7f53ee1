//! Ring files: how one comes into being whole or not at all, and what is checked before one is mapped.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use crate::error::{Error, Shortage};
use crate::fork::Descriptor;
use crate::identity::Identity;
use crate::layout::{Geometry, IDENTITY_BYTES, identity};

/// How a handle maps a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything read-write.
    Producer,
    /// Head and data read-only, control read-write.
    Consumer,
    /// Everything read-only, the descriptor too.
    Observer,
}

/// A ring that has all its blocks but no name yet. Gone without a trace when it is dropped.
#[derive(Debug)]
pub(crate) struct Draft {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
    bytes: u64,
}

/// Makes a nameless file for `geometry` in the directory of `path`, every block allocated: a full disk is an
/// error now, not a SIGBUS later. The geometry comes back with the alignment that the file system needs.
pub(crate) fn draft(
    path: &Path,
    geometry: &Geometry,
    mode: u32,
) -> Result<(Draft, Descriptor, Geometry), Error> {
    geometry.check()?;
    let name = path.file_name().ok_or(Error::BadOption { what: "the path of a ring ends in a file name" })?;
    let directory = open_directory(path)?;
    let mut geometry = geometry.clone();
    geometry.alignment = geometry.alignment.max(check_filesystem(directory.as_fd(), path)?);
    geometry.check()?;
    if let Ok(stat) = retry_on_intr(|| fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)) {
        return Err(taken(path, &stat));
    }
    let bytes = geometry.file_bytes();
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = Descriptor::open(|| {
        let made = retry_on_intr(|| fs::openat(&directory, ".", flags, Mode::RUSR | Mode::WUSR));
        made.map_err(|errno| match errno {
            // Not even for a file without contents: the inodes have run out.
            Errno::NOSPC | Errno::DQUOT => no_space(path, bytes, Shortage::Files),
            _ => refusal(path, "create a file in its directory", errno),
        })
    })?;
    // Not at the open: the umask would have a say there.
    retry_on_intr(|| fs::fchmod(&file, Mode::from_raw_mode(mode)))
        .map_err(|errno| refusal(path, "set the mode of the file", errno))?;
    allocate(file.as_fd(), bytes).map_err(|errno| match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::NOMEM => {
            no_space(path, bytes, Shortage::FileSystem)
        }
        _ => refusal(path, "allocate the file", errno),
    })?;
    Ok((Draft { directory, name: name.into(), path: path.into(), bytes }, file, geometry))
}

impl Draft {
    /// Gives the finished file its name. Of several that do so at once, one wins.
    pub(crate) fn publish(self, file: BorrowedFd<'_>) -> Result<(), Error> {
        // Through /proc, since linking a bare descriptor takes a capability on most kernels; through the
        // thread's own directory, since a thread may have its descriptors to itself.
        let source = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
        let linked =
            retry_on_intr(|| fs::linkat(CWD, &source, &self.directory, &self.name, AtFlags::SYMLINK_FOLLOW));
        let action = "give the finished file its name (is /proc mounted?)";
        linked.map_err(|errno| match errno {
            Errno::EXIST => {
                match retry_on_intr(|| fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)) {
                    Ok(stat) => taken(&self.path, &stat),
                    Err(_) => Error::Exists { path: self.path.clone() },
                }
            }
            Errno::NOSPC | Errno::DQUOT => no_space(&self.path, self.bytes, Shortage::Files),
            // Not "no such file": it is the way to the finished one that is missing, or its directory by now.
            Errno::NOENT | Errno::NOTDIR => {
                Error::Io { path: self.path.clone(), action, source: errno.into() }
            }
            _ => refusal(&self.path, action, errno),
        })
    }
}

/// The error for a path that names something already. Nobody is to be told to remove a directory or a device.
fn taken(path: &Path, stat: &Stat) -> Error {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Error::Exists { path: path.into() },
        kind => Error::NotRegular { path: path.into(), kind: kind_name(kind) },
    }
}

/// Opens the directory of `path` for the sake of its entries alone.
fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let directory = match path.parent() {
        Some(parent) if parent != OsStr::new("") => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| fs::open(directory, flags, Mode::empty())).map_err(|errno| match errno {
        Errno::NOTDIR => {
            Error::NotRegular { path: directory.into(), kind: "file where a directory should be" }
        }
        Errno::NOENT => Error::NoDirectory { path: directory.into() },
        _ => refusal(directory, "open the directory", errno),
    })
}

pub(crate) fn no_space(path: &Path, bytes: u64, shortage: Shortage) -> Error {
    Error::NoSpace { path: path.into(), bytes, shortage, free: None, largest: None }
}

/// Allocates every block of a file.
pub(crate) fn allocate(file: BorrowedFd<'_>, bytes: u64) -> Result<(), Errno> {
    // Asked first: a request that cannot be met would otherwise take all the memory there is before it fails.
    let space = retry_on_intr(|| fs::fstatvfs(file))?;
    if space.f_blocks > 0 && space.f_bavail.saturating_mul(space.f_frsize) < bytes {
        return Err(Errno::NOSPC);
    }
    // Bit by bit: a signal makes the kernel give back all of an unfinished request.
    let mut step = 64 << 20;
    let mut done = 0;
    while done < bytes {
        let next = step.min(bytes - done);
        match fs::fallocate(file, FallocateFlags::empty(), done, next) {
            Ok(()) => done += next,
            Err(Errno::INTR) => step = (step / 2).max(2 << 20),
            // Files without extents (ext2, ext3): written blocks are allocated blocks.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return write_zeros(file, done, bytes),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn write_zeros(file: BorrowedFd<'_>, mut done: u64, bytes: u64) -> Result<(), Errno> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while done < bytes {
        let left = usize::try_from(bytes - done).unwrap_or(usize::MAX).min(ZEROS.len());
        done += retry_on_intr(|| pwrite(file, &ZEROS[..left], done))? as u64;
    }
    Ok(())
}

/// Opens the ring at `path` and checks everything about it that does not change.
pub(crate) fn open(path: &Path, access: Access) -> Result<(Descriptor, Identity), Error> {
    let file = Descriptor::open(|| open_file(path, access))?;
    let stat = stat(&file, path)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(Error::NotRegular { path: path.into(), kind: kind_name(kind) });
    }
    check_filesystem(file.as_fd(), path)?;
    let bytes = stat.st_size as u64;
    let page = read_identity(file.as_fd(), path, bytes)?;
    let identity = Identity::decode(&page, path)?;
    let geometry = &identity.geometry;
    if !geometry.alignment.is_multiple_of(rustix::param::page_size() as u64) {
        return Err(Error::Foreign { path: path.into(), what: "page size" });
    }
    let expected = geometry.file_bytes();
    if bytes != expected {
        return Err(Error::WrongSize { path: path.into(), bytes, expected });
    }
    // `st_blocks` counts units of 512 bytes, whatever the file system's blocks.
    if (stat.st_blocks as u64).saturating_mul(512) < bytes {
        return Err(Error::Sparse { path: path.into() });
    }
    let boot = boot_id();
    if boot != 0 && identity.boot_id != 0 && boot != identity.boot_id {
        return Err(Error::EarlierBoot { path: path.into() });
    }
    if nameless(file.as_fd(), path)? {
        return Err(Error::NotFound { path: path.into() });
    }
    Ok((file, identity))
}

fn open_file(path: &Path, access: Access) -> Result<OwnedFd, Error> {
    let (rights, action) = match access {
        Access::Producer | Access::Consumer => (OFlags::RDWR, "read and write it"),
        Access::Observer => (OFlags::RDONLY, "read it"),
    };
    // Never `O_CREAT`; and `O_NONBLOCK`, lest a FIFO or a device at the path makes this wait.
    let flags = rights | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let not_regular = |kind| Error::NotRegular { path: path.into(), kind };
    retry_on_intr(|| fs::open(path, flags, Mode::empty())).map_err(|errno| match errno {
        Errno::LOOP => not_regular("symbolic link"),
        Errno::ISDIR => not_regular("directory"),
        Errno::NXIO | Errno::NODEV => not_regular("socket or device"),
        _ => refusal(path, action, errno),
    })
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "directory",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Symlink => "symbolic link",
        _ => "special file",
    }
}

/// A private copy of the identity page: by reading, since a mapping could be cut short under us.
fn read_identity(file: BorrowedFd<'_>, path: &Path, bytes: u64) -> Result<[u8; IDENTITY_BYTES], Error> {
    let mut page = [0; IDENTITY_BYTES];
    let mut done = 0;
    while done < page.len() {
        let read = retry_on_intr(|| pread(file, &mut page[done..], done as u64))
            .map_err(|errno| refusal(path, "read the identity page", errno))?;
        if read == 0 {
            return Err(Error::TooShort { path: path.into(), bytes: bytes.min(done as u64) });
        }
        done += read;
    }
    Ok(page)
}

/// The identity in the records of a sealed ring, and the device and inode of the file that it names as its control
/// area. No descriptor of memory is left over from before the machine was last started.
pub(crate) fn sealed_identity(
    file: BorrowedFd<'_>,
    path: &Path,
    bytes: u64,
) -> Result<(Identity, [u64; 2]), Error> {
    let page = read_identity(file, path, bytes)?;
    let identity = Identity::decode(&page, path)?;
    if !identity.geometry.alignment.is_multiple_of(rustix::param::page_size() as u64) {
        return Err(Error::Foreign { path: path.into(), what: "page size" });
    }
    let (words, _) = page.as_chunks::<8>();
    let control = [0, 1].map(|number| u64::from_le_bytes(words[identity::CONTROL_FILE + number]));
    Ok((identity, control))
}

/// Refuses file systems that do not keep memory, locks and futexes coherent between processes. Returns the
/// least alignment that maps of its files need.
fn check_filesystem(file: BorrowedFd<'_>, path: &Path) -> Result<u64, Error> {
    let found = retry_on_intr(|| fs::fstatfs(file))
        .map_err(|errno| refusal(path, "ask for the file system's type", errno))?;
    match found.f_type as u32 {
        // tmpfs, ext2 to ext4, XFS, Btrfs
        0x0102_1994 | 0xef53 | 0x5846_5342 | 0x9123_683e => Ok(0),
        // hugetlbfs: its blocks are its pages
        0x9584_58f6 => Ok(found.f_bsize as u64),
        other => Err(Error::Filesystem { path: path.into(), kind: filesystem_name(other) }),
    }
}

fn filesystem_name(magic: u32) -> String {
    let name = match magic {
        0x6969 => "NFS",
        0x6573_5546 => "FUSE or virtiofs",
        0x794c_7630 => "overlayfs",
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => "SMB",
        0x0102_1997 => "9p",
        0x8584_58f6 => "ramfs",
        0x2fc1_2fc1 => "ZFS",
        0xf2f5_2010 => "F2FS",
        0x00c3_6400 => "Ceph",
        0x0bad_1dea => "futexfs",
        0x9fa0 => "procfs",
        0x6265_6572 => "sysfs",
        0x4d44 => "FAT",
        0x2011_bab0 => "exFAT",
        _ => return format!("a file system of type {magic:#x}"),
    };
    name.to_owned()
}

/// The kernel's random number for the time since the machine was started; 0: it does not say.
pub(crate) fn boot_id() -> u128 {
    let Ok(text) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return 0 };
    let digits = text.trim().replace('-', "");
    // Half a number would be another boot's.
    if digits.len() == 32 { u128::from_str_radix(&digits, 16).unwrap_or(0) } else { 0 }
}

/// Whether no name leads to the open file any more.
pub(crate) fn nameless(file: BorrowedFd<'_>, path: &Path) -> Result<bool, Error> {
    Ok(stat(file, path)?.st_nlink == 0)
}

/// Whether new openers of `path` would come to another file than this one, or to none.
pub(crate) fn is_stale(file: BorrowedFd<'_>, path: &Path) -> bool {
    let Ok(mine) = fs::fstat(file) else { return true };
    let there = retry_on_intr(|| fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW));
    let other = match there {
        Ok(there) => (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino),
        // Who may not look does not know.
        Err(errno) => matches!(errno, Errno::NOENT | Errno::NOTDIR),
    };
    mine.st_nlink == 0 || other
}

fn stat(file: impl AsFd, path: &Path) -> Result<Stat, Error> {
    fs::fstat(file).map_err(|errno| refusal(path, "ask for the size of the file", errno))
}

/// The error for a refusal of the operating system to do `action` at `path`.
pub(crate) fn refusal(path: &Path, action: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::NotFound { path: path.into() },
        Errno::ACCESS | Errno::PERM => Error::Permission { path: path.into(), action, rights: None },
        Errno::ROFS => Error::ReadOnly { path: path.into() },
        Errno::OPNOTSUPP => Error::Filesystem { path: path.into(), kind: "this file system".to_owned() },
        _ => Error::Io { path: path.into(), action, source: io::Error::from(errno) },
    }
}
