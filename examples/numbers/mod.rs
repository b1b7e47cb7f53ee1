//! What `numbers_serve` and `numbers_take` say to each other.

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where the service is, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-numbers";

/// A client asks for so many numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Wish {
    /// Who asks: chosen by the client, for as long as it runs.
    pub(crate) client: u64,
    /// Its how many-th wish, from 1. A wish that comes again is the same wish.
    pub(crate) wish: u64,
    pub(crate) count: u64,
}

impl Typed for Wish {
    const TAG: u32 = 30;
}

/// The numbers from `first` on, `count` of them, that nobody else ever gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Typed for Range {
    const TAG: u32 = 31;
}
