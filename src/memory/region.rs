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
//! SIGBUS. A process that asked for it has a handler for that here; `bus.rs` tells how it works.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::raw::{c_int, c_ulong, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use memmap2::{MmapMut, MmapRaw};
use nix::libc;
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, ProtFlags};

use crate::atomics::{AtomicU64, Word, at, signal_barrier};
use crate::error::{Error, Fault};
use crate::layout::{Areas, Control, Geometry, HUGE_PAGE, Head, IndexEntry, Slot};
use crate::memory::fork::{self, Descriptor};
use crate::memory::identity::{FileNumber, Identity, initialise};
use crate::memory::lock::{self, Table};
use crate::memory::prepare::MAX_NODE;
use crate::memory::sigbus::{self, Guarded};

pub(crate) use crate::memory::file::Access;

mod hold;

/// One handle's hold on a ring. Fields drop in this order: nothing is left that points into the backing.
pub(crate) struct Region {
    views: Views,
    tripwire: TripwirePage,
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
    /// Of a sealed ring: the descriptor of the control area, which has a file of its own.
    control: Option<Descriptor>,
    // Held for its drop, before that of the maps.
    guard: Option<Guarded>,
    /// Head, control and data: the views point into them.
    areas: [Area; 3],
    /// Absolute, for `is_stale`.
    path: PathBuf,
}

impl Region {
    /// A ring in this process's memory, in the byte layout of a file.
    pub(crate) fn heap(geometry: Geometry) -> Result<Self, Error> {
        geometry.check()?;
        let block = Arc::new(Block::new(&geometry)?);
        let region = Self::on(block, Identity::new(geometry, 0, FileNumber::default()))?;
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
        let tripwire = TripwirePage::new()?;
        let owner = block.locks.join();
        Ok(Self { views, tripwire, identity, backing: Backing::Heap { block, owner } })
    }

    /// `identity` was checked against `file`, and `control` if that is apart.
    fn map(
        file: Descriptor,
        control: Option<Descriptor>,
        path: &Path,
        mut identity: Identity,
        access: Access,
    ) -> Result<Self, Error> {
        identity.geometry.sealed = control.is_some();
        let geometry = &identity.geometry;
        let head = geometry.head_bytes();
        let (control_at, data_at) =
            if control.is_some() { (0, head) } else { (head, geometry.data_offset()) };
        let (head_write, control_write) = match access {
            Access::Producer => (true, true),
            Access::Consumer => (false, true),
            Access::Observer => (false, false),
        };
        let fd = file.as_fd();
        let map = |fd, at, bytes, write| {
            Area::map(fd, at..at + bytes, write, geometry.alignment).map_err(|errno| {
                let action = match errno {
                    Errno::NOMEM => "map the ring (RLIMIT_AS, ulimit -v, or vm.max_map_count is in the way)",
                    Errno::AGAIN => "map the ring (all memory is to be locked: RLIMIT_MEMLOCK is in the way)",
                    _ => "map the ring",
                };
                io_error(path, action, errno.into())
            })
        };
        let control_fd = control.as_ref().map_or(fd, AsFd::as_fd);
        let areas = [
            map(fd, 0, head, head_write)?,
            map(control_fd, control_at, geometry.control_bytes(), control_write)?,
            map(fd, data_at, geometry.data_bytes(), head_write)?,
        ];
        let [head_area, control_area, data_area] = areas.each_ref().map(|area| area.start);
        // SAFETY: the maps start at page boundaries, have the lengths that the geometry gives the areas, and
        // stay until the region is dropped. Areas that this access does not write are mapped read-only: the
        // handles of such an access only load from them.
        let views = unsafe { Views::new(head_area, control_area, data_area, geometry) };
        let tripwire = TripwirePage::new()?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let guard = if sigbus::is_on() {
            let tripwire = tripwire.word.0.as_ptr().expose_provenance() as u64;
            let range = |area: &Area| sigbus::Range {
                start: area.start.as_ptr().expose_provenance() as u64,
                bytes: area.bytes as u64,
                write: area.write,
                tripwire,
            };
            Some(Guarded::enter(areas.each_ref().map(range)))
        } else {
            None
        };
        let mapped = Mapped { file, control, guard, areas, path };
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

    /// Whether the handle is of no use any more; `fault` says why.
    #[inline(always)]
    pub(crate) fn broken(&self) -> bool {
        self.tripwire().broken()
    }

    /// What `broken` looks at, for whoever looks often.
    #[inline(always)]
    pub(crate) fn tripwire(&self) -> Tripwire<'_> {
        Tripwire(self.tripwire.word.get())
    }

    /// As `broken`, after accesses to the ring: whether one of them met memory that is gone.
    #[inline(always)]
    pub(crate) fn memory_gone(&self) -> bool {
        signal_barrier();
        self.tripwire().broken()
    }

    /// What is wrong with a broken handle.
    #[cold]
    pub(crate) fn fault(&self) -> Fault {
        if self.forked() { Fault::Forked } else { Fault::Truncated }
    }

    /// A result that was found in the ring, unless the ring's memory went meanwhile: then that is what is wrong.
    pub(crate) fn or_memory_gone<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if self.memory_gone() { Err(self.fault().into()) } else { result }
    }

    /// Whether this is a child's copy of its parent's handle. Such a handle has no memory and no descriptor.
    fn forked(&self) -> bool {
        self.tripwire.wiped()
    }

    /// Whether the handler of SIGBUS knows this handle.
    pub(crate) fn is_guarded(&self) -> bool {
        matches!(&self.backing, Backing::File(mapped) if mapped.guard.is_some())
    }

    /// Whether peers that are not trusted can write the control area, and only that.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(&self.backing, Backing::File(mapped) if mapped.control.is_some())
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
                let Mapped { file, control, areas, .. } = unsafe { ManuallyDrop::take(mapped) };
                std::mem::forget(areas);
                file.abandon();
                if let Some(control) = control {
                    control.abandon();
                }
            }
            Backing::File(mapped) => {
                // A child that has the descriptor in spite of all shares the lock, and loses it here.
                lock::unlock_all(mapped.file.as_fd());
                if let Some(control) = &mapped.control {
                    lock::unlock_all(control.as_fd());
                }
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
        // SAFETY: views are made by `Views::new` and `TripwirePage::new` alone, whose callers keep the target
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

/// A map of a part of a file, which children do not get.
#[derive(Debug)]
struct Area {
    start: NonNull<u8>,
    bytes: usize,
    write: bool,
}

// SAFETY: a map belongs to no thread.
unsafe impl Send for Area {}

impl Area {
    /// Starts at a multiple of `alignment`, without which there are no huge pages; unless the address space is too
    /// full for that.
    fn map(
        file: BorrowedFd<'_>,
        range: std::ops::Range<u64>,
        write: bool,
        alignment: u64,
    ) -> Result<Self, Errno> {
        let bytes = (range.end - range.start) as usize;
        let alignment = alignment as usize;
        let wanted = if alignment > rustix::param::page_size() { room(bytes, alignment) } else { None };
        let rights = if write { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let wanted = wanted.unwrap_or(ptr::null_mut());
        // SAFETY: a new map. The address is a wish: what is there already stays.
        let start = unsafe { mm::mmap(wanted, bytes, rights, MapFlags::SHARED, file, range.start) }?;
        // SAFETY: no map is at address zero.
        let start = unsafe { NonNull::new_unchecked(start.cast()) };
        let area = Self { start, bytes, write };
        area.advise(libc::MADV_DONTFORK)?;
        // What others wrote is no part of this process's story, and may be secret, or larger than a disk.
        area.advise(libc::MADV_DONTDUMP)?;
        Ok(area)
    }

    /// Gives an advice that changes no byte and unmaps nothing.
    fn advise(&self, advice: c_int) -> Result<(), Errno> {
        // SAFETY: the map is ours, and is there for as long as `self`.
        match unsafe { libc::madvise(self.start.as_ptr().cast(), self.bytes, advice) } {
            0 => Ok(()),
            _ => Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw())),
        }
    }

    /// Keeps the map in memory until it goes.
    fn lock(&self) -> Result<(), Errno> {
        // SAFETY: likewise.
        unsafe { mm::mlock(self.start.as_ptr().cast(), self.bytes) }
    }

    /// Has the map's pages come from these NUMA nodes if they can, and moves those that are there and mapped only here.
    fn bind(&self, nodes: &NodeMask) -> Result<(), Errno> {
        let (start, mode) = (self.start.as_ptr(), libc::MPOL_PREFERRED as c_ulong);
        // The kernel takes one off.
        let bits = 8 * size_of_val(nodes) as c_ulong + 1;
        // SAFETY: likewise, and no byte changes; the mask is there and has so many bits, less one.
        let answer = unsafe {
            libc::syscall(libc::SYS_mbind, start, self.bytes, mode, nodes.as_ptr(), bits, MPOL_MF_MOVE)
        };
        match answer {
            0 => Ok(()),
            _ => Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw())),
        }
    }
}

/// A bit for each NUMA node that a kernel can have.
type NodeMask = [c_ulong; (MAX_NODE + 1).div_ceil(c_ulong::BITS) as usize];

/// Not in the library that has the others.
const MPOL_MF_MOVE: c_ulong = 1 << 1;

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: our own map, and nothing points here any more: a region drops its views with it.
        let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// An address at a multiple of `alignment` where nothing is mapped at the moment for `bytes`.
fn room(bytes: usize, alignment: usize) -> Option<*mut c_void> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let room = bytes.checked_add(alignment)?;
    // SAFETY: a new map, of nothing.
    let start = unsafe { mm::mmap_anonymous(ptr::null_mut(), room, ProtFlags::empty(), flags) }.ok()?;
    // SAFETY: the map that was just made, which nobody else knows of.
    unsafe { mm::munmap(start, room) }.ok()?;
    Some(start.map_addr(|address| address.next_multiple_of(alignment)))
}

fn pointer(map: &MmapRaw) -> NonNull<u8> {
    // SAFETY: no map is at address zero.
    unsafe { NonNull::new_unchecked(map.as_mut_ptr()) }
}

/// The word that tells whether a handle is of use.
#[derive(Clone, Copy)]
pub(crate) struct Tripwire<'a>(&'a AtomicU64);

impl Tripwire<'_> {
    #[inline(always)]
    pub(crate) fn broken(self) -> bool {
        self.0.load(at!(TRIPWIRE_LOOK, Relaxed)) != INTACT
    }
}

/// A word that a fork wipes: zero means that this is the child. The handler of SIGBUS cuts it, too.
struct TripwirePage {
    word: View<AtomicU64>,
    // Held for its drop: the view points into it.
    _page: Option<MmapRaw>,
}

const INTACT: u64 = 1;
/// Memory of the handle's ring is gone.
const CUT: u64 = 2;

impl TripwirePage {
    fn new() -> Result<Self, Error> {
        if cfg!(miri) || cfg!(tampered) {
            // Miri has no fork, and no advice to give about it; fuzz targets do not fork.
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

    fn wiped(&self) -> bool {
        self.word.get().load(at!(TRIPWIRE_LOOK, Relaxed)) == 0
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

/// What the fuzz targets do to a ring on the heap.
#[cfg(tampered)]
impl Region {
    /// A ring on the heap with these bytes, as many as the geometry says.
    pub(crate) fn image(identity: Identity, image: &[u8]) -> Result<Self, Error> {
        let mut block = Block::new(&identity.geometry)?;
        block.bytes().copy_from_slice(image);
        Self::on(Arc::new(block), identity)
    }

    /// Writes all bytes anew, if there are as many and no other handle is there. The geometry stays what it is.
    pub(crate) fn restore(&mut self, image: &[u8]) -> bool {
        let Backing::Heap { block, .. } = &mut self.backing else { return false };
        let Some(block) = Arc::get_mut(block) else { return false };
        let bytes = block.bytes();
        let is_same = bytes.len() == image.len();
        if is_same {
            bytes.copy_from_slice(image);
        }
        is_same
    }

    pub(crate) fn words(&self) -> usize {
        match &self.backing {
            Backing::Heap { block, .. } => block.layout.size() / 8,
            Backing::File(_) => 0,
        }
    }

    pub(crate) fn word(&self, number: usize) -> Option<&AtomicU64> {
        let Backing::Heap { block, .. } = &self.backing else { return None };
        if number >= self.words() {
            return None;
        }
        // SAFETY: the block has this word.
        let word = unsafe { block.memory.cast::<AtomicU64>().add(number) };
        // SAFETY: aligned and initialised, only ever accessed atomically, and there for as long as the region is.
        Some(unsafe { word.as_ref() })
    }
}

#[cfg(tampered)]
impl Block {
    /// All of it, while nobody else has it.
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: allocated with this size and initialised; that nobody else has it says the borrow: views are
        // used through regions, and each region owns a share.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.layout.size()) }
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

/// Has `on_sigbus` handle SIGBUS from now on.
pub(crate) fn handle_sigbus() -> Result<(), Error> {
    static HANDLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let handled = HANDLED.get_or_init(|| {
        let before = sigbus_action(None)?;
        sigbus::set_previous(before.sa_sigaction as u64, before.sa_flags);
        sigbus_action(Some(&own_action(&before))).map(drop)
    });
    (*handled)
        .map_err(|errno| io_error(EMPTY, "install a handler for SIGBUS", io::Error::from_raw_os_error(errno)))
}

/// This handler, where the one before it ran, and with the same signals held back: that one is called from this one.
fn own_action(before: &libc::sigaction) -> libc::sigaction {
    let kept = libc::SA_NODEFER | libc::SA_RESTART;
    libc::sigaction {
        sa_sigaction: on_sigbus as *const () as usize,
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK | (before.sa_flags & kept),
        ..*before
    }
}

/// Sets what handles SIGBUS, if told; returns what did.
fn sigbus_action(action: Option<&libc::sigaction>) -> Result<libc::sigaction, i32> {
    let mut before = std::mem::MaybeUninit::uninit();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are null or lead to an action. The handler is `on_sigbus`, or nobody's: the default.
    let refused = unsafe { libc::sigaction(libc::SIGBUS, action, before.as_mut_ptr()) };
    if refused != 0 {
        return Err(nix::errno::Errno::last_raw());
    }
    // SAFETY: the call succeeded, so it was filled in.
    Ok(unsafe { before.assume_init() })
}

/// Handles SIGBUS. Takes no lock, allocates nothing, and leaves `errno` as it was.
extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = nix::errno::Errno::last_raw();
    // SAFETY: the handler was installed with SA_SIGINFO, so the kernel passes this.
    let told = unsafe { &*info };
    // SAFETY: the field is there for every signal; it means something for those that a fault raised.
    let address = unsafe { told.si_addr() }.expose_provenance() as u64;
    let ours = told.si_code == libc::BUS_ADRERR
        && sigbus::find(address).filter(is_of_this_process).take(1).any(|range| replace(&range, address));
    if !ours {
        pass_on(signal, told.si_code, info, context);
    }
    nix::errno::Errno::set_raw(errno);
}

fn tripwire_of(range: &sigbus::Range) -> &AtomicU64 {
    // SAFETY: a range leaves the table before its handle's tripwire is unmapped; this one is of a handle that the
    // interrupted thread is using, or, in a child, of its copy.
    unsafe { &*ptr::with_exposed_provenance(range.tripwire as usize) }
}

/// Not so in a child, of its parent's handles: their maps are not there, and something else may be.
fn is_of_this_process(range: &sigbus::Range) -> bool {
    tripwire_of(range).load(at!(TRIPWIRE_LOOK, Relaxed)) != 0
}

/// Puts zeros in the place of a map and cuts the handle's tripwire. All of the map, so that neither huge pages nor the
/// limit of maps are in the way; or at least what the fault was in.
fn replace(range: &sigbus::Range, address: u64) -> bool {
    // What was locked in memory counts no more, so that the limit leaves room for what takes its place.
    let start: *mut c_void = ptr::with_exposed_provenance_mut(range.start as usize);
    // SAFETY: the range is one of our own maps, of a handle that the interrupted thread is using. No byte changes.
    let _ = unsafe { mm::munlock(start, range.bytes as usize) };
    let page = rustix::param::page_size() as u64;
    // A part of a map of huge pages can only be one of those.
    let is_replaced = put_zeros(range, range.start, range.bytes)
        || [page, HUGE_PAGE].iter().any(|bytes| {
            let at = address - address % bytes;
            at >= range.start && at + bytes <= range.start + range.bytes && put_zeros(range, at, *bytes)
        });
    if is_replaced {
        tripwire_of(range).store(CUT, at!(TRIPWIRE_CUT, Relaxed));
    }
    is_replaced
}

/// Shared with nobody, in spite of the flag: what is shared is no data of this process to `RLIMIT_DATA`, and is charged as
/// it is touched. Where that is refused, private memory, which is charged otherwise.
fn put_zeros(range: &sigbus::Range, start: u64, bytes: u64) -> bool {
    let start: *mut c_void = ptr::with_exposed_provenance_mut(start as usize);
    let write = if range.write { ProtFlags::WRITE } else { ProtFlags::empty() };
    [MapFlags::SHARED, MapFlags::PRIVATE].iter().any(|kind| {
        let flags = *kind | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: inside the range, which is one of our own maps, of a handle that the interrupted thread is using. It
        // is reached through atomics alone, so its bytes may change at any time, and is unmapped as it would have been.
        let zeros = unsafe { mm::mmap_anonymous(start, bytes as usize, ProtFlags::READ | write, flags) };
        if zeros.is_ok() {
            for advice in [mm::Advice::LinuxDontFork, mm::Advice::LinuxDontDump] {
                // SAFETY: the map that was just made; as for the one before it.
                let _ = unsafe { mm::madvise(start, bytes as usize, advice) };
            }
        }
        zeros.is_ok()
    })
}

/// Does with a foreign SIGBUS what would have been done without this handler.
fn pass_on(signal: c_int, code: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let (handler, flags) = sigbus::previous();
    let is_sent = code <= 0;
    match handler as libc::sighandler_t {
        libc::SIG_IGN if is_sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: all zeros is a value of it: the default, nothing held back.
            let default = unsafe { std::mem::zeroed() };
            let _ = sigbus_action(Some(&default));
            // A fault recurs as soon as the handler returns. What was sent must be sent again; it arrives then.
            if is_sent || code == libc::BUS_MCEERR_AO {
                // SAFETY: signals the thread itself.
                let _ = unsafe { libc::raise(signal) };
            }
        }
        handler => {
            let handler: *const () = ptr::with_exposed_provenance(handler);
            if flags & libc::SA_SIGINFO != 0 {
                type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
                // SAFETY: what somebody installed as a handler of this kind.
                let handler: Handler = unsafe { std::mem::transmute(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: likewise.
                let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
                handler(signal);
            }
            // It came back. What was sent does not recur, so the process lives on, and is to stay guarded.
            if is_sent || code == libc::BUS_MCEERR_AO {
                rearm();
            }
        }
    }
}

/// Installs this handler again if the one before it, by its own account, gave up: Rust's does, and leaves the default.
fn rearm() {
    let Ok(now) = sigbus_action(None) else { return };
    // Somebody else's by now: it was put there on purpose, and who did knows to pass on what is not its own.
    if matches!(now.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
        sigbus::set_previous(now.sa_sigaction as u64, now.sa_flags);
        let _ = sigbus_action(Some(&own_action(&now)));
    }
}

const EMPTY: &str = "";

fn io_error(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Error {
    Error::Io { path: path.as_ref().into(), action, source }
}
