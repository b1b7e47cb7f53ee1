//! `Region` for the models: the same interface over loom's objects, which cannot be laid over bytes.

use std::fmt;
use std::sync::Arc;

use crate::atomics::{AtomicU64, FutexWord, Word};
use crate::error::{Error, Fault};
use crate::layout::{
    Account, Areas, Control, Counters, Gate, Geometry, Head, IndexEntry, Inline, Reserve, Sleepers, Slot, Who,
};
use crate::memory::identity::{FileNumber, Identity, initialise};
use crate::memory::lock::{Lock, Table};

/// One handle's hold on a ring.
pub(crate) struct Region {
    block: Arc<Block>,
    owner: u64,
    identity: Identity,
}

struct Block {
    head: Head,
    index: Vec<IndexEntry>,
    control: Control,
    slots: Vec<Slot>,
    data: Vec<Word>,
    /// Stands for the kernel's locks, happens-before included.
    locks: Table,
}

impl Region {
    pub(crate) fn heap(geometry: Geometry) -> Result<Self, Error> {
        geometry.check()?;
        #[allow(clippy::arc_with_non_send_sync, reason = "loom's threads take turns on one")]
        let block = Arc::new(Block {
            head: head(),
            index: (0..geometry.segments).map(|_| index_entry()).collect(),
            control: Control { data: sleepers(), space: sleepers() },
            slots: (0..geometry.slots).map(|_| slot()).collect(),
            data: (0..geometry.capacity / 8).map(|_| Word::new()).collect(),
            locks: Table::new(),
        });
        let owner = block.locks.join();
        let region = Self { block, owner, identity: Identity::new(geometry, 0, FileNumber::default()) };
        initialise(&region.areas(), &region.identity);
        Ok(region)
    }

    pub(crate) fn share(&self) -> Result<Self, Error> {
        let block = Arc::clone(&self.block);
        let owner = block.locks.join();
        Ok(Self { block, owner, identity: self.identity.clone() })
    }

    pub(crate) fn areas(&self) -> Areas<'_> {
        let Block { head, index, control, slots, data, .. } = &*self.block;
        Areas { geometry: &self.identity.geometry, head, index, control, slots, data }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.identity.geometry
    }

    pub(crate) fn broken(&self) -> bool {
        false
    }

    pub(crate) fn tripwire(&self) -> Tripwire {
        Tripwire
    }

    pub(crate) fn memory_gone(&self) -> bool {
        false
    }

    pub(crate) fn fault(&self) -> Fault {
        Fault::Forked
    }

    pub(crate) fn or_memory_gone<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result
    }

    pub(crate) fn is_guarded(&self) -> bool {
        false
    }

    pub(crate) fn is_sealed(&self) -> bool {
        false
    }

    pub(crate) fn lock(&self, lock: Lock) -> Result<bool, Error> {
        Ok(self.block.locks.try_lock(self.owner, lock))
    }

    pub(crate) fn unlock(&self, lock: Lock) {
        self.block.locks.unlock(self.owner, lock);
    }

    pub(crate) fn refusal(&self, _: Lock, _: &'static str, otherwise: Error) -> Error {
        otherwise
    }

    pub(crate) fn is_read_locked(&self, _: Lock) -> bool {
        false
    }

    pub(crate) fn locked(&self, lock: Lock) -> bool {
        self.block.locks.locked_by_other(self.owner, lock)
    }

    pub(crate) fn is_stale(&self) -> bool {
        false
    }

    pub(crate) fn ring_id(&self) -> u128 {
        self.identity.ring_id
    }

    pub(crate) fn created_ns(&self) -> u64 {
        self.identity.created_ns
    }

    /// What the kernel does when the process dies: every lock of this handle goes, and nothing is stored.
    pub(crate) fn die(&self) {
        self.block.locks.unlock_all(self.owner);
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.die();
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("owner", &self.owner).finish_non_exhaustive()
    }
}

fn zero() -> AtomicU64 {
    AtomicU64::new(0)
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| zero())
}

fn head() -> Head {
    Head {
        identity: zeros(),
        inline: Inline {
            published: zero(),
            stamp: zero(),
            header: Word::new(),
            payload: std::array::from_fn(|_| Word::new()),
        },
        reserve: Reserve {
            reserve: zero(),
            epoch: zero(),
            odd_began: zero(),
            mode: zero(),
            closed: zero(),
            pid: zero(),
            opened_ns: zero(),
            even_began: zero(),
        },
        counters: Counters {
            full: zero(),
            stall_ns: zero(),
            wakes: zero(),
            evictions: zero(),
            reclaims: zero(),
            blocked: zero(),
            blocked_ns: zero(),
            blocked_end: zero(),
        },
    }
}

fn index_entry() -> IndexEntry {
    IndexEntry { position: zero(), sequence: zero(), bytes: zero(), time_ns: zero() }
}

fn sleepers() -> Sleepers {
    Sleepers { word: FutexWord::new() }
}

fn slot() -> Slot {
    Slot {
        gate: Gate {
            state: zero(),
            cursor: zero(),
            budget_ns: zero(),
            hold_ns: zero(),
            evict: zero(),
            held_ns: zero(),
        },
        who: Who { name: zeros(), pid: zero(), attached_ns: zero(), left_ns: zero() },
        accounts: [account(), account()],
    }
}

fn account() -> Account {
    Account {
        position: zero(),
        sequence: zero(),
        bytes: zero(),
        lost_records: zero(),
        lost_bytes: zero(),
        gaps: zero(),
        largest_gap: zero(),
        first_lost: zero(),
        last_lost: zero(),
        by_cause: zeros(),
    }
}

/// Nobody forks in a model.
#[derive(Clone, Copy)]
pub(crate) struct Tripwire;

impl Tripwire {
    pub(crate) fn broken(self) -> bool {
        false
    }
}
