//! What `control_plant` and `control_loop` share.

use std::time::Duration;

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// Of the plant and of the loop.
pub(crate) const PERIOD: Duration = Duration::from_millis(1);
/// The ring of measurements: the loop takes the newest, others may record them all.
pub(crate) const MEASURED: &str = "/dev/shm/quoit-control-measured";
/// The latest set point: only the newest counts.
pub(crate) const TARGET: &str = "/dev/shm/quoit-control-target";
/// The latest output of the loop.
pub(crate) const OUTPUT: &str = "/dev/shm/quoit-control-output";

/// A temperature, or the power of a heater.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Value {
    pub(crate) value: f64,
}

impl Typed for Value {
    const TAG: u32 = 21;
}
