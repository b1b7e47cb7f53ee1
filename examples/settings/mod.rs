//! The configuration that `settings_set` and `settings_follow` share.

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where it is, unless told otherwise.
pub(crate) const PATH: &str = "/dev/shm/quoit-settings";

/// Fixed size, no padding, every bit pattern valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Settings {
    /// Jobs that the worker does in a second.
    pub(crate) jobs_per_second: u32,
    /// 0: it does not say what it does.
    pub(crate) verbose: u32,
}

impl Typed for Settings {
    const TAG: u32 = 20;
}

impl Default for Settings {
    fn default() -> Self {
        Self { jobs_per_second: 10, verbose: 0 }
    }
}
