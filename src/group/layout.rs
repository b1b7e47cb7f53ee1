//! The layout of a group's file: what each word means. `docs/format.md` is the same in prose. The file has seats, as every
//! object of `sync/` that has participants; this is what follows them.

use crate::atomics::{AtomicU64, OwnedWord};
use crate::error::{Error, Kind};
use crate::memory::block::block;
use crate::sync::shape::Content;

/// How many leases a group may have: what the default is, and the limits.
pub(crate) const LEASES: u32 = 1024;
const LEAST_LEASES: u64 = if cfg!(loom) { 2 } else { 64 };
const MOST_LEASES: u64 = 4096;

/// The budget of a group that does not hold the producer up.
pub(crate) const LOSSY: u64 = u64::MAX;

/// Most records of one lease.
pub(crate) const MOST_RECORDS: u32 = 32;

block! {
    /// What all members share.
    pub(crate) struct Line: 256 bytes, aligned to 128 {
        /// Whose turn it is to change the leases, and everything here but `watcher`.
        at 0: pub(crate) turn: OwnedWord,
        /// Who of those that wait for their turn watches it.
        at 8: pub(crate) watch: AtomicU64,
        /// Number of the next lease. Storing it is what makes a lease.
        at 16: pub(crate) next: AtomicU64,
        /// Number of the first lease that may not be done.
        at 24: pub(crate) oldest: AtomicU64,
        /// Not 0: a lease that is not done may have no owner.
        at 32: pub(crate) returned: AtomicU64,
        /// The tag that was given last.
        at 40: pub(crate) tag: AtomicU64,
        /// How often a lease was handed out again. For people.
        at 48: pub(crate) redelivered: AtomicU64,
        /// How many records were lost. For people.
        at 56: pub(crate) lost: AtomicU64,
        /// Who of the members that sleep looks for the dead.
        at 64: pub(crate) watcher: AtomicU64,
        /// The ring that the group is on.
        at 72: pub(crate) ring: [AtomicU64; 2],
        /// The slot of the ring that is the group's, and what tells it from other groups there.
        at 88: pub(crate) slot: AtomicU64,
        at 96: pub(crate) binding: AtomicU64,
        /// How long a member may have a lease, ns; 0: as long as it lives.
        at 104: pub(crate) lease_ns: AtomicU64,
        /// How many records a member may have; 0: any number.
        at 112: pub(crate) limit: AtomicU64,
        /// How often a record may be handed out; 0: any number of times.
        at 120: pub(crate) max_deliveries: AtomicU64,
        /// Not 0: a lease without an owner may have a record that is still to be put aside.
        at 128: pub(crate) shelved: AtomicU64,
        /// How many records were put aside. For people.
        at 136: pub(crate) dead_letters: AtomicU64,
        /// How long the group may hold the producer up in a lap, ns; 0: as long as a member lives; [`LOSSY`].
        at 144: pub(crate) budget_ns: AtomicU64,
    }
}

block! {
    /// A lease: a run of records that one member has. Its number is that of the entry, modulo the number of entries.
    pub(crate) struct Entry: 128 bytes, aligned to 128 {
        /// `tag << 32`, and a bit for each record that is acknowledged, lost, or was never there.
        at 0: pub(crate) done: AtomicU64,
        /// Who has it, as in an owned word; 0: nobody, so it is to be handed out again.
        at 8: pub(crate) owner: AtomicU64,
        /// How often it was handed out. In a group that puts records aside, once it comes back: how often the one record was
        /// whose number in the lease, from 1, is in the high half.
        at 16: pub(crate) deliveries: AtomicU64,
        /// When it was handed out, on the machine's monotonic clock, ns.
        at 24: pub(crate) since_ns: AtomicU64,
        /// The place of its first record: position, sequence, payload bytes before it.
        at 32: pub(crate) place: [AtomicU64; 3],
        /// The place behind its last record.
        at 56: pub(crate) end: [AtomicU64; 3],
    }
}

/// How many leases there may be at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leased {
    pub(crate) leases: u64,
}

impl Content for Leased {
    const KIND: Kind = Kind::Group;

    type Line = Line;

    type Item = Entry;

    fn check(&self, _: u64) -> Result<(), Error> {
        if (LEAST_LEASES..=MOST_LEASES).contains(&self.leases) {
            Ok(())
        } else {
            Err(Error::BadOption { what: "a group has 64 to 4096 leases" })
        }
    }

    fn items(&self) -> u64 {
        self.leases
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        [self.leases, 0]
    }

    #[cfg(not(loom))]
    fn decode([leases, unused]: [u64; 2]) -> Option<Self> {
        (unused == 0).then_some(Self { leases })
    }
}
