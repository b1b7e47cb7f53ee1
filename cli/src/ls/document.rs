//! The list as JSON. Additions keep the schema number; anything else raises it.

use std::path::Path;

use serde::Serialize;

use super::found::{Found, What};
use super::table::{count, not_before};
use crate::json::Name;
use crate::standing::{self, Standing};
use crate::{object, service};

#[derive(Debug, Serialize)]
pub(super) struct Document {
    schema: u32,
    directory: Name,
    rings: Vec<Ring>,
    /// Everything else, as `info` shows it.
    objects: Vec<Other>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Other {
    Object(Box<object::Document>),
    Service(Box<service::Document>),
}

/// Facts that are not known are `null`.
#[derive(Debug, Default, Serialize)]
struct Ring {
    path: Name,
    /// The producer's state, as in `info`; or `unusable`, or `unreadable`.
    state: &'static str,
    capacity: Option<u64>,
    file_bytes: Option<u64>,
    producer_alive: Option<bool>,
    producer_pid: Option<u32>,
    epoch: Option<u64>,
    records: Option<u64>,
    next_sequence: Option<u64>,
    records_per_second: Option<f64>,
    /// Earliest possible time of the newest record; `null`: there is none.
    last_publish_not_before_unix_ns: Option<u64>,
    is_corrupt: Option<bool>,
    consumers: Option<Consumers>,
    /// Why it cannot be used.
    error: Option<String>,
}

/// How many of each kind. None is counted twice. Observers are not detected.
#[derive(Debug, Serialize)]
struct Consumers {
    alive: u64,
    stopped: u64,
    attaching: u64,
    away: u64,
    dead: u64,
}

impl Document {
    pub(super) fn of(directory: &Path, files: &[Found]) -> Self {
        let objects = files.iter().filter_map(|file| match &file.what {
            What::Object(snapshot) => {
                Some(Other::Object(Box::new(object::Document::of(&file.path, snapshot))))
            }
            What::Service(snapshot) => {
                Some(Other::Service(Box::new(service::Document::of(&file.path, snapshot))))
            }
            _ => None,
        });
        Self {
            schema: 1,
            directory: Name::of(directory),
            rings: files.iter().filter_map(Ring::of).collect(),
            objects: objects.collect(),
        }
    }
}

impl Ring {
    /// A file that cannot be read or used counts as a ring.
    fn of(file: &Found) -> Option<Self> {
        let path = Name::of(&file.path);
        Some(match &file.what {
            What::Object(_) | What::Service(_) => return None,
            What::Unreadable { .. } => Self { path, state: "unreadable", ..Self::default() },
            What::Refused(error) => {
                Self { path, state: "unusable", error: Some(error.to_string()), ..Self::default() }
            }
            What::Ring { snapshot, records_per_second } => {
                let count = |standing| count(snapshot, standing);
                Self {
                    path,
                    state: standing::producer(snapshot).0,
                    capacity: Some(snapshot.capacity),
                    file_bytes: Some(snapshot.file_bytes),
                    producer_alive: Some(snapshot.producer_alive),
                    producer_pid: Some(snapshot.producer_pid),
                    epoch: Some(snapshot.epoch),
                    records: Some(snapshot.records),
                    next_sequence: Some(snapshot.next_sequence),
                    records_per_second: *records_per_second,
                    last_publish_not_before_unix_ns: (snapshot.records > 0).then(|| not_before(snapshot)),
                    is_corrupt: Some(snapshot.corruption.is_some()),
                    consumers: Some(Consumers {
                        alive: count(Standing::Alive),
                        stopped: count(Standing::Stopped),
                        attaching: count(Standing::Attaching),
                        away: count(Standing::Away),
                        dead: count(Standing::Dead),
                    }),
                    error: None,
                }
            }
        })
    }
}
