//! Checks whether there is room for a ring before any of it is allocated.
//!
//! A request that cannot be met would take all free space before it fails. Past some limits a process is killed
//! instead of refused: those of the control group's memory, of the machine's memory, and of file size.

use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use rustix::fs;
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, Shortage};
use crate::memory::control_group;
use crate::memory::filesystem::Store;
use crate::memory::format::Format;
use crate::memory::refusal::refusal;

/// A ring to be created.
#[derive(Debug)]
pub(crate) struct Wanted<'a, F> {
    /// Its path in errors.
    pub(crate) path: &'a Path,
    pub(crate) shape: &'a F,
    pub(crate) store: Store,
    /// Bytes of the largest of its files.
    pub(crate) largest_file: u64,
}

impl<F: Format> Wanted<'_, F> {
    /// Refuses a ring for which there is no room on the file system of `file`.
    pub(crate) fn check(&self, file: BorrowedFd<'_>) -> Result<(), Error> {
        self.check_file_size()?;
        let rooms = self.rooms(file).map_err(|errno| refusal(self.path, "ask for free space", errno))?;
        let least = rooms.into_iter().flatten().min_by_key(|(free, _)| *free);
        match least {
            Some((free, shortage)) if free < self.shape.extents().file_bytes() => {
                Err(self.no_space(shortage, Some(free)))
            }
            _ => Ok(()),
        }
    }

    /// The kernel sends SIGXFSZ, which kills, before it refuses.
    fn check_file_size(&self) -> Result<(), Error> {
        // "No limit" is the largest number.
        match getrlimit(Resource::RLIMIT_FSIZE) {
            Ok((limit, _)) if limit < self.largest_file => {
                Err(Error::FileSizeLimit { path: self.path.into(), bytes: self.largest_file, limit })
            }
            _ => Ok(()),
        }
    }

    /// What is left of every resource that a ring uses.
    fn rooms(&self, file: BorrowedFd<'_>) -> Result<[Option<(u64, Shortage)>; 3], Errno> {
        let space = retry_on_intr(|| fs::fstatvfs(file))?;
        // No block count: the file system sets no limit of its own.
        let limited = space.f_blocks > 0;
        let own = limited.then(|| (space.f_bavail.saturating_mul(space.f_frsize), Shortage::FileSystem));
        Ok(match self.store {
            Store::Disk => [own, None, None],
            Store::HugePages(bytes) => [own, huge_pages_free(bytes), None],
            Store::Memory => {
                let group = control_group::room().map(|free| (free, Shortage::ControlGroup));
                let machine = control_group::machine_room().map(|free| (free, Shortage::Memory));
                [own, group, machine]
            }
        })
    }

    /// The error when allocating blocks failed in spite of the check. `None`: the cause is something else.
    pub(crate) fn refused(&self, file: BorrowedFd<'_>, errno: Errno) -> Option<Error> {
        let shortage = match errno {
            Errno::NOMEM => Shortage::Memory,
            Errno::NOSPC | Errno::FBIG if matches!(self.store, Store::HugePages(_)) => Shortage::HugePages,
            Errno::NOSPC | Errno::FBIG => Shortage::FileSystem,
            Errno::DQUOT => Shortage::Quota,
            _ => return None,
        };
        // Check the same limit again: other processes may have taken what was free.
        let rooms = self.rooms(file).unwrap_or_default();
        let of_that = rooms.into_iter().flatten().find(|(_, which)| *which == shortage);
        let free = of_that.map(|(free, _)| free).filter(|free| *free < self.shape.extents().file_bytes());
        Some(self.no_space(shortage, free))
    }

    pub(crate) fn no_space(&self, shortage: Shortage, free: Option<u64>) -> Error {
        Error::NoSpace {
            path: self.path.into(),
            bytes: self.shape.extents().file_bytes(),
            shortage,
            free,
            largest: free.and_then(|free| self.shape.largest_within(self.usable(free))),
        }
    }

    /// The usable file size out of this many bytes. A disk uses some of its blocks to index the others.
    fn usable(&self, free: u64) -> u64 {
        match self.store {
            Store::Disk => free - free / 128,
            Store::Memory | Store::HugePages(_) => free,
        }
    }
}

/// Free bytes in the machine's huge pages of this size.
fn huge_pages_free(bytes: u64) -> Option<(u64, Shortage)> {
    let path = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/free_hugepages", bytes >> 10);
    let pages = std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()?;
    Some((pages.saturating_mul(bytes), Shortage::HugePages))
}
