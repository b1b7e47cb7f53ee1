//! The private directory that both processes meet in. It goes when it is dropped; what killed runs have left goes when
//! the next one begins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::scene;

const SHARED_MEMORY: &str = "/dev/shm";
const PREFIX: &str = "quoit-peers-";
const ALIVE: &str = "alive";

pub(crate) struct Place {
    directory: TempDir,
    /// Its lock says that the directory is in use.
    _alive: File,
}

impl Place {
    /// In shared memory if there is any.
    pub(crate) fn new() -> Result<Self> {
        let shared = PathBuf::from(SHARED_MEMORY);
        let root = if shared.is_dir() { shared } else { std::env::temp_dir() };
        sweep(&root);
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&root);
        let directory = directory.context("could not make a place for the measurements")?;
        // Locked before it gets its name: seen and unlocked means dead.
        let unnamed = directory.path().join("new");
        let alive = File::create(&unnamed)?;
        alive.lock()?;
        fs::rename(unnamed, directory.path().join(ALIVE))?;
        scene::prepare(directory.path())?;
        Ok(Self { directory, _alive: alive })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
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

fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let dead = |path: &Path| File::open(path.join(ALIVE)).is_ok_and(|alive| alive.try_lock().is_ok());
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && dead(&entry.path()) {
            sweep_named(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
