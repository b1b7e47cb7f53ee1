//! The private directory that the two processes meet in. It goes when it is dropped; what killed benchmarks have left
//! goes when the next one begins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use super::ground::Ground;
use super::scene::GROUND;

const SHARED_MEMORY: &str = "/dev/shm";
const PREFIX: &str = "quoit-bench-";
const ALIVE: &str = "alive";

pub(crate) struct Place {
    directory: TempDir,
    /// Its lock says that the directory is in use.
    _alive: File,
}

impl Place {
    /// In shared memory if there is any, and room in it.
    pub(crate) fn new() -> Result<Self> {
        let mut refusal = anyhow!("there is no directory for temporary files");
        for root in [PathBuf::from(SHARED_MEMORY), std::env::temp_dir()] {
            if !root.is_dir() {
                continue;
            }
            sweep(&root);
            match Self::make(&root) {
                Ok(place) => return Ok(place),
                Err(error) => refusal = error,
            }
        }
        Err(refusal.context("could not make a place for the measurements"))
    }

    fn make(root: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        // Locked before it gets its name: seen and unlocked means dead.
        let unnamed = directory.path().join("new");
        let alive = File::create(&unnamed)?;
        alive.lock()?;
        fs::rename(unnamed, directory.path().join(ALIVE))?;
        Ground::create(&directory.path().join(GROUND)).context("could not make the floors' memory")?;
        Ok(Self { directory, _alive: alive })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let dead = |path: &Path| File::open(path.join(ALIVE)).is_ok_and(|alive| alive.try_lock().is_ok());
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && dead(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
