//! What a `fork` must not pass on: ring descriptors. A lock lives as long as any descriptor of its open file
//! description, so a child that inherits one would keep a dead parent "alive".
//!
//! `O_CLOEXEC` covers `exec`. For the time before it, every ring descriptor of the process is in a table, and the
//! child closes those in the table before its `fork` returns. Not covered: a raw `clone`, which runs no hooks.

use std::iter::successors;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use crate::atomics::{AtomicBool, AtomicI32, AtomicU32, at};
use crate::error::Error;
use crate::wait::namespace;

const NONE: i32 = -1;

/// A table that grows and never shrinks. Its entries never move, so hooks and handlers can read it at any time,
/// without a lock and without allocating.
#[derive(Debug)]
pub(crate) struct Chunk<T: 'static, const N: usize> {
    pub(crate) places: [T; N],
    next: OnceLock<&'static Self>,
}

impl<T: Sync, const N: usize> Chunk<T, N> {
    pub(crate) const fn new(places: [T; N]) -> Self {
        Self { places, next: OnceLock::new() }
    }

    /// Everything in the table, in the same order at any time.
    pub(crate) fn all(&'static self) -> impl Iterator<Item = &'static T> {
        successors(Some(self), |chunk| chunk.next.get().copied()).flat_map(|chunk| &chunk.places)
    }

    /// Adds a chunk after the last one. No fork can happen meanwhile: the child would get a half-written cell that no
    /// thread completes.
    pub(crate) fn grow(&'static self, places: [T; N]) {
        // Allocate first: a thread that forks may hold the allocator's lock while it waits for this one.
        let chunk: &'static Self = Box::leak(Box::new(Self::new(places)));
        acquire();
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        // No other thread sets it meanwhile: setting requires the flag.
        let _ = last.next.set(chunk);
        release();
    }
}

const PLACES: usize = 1024;

const fn no_descriptors() -> [AtomicI32; PLACES] {
    [const { AtomicI32::new(NONE) }; PLACES]
}

static DESCRIPTORS: Chunk<AtomicI32, PLACES> = Chunk::new(no_descriptors());

/// Held while a descriptor is opened and entered in the table, while one is removed and closed, while a table grows,
/// and during a fork. So no child can inherit a descriptor that is not in the table, or close an unrelated one. A
/// lock of the standard library cannot be held from one hook to the next.
static BUSY: AtomicBool = AtomicBool::new(false);

fn acquire() {
    // Pairs with the store in `release`: the table as the last holder left it.
    while BUSY.compare_exchange(false, true, at!(FORK_TAKE, Acquire), at!(FORK_BUSY, Relaxed)).is_err() {
        std::thread::yield_now();
    }
}

fn release() {
    BUSY.store(false, at!(FORK_GIVE, Release));
}

/// Runs in the parent before a fork.
pub(crate) extern "C" fn prepare() {
    acquire();
}

/// Runs in the parent after a fork.
pub(crate) extern "C" fn parent() {
    release();
}

/// How many forks lead to this process, from the first one that used this library. Threads that an ancestor started do
/// not exist here.
static FORKS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn forks() -> u32 {
    FORKS.load(at!(FORK_COUNTED, Relaxed))
}

/// Runs in the child after a fork, on its only thread. It only counts, and closes descriptors: the parent's handles stay
/// as they are, and detect the fork by their tripwire.
pub(crate) extern "C" fn child() {
    FORKS.fetch_add(1, at!(FORK_COUNT, Relaxed));
    namespace::forget();
    for place in DESCRIPTORS.all() {
        let descriptor = place.load(at!(FORK_FIND, Relaxed));
        if descriptor != NONE {
            let _ = nix::unistd::close(descriptor);
            place.store(NONE, at!(FORK_CLOSE, Relaxed));
        }
    }
    release();
}

/// A descriptor that no fork passes on. Its fields drop in this order, so to any fork it leaves the table and is
/// closed in one step.
#[derive(Debug)]
pub(crate) struct Descriptor {
    _place: Entry,
    file: OwnedFd,
    _last: Last,
}

#[derive(Debug)]
struct Entry(&'static AtomicI32);

impl Drop for Entry {
    fn drop(&mut self) {
        acquire();
        self.0.store(NONE, at!(FORK_LEAVE, Relaxed));
    }
}

#[derive(Debug)]
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        release();
    }
}

impl Descriptor {
    /// Runs `opener` and enters the descriptor in the table, in one step to any fork.
    pub(crate) fn open(opener: impl FnOnce() -> Result<OwnedFd, Error>) -> Result<Self, Error> {
        acquire();
        let place = loop {
            if let Some(place) = DESCRIPTORS.all().find(|place| place.load(at!(FORK_SEEK, Relaxed)) == NONE) {
                break place;
            }
            release();
            DESCRIPTORS.grow(no_descriptors());
            acquire();
        };
        let entered = enter(place, opener);
        release();
        entered
    }

    /// Forgets the number without closing it. For a child, in which the number may belong to another file by now.
    pub(crate) fn abandon(self) {
        std::mem::forget(self);
    }
}

fn enter(
    place: &'static AtomicI32,
    opener: impl FnOnce() -> Result<OwnedFd, Error>,
) -> Result<Descriptor, Error> {
    let file = opener()?;
    place.store(file.as_raw_fd(), at!(FORK_ENTER, Relaxed));
    Ok(Descriptor { _place: Entry(place), file, _last: Last })
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
