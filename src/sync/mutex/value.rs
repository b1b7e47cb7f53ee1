//! What a mutex is for: a value of one type.

use crate::atomics::Word;
use crate::error::{Error, Kind};
use crate::schema::{Schema, Typed};
use crate::sync::guarded::{self, HasLock, Lock};
use crate::sync::shape::Content;

/// The type of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(super) schema: Schema,
}

impl Value {
    pub(super) fn of<T: Typed>() -> Self {
        Self { schema: Schema::of::<T>() }
    }
}

impl HasLock for Value {
    #[inline(always)]
    fn lock(line: &Lock) -> &Lock {
        line
    }
}

impl Content for Value {
    const KIND: Kind = Kind::Mutex;

    type Line = Lock;

    type Item = Word;

    fn check(&self, _: u64) -> Result<(), Error> {
        guarded::check_size(self.schema)
    }

    fn items(&self) -> u64 {
        guarded::words(self.schema)
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
