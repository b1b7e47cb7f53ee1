//! An object other than a ring, as JSON. Additions keep the schema number; anything else raises it.

use std::path::Path;

use quoit::sync::{Participant, Reset, Snapshot, State};
use serde::Serialize;

use super::{life, waiting};
use crate::json::Name;

/// Facts that a kind does not have are left out.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    schema: u32,
    kind: String,
    path: Name,
    id: String,
    created_unix_ns: u64,
    file_bytes: u64,
    seats: u32,
    #[serde(flatten)]
    state: Facts,
    waiting: u64,
    participants: Vec<Who>,
    /// What is wrong in the object; `null` is healthy.
    corruption: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
struct Facts {
    /// Of a mutex: whether anybody, alive or dead, has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_held: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_abandoned: Option<bool>,
    /// Of a semaphore.
    #[serde(skip_serializing_if = "Option::is_none")]
    permits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u32>,
    /// Of an event: `manual` or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_set: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Of what has a value: its type, and the number of commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Of a latest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writer_pid: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Value {
    size: u32,
    tag: u32,
}

#[derive(Debug, Serialize)]
struct Who {
    seat: u32,
    /// `null`: another one has had the seat since.
    pid: Option<u32>,
    /// `alive`, `stopped`, or `dead`.
    state: &'static str,
    is_waiting: bool,
    holds: u32,
    since_unix_ns: Option<u64>,
}

impl Document {
    pub(crate) fn of(path: &Path, object: &Snapshot) -> Self {
        Self {
            schema: 1,
            kind: object.kind.to_string(),
            path: Name::of(path),
            id: format!("{:032x}", object.id),
            created_unix_ns: object.created_ns,
            file_bytes: object.file_bytes,
            seats: object.seats,
            state: Facts::of(object),
            waiting: waiting(object) as u64,
            participants: object.participants.iter().map(Who::of).collect(),
            corruption: object.garbage,
        }
    }
}

impl Facts {
    fn of(object: &Snapshot) -> Self {
        match &object.state {
            State::Mutex { value, version, is_abandoned, .. } => Self {
                is_held: Some(super::holders(object).next().is_some()),
                is_abandoned: Some(*is_abandoned),
                value: Some(Value { size: value.size, tag: value.tag }),
                version: Some(*version),
                ..Self::default()
            },
            State::Semaphore { permits, available, .. } => {
                Self { permits: Some(*permits), available: Some(*available), ..Self::default() }
            }
            State::Event { reset, is_set, count, .. } => Self {
                reset: Some(if *reset == Reset::Auto { "auto" } else { "manual" }),
                is_set: Some(*is_set),
                count: Some(*count),
                ..Self::default()
            },
            State::Latest { value, cells, version, writer_pid, .. } => Self {
                value: Some(Value { size: value.size, tag: value.tag }),
                version: Some(*version),
                cells: Some(*cells),
                writer_pid: Some(*writer_pid),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

impl Who {
    fn of(participant: &Participant) -> Self {
        Self {
            seat: participant.seat,
            pid: participant.pid,
            state: life(participant),
            is_waiting: participant.is_waiting,
            holds: participant.holds,
            since_unix_ns: participant.since_ns,
        }
    }
}
