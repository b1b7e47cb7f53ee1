//! Which bytes of a ring's file its participants lock, and for what. Part of the file format.

use crate::memory::lock::Lock;
use crate::ring::layout::NAME_BYTES;

/// The right to write the ring.
pub(crate) const PRODUCER: Lock = Lock::of(0);

/// From here on, one behind the other: the consumer slots.
const FIRST_SLOT: u64 = 4096;
/// From here on, as many as this: names.
const NAMES: u64 = 1 << 61;

/// The consumer slot of this number.
pub(crate) fn slot(number: u32) -> Lock {
    Lock::of(FIRST_SLOT + u64::from(number))
}

/// The consumer name of this hash.
pub(crate) fn name(hash: u64) -> Lock {
    Lock::of(NAMES + ((hash ^ (hash >> 61)) & (NAMES - 1)))
}

/// FNV-1a, 64 bits, over a name as it stands in a slot: all its bytes, the zeros it is padded with included.
pub(crate) fn name_hash(name: &[u8; NAME_BYTES]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
