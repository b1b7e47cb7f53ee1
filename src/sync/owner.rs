//! Participants as they stand in words.
//!
//! ```text
//! 63   62 61            16 15     2 1    0
//! [ 0    ][ generation    ][ seat ][ bits ]
//! ```

use crate::seats::Incarnation;

/// Bits that say nothing about the participant.
pub(crate) const BITS: u64 = 3;

/// A participant's word, without bits.
#[inline]
pub(crate) fn to_word(owner: Incarnation) -> u64 {
    owner.generation << 16 | u64::from(owner.number) << 2
}

/// Whose number stands in a word. `None`: nobody's.
#[inline]
pub(crate) fn owner_of(word: u64) -> Option<Incarnation> {
    let owner = Incarnation { number: (word >> 2) as u32 & 0x3fff, generation: word >> 16 };
    (word & !BITS != 0).then_some(owner)
}
