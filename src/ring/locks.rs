//! The bytes of a ring's file that participants lock, other than those of their seats (`seats.rs`). Part of the file
//! format.

use crate::memory::lock::Lock;
use crate::ring::layout::NAME_BYTES;

/// Held by the producer.
pub(crate) const PRODUCER: Lock = Lock::of(0);

/// First byte, and number of bytes, of the locks for names.
const NAMES: u64 = 1 << 61;

/// The lock of the consumer name with this hash.
pub(crate) fn name(hash: u64) -> Lock {
    Lock::of(NAMES + ((hash ^ (hash >> 61)) & (NAMES - 1)))
}

/// FNV-1a, 64 bits, over a name as stored in a slot: all its bytes, including the zeros of its padding.
pub(crate) fn name_hash(name: &[u8; NAME_BYTES]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
