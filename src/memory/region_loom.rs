//! `Region` for the models: the same interface over loom's objects, which cannot be laid over bytes.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Fault};
use crate::memory::format::Format;
use crate::memory::identity::{FileNumber, Identity};
use crate::memory::lock::{Lock, Table};
use crate::memory::permissions::Access;

/// One handle's view of an object.
pub(crate) struct Region<F: Format> {
    block: Arc<Block<F>>,
    owner: u64,
    identity: Identity<F>,
}

struct Block<F: Format> {
    objects: F::Objects,
    /// Replaces the kernel's locks, happens-before included.
    locks: Table,
}

impl<F: Format> Region<F> {
    pub(crate) fn heap(shape: F) -> Result<Self, Error> {
        shape.check()?;
        #[allow(clippy::arc_with_non_send_sync, reason = "loom's threads take turns on one")]
        let block = Arc::new(Block { objects: shape.objects(), locks: Table::new() });
        let owner = block.locks.join();
        let region = Self { block, owner, identity: Identity::new(shape, 0, FileNumber::default()) };
        region.shape().initialise(region.identity.created_ns, region.views());
        Ok(region)
    }

    pub(crate) fn share(&self) -> Result<Self, Error> {
        let block = Arc::clone(&self.block);
        let owner = block.locks.join();
        Ok(Self { block, owner, identity: self.identity.clone() })
    }

    pub(crate) fn reopen(&self, _: Access) -> Result<Self, Error> {
        self.share()
    }

    pub(crate) fn views(&self) -> F::Views<'_> {
        F::views(&self.block.objects)
    }

    pub(crate) fn shape(&self) -> &F {
        &self.identity.shape
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
        self.any_locked((lock, 1))
    }

    pub(crate) fn any_locked(&self, (first, count): (Lock, u64)) -> bool {
        self.block.locks.locked_by_other(self.owner, first, count)
    }

    pub(crate) fn is_stale(&self) -> bool {
        false
    }

    pub(crate) fn id(&self) -> u128 {
        self.identity.id
    }

    pub(crate) fn created_ns(&self) -> u64 {
        self.identity.created_ns
    }

    /// What the kernel does when the process dies: every lock of this handle is released, and nothing is stored.
    pub(crate) fn die(&self) {
        self.block.locks.unlock_all(self.owner);
    }
}

impl<F: Format> Drop for Region<F> {
    fn drop(&mut self) {
        self.die();
    }
}

impl<F: Format> fmt::Debug for Region<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Models do not fork.
#[derive(Clone, Copy)]
pub(crate) struct Tripwire;

impl Tripwire {
    pub(crate) fn broken(self) -> bool {
        false
    }

    pub(crate) fn memory_gone(self) -> bool {
        false
    }
}
