//! Where records come from: each is built right before it is sent, in the way that the floor's are built too.

use quoit_floors::building::{Builder, ByField, ByWord, Copied};
use quoit_floors::fields::Fields;

use crate::record::{Bytes, Record};

/// A builder that also hands out records as what they are.
pub(crate) trait Source<const N: usize>: Builder<N> {
    type Record: Record<N>;

    fn next(&mut self) -> &Self::Record;
}

impl<const N: usize> Source<N> for Copied<N> {
    type Record = [u64; N];

    #[inline(always)]
    fn next(&mut self) -> &[u64; N] {
        self.build()
    }
}

impl<const N: usize> Source<N> for ByWord<N> {
    type Record = [u64; N];

    #[inline(always)]
    fn next(&mut self) -> &[u64; N] {
        self.build()
    }
}

impl<const N: usize, F: Fields + Bytes> Source<N> for ByField<F> {
    type Record = F;

    #[inline(always)]
    fn next(&mut self) -> &F {
        self.build_typed()
    }
}
