//! Records: of a type that the compiler knows, and as the words that every receiver adds up.

use std::fmt::Debug;

use anyhow::{Context, Result};
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// The words of a record, wherever they lie.
pub(crate) type Words<const N: usize> = [[u8; 8]; N];

/// A type whose values are nothing but bytes.
pub(crate) trait Bytes:
    Copy + Debug + FromBytes + Immutable + IntoBytes + Send + Sync + 'static
{
}

impl<R: Copy + Debug + FromBytes + Immutable + IntoBytes + Send + Sync + 'static> Bytes for R {}

/// Such a type, of `N` words.
pub(crate) trait Record<const N: usize>: Bytes {
    #[inline(always)]
    fn words(&self) -> &Words<N> {
        const { assert!(size_of::<Self>() == N * 8, "a record has N words") };
        let (words, _) = self.as_bytes().as_chunks::<8>();
        words.first_chunk::<N>().unwrap_or_else(|| unreachable!())
    }
}

impl<const N: usize, R: Bytes> Record<N> for R {}

/// What was received as bytes. It is an error if it has another length than all records have.
#[inline(always)]
pub(crate) fn words<const N: usize>(bytes: &[u8]) -> Result<&Words<N>> {
    exactly(bytes).with_context(|| format!("a record of {} bytes where all have {}", bytes.len(), N * 8))
}

/// The same, and `None` for another length.
#[inline(always)]
pub(crate) fn exactly<const N: usize>(bytes: &[u8]) -> Option<&Words<N>> {
    match bytes.as_chunks::<8>() {
        (words, []) if words.len() == N => words.first_chunk::<N>(),
        _ => None,
    }
}

#[inline(always)]
pub(crate) fn sum<const N: usize>(words: &Words<N>) -> u64 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_counts() {
        let record = [1_u64, u64::MAX, 5];
        assert_eq!(sum::<3>(record.words()), 5);
        assert_eq!(sum(words::<3>(record.as_bytes()).unwrap()), 5);
        assert!(words::<2>(record.as_bytes()).is_err());
        assert!(words::<3>(&record.as_bytes()[1..]).is_err());
    }
}
