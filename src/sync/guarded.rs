//! A value under a lock: the lock, two copies of the value in shared memory, and a private copy for whoever has the lock.

use std::io;
use std::path::PathBuf;

use crate::atomics::{AtomicU64, OwnedWord, Word, at};
use crate::error::{Error, Fault};
use crate::memory::block::block;
use crate::schema::{Schema, Typed};
#[cfg(not(loom))]
use crate::seats::Incarnation;
use crate::sync::cells::Cells;
use crate::sync::held::Held;
use crate::sync::member::{LockHolder, Member};
use crate::sync::owned::{Owned, Taken};
use crate::sync::shape::Content;

/// Bytes of the largest value.
const MAX_BYTES: u64 = 1 << 30;
/// Copies of the value.
pub(crate) const CELLS: u64 = 2;

block! {
    /// The lock itself.
    pub(crate) struct Lock: 32 bytes, aligned to 32 {
        /// Who has the lock.
        at 0: pub(crate) owner: OwnedWord,
        /// Who of those that wait watches the owner.
        at 8: pub(crate) watch: AtomicU64,
        /// How many commits there were.
        at 16: pub(crate) version: AtomicU64,
        /// 1: an owner died or panicked, and nobody has said since that all is well.
        at 24: pub(crate) abandoned: AtomicU64,
    }
}

/// The lock as a read-only look shows it.
#[cfg(not(loom))]
pub(crate) struct Seen {
    pub(crate) version: u64,
    pub(crate) is_abandoned: bool,
    pub(crate) owner: Option<Incarnation>,
}

#[cfg(not(loom))]
impl Lock {
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            version: Cells::new(&self.version, &[], 0, CELLS).version(),
            is_abandoned: self.abandoned.load(at!(M_ABANDONED, Relaxed)) != 0,
            owner: Owned::new(&self.owner, &self.watch).owner(),
        }
    }
}

/// A kind of object with a value under a lock. Its items are both cells, one after the other.
pub(crate) trait HasLock: Content<Item = Word> {
    fn lock(line: &Self::Line) -> &Lock;
}

/// Refuses a value that is too large.
pub(crate) fn check_size(schema: Schema) -> Result<(), Error> {
    if u64::from(schema.size) > MAX_BYTES {
        return Err(Error::BadOption { what: "the value of a lock has 1 GiB at most" });
    }
    Ok(())
}

/// Words of both cells.
pub(crate) fn words(schema: Schema) -> u64 {
    CELLS * u64::from(schema.size).div_ceil(8)
}

/// Refuses a value of another type.
#[cfg(not(loom))]
pub(crate) fn check_type<T: Typed>(found: Schema) -> Result<(), Error> {
    let asked = Schema::of::<T>();
    if found == asked { Ok(()) } else { Err(Error::WrongSchema { asked, found: Some(found) }) }
}

/// Stores the first value.
pub(crate) fn store<K: HasLock, T: Typed>(member: &Member<K>, first: &T) {
    cells::<K, T>(member).commit(0, first.as_bytes());
}

#[inline(always)]
pub(crate) fn cells<K: HasLock, T: Typed>(member: &Member<K>) -> Cells<'_> {
    let views = member.views();
    Cells::new(&K::lock(views.line).version, views.items, size_of::<T>().div_ceil(8), CELLS)
}

/// What a call does with a lock that was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfAbandoned {
    Refuse,
    Accept,
}

/// One handle.
pub(crate) struct Guarded<K: HasLock, T> {
    pub(crate) member: Member<K>,
    /// The copy of whoever has the lock through this handle.
    value: Box<T>,
}

impl<K: HasLock, T> Guarded<K, T> {
    #[inline(always)]
    fn lock(&self) -> &Lock {
        K::lock(self.member.views().line)
    }

    #[inline(always)]
    fn owned(&self) -> Owned<'_> {
        let lock = self.lock();
        Owned::new(&lock.owner, &lock.watch)
    }

    /// Whether somebody has waited for the lock for so long that others who wait let it pass.
    pub(crate) fn is_somebody_impatient(&self) -> bool {
        self.owned().is_somebody_impatient()
    }

    /// Takes the lock, and returns whether it was abandoned.
    #[inline(always)]
    pub(crate) fn acquire(&self, until_ns: u64) -> Result<bool, Error> {
        let owned = self.owned();
        if !owned.take(self.member.me()) && owned.wait(&self.member, until_ns)? == Taken::FromTheDead {
            self.set_abandoned(true);
        }
        Ok(self.was_abandoned())
    }

    /// Gives the lock back, if this handle has it.
    #[inline(always)]
    pub(crate) fn give(&self) {
        self.owned().give(self.member.me());
    }

    /// Whether nobody has the lock at the moment.
    #[inline(always)]
    pub(crate) fn is_free(&self) -> bool {
        self.owned().is_free()
    }

    /// Whether this handle has the lock.
    pub(crate) fn is_own(&self) -> bool {
        self.owned().owner() == Some(self.member.me())
    }

    #[inline(always)]
    fn was_abandoned(&self) -> bool {
        self.lock().abandoned.load(at!(M_ABANDONED, Relaxed)) != 0
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.member.check().is_ok() && self.was_abandoned()
    }

    pub(crate) fn set_abandoned(&self, is_abandoned: bool) {
        self.lock().abandoned.store(is_abandoned.into(), at!(M_ABANDON, Relaxed));
    }

    /// Who has the lock.
    pub(crate) fn holder(&self) -> Result<Option<LockHolder>, Error> {
        self.member.check()?;
        let holder = self.owned().owner().map(|owner| self.member.lock_holder(owner)).transpose()?;
        self.member.check_memory().map(|()| holder)
    }

    /// Whether the lock is somebody's who is dead. One system call if it is another handle's.
    pub(crate) fn is_owner_dead(&self) -> bool {
        let member = &self.member;
        let owner = self.owned().owner();
        owner
            .is_some_and(|owner| owner != member.me() && member.could_exist(owner) && !member.is_alive(owner))
    }
}

impl<K: HasLock, T: Typed> Guarded<K, T> {
    pub(crate) fn new(member: Member<K>) -> Result<Self, Error> {
        let value = T::new_box_zeroed().map_err(|_| Error::Io {
            path: PathBuf::new(),
            action: "allocate a copy of the value",
            source: io::ErrorKind::OutOfMemory.into(),
        })?;
        Ok(Self { member, value })
    }

    #[inline(always)]
    pub(crate) fn cells(&self) -> Cells<'_> {
        cells::<K, T>(&self.member)
    }

    /// A guard's copy.
    #[inline(always)]
    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    /// The same, to be changed.
    #[inline(always)]
    pub(crate) fn value_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// Copies the value. The lock is held: by this handle, or by readers. The copy is of use if the memory is still
    /// there.
    #[inline(always)]
    pub(crate) fn begin(&mut self) -> Held {
        self.member.holder().enter();
        cells::<K, T>(&self.member).read_alone(self.value.as_mut_bytes());
        Held::new()
    }

    /// Commits the copy if it was changed.
    #[inline(always)]
    pub(crate) fn save(&self, is_changed: bool) -> Result<(), Fault> {
        self.member.check_handle()?;
        if !is_changed {
            return Ok(());
        }
        let cells = self.cells();
        cells.commit(cells.version(), self.value.as_bytes());
        self.member.check_access()
    }

    /// The number of commits.
    pub(crate) fn version(&self) -> Result<u64, Error> {
        self.member.check()?;
        let version = self.cells().version();
        self.member.check_memory().map(|()| version)
    }

    /// Commits the copy if it was changed, and gives the lock back.
    #[inline(always)]
    pub(crate) fn save_and_give(&self, is_changed: bool) -> Result<(), Fault> {
        self.member.holder().leave();
        self.save(is_changed).inspect(|()| self.give())
    }

    /// The same by a holder that panics: others get the lock abandoned.
    #[cold]
    pub(crate) fn save_and_abandon(&self, is_changed: bool) -> Result<(), Fault> {
        let saved = self.save(is_changed);
        self.abandon();
        saved
    }

    /// Commits the copy if it was changed, and gives the lock back. In a panic the change is discarded, and others get the
    /// lock abandoned.
    #[inline(always)]
    pub(crate) fn finish(&self, held: &Held) {
        if held.is_unwinding() {
            self.abandon();
        } else {
            let _ = self.save_and_give(held.is_changed);
        }
    }

    /// The holder panicked.
    #[cold]
    fn abandon(&self) {
        self.member.holder().leave();
        if self.member.check().is_ok() {
            self.set_abandoned(true);
            self.give();
        }
    }
}

impl<K: HasLock, T> Drop for Guarded<K, T> {
    fn drop(&mut self) {
        // A guard that was forgotten still has the lock.
        if self.member.check().is_ok() {
            self.give();
        }
    }
}
