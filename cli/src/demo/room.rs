//! The private directory of a demo, removed on drop.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use quoit::Error;
use tempfile::TempDir;

/// The tmpfs for shared memory.
const SHARED_MEMORY: &str = "/dev/shm";
const PREFIX: &str = "quoit-demo-";
const ALIVE: &str = "alive";

pub(crate) struct Room {
    directory: TempDir,
    /// Its lock says that the directory is in use.
    _alive: File,
}

impl Room {
    /// Makes the directory and what is to be in it, and removes what killed demos have left. Uses shared memory if
    /// available and large enough.
    pub(crate) fn furnish(make: impl Fn(&Path) -> Result<(), Error>) -> Result<Self> {
        let mut refusal = anyhow!("there is no directory for temporary files");
        for place in [PathBuf::from(SHARED_MEMORY), std::env::temp_dir()] {
            if !place.is_dir() {
                continue;
            }
            sweep(&place);
            match Self::make(&place).and_then(|room| make(room.path()).map(|()| room)) {
                Ok(room) => return Ok(room),
                // Options that are invalid here are invalid everywhere.
                Err(error @ (Error::Capacity { .. } | Error::BadOption { .. })) => return Err(error.into()),
                Err(error) => refusal = error.into(),
            }
        }
        Err(refusal.context("could not make what the demo needs"))
    }

    fn make(place: &Path) -> Result<Self, Error> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place).map_err(|source| {
            Error::Io { path: place.to_owned(), action: "make a directory for the demo", source }
        })?;
        let alive = mark(directory.path()).map_err(|source| Error::Io {
            path: directory.path().to_owned(),
            action: "mark the demo's directory",
            source,
        })?;
        Ok(Self { directory, _alive: alive })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Creates a locked file in the directory. It is locked before it gets its name: present and unlocked means dead.
fn mark(directory: &Path) -> io::Result<File> {
    let unnamed = directory.join("new");
    let alive = File::create(&unnamed)?;
    alive.lock()?;
    fs::rename(unnamed, directory.join(ALIVE))?;
    Ok(alive)
}

/// Removes the directories of demos that were killed before they could remove them.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let dead = |path: &Path| File::open(path.join(ALIVE)).is_ok_and(|alive| alive.try_lock().is_ok());
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && dead(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
