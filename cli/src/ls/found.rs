//! Finds the rings and other objects in a directory.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use quoit::{Error, Inspector, Kind, Snapshot, service, sync};
use rustix::fs::OFlags;

use crate::exit::{Exit, Failure};
use crate::ring_file::open_ring;
use crate::shown;

/// Between the two readings of a ring with a living producer.
const GLIMPSE: Duration = Duration::from_millis(200);

/// Rings open at a time: descriptors and maps of a process are limited.
const AT_ONCE: usize = 100;

/// No object is smaller, whatever its options.
const SMALLEST: u64 = 12 << 10;

/// A file that is an object, or may be one.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) name: OsString,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Ring {
        /// Boxed, since it is large compared with the others.
        snapshot: Box<Snapshot>,
        /// Records published per second, between the two readings. `None`: no producer is alive.
        records_per_second: Option<f64>,
    },
    /// An object of another kind.
    Object(Box<sync::Snapshot>),
    Service(Box<service::Snapshot>),
    /// An object that cannot be used, and why.
    Refused(Error),
    /// A file that may be an object, without permission to read it.
    Unreadable {
        user: u32,
        mode: u32,
    },
}

/// All of them, by name.
pub(super) fn look(directory: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for files in candidates(directory)?.chunks(AT_ONCE) {
        let mut open = Vec::new();
        for (path, metadata) in files {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_owned();
            let found = |what| Found { path: path.clone(), name: name.clone(), what };
            match open_ring(path, OFlags::RDONLY) {
                Ok(None) if may_be_ring(metadata) => open.push(Err(found(What::Unreadable {
                    user: metadata.uid(),
                    mode: metadata.mode() & 0o777,
                }))),
                Ok(Some(_)) => match Inspector::open(path) {
                    Ok(inspector) => open.push(Ok((path.clone(), name, inspector))),
                    Err(Error::OtherKind { .. }) => open.push(Err(found(object(path)))),
                    // Gone, or another file by now.
                    Err(Error::NotFound { .. } | Error::NotARing { .. } | Error::NotRegular { .. }) => {}
                    Err(error) => open.push(Err(found(What::Refused(error)))),
                },
                Ok(None) | Err(_) => {}
            }
        }
        found.extend(glimpse(open));
    }
    Ok(found)
}

fn object(path: &Path) -> What {
    if quoit::kind_of(path).is_ok_and(|kind| kind == Kind::Service) {
        return match service::Inspector::open(path).and_then(|inspector| inspector.snapshot()) {
            Ok(snapshot) => What::Service(Box::new(snapshot)),
            Err(error) => What::Refused(error),
        };
    }
    match sync::Inspector::open(path).and_then(|inspector| inspector.snapshot()) {
        Ok(snapshot) => What::Object(Box::new(snapshot)),
        Err(error) => What::Refused(error),
    }
}

/// Reads each readable ring twice.
fn glimpse(open: Vec<Result<(PathBuf, OsString, Inspector), Found>>) -> Vec<Found> {
    let began = Instant::now();
    let first: Vec<_> = open
        .into_iter()
        .map(|file| {
            let (path, name, inspector) = file?;
            match inspector.snapshot() {
                Ok(snapshot) => Ok((path, name, inspector, snapshot, began.elapsed())),
                Err(error) => Err(Found { path, name, what: What::Refused(error) }),
            }
        })
        .collect();
    if first.iter().flatten().any(|(.., snapshot, _)| snapshot.producer_alive) {
        std::thread::sleep(GLIMPSE);
    }
    let second = first.into_iter().map(|file| {
        let (path, name, inspector, before, at) = match file {
            Ok(file) => file,
            Err(found) => return found,
        };
        if !before.producer_alive {
            let what = What::Ring { snapshot: Box::new(before), records_per_second: None };
            return Found { path, name, what };
        }
        let what = match inspector.snapshot() {
            Ok(snapshot) => {
                let seconds = (began.elapsed() - at).as_secs_f64();
                let records = snapshot.records.wrapping_sub(before.records);
                What::Ring {
                    records_per_second: snapshot.producer_alive.then(|| records as f64 / seconds),
                    snapshot: Box::new(snapshot),
                }
            }
            Err(error) => What::Refused(error),
        };
        Found { path, name, what }
    });
    second.collect()
}

/// The regular files of the directory, by name; or the single file at the path.
fn candidates(directory: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let refused = |error: &std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, format!("{}: could not read it: {error}", shown::path(directory)))
    };
    let metadata = fs::symlink_metadata(directory).map_err(|error| refused(&error))?;
    if metadata.is_file() {
        return Ok(vec![(directory.to_owned(), metadata)]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| refused(&error))? {
        let entry = entry.with_context(|| format!("could not read {}", shown::path(directory)))?;
        // Links are not followed. A file that is gone meanwhile is left out.
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            files.push((entry.path(), metadata));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}

/// Has the size of a ring: whole pages, all blocks allocated.
fn may_be_ring(metadata: &Metadata) -> bool {
    let bytes = metadata.len();
    bytes >= SMALLEST && bytes.is_multiple_of(4096) && metadata.blocks().saturating_mul(512) >= bytes
}
