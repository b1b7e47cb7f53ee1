//! Which records a member has, as it knows itself.

use std::cell::{Cell, RefCell};

use crate::group::leases::Lease;

/// The leases of a member. The newest is apart: nearly everything that is acknowledged belongs to it, and needs no search.
#[derive(Debug, Default)]
pub(super) struct Holding {
    newest: Held,
    older: RefCell<Vec<Held>>,
}

/// A lease of this member; of no use once nothing of it is open.
#[derive(Clone, Debug, Default)]
struct Held {
    number: Cell<u64>,
    tag: Cell<u32>,
    /// A bit for each record that is neither acknowledged nor given back.
    open: Cell<u32>,
    /// A bit for each record that is to be given back, with the lease.
    returned: Cell<u32>,
}

/// What is to be done with a lease after one of its records is acknowledged or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Nothing of it is open, and something is to be given back.
    GiveBack,
}

impl Held {
    #[inline(always)]
    fn lease(&self) -> (u64, u32) {
        (self.number.get(), self.tag.get())
    }

    #[inline(always)]
    fn is(&self, (number, tag): (u64, u32)) -> bool {
        self.number.get() == number && self.tag.get() == tag
    }

    /// Records of it are not open any more; `back`: they are to be given back.
    #[inline(always)]
    fn close(&self, bits: u32, back: bool) -> After {
        let closed = self.open.get() & bits;
        let open = self.open.get() & !closed;
        self.open.set(open);
        if back {
            self.returned.set(self.returned.get() | closed);
        }
        if open == 0 && self.returned.get() != 0 { After::GiveBack } else { After::Nothing }
    }
}

impl Holding {
    #[inline(always)]
    pub(super) fn add(&self, lease: &Lease) {
        if self.newest.open.get() != 0 {
            self.older.borrow_mut().push(self.newest.clone());
        }
        self.newest.number.set(lease.number);
        self.newest.tag.set(lease.tag);
        self.newest.open.set(!lease.done);
        self.newest.returned.set(0);
        // A branch: otherwise the compiler loads `done` and `rest` as one word, which waits for the two stores that have just
        // written them.
        if lease.rest != 0 {
            self.set_returned(lease.rest);
        }
    }

    #[cold]
    #[inline(never)]
    fn set_returned(&self, bits: u32) {
        self.newest.returned.set(bits);
    }

    /// How many records these are.
    pub(super) fn records(&self) -> u32 {
        let older: u32 = self.older.borrow().iter().map(|held| held.open.get().count_ones()).sum();
        self.newest.open.get().count_ones() + older
    }

    /// A bit for each record of a lease that is open.
    #[inline(always)]
    pub(super) fn open(&self, lease: (u64, u32)) -> u32 {
        if self.newest.is(lease) { self.newest.open.get() } else { self.open_of_older(lease) }
    }

    #[cold]
    fn open_of_older(&self, lease: (u64, u32)) -> u32 {
        self.older.borrow().iter().find(|held| held.is(lease)).map_or(0, |held| held.open.get())
    }

    /// Records of a lease are not open any more; `back`: they are to be given back.
    #[inline(always)]
    pub(super) fn close(&self, lease: (u64, u32), bits: u32, back: bool) -> After {
        if self.newest.is(lease) {
            self.newest.close(bits, back)
        } else {
            self.close_older(lease, bits, back)
        }
    }

    #[cold]
    fn close_older(&self, lease: (u64, u32), bits: u32, back: bool) -> After {
        let mut older = self.older.borrow_mut();
        let Some(at) = older.iter().position(|held| held.is(lease)) else { return After::Nothing };
        let after = older[at].close(bits, back);
        if older[at].open.get() == 0 {
            older.swap_remove(at);
        }
        after
    }

    /// The lease is another member's.
    pub(super) fn forget(&self, lease: (u64, u32)) {
        if self.newest.is(lease) {
            self.newest.open.set(0);
        }
        self.older.borrow_mut().retain(|held| !held.is(lease));
    }

    /// The newest lease, and a bit for each record of it that is open.
    #[inline(always)]
    pub(super) fn newest(&self) -> ((u64, u32), u32) {
        (self.newest.lease(), self.newest.open.get())
    }

    /// The same for the others. No memory is allocated if there are none.
    #[inline(always)]
    pub(super) fn older(&self) -> Vec<((u64, u32), u32)> {
        self.older.borrow().iter().map(|held| (held.lease(), held.open.get())).collect()
    }

    /// All leases, of which this member then has none any more.
    pub(super) fn take(&self) -> Vec<(u64, u32)> {
        let newest = (self.newest.open.replace(0) != 0).then(|| self.newest.lease());
        let older = self.older.take();
        older.iter().map(Held::lease).chain(newest).collect()
    }
}

#[inline(always)]
pub(super) fn bit(index: u32) -> u32 {
    1_u32.checked_shl(index).unwrap_or(0)
}
