//! The bytes of a ring's file that participants lock, other than those of their seats (`seats.rs`). Part of the file
//! format.

use crate::memory::lock::Lock;
use crate::ring::layout::NAME_BYTES;

/// Held by the producer.
pub(crate) const PRODUCER: Lock = Lock::of(0);

/// First byte of the locks of members of groups: for each group as many, one after the other, as it may have members.
const MEMBERS: u64 = 1 << 59;
const SEAT_BITS: u32 = 12;
const SLOT_BITS: u32 = 10;

/// The lock that a member of a group holds for life: `seat` of the group in this slot, which the slot's generation tells
/// from those before it.
pub(crate) fn member(slot: u32, generation: u64, seat: u32) -> Lock {
    let number = generation << SLOT_BITS | u64::from(slot) & ((1 << SLOT_BITS) - 1);
    let first = number << SEAT_BITS & (MEMBERS - 1);
    Lock::of(MEMBERS + first + (u64::from(seat) & ((1 << SEAT_BITS) - 1)))
}

/// The locks of all members that a group may have: the first, and how many.
pub(crate) fn members(slot: u32, generation: u64) -> (Lock, u64) {
    (member(slot, generation, 0), 1 << SEAT_BITS)
}

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
