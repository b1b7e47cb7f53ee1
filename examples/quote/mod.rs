//! The record that `typed_publish` and `typed_follow` share.

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// A quote as it stands in the ring: fixed size, no padding, every bit pattern valid.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Quote {
    /// Wall clock, ns since 1970.
    pub(crate) time_ns: u64,
    /// Which instrument.
    pub(crate) instrument: u32,
    /// How many there are.
    pub(crate) size: u32,
    /// Bid, in millionths.
    pub(crate) bid: i64,
    /// Ask, in millionths.
    pub(crate) ask: i64,
}

impl Typed for Quote {
    const TAG: u32 = 1;
}
