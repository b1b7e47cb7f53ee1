//! The rod that `rod_worker` and `rod_show` share: each worker has one part of it.

use quoit::Typed;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where the parts are, and where the workers meet.
pub(crate) const PARTS: &str = "/dev/shm/quoit-rod";
#[allow(dead_code, reason = "who only looks does not meet the others")]
pub(crate) const BARRIER: &str = "/dev/shm/quoit-rod-barrier";

/// Points of a part.
pub(crate) const POINTS: usize = 24;

/// One part after so many steps, and one step before. So whoever is a step behind finds what it needs.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
pub(crate) struct Part {
    pub(crate) steps: u64,
    pub(crate) now: [f64; POINTS],
    pub(crate) before: [f64; POINTS],
}

impl Typed for Part {
    const TAG: u32 = 22;
}

impl Part {
    /// The temperatures after so many steps. `None`: it has gone further, or not so far.
    pub(crate) fn after(&self, steps: u64) -> Option<&[f64; POINTS]> {
        if self.steps == steps {
            Some(&self.now)
        } else if self.steps == steps.wrapping_add(1) {
            Some(&self.before)
        } else {
            None
        }
    }
}
