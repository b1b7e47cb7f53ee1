//! Which records a member has, as it knows itself.

use crate::group::leases::Lease;

/// The leases of a member, the newest last.
#[derive(Debug, Default)]
pub(super) struct Holding {
    leases: Vec<Held>,
    records: u32,
}

/// A lease of this member.
#[derive(Clone, Copy, Debug)]
struct Held {
    lease: (u64, u32),
    /// A bit for each record that is neither acknowledged nor given back.
    open: u32,
    /// A bit for each record that is to be given back, with the lease.
    returned: u32,
}

/// What is to be done with a lease after one of its records is acknowledged or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Nothing of it is open, and something is to be given back.
    GiveBack,
}

impl Holding {
    pub(super) fn add(&mut self, lease: &Lease) {
        let open = !lease.done;
        self.leases.push(Held { lease: (lease.number, lease.tag), open, returned: lease.rest });
        self.records += open.count_ones();
    }

    /// How many records these are.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    #[inline]
    fn find(&self, lease: (u64, u32)) -> Option<usize> {
        self.leases.iter().rposition(|held| held.lease == lease)
    }

    /// Which of the leases this one is, if the record is open.
    #[inline]
    pub(super) fn find_open(&self, lease: (u64, u32), index: u32) -> Option<usize> {
        self.find(lease).filter(|at| self.leases[*at].open & bit(index) != 0)
    }

    /// Records of a lease are not open any more; `back`: they are to be given back.
    pub(super) fn close(&mut self, lease: (u64, u32), bits: u32, back: bool) -> After {
        self.find(lease).map_or(After::Nothing, |at| self.close_of(at, bits, back))
    }

    /// The same, for one of the leases.
    #[inline]
    pub(super) fn close_of(&mut self, at: usize, bits: u32, back: bool) -> After {
        let held = &mut self.leases[at];
        let closed = held.open & bits;
        held.open &= !closed;
        held.returned |= if back { closed } else { 0 };
        self.records -= closed.count_ones();
        if held.open == 0 { self.end(at) } else { After::Nothing }
    }

    fn end(&mut self, at: usize) -> After {
        let held = self.leases.swap_remove(at);
        if held.returned == 0 { After::Nothing } else { After::GiveBack }
    }

    /// The lease is another member's.
    pub(super) fn forget(&mut self, lease: (u64, u32)) {
        if let Some(at) = self.find(lease) {
            self.records -= self.leases[at].open.count_ones();
            self.leases.swap_remove(at);
        }
    }

    /// All leases, of which this member then has none any more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (u64, u32)> {
        self.records = 0;
        std::mem::take(&mut self.leases).into_iter().map(|held| held.lease)
    }
}

#[inline(always)]
pub(super) fn bit(index: u32) -> u32 {
    1_u32.checked_shl(index).unwrap_or(0)
}
