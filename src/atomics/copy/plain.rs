//! Long copies where there are no vectors: plain ones.

use core::mem::MaybeUninit;

use super::WORD;
pub(super) use super::{read_plain as read_long, write_plain as write_long};
use crate::atomics::Word;

/// Stores the first `count` pairs of chunks.
///
/// # Safety
///
/// There are as many of both.
#[inline(always)]
pub(super) unsafe fn store_pairs(words: &[Word], chunks: &[[u8; WORD]], count: usize) {
    for (word, chunk) in words.iter().zip(chunks).take(2 * count) {
        super::store(word, u64::from_le_bytes(*chunk));
    }
}

/// Loads two words.
///
/// # Safety
///
/// There are two of both, and the first word is at a boundary of 16 bytes.
#[inline(always)]
pub(super) unsafe fn load_pair(words: &[Word], chunks: &mut [[MaybeUninit<u8>; WORD]], gated: bool) {
    for (word, chunk) in words.iter().zip(chunks) {
        chunk.write_copy_of_slice(&super::load(word, gated).to_le_bytes());
    }
}

/// Any word does: they are moved one by one. So where a value is makes no difference to the models.
#[inline(always)]
pub(super) fn begins_a_pair(_: &[Word]) -> bool {
    true
}

/// Loads all pairs of chunks.
///
/// # Safety
///
/// There are at least as many words as chunks.
#[inline(always)]
pub(super) unsafe fn take_pairs(words: &[Word], chunks: &mut [[MaybeUninit<u8>; WORD]], gated: bool) {
    for (word, chunk) in words.iter().zip(chunks) {
        chunk.write_copy_of_slice(&super::load(word, gated).to_le_bytes());
    }
}
