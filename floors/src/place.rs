//! The private directory that the processes meet in. It goes when it is dropped; what killed runs have left goes when
//! the next one begins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;

use crate::ground::Ground;
use crate::scene::GROUND;

/// Where shared memory has its files.
pub const SHARED_MEMORY: &str = "/dev/shm";
const ALIVE: &str = "alive";

/// Such a directory, with the floors' memory in it.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    /// Its lock says that the directory is in use.
    _alive: File,
}

impl Place {
    /// In shared memory if there is any, and room in it. The name begins with `prefix`, and those that do so and are
    /// dead are removed; `swept` is told of each before.
    pub fn new(prefix: &str, swept: impl Fn(&Path)) -> Result<Self> {
        let mut refusal = anyhow!("there is no directory for temporary files");
        for root in [PathBuf::from(SHARED_MEMORY), std::env::temp_dir()] {
            if !root.is_dir() {
                continue;
            }
            sweep(&root, prefix, &swept);
            match Self::make(&root, prefix) {
                Ok(place) => return Ok(place),
                Err(error) => refusal = error,
            }
        }
        Err(refusal.context("could not make a place for the measurements"))
    }

    fn make(root: &Path, prefix: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(root)?;
        // Locked before it gets its name: seen and unlocked means dead.
        let unnamed = directory.path().join("new");
        let alive = File::create(&unnamed)?;
        alive.lock()?;
        fs::rename(unnamed, directory.path().join(ALIVE))?;
        Ground::create(&directory.path().join(GROUND)).context("could not make the floors' memory")?;
        Ok(Self { directory, _alive: alive })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn sweep(root: &Path, prefix: &str, swept: impl Fn(&Path)) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let dead = |path: &Path| File::open(path.join(ALIVE)).is_ok_and(|alive| alive.try_lock().is_ok());
        if entry.file_name().to_string_lossy().starts_with(prefix) && dead(&entry.path()) {
            swept(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
