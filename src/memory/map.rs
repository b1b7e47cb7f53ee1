//! Maps and heap blocks, the typed views into them, and protection against `fork`: all that is `unsafe` about shared
//! memory.
//!
//! All `unsafe` of the library is here, in `handler.rs` and in `copy.rs`. It rests on three things:
//!
//! * every length and offset comes from a shape that was checked and is private to this process, and a view is made
//!   only where its bounds and its alignment were checked against the map that it leads into ([`Bytes`]);
//! * every byte of shared memory is only ever reached through atomics, so it does not matter who else writes
//!   it: all bit patterns are valid, and no reference claims that anything stays the same ([`Block`]);
//! * [`Viewed`] owns its maps or its share of the heap block, and lends views only for its own lifetime.
//!
//! One case remains: a process with write permission cuts the file short, and touching missing memory raises SIGBUS.
//! A process can ask for a handler: see `sigbus.rs`.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::os::raw::{c_int, c_ulong, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use crossbeam_utils::CachePadded;
use memmap2::{MmapMut, MmapRaw};
use nix::libc;
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, ProtFlags};

use crate::atomics::{AtomicU64, FutexWord, OwnedWord, Word, at, signal_barrier};
use crate::error::Error;
use crate::memory::extents::Extents;
use crate::memory::fork;
use crate::memory::lock::Table;
use crate::memory::prepare::MAX_NODE;

/// Types that may be laid over shared memory: atomics, and structs and arrays of atomics only.
///
/// # Safety
///
/// The type has a fixed layout, no padding that is ever read, and consists of atomics only. So every bit pattern is a
/// value of it, and other processes may change it at any time.
pub(crate) unsafe trait Block: Sized {}

// SAFETY: an atomic, alone.
unsafe impl Block for AtomicU64 {}
// SAFETY: likewise.
unsafe impl Block for Word {}
// SAFETY: likewise.
unsafe impl Block for FutexWord {}
// SAFETY: likewise.
unsafe impl Block for OwnedWord {}
// SAFETY: one behind the other.
unsafe impl<T: Block, const N: usize> Block for [T; N] {}
// SAFETY: one alone on its cache lines.
unsafe impl<T: Block> Block for CachePadded<T> {}

/// Implements [`Block`] for a struct; `block!` uses it after it has checked the fields.
macro_rules! is_block {
    ($name:ident) => {
        // SAFETY: `repr(C)`, and every field is a block: `block!` has the compiler check that.
        #[allow(unsafe_code, reason = "the macro of `map.rs`, which holds the contract")]
        unsafe impl $crate::memory::map::Block for $name {}
    };
}

pub(crate) use is_block;

/// Bytes of shared memory that are valid for `'a`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    start: NonNull<u8>,
    bytes: usize,
    _there: PhantomData<&'a [AtomicU64]>,
}

impl<'a> Bytes<'a> {
    /// The block at `offset`. `None`: it does not fit, or would not be aligned.
    pub(crate) fn view<T: Block>(self, offset: usize) -> Option<&'a T> {
        self.views(offset, 1)?.first()
    }

    /// A number of blocks from `offset` on.
    pub(crate) fn views<T: Block>(self, offset: usize, count: usize) -> Option<&'a [T]> {
        let end = size_of::<T>().checked_mul(count)?.checked_add(offset)?;
        let is_aligned = (self.start.addr().get() + offset).is_multiple_of(align_of::<T>());
        if end > self.bytes || !is_aligned {
            return None;
        }
        // SAFETY: there are that many bytes.
        let first = unsafe { self.start.add(offset) }.cast::<T>();
        // SAFETY: aligned and in bounds, as was just checked; initialised, and reached through atomics alone, for every
        // value of `T` is; there for `'a`.
        Some(unsafe { NonNull::slice_from_raw_parts(first, count).as_ref() })
    }
}

/// A way to lay views over the areas of an object.
pub(crate) trait Lay {
    /// Typed references into the areas.
    type Views<'a>: Copy;

    /// The views of these areas: head, control, data. `None`: one of them is too small, which a checked shape
    /// excludes.
    fn views<'a>(&self, areas: [Bytes<'a>; 3]) -> Option<Self::Views<'a>>;

    /// The same views, for a shorter time.
    fn shorten<'a>(views: Self::Views<'static>) -> Self::Views<'a>;
}

/// The memory of one object, and the views into it. Views are made once, and lent for as long as this is borrowed.
pub(crate) struct Viewed<F: Lay> {
    /// Lent with a shorter lifetime only: the memory is there until this is dropped.
    views: F::Views<'static>,
    memory: Memory,
}

enum Memory {
    /// Head, control and data.
    Maps([Arc<Map>; 3]),
    Heap(Arc<HeapBlock>),
    /// A child's copy of its parent's.
    None,
}

impl<F: Lay> fmt::Debug for Viewed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewed").field("maps", &self.areas()).finish_non_exhaustive()
    }
}

impl<F: Lay> Viewed<F> {
    /// `None`: the shape asks for more than there is, which a checked shape excludes.
    fn new(shape: &F, memory: Memory, areas: [Bytes<'static>; 3]) -> Option<Self> {
        Some(Self { views: shape.views(areas)?, memory })
    }

    pub(crate) fn maps(shape: &F, maps: [Map; 3]) -> Option<Self> {
        let areas =
            maps.each_ref().map(|map| Bytes { start: map.start, bytes: map.bytes, _there: PhantomData });
        Self::new(shape, Memory::Maps(maps.map(Arc::new)), areas)
    }

    pub(crate) fn heap(shape: &F, extents: Extents, block: Arc<HeapBlock>) -> Option<Self> {
        let Extents { head_bytes: head, control_bytes: control, data_bytes: data, .. } = extents;
        let area = |start: u64, bytes: u64| {
            let (start, bytes) = (usize::try_from(start).ok()?, usize::try_from(bytes).ok()?);
            if start.checked_add(bytes)? > block.layout.size() {
                return None;
            }
            // SAFETY: inside the block, as was just checked.
            let start = unsafe { block.memory.add(start) };
            Some(Bytes { start, bytes, _there: PhantomData })
        };
        let areas = [area(0, head)?, area(head, control)?, area(head + control, data)?];
        Self::new(shape, Memory::Heap(block), areas)
    }

    #[inline(always)]
    pub(crate) fn views(&self) -> F::Views<'_> {
        F::shorten(self.views)
    }

    /// Head, control and data, if they are maps.
    pub(crate) fn areas(&self) -> Option<&[Arc<Map>; 3]> {
        match &self.memory {
            Memory::Maps(maps) => Some(maps),
            Memory::Heap(_) | Memory::None => None,
        }
    }

    pub(crate) fn block(&self) -> Option<&Arc<HeapBlock>> {
        match &self.memory {
            Memory::Heap(block) => Some(block),
            Memory::Maps(_) | Memory::None => None,
        }
    }

    /// A share of the memory that a word is in. `None`: it is in none of it.
    pub(crate) fn share(&self, word: &FutexWord) -> Option<SharedWord> {
        let address = ptr::from_ref(word).addr();
        let share = |start: NonNull<u8>, bytes: usize, keeper| {
            let offset = address.checked_sub(start.addr().get()).filter(|offset| *offset < bytes)?;
            Some(SharedWord { keeper, offset })
        };
        match &self.memory {
            Memory::Maps(maps) => {
                maps.iter().find_map(|map| share(map.start, map.bytes, Keeper::Map(Arc::clone(map))))
            }
            Memory::Heap(block) => share(block.memory, block.layout.size(), Keeper::Heap(Arc::clone(block))),
            Memory::None => None,
        }
    }

    /// Leaves the memory where it is. For a child of the handle's owner: the maps do not exist there, and the
    /// addresses may be reused.
    pub(crate) fn abandon(&mut self) {
        std::mem::forget(std::mem::replace(&mut self.memory, Memory::None));
    }
}

/// A word to sleep on, with a share of its memory, which stays mapped until this is dropped. For another thread of this
/// process. Not to be dropped in a child.
#[derive(Clone)]
pub(crate) struct SharedWord {
    keeper: Keeper,
    offset: usize,
}

#[derive(Clone)]
enum Keeper {
    Map(Arc<Map>),
    Heap(Arc<HeapBlock>),
}

impl fmt::Debug for SharedWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedWord").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl SharedWord {
    pub(crate) fn word(&self) -> Option<&FutexWord> {
        let (start, bytes) = match &self.keeper {
            Keeper::Map(map) => (map.start, map.bytes),
            Keeper::Heap(block) => (block.memory, block.layout.size()),
        };
        // There for as long as the share is, which lends them for no longer.
        Bytes { start, bytes, _there: PhantomData }.view(self.offset)
    }
}

/// A map of a part of a file. Children do not inherit it.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    bytes: usize,
    write: bool,
}

// SAFETY: a map belongs to no thread.
unsafe impl Send for Map {}
// SAFETY: it does not change, and its bytes are reached through atomics alone.
unsafe impl Sync for Map {}

impl Map {
    /// Starts at a multiple of `alignment`, which huge pages require, unless the address space is too full for that.
    pub(crate) fn new(
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
        // SAFETY: a new map. The address is only a hint: existing maps stay.
        let start = unsafe { mm::mmap(wanted, bytes, rights, MapFlags::SHARED, file, range.start) }?;
        // SAFETY: no map is at address zero.
        let start = unsafe { NonNull::new_unchecked(start.cast()) };
        let map = Self { start, bytes, write };
        map.advise(libc::MADV_DONTFORK)?;
        // Keep it out of core dumps: other processes wrote it, and it may be secret, or larger than a disk.
        map.advise(libc::MADV_DONTDUMP)?;
        Ok(map)
    }

    pub(crate) fn start(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.write
    }

    /// Gives advice that changes no byte and unmaps nothing.
    pub(crate) fn advise(&self, advice: c_int) -> Result<(), Errno> {
        // SAFETY: the map is ours, and is there for as long as `self`.
        match unsafe { libc::madvise(self.start.as_ptr().cast(), self.bytes, advice) } {
            0 => Ok(()),
            _ => Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw())),
        }
    }

    /// Locks the map in memory until it is unmapped.
    pub(crate) fn lock(&self) -> Result<(), Errno> {
        // SAFETY: likewise.
        unsafe { mm::mlock(self.start.as_ptr().cast(), self.bytes) }
    }

    /// Sets these NUMA nodes as preferred for the map's pages, and moves existing pages that are mapped only here.
    pub(crate) fn bind(&self, nodes: &NodeMask) -> Result<(), Errno> {
        let (start, mode) = (self.start.as_ptr(), libc::MPOL_PREFERRED as c_ulong);
        // The kernel subtracts one.
        let bits = 8 * size_of_val(nodes) as c_ulong + 1;
        // SAFETY: likewise, and no byte changes; the mask exists and has that many bits, less one.
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
pub(crate) type NodeMask = [c_ulong; (MAX_NODE + 1).div_ceil(c_ulong::BITS) as usize];

/// Not defined by the library that has the others.
const MPOL_MF_MOVE: c_ulong = 1 << 1;

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: our own map, and nothing points to it any more: the views are dropped with it.
        let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// An address at a multiple of `alignment` with `bytes` unmapped bytes at the moment.
fn room(bytes: usize, alignment: usize) -> Option<*mut c_void> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let room = bytes.checked_add(alignment)?;
    // SAFETY: a new map, of no file.
    let start = unsafe { mm::mmap_anonymous(ptr::null_mut(), room, ProtFlags::empty(), flags) }.ok()?;
    // SAFETY: the map that was just made, and no other code has its address.
    unsafe { mm::munmap(start, room) }.ok()?;
    Some(start.map_addr(|address| address.next_multiple_of(alignment)))
}

/// The word that says whether a handle is usable.
#[derive(Clone, Copy)]
pub(crate) struct Tripwire<'a>(&'a AtomicU64);

impl Tripwire<'_> {
    #[inline(always)]
    pub(crate) fn broken(self) -> bool {
        self.0.load(at!(TRIPWIRE_LOOK, Relaxed)) != INTACT
    }

    /// As `broken`, after accesses to the memory: whether one of them found it gone.
    #[inline(always)]
    pub(crate) fn memory_gone(self) -> bool {
        signal_barrier();
        self.broken()
    }
}

/// A word that a fork zeroes: zero means that this is the child. The handler of SIGBUS changes it, too.
pub(crate) struct TripwirePage {
    word: NonNull<AtomicU64>,
    // Held for its drop: the word is in it.
    _page: Option<MmapRaw>,
}

// SAFETY: a page belongs to no thread, and its word is an atomic.
unsafe impl Send for TripwirePage {}

const INTACT: u64 = 1;
/// Memory of the handle is gone.
pub(crate) const CUT: u64 = 2;

impl TripwirePage {
    pub(crate) fn new() -> Result<Self, Error> {
        if cfg!(miri) || cfg!(tampered) {
            // Miri has no fork, and no such advice; fuzz targets do not fork.
            static ALWAYS: AtomicU64 = AtomicU64::new(INTACT);
            return Ok(Self { word: NonNull::from(&ALWAYS), _page: None });
        }
        let action = "guard the handle against forks (Linux 4.14 or newer)";
        let page =
            MmapMut::map_anon(rustix::param::page_size()).map_err(|error| io_error(EMPTY, action, error))?;
        let page = MmapRaw::from(page);
        let advice = rustix::mm::Advice::LinuxWipeOnFork;
        // SAFETY: the page is ours alone, and the advice changes nothing in this process.
        let advised = unsafe { rustix::mm::madvise(page.as_mut_ptr().cast(), page.len(), advice) };
        advised.map_err(|errno| io_error(EMPTY, action, errno.into()))?;
        // SAFETY: no map is at address zero.
        let word = unsafe { NonNull::new_unchecked(page.as_mut_ptr()) }.cast();
        let tripwire = Self { word, _page: Some(page) };
        tripwire.word().store(INTACT, at!(TRIPWIRE_SET, Relaxed));
        Ok(tripwire)
    }

    #[inline(always)]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: of this process's own page, initialised, aligned, and there for as long as this is.
        unsafe { self.word.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn look(&self) -> Tripwire<'_> {
        Tripwire(self.word())
    }

    /// For the handler of SIGBUS.
    pub(crate) fn address(&self) -> u64 {
        self.word.as_ptr().expose_provenance() as u64
    }

    pub(crate) fn wiped(&self) -> bool {
        self.word().load(at!(TRIPWIRE_LOOK, Relaxed)) == 0
    }
}

/// An object on the heap: one block, laid out like the file, and a replacement for the kernel's locks.
pub(crate) struct HeapBlock {
    memory: NonNull<u8>,
    layout: Layout,
    pub(crate) locks: Table,
}

// SAFETY: the block owns its memory, and lends it as atomics only.
unsafe impl Send for HeapBlock {}
// SAFETY: likewise.
unsafe impl Sync for HeapBlock {}

/// No block of words needs a larger alignment.
const HEAP_ALIGNMENT: usize = 128;

impl HeapBlock {
    pub(crate) fn new(bytes: u64) -> Result<Self, Error> {
        let refused = || io_error(EMPTY, "allocate it", io::ErrorKind::OutOfMemory.into());
        let layout = Layout::from_size_align(bytes.max(1) as usize, HEAP_ALIGNMENT).map_err(|_| refused())?;
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).ok_or_else(refused)?;
        Ok(Self { memory, layout, locks: Table::new() })
    }
}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nothing points here any more: views keep the block.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// Operations of the fuzz targets on an object on the heap.
#[cfg(tampered)]
impl HeapBlock {
    pub(crate) fn words(&self) -> usize {
        self.layout.size() / 8
    }

    pub(crate) fn word(&self, number: usize) -> Option<&AtomicU64> {
        if number >= self.words() {
            return None;
        }
        // SAFETY: the block has this word.
        let word = unsafe { self.memory.cast::<AtomicU64>().add(number) };
        // SAFETY: aligned and initialised, only ever accessed atomically, and there for as long as the block is.
        Some(unsafe { word.as_ref() })
    }

    /// All of it, while no other handle has it.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: allocated with this size and initialised. The borrow guarantees exclusive access: views are
        // used through regions, and each region owns a share.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.layout.size()) }
    }
}

#[cfg(tampered)]
impl<F: Lay> Viewed<F> {
    pub(crate) fn block_mut(&mut self) -> Option<&mut HeapBlock> {
        match &mut self.memory {
            Memory::Heap(block) => Arc::get_mut(block),
            Memory::Maps(_) | Memory::None => None,
        }
    }
}

/// Makes every later fork of this process close its ring descriptors in the child.
pub(crate) fn guard_forks() -> Result<(), Error> {
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

pub(crate) const EMPTY: &str = "";

pub(crate) fn io_error(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Error {
    Error::Io { path: path.as_ref().into(), action, source }
}
