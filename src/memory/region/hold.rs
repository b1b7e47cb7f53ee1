//! What needs no `unsafe`: how a region on a file comes about, and the locks that it holds.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::libc;
use rustix::fs::SealFlags;
use rustix::io::{Errno, retry_on_intr};

use super::{Area, Backing, EMPTY, MAX_NODE, Mapped, NodeMask, Region, guard_forks, io_error};
use crate::atomics::at;
use crate::error::Error;
use crate::layout::{Geometry, HUGE_PAGE, identity};
use crate::memory::draft::{Draft, draft};
use crate::memory::file::{self, ASK_WHICH, Access, Owners};
use crate::memory::fork::Descriptor;
use crate::memory::identity::{FileNumber, Identity, initialise};
use crate::memory::lock::{self, Lock};
use crate::memory::prepare::{self, Memory, MemoryReport, pages};

impl Mapped {
    /// The descriptor whose description holds a lock. On a sealed ring consumers cannot write the producer's.
    fn holder(&self, lock: Lock) -> BorrowedFd<'_> {
        match &self.control {
            Some(control) if lock != Lock::Producer => control.as_fd(),
            _ => self.file.as_fd(),
        }
    }
}

impl Region {
    /// Makes a ring in a new file for `path`, mapped read-write. Nobody sees it before it is published, and it is
    /// gone without a trace if it never is.
    pub(crate) fn create(path: &Path, geometry: &Geometry, mode: u32) -> Result<(Self, Draft), Error> {
        guard_forks()?;
        let (draft, file, geometry) = draft(path, geometry, mode)?;
        let number = FileNumber::of(file.as_fd()).map_err(|errno| file::refusal(path, ASK_WHICH, errno))?;
        let identity = Identity::new(geometry, file::boot_id(), number);
        let region = Self::map(file, None, path, identity, Access::Producer)?;
        initialise(&region.areas(), &region.identity);
        Ok((region, draft))
    }

    /// Gives the file that was made for this region its name.
    pub(crate) fn publish(&self, draft: Draft) -> Result<(), Error> {
        match &self.backing {
            Backing::File(mapped) => draft.publish(mapped.file.as_fd()),
            Backing::Heap { .. } => Ok(()),
        }
    }

    /// Opens the ring at `path` and maps it with the least rights for `access`.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self, Error> {
        Self::open_of(path, access, Owners::Any)
    }

    /// As [`open`](Self::open), if it belongs to one of these.
    pub(crate) fn open_of(path: &Path, access: Access, owners: Owners) -> Result<Self, Error> {
        guard_forks()?;
        let (file, identity) = file::open(path, access, owners)?;
        Self::map(file, None, path, identity, access)
    }

    /// Makes a ring in two nameless files that are as long as its parts, all zeros, and takes the producer's lock.
    /// Nobody else can see them yet.
    pub(crate) fn create_sealed(
        records: Descriptor,
        control: Descriptor,
        identity: Identity,
        control_file: [u64; 2],
    ) -> Result<Self, Error> {
        guard_forks()?;
        let region = Self::map(records, Some(control), EMPTY.as_ref(), identity, Access::Producer)?;
        initialise(&region.areas(), &region.identity);
        for (word, value) in region.areas().head.identity[identity::CONTROL_FILE..].iter().zip(control_file) {
            word.store(value, at!(INIT_WORD, Relaxed));
        }
        region.lock(Lock::Producer)?;
        Ok(region)
    }

    /// Seals the files of a sealed ring, for good.
    pub(crate) fn seal(&self, records: SealFlags, control: SealFlags) -> Result<(), Errno> {
        if let Backing::File(mapped) = &self.backing {
            rustix::fs::fcntl_add_seals(&mapped.file, records)?;
            rustix::fs::fcntl_add_seals(mapped.holder(Lock::Slot(0)), control)?;
        }
        Ok(())
    }

    /// Maps a sealed ring that was checked.
    pub(crate) fn open_sealed(
        records: Descriptor,
        control: Descriptor,
        identity: Identity,
        access: Access,
    ) -> Result<Self, Error> {
        guard_forks()?;
        Self::map(records, Some(control), EMPTY.as_ref(), identity, access)
    }

    /// True: this handle holds the lock now, or held it already. False: another one holds it.
    pub(crate) fn lock(&self, lock: Lock) -> Result<bool, Error> {
        if self.forked() {
            return Err(Error::Forked);
        }
        match &self.backing {
            Backing::File(mapped) => lock::try_lock(mapped.holder(lock), lock)
                .map_err(|error| io_error(&mapped.path, "lock a byte of the ring", error)),
            Backing::Heap { block, owner } => Ok(block.locks.try_lock(*owner, lock)),
        }
    }

    pub(crate) fn unlock(&self, lock: Lock) {
        if self.forked() {
            return;
        }
        match &self.backing {
            Backing::File(mapped) => lock::unlock(mapped.holder(lock), lock),
            Backing::Heap { block, owner } => block.locks.unlock(*owner, lock),
        }
    }

    /// Why a lock was refused: `otherwise`, unless all that is in the way is a read lock on `what`.
    pub(crate) fn refusal(&self, lock: Lock, what: &'static str, otherwise: Error) -> Error {
        if self.is_read_locked(lock) { Error::ReadLocked { what } } else { otherwise }
    }

    /// Whether a read lock is all that keeps a lock from being had.
    pub(crate) fn is_read_locked(&self, lock: Lock) -> bool {
        match &self.backing {
            Backing::File(mapped) => !self.forked() && lock::is_read_locked(mapped.holder(lock), lock),
            Backing::Heap { .. } => false,
        }
    }

    /// Whether another handle holds the lock. When the kernel does not say, it does: death is proved, not
    /// guessed.
    pub(crate) fn locked(&self, lock: Lock) -> bool {
        if self.forked() {
            return true;
        }
        match &self.backing {
            Backing::File(mapped) => lock::locked_by_other(mapped.holder(lock), lock).unwrap_or(true),
            Backing::Heap { block, owner } => block.locks.locked_by_other(*owner, lock),
        }
    }

    /// Whether whoever opens the path now does not come to this ring: the file was removed, renamed, replaced, cut short
    /// or overwritten.
    pub(crate) fn is_stale(&self) -> bool {
        match &self.backing {
            Backing::File(mapped) if mapped.control.is_some() => self.forked(),
            Backing::File(mapped) => {
                self.forked() || file::is_gone(mapped.file.as_fd(), &mapped.path, &self.identity)
            }
            Backing::Heap { .. } => false,
        }
    }

    /// Does what is wished with this handle's maps, as far as the kernel lets it.
    pub(crate) fn prepare(&self, wishes: &Memory) -> MemoryReport {
        if self.forked() {
            return prepare::refuse_all(wishes, "the handle is the parent process's");
        }
        if self.broken() {
            return prepare::refuse_all(wishes, "the ring's memory is gone: its file was cut short");
        }
        let Backing::File(mapped) = &self.backing else {
            return prepare::refuse_all(wishes, "the ring is on the heap; these are for rings in files");
        };
        let areas = &mapped.areas;
        let bytes = areas.iter().map(|area| area.bytes as u64).sum();
        let mut report = MemoryReport { bytes, ..MemoryReport::default() };
        // In this order: a page that is locked or faulted in already would have to be moved.
        let collapsed = if wishes.huge_pages { collapse(areas) } else { Ok(()) };
        // Pages of their own size, as on hugetlbfs, are there once they are faulted in. A ring's pages have their place
        // since it was made, and the kernel moves, and shows the place of, those alone that are faulted in here.
        let faults = wishes.populate || wishes.huge_pages || wishes.node.is_some();
        let populated = if faults { prepare::populated(all(areas, Area::populate)) } else { report.populate };
        report.populate = if wishes.populate { populated } else { report.populate };
        let bound = wishes.node.map_or(Ok(()), |node| bind(areas, node));
        if wishes.lock {
            report.lock = prepare::locked(all(areas, Area::lock));
        }
        if wishes.core_dumps {
            report.core_dumps = prepare::dumped(all(areas, |area| area.advise(libc::MADV_DODUMP)));
        }
        let ranges = areas.each_ref().map(|area| {
            let start = area.start.as_ptr().addr() as u64;
            start..start + area.bytes as u64
        });
        if wishes.huge_pages {
            report.huge_bytes = pages::huge(&ranges);
            let is_aligned = self.geometry().alignment.is_multiple_of(HUGE_PAGE);
            report.huge_pages = prepare::huge(report.huge_bytes, bytes, is_aligned, collapsed);
        }
        if let Some(node) = wishes.node {
            report.node_bytes = pages::on_node(node, &ranges);
            report.node = prepare::placed(node, report.node_bytes, bytes, populated, bound);
        }
        report
    }
}

impl Area {
    /// Faults every page in, for writing where the map may be written.
    fn populate(&self) -> Result<(), Errno> {
        let advice = if self.write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
        self.advise(advice)
    }

    /// Asks for huge pages: from now on as the kernel sees fit, and for what is there at once.
    fn collapse(&self) -> Result<(), Errno> {
        // Only a hint for later: where it is refused, so is the other one, or it is not needed.
        let _ = self.advise(libc::MADV_HUGEPAGE);
        let mut result = self.advise(MADV_COLLAPSE);
        for _ in 0..COLLAPSES {
            if !matches!(result, Err(Errno::AGAIN | Errno::BUSY)) {
                break;
            }
            // The kernel, or another process, had a page in use just then.
            std::thread::sleep(Duration::from_millis(1));
            result = self.advise(MADV_COLLAPSE);
        }
        result
    }
}

/// Linux 6.1; of the library that has the others, only newer versions have it.
const MADV_COLLAPSE: libc::c_int = 25;
/// Tries besides the first.
const COLLAPSES: u32 = 20;

/// Every area, also after a refusal; the first of those comes back.
fn all(areas: &[Area; 3], each: impl Fn(&Area) -> Result<(), Errno>) -> Result<(), Errno> {
    let [head, control, data] = areas.each_ref().map(|area| retry_on_intr(|| each(area)));
    head.and(control).and(data)
}

fn collapse(areas: &[Area; 3]) -> Result<(), Errno> {
    all(areas, Area::collapse)
}

/// Nothing for a node that no kernel has: what is said of it does not depend on the answer.
fn bind(areas: &[Area; 3], node: u32) -> Result<(), Errno> {
    if node > MAX_NODE {
        return Ok(());
    }
    let (word, bit) = (node / libc::c_ulong::BITS, node % libc::c_ulong::BITS);
    let mut mask = NodeMask::default();
    mask[word as usize] = 1 << bit;
    all(areas, |area| area.bind(&mask))
}
