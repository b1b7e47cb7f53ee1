//! How a record is built right before it is sent. Producers build every record on the spot, as programs do: what a copy
//! then costs depends on how the bytes were stored just before.
//!
//! A floor and what is measured against it build in the same way, from this one code. The way is a type, chosen by
//! [`by_building!`](crate::by_building) outside the loop that sends.

use std::hint::black_box;

use quoit::zerocopy::{FromBytes, IntoBytes};
use serde::{Deserialize, Serialize};

use crate::fields::Fields;
use crate::ground::as_words;

/// The ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Building {
    /// A template is copied, and a sequence stored into it.
    Copied,
    /// Every word is stored by itself.
    ByWord,
    /// The fields of a struct are assigned.
    ByField,
    /// Every word is stored where the queue wants it, if the queue has such a place.
    InPlace,
}

impl Building {
    /// All of them, as they are shown.
    pub const ALL: [Self; 4] = [Self::Copied, Self::ByWord, Self::ByField, Self::InPlace];

    /// As a table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::ByWord => "by word",
            Self::ByField => "by field",
            Self::InPlace => "in place",
        }
    }
}

/// Builds records of `N` words. No two consecutive ones are alike: each has its sequence in it.
pub trait Builder<const N: usize> {
    /// Has built none yet.
    fn new() -> Self;

    /// Builds the next record in this process's own memory.
    fn build(&mut self) -> &[u64; N];

    /// Builds the next record where `store` puts the word of this number. `store` is called for every word, in order.
    #[inline(always)]
    fn fill(&mut self, mut store: impl FnMut(usize, u64)) {
        for (place, word) in self.build().iter().enumerate() {
            store(place, *word);
        }
    }
}

/// [`Building::Copied`]. As an iterator it yields record after record by value.
#[derive(Debug)]
pub struct Copied<const N: usize> {
    template: [u64; N],
    record: [u64; N],
    sequence: u64,
}

impl<const N: usize> Builder<N> for Copied<N> {
    fn new() -> Self {
        Self { template: [0x5a5a; N], record: [0; N], sequence: 0 }
    }

    #[inline(always)]
    fn build(&mut self) -> &[u64; N] {
        self.sequence += 1;
        self.record = *black_box(&self.template);
        let record = black_box(&mut self.record);
        record[0] = self.sequence;
        record
    }
}

impl<const N: usize> Iterator for Copied<N> {
    type Item = Payload<N>;

    #[inline(always)]
    fn next(&mut self) -> Option<Payload<N>> {
        self.sequence += 1;
        let mut record = *black_box(&self.template);
        record[0] = self.sequence;
        Some(Payload(record))
    }
}

/// A record by value.
#[derive(Clone, Copy, Debug)]
pub struct Payload<const N: usize>(pub [u64; N]);

impl<const N: usize> AsRef<[u8]> for Payload<N> {
    #[inline(always)]
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// [`Building::ByWord`]. The words are atomics, so the compiler cannot merge their stores into vectors.
#[derive(Debug)]
pub struct ByWord<const N: usize> {
    record: [u64; N],
    sequence: u64,
}

impl<const N: usize> Builder<N> for ByWord<N> {
    fn new() -> Self {
        Self { record: [0; N], sequence: 0 }
    }

    #[inline(always)]
    fn build(&mut self) -> &[u64; N] {
        self.sequence += 1;
        for (place, word) in as_words(black_box(&mut self.record)).iter().enumerate() {
            word.set(self.sequence + place as u64);
        }
        black_box(&self.record)
    }
}

/// [`Building::ByField`]. What the compiler makes of the stores is left to it.
#[derive(Debug)]
pub struct ByField<F> {
    record: F,
    sequence: u64,
}

impl<F: Fields> ByField<F> {
    /// Builds the next record, and returns it as what it is.
    #[inline(always)]
    pub fn build_typed(&mut self) -> &F {
        self.sequence += 1;
        self.record.assign(self.sequence);
        &self.record
    }
}

impl<const N: usize, F: Fields> Builder<N> for ByField<F> {
    fn new() -> Self {
        const { assert!(size_of::<F>() == N * 8 && align_of::<F>() == 8, "the fields make N words") };
        Self { record: F::new_zeroed(), sequence: 0 }
    }

    #[inline(always)]
    fn build(&mut self) -> &[u64; N] {
        let bytes = self.build_typed().as_bytes();
        <[u64; N]>::ref_from_bytes(bytes).expect("size and alignment were compared when this was compiled")
    }
}

/// [`Building::InPlace`]. Where there is no place, as [`ByWord`].
#[derive(Debug)]
pub struct InPlace<const N: usize>(ByWord<N>);

impl<const N: usize> Builder<N> for InPlace<N> {
    fn new() -> Self {
        Self(ByWord::new())
    }

    #[inline(always)]
    fn build(&mut self) -> &[u64; N] {
        self.0.build()
    }

    #[inline(always)]
    fn fill(&mut self, mut store: impl FnMut(usize, u64)) {
        self.0.sequence += 1;
        for place in 0..N {
            store(place, self.0.sequence + place as u64);
        }
    }
}

/// Calls a function with the number of words and the [`Builder`] as its types: `by_building!(bytes, building, f(x))` calls
/// `f::<8, Copied<8>>(x)` for 64 bytes and [`Building::Copied`]. [`Copied`] has every size that [`by_words!`](crate::by_words)
/// has, the others only those of the tables about building.
#[macro_export]
macro_rules! by_building {
    ($bytes:expr, $building:expr, $function:ident($($argument:expr),*)) => {{
        use $crate::building::{Building, ByField, ByWord, Copied, InPlace};
        use $crate::fields::{Flag, Quote};
        match ($building, $bytes) {
            (Building::Copied, 8) => $function::<1, Copied<1>>($($argument),*),
            (Building::Copied, 64) => $function::<8, Copied<8>>($($argument),*),
            (Building::Copied, 104) => $function::<13, Copied<13>>($($argument),*),
            (Building::Copied, 256) => $function::<32, Copied<32>>($($argument),*),
            (Building::Copied, 1024) => $function::<128, Copied<128>>($($argument),*),
            (Building::Copied, 4096) => $function::<512, Copied<512>>($($argument),*),
            (Building::Copied, 65_536) => $function::<8192, Copied<8192>>($($argument),*),
            (Building::ByWord, 8) => $function::<1, ByWord<1>>($($argument),*),
            (Building::ByWord, 64) => $function::<8, ByWord<8>>($($argument),*),
            (Building::ByWord, 256) => $function::<32, ByWord<32>>($($argument),*),
            (Building::ByWord, 1024) => $function::<128, ByWord<128>>($($argument),*),
            (Building::ByWord, 4096) => $function::<512, ByWord<512>>($($argument),*),
            (Building::ByField, 8) => $function::<1, ByField<Flag>>($($argument),*),
            (Building::ByField, 64) => $function::<8, ByField<[Quote; 4]>>($($argument),*),
            (Building::ByField, 256) => $function::<32, ByField<[Quote; 16]>>($($argument),*),
            (Building::ByField, 1024) => $function::<128, ByField<[Quote; 64]>>($($argument),*),
            (Building::ByField, 4096) => $function::<512, ByField<[Quote; 256]>>($($argument),*),
            (Building::InPlace, 8) => $function::<1, InPlace<1>>($($argument),*),
            (Building::InPlace, 64) => $function::<8, InPlace<8>>($($argument),*),
            (Building::InPlace, 256) => $function::<32, InPlace<32>>($($argument),*),
            (Building::InPlace, 1024) => $function::<128, InPlace<128>>($($argument),*),
            (Building::InPlace, 4096) => $function::<512, InPlace<512>>($($argument),*),
            (building, bytes) => Err(anyhow::anyhow!("nothing is measured with {bytes} bytes, {}", building.name())),
        }
    }};
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    /// Two records, each in both ways in which a builder hands them out.
    fn four<const N: usize, B: Builder<N>>() -> Result<Vec<Vec<u64>>> {
        let (mut one, mut other) = (B::new(), B::new());
        let filled = |builder: &mut B| {
            let mut record = Vec::new();
            builder.fill(|place, word| {
                assert_eq!(place, record.len());
                record.push(word);
            });
            record
        };
        Ok(vec![one.build().to_vec(), filled(&mut other), one.build().to_vec(), filled(&mut other)])
    }

    #[test]
    fn every_record_is_new() {
        for building in Building::ALL {
            for bytes in [8, 64, 256, 1024, 4096] {
                let records = by_building!(bytes, building, four()).unwrap();
                assert!(records.iter().all(|record| record.len() * 8 == bytes));
                assert_eq!(records[0], records[1], "{building:?}");
                assert_eq!(records[2], records[3], "{building:?}");
                assert_ne!(records[0], records[2], "{building:?}");
            }
        }
        assert!(by_building!(9, Building::Copied, four()).is_err());
    }

    #[test]
    fn an_iterator_builds_the_same() {
        let (mut builder, payloads) = (Copied::<8>::new(), Copied::<8>::new());
        for payload in payloads.take(3) {
            assert_eq!(builder.build(), &payload.0);
            assert_eq!(payload.as_ref().len(), 64);
        }
    }
}
