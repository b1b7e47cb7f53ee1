//! What a `fork` must not hand on: ring descriptors. A lock lives as long as any descriptor of its open file
//! description, so a child that inherits one would keep a dead parent "alive".
//!
//! `O_CLOEXEC` covers `exec`. For the time before it, every ring descriptor of the process stands in a table,
//! and the child closes what it finds there before its `fork` returns. Not covered: a raw `clone`, which runs
//! no hooks.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::error::Error;
use crate::sync::{AtomicBool, AtomicI32, at};

/// Most ring handles that a process can have open at a time.
pub(crate) const MOST: usize = 1024;

const NONE: i32 = -1;

static DESCRIPTORS: [AtomicI32; MOST] = [const { AtomicI32::new(NONE) }; MOST];

/// Held while a descriptor is opened and entered in the table, while one leaves it and is closed, and while a
/// fork is under way: no child can inherit a descriptor that the table does not show, nor close a stranger's.
/// A lock of the standard library cannot be held from one hook to the next.
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

/// Runs in the child after a fork, on its only thread. Closing is all that happens here: the handles of the
/// parent are left as they are, and find out by their tripwire.
pub(crate) extern "C" fn child() {
    for place in &DESCRIPTORS {
        let descriptor = place.load(at!(FORK_FIND, Relaxed));
        if descriptor != NONE {
            let _ = nix::unistd::close(descriptor);
            place.store(NONE, at!(FORK_CLOSE, Relaxed));
        }
    }
    release();
}

/// A descriptor that no fork hands on. Its fields drop in this order, so it leaves the table and is closed as
/// one step to any fork.
#[derive(Debug)]
pub(crate) struct Descriptor {
    _place: Place,
    file: OwnedFd,
    _last: Last,
}

#[derive(Debug)]
struct Place(usize);

impl Drop for Place {
    fn drop(&mut self) {
        acquire();
        DESCRIPTORS[self.0].store(NONE, at!(FORK_LEAVE, Relaxed));
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
    /// Runs `opener` and enters what it opened, as one step to any fork.
    pub(crate) fn open(opener: impl FnOnce() -> Result<OwnedFd, Error>) -> Result<Self, Error> {
        acquire();
        let entered = enter(opener);
        release();
        entered
    }

    /// Lets go of the number without closing it. For a child, in which it may be another file's by now.
    pub(crate) fn abandon(self) {
        std::mem::forget(self);
    }
}

fn enter(opener: impl FnOnce() -> Result<OwnedFd, Error>) -> Result<Descriptor, Error> {
    let free = DESCRIPTORS.iter().position(|place| place.load(at!(FORK_SEEK, Relaxed)) == NONE);
    let Some(place) = free else { return Err(Error::TooManyHandles { limit: MOST }) };
    let file = opener()?;
    DESCRIPTORS[place].store(file.as_raw_fd(), at!(FORK_ENTER, Relaxed));
    Ok(Descriptor { _place: Place(place), file, _last: Last })
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
