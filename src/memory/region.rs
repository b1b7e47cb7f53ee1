//! A handle's region: its memory, its locks, and whether it is usable.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use rustix::fs::{OFlags, SealFlags};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr};

use crate::atomics::{FutexWord, at};
use crate::error::{Error, Fault};
use crate::memory::draft::{Draft, draft};
use crate::memory::extents::{Extents, HUGE_PAGE};
use crate::memory::file::{self, ASK_WHICH, Owners};
use crate::memory::fork::Descriptor;
use crate::memory::format::Format;
use crate::memory::identity::{self, FileNumber, Identity, word};
use crate::memory::lock::{self, Lock};
use crate::memory::map::{
    EMPTY, HeapBlock, Map, NodeMask, SharedWord, Tripwire, TripwirePage, Viewed, guard_forks, io_error,
};
use crate::memory::permissions::Access;
use crate::memory::prepare::{self, MAX_NODE, Memory, MemoryReport, pages};
use crate::memory::refusal::refusal;
use crate::memory::sigbus::{self, Guarded};

/// One handle's view of an object.
///
/// It may move to another thread, but two threads never use it at the same time: a handle is one participant, and its
/// locks distinguish it from other handles, not its threads from each other.
pub(crate) struct Region<F: Format> {
    backing: Backing,
    memory: Viewed<F>,
    tripwire: TripwirePage,
    identity: Identity<F>,
    _not_sync: PhantomData<Cell<()>>,
}

/// Lowest number of a descriptor for another process: above those of its standard streams.
const FIRST_SHARED: i32 = 3;

enum Backing {
    File(Opened),
    Heap {
        owner: u64,
    },
    /// While it is being dropped.
    None,
}

/// Fields drop in this order.
struct Opened {
    /// Dropped before the maps: closing is quick while the maps hold the file, and forks of other threads wait for
    /// it.
    file: Descriptor,
    /// Of a sealed object: the descriptor of the control area, which is a separate file.
    control: Option<Descriptor>,
    // Held only for its drop, before that of the maps.
    guard: Option<Guarded>,
    /// Absolute, for `is_stale`.
    path: PathBuf,
}

impl Opened {
    /// The descriptor whose open file description holds a lock. Participants of a sealed object cannot write the
    /// writer's.
    fn holder(&self, lock: Lock) -> BorrowedFd<'_> {
        match &self.control {
            Some(control) if !lock.is_writers() => control.as_fd(),
            _ => self.file.as_fd(),
        }
    }
}

impl<F: Format> Region<F> {
    /// An object in this process's memory, in the byte layout of a file.
    pub(crate) fn heap(shape: F) -> Result<Self, Error> {
        shape.check()?;
        let block = Arc::new(HeapBlock::new(shape.extents().file_bytes())?);
        let region = Self::on(block, Identity::new(shape, 0, FileNumber::default()))?;
        region.initialise();
        Ok(region)
    }

    /// Another handle for an object on the heap, with locks of its own.
    pub(crate) fn share(&self) -> Result<Self, Error> {
        match self.memory.block() {
            Some(block) => Self::on(Arc::clone(block), self.identity.clone()),
            None => Err(Error::BadOption { what: "an object in a file is shared by opening its path" }),
        }
    }

    /// `identity` is the one that `block` was made for.
    fn on(block: Arc<HeapBlock>, identity: Identity<F>) -> Result<Self, Error> {
        let owner = block.locks.join();
        let memory = Viewed::heap(&identity.shape, identity.shape.extents(), block).ok_or(TOO_SMALL)?;
        let tripwire = TripwirePage::new()?;
        let backing = Backing::Heap { owner };
        Ok(Self { backing, memory, tripwire, identity, _not_sync: PhantomData })
    }

    /// Creates an object in a new file for `path`, mapped read-write. No other process sees it before it is
    /// published; if it is never published, it leaves nothing behind.
    pub(crate) fn create(path: &Path, shape: &F, mode: u32) -> Result<(Self, Draft), Error> {
        guard_forks()?;
        let (draft, file, shape) = draft(path, shape, mode)?;
        let number = FileNumber::of(file.as_fd()).map_err(|errno| refusal(path, ASK_WHICH, errno))?;
        let identity = Identity::new(shape, file::boot_id(), number);
        let region = Self::map(file, None, path, identity, Access::Writer)?;
        region.initialise();
        Ok((region, draft))
    }

    /// Gives the file that was made for this region its name.
    pub(crate) fn publish(&self, draft: Draft) -> Result<(), Error> {
        match &self.backing {
            Backing::File(opened) => draft.publish(opened.file.as_fd()),
            Backing::Heap { .. } | Backing::None => Ok(()),
        }
    }

    /// Opens the object at `path` and maps it with the least rights for `access`.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self, Error> {
        Self::open_of(path, access, Owners::Any)
    }

    /// As [`open`](Self::open), if its owner is accepted.
    pub(crate) fn open_of(path: &Path, access: Access, owners: Owners) -> Result<Self, Error> {
        guard_forks()?;
        let (file, identity) = file::open(path, access, owners)?;
        Self::map(file, None, path, identity, access)
    }

    /// Opens the same object again, with locks of its own: an object in a file by its descriptor, so it need not have
    /// a name any more.
    pub(crate) fn reopen(&self, access: Access) -> Result<Self, Error> {
        match &self.backing {
            Backing::File(_) if self.broken() => Err(self.fault().into()),
            Backing::File(opened) => {
                let rights = if access == Access::Reader { OFlags::RDONLY } else { OFlags::RDWR };
                let file = Descriptor::open(|| {
                    file::reopened(opened.file.as_fd(), rights).map_err(|errno| match errno {
                        Errno::ACCESS | Errno::PERM => refusal(&opened.path, "open it again", errno),
                        _ => io_error(&opened.path, "open it again (is /proc mounted?)", errno.into()),
                    })
                })?;
                Self::map(file, None, &opened.path, self.identity.clone(), access)
            }
            Backing::Heap { .. } => self.share(),
            Backing::None => Err(Error::Forked),
        }
    }

    /// A descriptor that shares this handle's locks: while a copy of it is open in any process, they are held, unless
    /// this handle is dropped.
    pub(crate) fn share_locks(&self) -> Result<OwnedFd, Error> {
        match &self.backing {
            Backing::File(_) if self.broken() => Err(self.fault().into()),
            Backing::File(opened) => fcntl_dupfd_cloexec(&opened.file, FIRST_SHARED)
                .map_err(|errno| io_error(&opened.path, "duplicate its descriptor", errno.into())),
            Backing::Heap { .. } => Err(Error::BadOption {
                what: "an object on the heap has no descriptor that a process could inherit",
            }),
            Backing::None => Err(Error::Forked),
        }
    }

    /// Creates an object in two nameless files as long as its parts, all zeros, and takes a lock. No other process
    /// can see them yet.
    pub(crate) fn create_sealed(
        records: Descriptor,
        control: Descriptor,
        identity: Identity<F>,
        control_file: [u64; 2],
        lock: Lock,
    ) -> Result<Self, Error> {
        guard_forks()?;
        let region = Self::map(records, Some(control), EMPTY.as_ref(), identity, Access::Writer)?;
        region.initialise();
        let words = F::identity_words(region.views());
        for (word, value) in words[word::CONTROL_FILE..].iter().zip(control_file) {
            word.store(value, at!(INIT_WORD, Relaxed));
        }
        region.lock(lock)?;
        Ok(region)
    }

    /// Seals the files of a sealed object permanently.
    pub(crate) fn seal(&self, records: SealFlags, control: SealFlags) -> Result<(), Errno> {
        if let Backing::File(Opened { file, control: Some(own), .. }) = &self.backing {
            rustix::fs::fcntl_add_seals(file, records)?;
            rustix::fs::fcntl_add_seals(own, control)?;
        }
        Ok(())
    }

    /// Maps a sealed object that was checked.
    pub(crate) fn open_sealed(
        records: Descriptor,
        control: Descriptor,
        identity: Identity<F>,
        access: Access,
    ) -> Result<Self, Error> {
        guard_forks()?;
        Self::map(records, Some(control), EMPTY.as_ref(), identity, access)
    }

    /// `identity` was checked against `file`, and against `control` if that is a separate file.
    fn map(
        file: Descriptor,
        control: Option<Descriptor>,
        path: &Path,
        identity: Identity<F>,
        access: Access,
    ) -> Result<Self, Error> {
        let Extents { head_bytes: head, control_bytes, data_bytes: data, alignment } =
            identity.shape.extents();
        let (control_at, data_at) = if control.is_some() { (0, head) } else { (head, head + control_bytes) };
        let (head_write, control_write, data_write) = match access {
            Access::Writer => (true, true, true),
            Access::Participant => (false, true, false),
            Access::Peer => (false, true, true),
            Access::Reader => (false, false, false),
        };
        let fd = file.as_fd();
        let map = |fd, at, bytes, write| {
            Map::new(fd, at..at + bytes, write, alignment).map_err(|errno| {
                let action = match errno {
                    Errno::NOMEM => "map it (RLIMIT_AS, ulimit -v, or vm.max_map_count is in the way)",
                    Errno::AGAIN => "map it (all memory is to be locked: RLIMIT_MEMLOCK is in the way)",
                    _ => "map it",
                };
                io_error(path, action, errno.into())
            })
        };
        let control_fd = control.as_ref().map_or(fd, AsFd::as_fd);
        let maps = [
            map(fd, 0, head, head_write)?,
            map(control_fd, control_at, control_bytes, control_write)?,
            map(fd, data_at, data, data_write)?,
        ];
        let tripwire = TripwirePage::new()?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let guard = sigbus::is_on().then(|| {
            Guarded::enter(maps.each_ref().map(|map| sigbus::Range {
                start: map.start(),
                bytes: map.bytes(),
                write: map.is_writable(),
                tripwire: tripwire.address(),
            }))
        });
        let backing = Backing::File(Opened { file, control, guard, path });
        // Areas that this access does not write are mapped read-only: such a handle only loads from them.
        let memory = Viewed::maps(&identity.shape, maps).ok_or(TOO_SMALL)?;
        Ok(Self { backing, memory, tripwire, identity, _not_sync: PhantomData })
    }

    fn initialise(&self) {
        self.shape().initialise(self.identity.created_ns, self.views());
        identity::write(F::identity_words(self.views()), &self.identity);
    }

    /// The object's memory.
    #[inline(always)]
    pub(crate) fn views(&self) -> F::Views<'_> {
        self.memory.views()
    }

    /// A share of the memory that a word is in, for another thread of this process to sleep on it.
    pub(crate) fn share_word(&self, word: &FutexWord) -> Option<SharedWord> {
        self.memory.share(word)
    }

    #[inline(always)]
    pub(crate) fn shape(&self) -> &F {
        &self.identity.shape
    }

    /// Whether the handle is unusable; `fault` says why.
    #[inline(always)]
    pub(crate) fn broken(&self) -> bool {
        self.tripwire().broken()
    }

    /// The word that `broken` reads, for callers that read it often.
    #[inline(always)]
    pub(crate) fn tripwire(&self) -> Tripwire<'_> {
        self.tripwire.look()
    }

    /// As `broken`, after accesses to the memory: whether one of them found it gone.
    #[inline(always)]
    pub(crate) fn memory_gone(&self) -> bool {
        self.tripwire().memory_gone()
    }

    /// What is wrong with a broken handle.
    #[cold]
    pub(crate) fn fault(&self) -> Fault {
        if self.forked() { Fault::Forked } else { Fault::Truncated }
    }

    /// A result that was read from the memory, unless the memory is gone meanwhile: then that is the error.
    pub(crate) fn or_memory_gone<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if self.memory_gone() { Err(self.fault().into()) } else { result }
    }

    /// Whether this is a child's copy of its parent's handle. Such a handle has no memory and no descriptor.
    fn forked(&self) -> bool {
        self.tripwire.wiped()
    }

    /// Whether the handler of SIGBUS knows this handle.
    pub(crate) fn is_guarded(&self) -> bool {
        matches!(&self.backing, Backing::File(opened) if opened.guard.is_some())
    }

    /// Whether peers that are not trusted can write the control area, and only that.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(&self.backing, Backing::File(opened) if opened.control.is_some())
    }

    pub(crate) fn id(&self) -> u128 {
        self.identity.id
    }

    pub(crate) fn created_ns(&self) -> u64 {
        self.identity.created_ns
    }

    /// True: this handle holds the lock now, or held it already. False: another one holds it.
    pub(crate) fn lock(&self, lock: Lock) -> Result<bool, Error> {
        if self.forked() {
            return Err(Error::Forked);
        }
        match &self.backing {
            Backing::File(opened) => lock::try_lock(opened.holder(lock), lock)
                .map_err(|error| io_error(&opened.path, "lock a byte of it", error)),
            Backing::Heap { owner } => Ok(self.locks().is_some_and(|locks| locks.try_lock(*owner, lock))),
            Backing::None => Err(Error::Forked),
        }
    }

    pub(crate) fn unlock(&self, lock: Lock) {
        if self.forked() {
            return;
        }
        match &self.backing {
            Backing::File(opened) => lock::unlock(opened.holder(lock), lock),
            Backing::Heap { owner } => {
                if let Some(locks) = self.locks() {
                    locks.unlock(*owner, lock);
                }
            }
            Backing::None => {}
        }
    }

    /// Why a lock was refused: `otherwise`, unless only a read lock on `what` blocks it.
    pub(crate) fn refusal(&self, lock: Lock, what: &'static str, otherwise: Error) -> Error {
        if self.is_read_locked(lock) { Error::ReadLocked { what } } else { otherwise }
    }

    /// Whether only a read lock blocks a lock.
    pub(crate) fn is_read_locked(&self, lock: Lock) -> bool {
        match &self.backing {
            Backing::File(opened) => !self.forked() && lock::is_read_locked(opened.holder(lock), lock),
            Backing::Heap { .. } | Backing::None => false,
        }
    }

    /// Whether another handle holds the lock. If the kernel does not say, assume so: death must be proved, not
    /// guessed.
    pub(crate) fn locked(&self, lock: Lock) -> bool {
        self.any_locked((lock, 1))
    }

    /// The same of several locks: the first, and how many. One system call.
    pub(crate) fn any_locked(&self, (first, count): (Lock, u64)) -> bool {
        if self.forked() {
            return true;
        }
        match &self.backing {
            Backing::File(opened) => {
                lock::locked_by_other(opened.holder(first), first, count).unwrap_or(true)
            }
            Backing::Heap { owner } => {
                self.locks().is_some_and(|locks| locks.locked_by_other(*owner, first, count))
            }
            Backing::None => true,
        }
    }

    /// Whether a new open of the path would not reach this ring: the file was removed, renamed, replaced, cut short
    /// or overwritten.
    pub(crate) fn is_stale(&self) -> bool {
        match &self.backing {
            Backing::File(opened) if opened.control.is_some() => self.forked(),
            Backing::File(opened) => {
                self.forked() || file::is_gone(opened.file.as_fd(), &opened.path, &self.identity)
            }
            Backing::Heap { .. } | Backing::None => false,
        }
    }

    fn locks(&self) -> Option<&lock::Table> {
        self.memory.block().map(|block| &block.locks)
    }

    /// Applies the requests to this handle's maps, as far as the kernel allows.
    pub(crate) fn prepare(&self, wishes: &Memory) -> MemoryReport {
        if self.forked() {
            return prepare::refuse_all(wishes, "the handle is the parent process's");
        }
        if self.broken() {
            return prepare::refuse_all(wishes, "the ring's memory is gone: its file was cut short");
        }
        let Some(areas) = self.memory.areas() else {
            return prepare::refuse_all(wishes, "the ring is on the heap; these are for rings in files");
        };
        let bytes = areas.iter().map(|area| area.bytes()).sum();
        let mut report = MemoryReport { bytes, ..MemoryReport::default() };
        // Keep this order: a page that is locked or faulted in already would have to be moved.
        let collapsed = if wishes.huge_pages { collapse(areas) } else { Ok(()) };
        // Files with a page size of their own, as on hugetlbfs, have all their pages once faulted in. Other pages of
        // a ring were placed when it was created, and the kernel moves, and shows the node of, only those that are
        // faulted in here.
        let faults = wishes.populate || wishes.huge_pages || wishes.node.is_some();
        let populated = if faults { prepare::populated(all(areas, populate)) } else { report.populate };
        report.populate = if wishes.populate { populated } else { report.populate };
        let bound = wishes.node.map_or(Ok(()), |node| bind(areas, node));
        if wishes.lock {
            report.lock = prepare::locked(all(areas, Map::lock));
        }
        if wishes.core_dumps {
            report.core_dumps = prepare::dumped(all(areas, |area| area.advise(libc::MADV_DODUMP)));
        }
        let ranges = areas.each_ref().map(|area| area.start()..area.start() + area.bytes());
        if wishes.huge_pages {
            report.huge_bytes = pages::huge(&ranges);
            let is_aligned = self.shape().extents().alignment.is_multiple_of(HUGE_PAGE);
            report.huge_pages = prepare::huge(report.huge_bytes, bytes, is_aligned, collapsed);
        }
        if let Some(node) = wishes.node {
            report.node_bytes = pages::on_node(node, &ranges);
            report.node = prepare::placed(node, report.node_bytes, bytes, populated, bound);
        }
        report
    }
}

impl<F: Format> Drop for Region<F> {
    fn drop(&mut self) {
        let forked = self.forked();
        match std::mem::replace(&mut self.backing, Backing::None) {
            // In a child the maps do not exist, and their addresses and the descriptor's number may be in use for
            // something else: leave them alone.
            Backing::File(Opened { file, control, .. }) if forked => {
                self.memory.abandon();
                file.abandon();
                if let Some(control) = control {
                    control.abandon();
                }
            }
            Backing::File(opened) => {
                // A child that still has the descriptor shares the lock, and loses it here.
                lock::unlock_all(opened.file.as_fd());
                if let Some(control) = &opened.control {
                    lock::unlock_all(control.as_fd());
                }
            }
            // In a child, a thread of the parent may hold the table forever.
            Backing::Heap { .. } if forked => {}
            Backing::Heap { owner } => {
                if let Some(locks) = self.locks() {
                    locks.unlock_all(owner);
                }
            }
            Backing::None => {}
        }
    }
}

impl<F: Format> fmt::Debug for Region<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match &self.backing {
            Backing::File(opened) => opened.path.as_path(),
            Backing::Heap { .. } | Backing::None => Path::new("(heap)"),
        };
        f.debug_struct("Region").field("path", &path).finish_non_exhaustive()
    }
}

/// The error if a checked shape does not fit its own extents: a bug in this library.
const TOO_SMALL: Error = Error::BadOption { what: "the parts of the object do not fit its areas" };

/// Operations of the fuzz targets on an object on the heap.
#[cfg(tampered)]
impl<F: Format> Region<F> {
    /// An object on the heap with these bytes; their number must match the shape.
    pub(crate) fn image(identity: Identity<F>, image: &[u8]) -> Result<Self, Error> {
        let mut block = HeapBlock::new(identity.shape.extents().file_bytes())?;
        block.bytes().copy_from_slice(image);
        Self::on(Arc::new(block), identity)
    }

    /// Overwrites all bytes, if their number matches and no other handle exists. The shape stays as it is.
    pub(crate) fn restore(&mut self, image: &[u8]) -> bool {
        let Some(block) = self.memory.block_mut() else { return false };
        let bytes = block.bytes();
        let is_same = bytes.len() == image.len();
        if is_same {
            bytes.copy_from_slice(image);
        }
        is_same
    }

    pub(crate) fn words(&self) -> usize {
        self.memory.block().map_or(0, |block| block.words())
    }

    pub(crate) fn word(&self, number: usize) -> Option<&crate::atomics::AtomicU64> {
        self.memory.block()?.word(number)
    }
}

/// Faults every page in, for writing where the map may be written.
fn populate(map: &Map) -> Result<(), Errno> {
    map.advise(if map.is_writable() { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ })
}

/// Asks for huge pages: later, as the kernel chooses, and now, for the pages that exist.
fn collapse_one(map: &Map) -> Result<(), Errno> {
    // Only a hint for later: if it is refused, the other request is refused too, or the hint is not needed.
    let _ = map.advise(libc::MADV_HUGEPAGE);
    let mut result = map.advise(MADV_COLLAPSE);
    for _ in 0..COLLAPSES {
        if !matches!(result, Err(Errno::AGAIN | Errno::BUSY)) {
            break;
        }
        // The kernel, or another process, was using a page at that moment.
        std::thread::sleep(Duration::from_millis(1));
        result = map.advise(MADV_COLLAPSE);
    }
    result
}

/// Linux 6.1. Only newer versions of the library with the other constants define it.
const MADV_COLLAPSE: libc::c_int = 25;
/// Tries after the first.
const COLLAPSES: u32 = 20;

/// Applies it to every area, also after a refusal. Returns the first refusal.
fn all(areas: &[Arc<Map>; 3], each: impl Fn(&Map) -> Result<(), Errno>) -> Result<(), Errno> {
    let [head, control, data] = areas.each_ref().map(|area| retry_on_intr(|| each(area)));
    head.and(control).and(data)
}

fn collapse(areas: &[Arc<Map>; 3]) -> Result<(), Errno> {
    all(areas, collapse_one)
}

/// Does nothing for a node number that no kernel has: the report does not depend on the answer.
fn bind(areas: &[Arc<Map>; 3], node: u32) -> Result<(), Errno> {
    if node > MAX_NODE {
        return Ok(());
    }
    let (word, bit) = (node / libc::c_ulong::BITS, node % libc::c_ulong::BITS);
    let mut mask = NodeMask::default();
    mask[word as usize] = 1 << bit;
    all(areas, |area| area.bind(&mask))
}
