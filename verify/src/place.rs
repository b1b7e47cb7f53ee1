//! A private directory for a check. It is removed on drop; the next check removes what interrupted checks have left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

const SHARED_MEMORY: &str = "/dev/shm";
const PREFIX: &str = "quoit-verify-";
const ALIVE: &str = "alive";

/// The directory, and the lock that says that it is in use.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    /// Where the check works: it finds nothing there that it did not make.
    work: PathBuf,
    /// The check's children have it as well: until the last of them is gone they may be writing here.
    _alive: File,
}

impl Place {
    /// In shared memory.
    pub(crate) fn new(check: &str) -> Result<Self> {
        Self::below(Path::new(SHARED_MEMORY), check)
    }

    /// In `root`, which is made if it is not there.
    pub(crate) fn below(root: &Path, check: &str) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        sweep(root);
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{check}-"))
            .tempdir_in(root)
            .with_context(|| format!("cannot make a directory in {}", root.display()))?;
        // Locked before it gets its name: seen and unlocked means dead.
        let unnamed = directory.path().join("new");
        let alive = File::create(&unnamed)?;
        alive.lock()?;
        fs::rename(unnamed, directory.path().join(ALIVE))?;
        let work = directory.path().join("work");
        fs::create_dir(&work)?;
        Ok(Self { directory, work, _alive: alive })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.work
    }

    /// As dropping it, but with a word if it cannot be removed.
    pub(crate) fn close(self) -> Result<()> {
        self.directory.close().context("remove the check's directory")
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
