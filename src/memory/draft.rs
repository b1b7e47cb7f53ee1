//! Creation of ring files: a file is complete, or does not exist.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, pwrite, retry_on_intr};

use crate::error::{Error, Shortage};
use crate::memory::filesystem;
use crate::memory::fork::Descriptor;
use crate::memory::format::Format;
use crate::memory::refusal::{denied, kind_name, refusal};
use crate::memory::room::Wanted;

/// A ring that has all its blocks but no name yet. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Draft {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
    bytes: u64,
}

/// Creates a nameless file for an object in the directory of `path`, with every block allocated: a full disk is an
/// error now, not a SIGBUS later. Returns the shape with the alignment that the file system needs.
pub(crate) fn draft<F: Format>(path: &Path, shape: &F, mode: u32) -> Result<(Draft, Descriptor, F), Error> {
    shape.check()?;
    let name = path.file_name().ok_or(Error::BadOption { what: "a path ends in a file name" })?;
    let directory = open_directory(path)?;
    let store = filesystem::check(directory.as_fd(), path)?;
    let mut shape = shape.clone();
    shape.align(store.alignment());
    shape.check()?;
    if let Ok(stat) = retry_on_intr(|| fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)) {
        return Err(taken(path, &stat));
    }
    let bytes = shape.extents().file_bytes();
    let wanted = Wanted { path, shape: &shape, store, largest_file: bytes };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = Descriptor::open(|| {
        let made = retry_on_intr(|| fs::openat(&directory, ".", flags, Mode::RUSR | Mode::WUSR));
        let action = "create a file in its directory";
        made.map_err(|errno| match errno {
            // The inodes have run out: not even an empty file can be created.
            Errno::NOSPC => wanted.no_space(Shortage::Files, None),
            Errno::DQUOT => wanted.no_space(Shortage::Quota, None),
            Errno::ACCESS | Errno::PERM => denied(path, action, fs::fstat(&directory)),
            _ => refusal(path, action, errno),
        })
    })?;
    // Not set at the open, where the umask would apply.
    retry_on_intr(|| fs::fchmod(&file, Mode::from_raw_mode(mode)))
        .map_err(|errno| refusal(path, "set the mode of the file", errno))?;
    wanted.check(file.as_fd())?;
    allocate(file.as_fd(), bytes, &wanted)?;
    Ok((Draft { directory, name: name.into(), path: path.into(), bytes }, file, shape))
}

impl Draft {
    /// Gives the finished file its name. If several do so at once, one succeeds.
    pub(crate) fn publish(self, file: BorrowedFd<'_>) -> Result<(), Error> {
        // Through /proc, since linking a bare descriptor needs a capability on most kernels; through the thread's own
        // directory, since a thread may have its own descriptor table.
        let source = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
        let linked =
            retry_on_intr(|| fs::linkat(CWD, &source, &self.directory, &self.name, AtFlags::SYMLINK_FOLLOW));
        let action = "give the finished file its name (is /proc mounted?)";
        let no_space = |shortage| Error::NoSpace {
            path: self.path.clone(),
            bytes: self.bytes,
            shortage,
            free: None,
            largest: None,
        };
        linked.map_err(|errno| match errno {
            Errno::EXIST => {
                match retry_on_intr(|| fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)) {
                    Ok(stat) => taken(&self.path, &stat),
                    Err(_) => Error::Exists { path: self.path.clone() },
                }
            }
            Errno::NOSPC => no_space(Shortage::FileSystem),
            Errno::DQUOT => no_space(Shortage::Quota),
            // Not "no such file": the /proc path of the finished file is missing, or its directory was removed.
            Errno::NOENT | Errno::NOTDIR => {
                Error::Io { path: self.path.clone(), action, source: errno.into() }
            }
            _ => refusal(&self.path, action, errno),
        })
    }
}

/// The error for a path that exists already. It must never advise removing a directory or a device.
fn taken(path: &Path, stat: &Stat) -> Error {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Error::Exists { path: path.into() },
        kind => Error::NotRegular { path: path.into(), kind: kind_name(kind) },
    }
}

/// Opens the directory of `path`, for its entries only.
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

/// Allocates every block of a file of `bytes` bytes, one of the files of `wanted`.
pub(crate) fn allocate<F: Format>(
    file: BorrowedFd<'_>,
    bytes: u64,
    wanted: &Wanted<'_, F>,
) -> Result<(), Error> {
    allocate_all(file, bytes).map_err(|errno| {
        let refused = wanted.refused(file, errno);
        refused.unwrap_or_else(|| refusal(wanted.path, "allocate the file", errno))
    })
}

fn allocate_all(file: BorrowedFd<'_>, bytes: u64) -> Result<(), Errno> {
    // In pieces: a signal makes the kernel undo all of an unfinished request.
    let mut step = 64 << 20;
    let mut done = 0;
    while done < bytes {
        let next = step.min(bytes - done);
        match fs::fallocate(file, FallocateFlags::empty(), done, next) {
            Ok(()) => done += next,
            Err(Errno::INTR) => step = (step / 2).max(2 << 20),
            // File systems without extents (ext2, ext3): written blocks are allocated once they are on the disk.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                write_zeros(file, done, bytes)?;
                return retry_on_intr(|| fs::fdatasync(file));
            }
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
