//! The private directory that both processes meet in, and what iceoryx2 leaves of it elsewhere. Both go when it is
//! dropped; what killed runs have left goes when the next one begins.

use std::fs;
use std::path::Path;

use anyhow::Result;
use quoit_floors::place::{self, SHARED_MEMORY};

const PREFIX: &str = "quoit-peers-";

pub(crate) struct Place(place::Place);

impl Place {
    pub(crate) fn new() -> Result<Self> {
        place::Place::new(PREFIX, sweep_named).map(Self)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        sweep_named(self.path());
    }
}

/// Removes the shared memory that iceoryx2 has named after a run's directory and kept.
fn sweep_named(directory: &Path) {
    let Some(run) = directory.file_name().and_then(|name| name.to_str()) else { return };
    for entry in fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(run) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
