//! A latest value as a read-only look shows it.

use super::{Region, WRITER, cells_in};
use crate::atomics::at;
use crate::error::Kind;
use crate::memory::format::Format;
use crate::sync::look::{Participant, Snapshot, State};

pub(crate) fn snapshot(region: &Region) -> Snapshot {
    let shape = region.shape();
    let is_alive = region.locked(WRITER);
    let pid = region.views().head.writer.pid.load(at!(L_PID, Relaxed)) as u32;
    let writer =
        Participant { seat: 0, pid: Some(pid), since_ns: None, is_alive, is_waiting: false, holds: 1 };
    let state = State::Latest {
        value: shape.schema,
        cells: shape.cells as u32,
        version: cells_in(region).version(),
        writer_pid: pid,
    };
    Snapshot {
        kind: Kind::Latest,
        id: region.id(),
        created_ns: region.created_ns(),
        file_bytes: shape.extents().file_bytes(),
        state,
        seats: 0,
        participants: Some(writer).filter(|_| is_alive).into_iter().collect(),
        garbage: None,
    }
}
