//! The board of prices that `board_quote` and `board_show` share.

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where it is, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-board";

/// The rows, in this order.
pub(crate) const SYMBOLS: [&str; 6] = ["EURUSD", "GBPUSD", "USDCHF", "USDJPY", "AUDUSD", "EURGBP"];

/// Fixed size, no padding, every bit pattern valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Price {
    /// In units of 0.00001; 0: there was none yet.
    pub(crate) bid: u64,
    pub(crate) ask: u64,
}

impl Typed for Price {
    const TAG: u32 = 21;
}
