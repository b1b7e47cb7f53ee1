//! Where both sides meet, and how they begin.

use std::path::PathBuf;

use anyhow::Result;
use quoit_floors::scene::{Scene, Side};

/// Both, as the command line calls them.
pub(crate) const SIDES: [(Side, &str); 2] = [(Side::Left, "left"), (Side::Right, "right")];

/// Where everything lies, and the CPU of each side.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) directory: PathBuf,
    pub(crate) cpus: [usize; 2],
}

impl Setting {
    /// Pins the calling thread.
    pub(crate) fn enter(&self, side: Side) -> Result<Scene> {
        let number = side as usize;
        Scene::enter(number, self.directory.clone(), self.cpus[number])
    }
}

/// Makes ready for a measurement. Each side counts on from its own word, whoever wrote it for that side before: both have
/// met equally often.
pub(crate) fn begin(scene: &Scene) {
    scene.begin(2, scene.ground.meeting(scene.side as usize).get());
}
