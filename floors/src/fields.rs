//! Records that have fields, as a program declares them.

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// A record that is assigned field by field.
pub trait Fields: Typed {
    /// Gives every field a value that depends on `sequence`.
    fn assign(&mut self, sequence: u64);
}

/// What a record of many words consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub struct Quote {
    /// When.
    pub time_ns: u64,
    /// In the smallest unit.
    pub price: u32,
    /// How many.
    pub amount: u16,
    /// Bought or sold.
    pub side: u8,
    /// Where.
    pub venue: u8,
}

impl Typed for Quote {
    const TAG: u32 = 1;
}

impl<const QUOTES: usize> Fields for [Quote; QUOTES] {
    #[inline(always)]
    fn assign(&mut self, sequence: u64) {
        for (number, quote) in self.iter_mut().enumerate() {
            quote.time_ns = sequence + number as u64;
            quote.price = 10_000 + (sequence % 64) as u32;
            quote.amount = sequence as u16;
            quote.side = (sequence & 1) as u8;
            quote.venue = number as u8;
        }
    }
}

/// A record of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C, align(8))]
pub struct Flag {
    /// Counts them.
    pub number: u32,
    /// About what.
    pub subject: u16,
    /// What it was.
    pub before: u8,
    /// What it is.
    pub now: u8,
}

impl Typed for Flag {
    const TAG: u32 = 2;
}

impl Fields for Flag {
    #[inline(always)]
    fn assign(&mut self, sequence: u64) {
        self.number = sequence as u32;
        self.subject = (sequence >> 3) as u16;
        self.before = !(sequence as u8);
        self.now = sequence as u8;
    }
}
