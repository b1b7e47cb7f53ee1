//! The memory of a ring and this handle's hold on it: maps, locks, and what a fork must not hand on.
//!
//! All `unsafe` of the library is here and in `copy.rs`. It rests on three things:
//!
//! * every length and offset comes from a [`Geometry`] that was checked, and is private to this process;
//! * every byte of shared memory is only ever reached through atomics, so it does not matter who else writes
//!   it: all bit patterns are valid, and no reference claims that anything stays the same;
//! * a [`Region`] owns its maps or its share of the heap block, and lends references only for its own
//!   lifetime.
//!
//! What remains is a process with write permission that cuts the file short: touching what is gone raises
//! SIGBUS.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw};

use crate::error::Error;
use crate::file;
use crate::fork::{self, Descriptor};
use crate::identity::{Identity, initialise};
use crate::layout::{Areas, Control, Geometry, Head, IndexEntry, Slot};
use crate::lock::{self, Lock, Table};
use crate::sync::{AtomicU64, Word, at};

pub(crate) use crate::file::Access;

/// One handle's hold on a ring. Fields drop in this order: nothing is left that points into the backing.
pub(crate) struct Region {
    views: Views,
    tripwire: Tripwire,
    identity: Identity,
    backing: Backing,
}

enum Backing {
    File(ManuallyDrop<Mapped>),
    Heap { block: Arc<Block>, owner: u64 },
}

struct Mapped {
    /// Dropped first: closing is quick while the maps hold the file, and forks of other threads wait for it.
    file: Descriptor,
    // Held for their drop: the views point into them.
    _areas: [MmapRaw; 3],
    /// Absolute, for `is_stale`.
    path: PathBuf,
}

impl Region {
    /// A ring in this process's memory, in the byte layout of a file.
    pub(crate) fn heap(geometry: Geometry) -> Result<Self, Error> {
        geometry.check()?;
        let block = Arc::new(Block::new(&geometry)?);
        let region = Self::on(block, Identity::new(geometry, 0))?;
        initialise(&region.areas(), &region.identity);
        Ok(region)
    }

    /// Another handle for a ring on the heap, with locks of its own.
    pub(crate) fn share(&self) -> Result<Self, Error> {
        match &self.backing {
            Backing::Heap { block, .. } => Self::on(Arc::clone(block), self.identity.clone()),
            Backing::File(_) => {
                Err(Error::BadOption { what: "a ring in a file is shared by opening its path" })
            }
        }
    }

    /// `identity` is the one `block` was made for.
    fn on(block: Arc<Block>, identity: Identity) -> Result<Self, Error> {
        let geometry = &identity.geometry;
        let (head, control) = (geometry.head_bytes() as usize, geometry.data_offset() as usize);
        // SAFETY: the block has `file_bytes` bytes, and the head area ends before that.
        let control_area = unsafe { block.memory.add(head) };
        // SAFETY: likewise the control area.
        let data_area = unsafe { block.memory.add(control) };
        // SAFETY: a block is aligned for all types and zeroed, the areas lie in it one after the other as in
        // a file, and the region keeps the block alive.
        let views = unsafe { Views::new(block.memory, control_area, data_area, geometry) };
        let tripwire = Tripwire::new()?;
        let owner = block.locks.join();
        Ok(Self { views, tripwire, identity, backing: Backing::Heap { block, owner } })
    }

    /// Makes a ring in a new file at `path`, mapped read-write. With `lock` held before anybody can see it.
    pub(crate) fn create(
        path: &Path,
        geometry: &Geometry,
        mode: u32,
        lock: Option<Lock>,
    ) -> Result<Self, Error> {
        guard_forks()?;
        let (draft, file, geometry) = file::draft(path, geometry, mode)?;
        let region = Self::map(file, path, Identity::new(geometry, file::boot_id()), Access::Producer)?;
        initialise(&region.areas(), &region.identity);
        if let Some(lock) = lock {
            region.lock(lock)?;
        }
        if let Backing::File(mapped) = &region.backing {
            draft.publish(mapped.file.as_fd())?;
        }
        Ok(region)
    }

    /// Opens the ring at `path` and maps it with the least rights for `access`.
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self, Error> {
        guard_forks()?;
        let (file, identity) = file::open(path, access)?;
        Self::map(file, path, identity, access)
    }

    /// `identity` was checked against `file`.
    fn map(file: Descriptor, path: &Path, identity: Identity, access: Access) -> Result<Self, Error> {
        let geometry = &identity.geometry;
        let (head, data) = (geometry.head_bytes(), geometry.data_offset());
        let (head_write, control_write) = match access {
            Access::Producer => (true, true),
            Access::Consumer => (false, true),
            Access::Observer => (false, false),
        };
        let fd = file.as_fd();
        let map =
            |range, write| map_area(fd, range, write).map_err(|error| io_error(path, "map the ring", error));
        let areas = [
            map(0..head, head_write)?,
            map(head..data, control_write)?,
            map(data..geometry.file_bytes(), head_write)?,
        ];
        let [head_area, control_area, data_area] = areas.each_ref().map(pointer);
        // SAFETY: the maps start at page boundaries, have the lengths that the geometry gives the areas, and
        // stay until the region is dropped. Areas that this access does not write are mapped read-only: the
        // handles of such an access only load from them.
        let views = unsafe { Views::new(head_area, control_area, data_area, geometry) };
        let tripwire = Tripwire::new()?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let mapped = Mapped { file, _areas: areas, path };
        Ok(Self { views, tripwire, identity, backing: Backing::File(ManuallyDrop::new(mapped)) })
    }

    /// The ring's memory.
    #[inline(always)]
    pub(crate) fn areas(&self) -> Areas<'_> {
        Areas {
            geometry: &self.identity.geometry,
            head: self.views.head.get(),
            index: self.views.index.get(),
            control: self.views.control.get(),
            slots: self.views.slots.get(),
            data: self.views.data.get(),
        }
    }

    #[inline(always)]
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.identity.geometry
    }

    /// Whether this is a child's copy of its parent's handle. Such a handle has no memory and no descriptor.
    #[inline(always)]
    pub(crate) fn forked(&self) -> bool {
        self.tripwire.broken()
    }

    /// True: this handle holds the lock now, or held it already. False: another one holds it.
    pub(crate) fn lock(&self, lock: Lock) -> Result<bool, Error> {
        if self.forked() {
            return Err(Error::Forked);
        }
        match &self.backing {
            Backing::File(mapped) => lock::try_lock(mapped.file.as_fd(), lock)
                .map_err(|error| io_error(&mapped.path, "lock a byte of the ring", error)),
            Backing::Heap { block, owner } => Ok(block.locks.try_lock(*owner, lock)),
        }
    }

    pub(crate) fn unlock(&self, lock: Lock) {
        if self.forked() {
            return;
        }
        match &self.backing {
            Backing::File(mapped) => lock::unlock(mapped.file.as_fd(), lock),
            Backing::Heap { block, owner } => block.locks.unlock(*owner, lock),
        }
    }

    /// Whether another handle holds the lock. When the kernel does not say, it does: death is proved, not
    /// guessed.
    pub(crate) fn locked(&self, lock: Lock) -> bool {
        if self.forked() {
            return true;
        }
        match &self.backing {
            Backing::File(mapped) => lock::locked_by_other(mapped.file.as_fd(), lock).unwrap_or(true),
            Backing::Heap { block, owner } => block.locks.locked_by_other(*owner, lock),
        }
    }

    /// Whether whoever opens the path now does not come to this ring: the file was removed or replaced.
    pub(crate) fn is_stale(&self) -> bool {
        match &self.backing {
            Backing::File(mapped) => self.forked() || file::is_stale(mapped.file.as_fd(), &mapped.path),
            Backing::Heap { .. } => false,
        }
    }

    pub(crate) fn ring_id(&self) -> u128 {
        self.identity.ring_id
    }

    pub(crate) fn created_ns(&self) -> u64 {
        self.identity.created_ns
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let forked = self.forked();
        match &mut self.backing {
            // In a child the maps are not there, and their addresses and the descriptor's number may be
            // something else's by now: leave all of it alone.
            Backing::File(mapped) if forked => {
                // SAFETY: taken once, here, and `self` is not used after its drop.
                let Mapped { file, _areas: areas, .. } = unsafe { ManuallyDrop::take(mapped) };
                std::mem::forget(areas);
                file.abandon();
            }
            Backing::File(mapped) => {
                // A child that has the descriptor in spite of all shares the lock, and loses it here.
                lock::unlock_all(mapped.file.as_fd());
                // SAFETY: dropped once, here, and the views are not used after it.
                unsafe { ManuallyDrop::drop(mapped) };
            }
            // A thread of the parent may hold the table for ever in a child.
            Backing::Heap { .. } if forked => {}
            Backing::Heap { block, owner } => block.locks.unlock_all(*owner),
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match &self.backing {
            Backing::File(mapped) => mapped.path.as_path(),
            Backing::Heap { .. } => Path::new("(heap)"),
        };
        f.debug_struct("Region").field("path", &path).finish_non_exhaustive()
    }
}

/// A reference whose lifetime is its region's, which the language cannot say.
struct View<T: ?Sized>(NonNull<T>);

impl<T: ?Sized> View<T> {
    #[inline(always)]
    fn get(&self) -> &T {
        // SAFETY: views are made by `Views::new` and `Tripwire::new` alone, whose callers keep the target
        // where it is for as long as the view is used.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: a view is a `&T`, and those may go to another thread if `T` may be used from several. That makes
// `Region` `Send`: its maps, its descriptor and its share of a block belong to no thread. It is not `Sync`,
// since a handle is one participant, and its lock tells it from others but not its threads from each other.
unsafe impl<T: ?Sized + Sync> Send for View<T> {}

/// Where the parts of the areas are.
struct Views {
    head: View<Head>,
    index: View<[IndexEntry]>,
    control: View<Control>,
    slots: View<[Slot]>,
    data: View<[Word]>,
}

impl Views {
    /// # Safety
    ///
    /// `geometry` passed its check. The pointers are aligned to 128 bytes and lead to as many bytes as it
    /// gives the head, control and data areas, initialised ones that nobody accesses but atomically; all of
    /// that for as long as the views are used.
    unsafe fn new(head: NonNull<u8>, control: NonNull<u8>, data: NonNull<u8>, geometry: &Geometry) -> Self {
        // SAFETY: the head area has room for the head and the index behind it.
        let index = unsafe { head.add(size_of::<Head>()) };
        // SAFETY: the control area has room for its fixed part and the slots behind it.
        let slots = unsafe { control.add(size_of::<Control>()) };
        Self {
            head: View(head.cast()),
            index: View(NonNull::slice_from_raw_parts(index.cast(), geometry.segments as usize)),
            control: View(control.cast()),
            slots: View(NonNull::slice_from_raw_parts(slots.cast(), geometry.slots as usize)),
            data: View(NonNull::slice_from_raw_parts(data.cast(), (geometry.capacity / 8) as usize)),
        }
    }
}

/// Maps a range of a file, and keeps the map out of children.
fn map_area(file: BorrowedFd<'_>, range: std::ops::Range<u64>, write: bool) -> io::Result<MmapRaw> {
    let mut options = MmapOptions::new();
    options.offset(range.start).len((range.end - range.start) as usize);
    let map = match write {
        true => options.map_raw(file.as_raw_fd()),
        false => options.map_raw_read_only(file.as_raw_fd()),
    }?;
    map.advise(Advice::DontFork)?;
    Ok(map)
}

fn pointer(map: &MmapRaw) -> NonNull<u8> {
    // SAFETY: no map is at address zero.
    unsafe { NonNull::new_unchecked(map.as_mut_ptr()) }
}

/// A word that a fork wipes: zero means that this is the child.
struct Tripwire {
    word: View<AtomicU64>,
    // Held for its drop: the view points into it.
    _page: Option<MmapRaw>,
}

const INTACT: u64 = 0x7175_6f69_745f_6f6b;

impl Tripwire {
    fn new() -> Result<Self, Error> {
        if cfg!(miri) {
            // Miri has no fork, and no advice to give about it.
            static ALWAYS: AtomicU64 = AtomicU64::new(INTACT);
            return Ok(Self { word: View(NonNull::from(&ALWAYS)), _page: None });
        }
        let action = "guard the handle against forks (Linux 4.14 or newer)";
        let page =
            MmapMut::map_anon(rustix::param::page_size()).map_err(|error| io_error(EMPTY, action, error))?;
        let page = MmapRaw::from(page);
        let advice = rustix::mm::Advice::LinuxWipeOnFork;
        // SAFETY: the page is ours alone, and the advice changes nothing in this process.
        let advised = unsafe { rustix::mm::madvise(page.as_mut_ptr().cast(), page.len(), advice) };
        advised.map_err(|errno| io_error(EMPTY, action, errno.into()))?;
        let word: View<AtomicU64> = View(pointer(&page).cast());
        word.get().store(INTACT, at!(TRIPWIRE_SET, Relaxed));
        Ok(Self { word, _page: Some(page) })
    }

    #[inline(always)]
    fn broken(&self) -> bool {
        self.word.get().load(at!(TRIPWIRE_LOOK, Relaxed)) != INTACT
    }
}

/// A ring on the heap: one block, laid out as the file would be, and a stand-in for the kernel's locks.
struct Block {
    memory: NonNull<u8>,
    layout: Layout,
    locks: Table,
}

// SAFETY: the block owns its memory, and hands it out as atomics only.
unsafe impl Send for Block {}
// SAFETY: likewise.
unsafe impl Sync for Block {}

impl Block {
    fn new(geometry: &Geometry) -> Result<Self, Error> {
        let refused = || io_error(EMPTY, "allocate the ring", io::ErrorKind::OutOfMemory.into());
        let bytes = geometry.file_bytes() as usize;
        let layout = Layout::from_size_align(bytes, align_of::<Head>()).map_err(|_| refused())?;
        // SAFETY: the layout is not empty: a ring has at least its identity page.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).ok_or_else(refused)?;
        Ok(Self { memory, layout, locks: Table::new() })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nothing points here any more: regions hold the block.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// Has every fork of this process close its ring descriptors in the child, from now on.
fn guard_forks() -> Result<(), Error> {
    static GUARDED: OnceLock<i32> = OnceLock::new();
    let errno = *GUARDED.get_or_init(|| {
        // SAFETY: the hooks are functions of this library, touch only its statics, and do not unwind.
        unsafe { nix::libc::pthread_atfork(Some(fork::prepare), Some(fork::parent), Some(fork::child)) }
    });
    match errno {
        0 => Ok(()),
        _ => Err(io_error(EMPTY, "guard the process's forks", io::Error::from_raw_os_error(errno))),
    }
}

const EMPTY: &str = "";

fn io_error(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Error {
    Error::Io { path: path.as_ref().into(), action, source }
}
