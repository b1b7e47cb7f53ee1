//! What the three programs `orders_*` agree on.

use std::io;
use std::path::Path;

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where the ring is, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-orders";
/// Where the journal is: on a disk.
pub(crate) const JOURNAL: &str = "orders.journal";

/// Moves an amount to or from an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Order {
    pub(crate) account: u64,
    pub(crate) cents: i64,
}

impl Typed for Order {
    const TAG: u32 = 40;
}

/// An order in the journal, after its sequence in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) order: Order,
}

/// Everything in the journal. An entry that was cut off is none.
pub(crate) fn entries(path: impl AsRef<Path>) -> io::Result<Vec<Entry>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
    Ok(bytes
        .chunks_exact(size_of::<Entry>())
        .filter_map(|bytes| Entry::read_from_bytes(bytes).ok())
        .collect())
}
