//! What a mutex has in its data area: the lock, and two copies of the value.

use crate::atomics::{AtomicU64, OwnedWord, Word};
use crate::error::{Error, Kind};
use crate::memory::block::block;
use crate::schema::{Schema, Typed};
use crate::sync::shape::Content;

/// Bytes of the largest value.
const MAX_BYTES: u64 = 1 << 30;
/// Copies of the value.
pub(super) const CELLS: u64 = 2;

block! {
    /// The lock itself.
    pub(crate) struct Line: 32 bytes, aligned to 32 {
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

/// The type of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(super) schema: Schema,
}

impl Value {
    pub(super) fn of<T: Typed>() -> Self {
        Self { schema: Schema::of::<T>() }
    }

    #[cfg(not(loom))]
    pub(super) fn check_type<T: Typed>(&self) -> Result<(), Error> {
        let (asked, found) = (Schema::of::<T>(), self.schema);
        if found == asked { Ok(()) } else { Err(Error::WrongSchema { asked, found: Some(found) }) }
    }
}

impl Content for Value {
    const KIND: Kind = Kind::Mutex;

    type Line = Line;

    /// Both cells, one after the other.
    type Item = Word;

    fn check(&self) -> Result<(), Error> {
        if u64::from(self.schema.size) > MAX_BYTES {
            return Err(Error::BadOption { what: "the value of a mutex has 1 GiB at most" });
        }
        Ok(())
    }

    fn items(&self) -> u64 {
        CELLS * u64::from(self.schema.size).div_ceil(8)
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        [self.schema.to_word(), 0]
    }

    #[cfg(not(loom))]
    fn decode([schema, unused]: [u64; 2]) -> Option<Self> {
        (unused == 0).then(|| Self { schema: Schema::of_word(schema) })
    }
}
