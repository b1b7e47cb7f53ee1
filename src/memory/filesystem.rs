//! Which file systems a ring may be on.
//!
//! The file system must keep memory, locks and futexes coherent between processes, and a later write to an allocated
//! block must never fail for lack of room: a failed write through a map raises SIGBUS.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs;
use rustix::io::retry_on_intr;

use crate::error::Error;
use crate::memory::refusal::refusal;

/// Where a ring's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// The page cache alone: tmpfs.
    Memory,
    /// Huge pages of this many bytes: hugetlbfs.
    HugePages(u64),
    /// A disk.
    Disk,
}

impl Store {
    /// The least alignment that maps of its files need.
    pub(crate) fn alignment(self) -> u64 {
        match self {
            // Its block is a page.
            Self::HugePages(bytes) => bytes,
            Self::Memory | Self::Disk => 0,
        }
    }
}

const INCOHERENT: &str = "does not keep memory and locks coherent between processes";
const MOVES: &str = "needs new room for every page that it writes back, so that a disk that fills up would kill \
                     whoever uses the ring, by SIGBUS";
const UNKNOWN: &str = "is not known to keep memory and locks coherent between processes, and room for what is \
                       written";

/// Refuses unsuitable file systems.
pub(crate) fn check(file: BorrowedFd<'_>, path: &Path) -> Result<Store, Error> {
    let found = retry_on_intr(|| fs::fstatfs(file))
        .map_err(|errno| refusal(path, "ask for the file system's type", errno))?;
    let (kind, why) = match found.f_type as u32 {
        0x0102_1994 => return Ok(Store::Memory),
        0x9584_58f6 => return Ok(Store::HugePages(found.f_bsize as u64)),
        // ext2 to ext4, XFS
        0xef53 | 0x5846_5342 => return Ok(Store::Disk),
        0x9123_683e => ("Btrfs", MOVES),
        0x2fc1_2fc1 => ("ZFS", MOVES),
        0xf2f5_2010 => ("F2FS", MOVES),
        0xca45_1a4e => ("bcachefs", MOVES),
        0x3434 => ("NILFS2", MOVES),
        0x6969 => ("NFS", INCOHERENT),
        0x6573_5546 => ("FUSE or virtiofs", INCOHERENT),
        0x794c_7630 => ("overlayfs", INCOHERENT),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => ("SMB", INCOHERENT),
        0x0102_1997 => ("9p", INCOHERENT),
        0x00c3_6400 => ("Ceph", INCOHERENT),
        0x8584_58f6 => ("ramfs", UNKNOWN),
        0x0bad_1dea => ("futexfs", UNKNOWN),
        0x9fa0 => ("procfs", UNKNOWN),
        0x6265_6572 => ("sysfs", UNKNOWN),
        0x4d44 => ("FAT", UNKNOWN),
        0x2011_bab0 => ("exFAT", UNKNOWN),
        other => {
            let kind = format!("a file system of type {other:#x}");
            return Err(Error::Filesystem { path: path.into(), kind, why: UNKNOWN });
        }
    };
    Err(Error::Filesystem { path: path.into(), kind: kind.to_owned(), why })
}
