//! Who takes part in a measurement.

use anyhow::Result;
use quoit_floors::scene::Scene;

/// A process, or a thread that stands in for one.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    /// 0 sends first, all others receive first.
    pub(crate) number: usize,
    pub(crate) scene: &'a Scene,
    /// Enters the scene of another number, for systems all of whose ends are in the process of number 0.
    pub(crate) enter: &'a (dyn Fn(usize) -> Result<Scene> + Sync),
}
