//! Options of a group.

use std::time::Duration;

use crate::error::Error;
use crate::group::layout::{LEASES, Leased};
use crate::memory::extents::page_bytes;
use crate::memory::format::Format;
use crate::memory::permissions::check_mode;
use crate::ring::attach::{Attach, Start};
use crate::sync::shape::Shape;
use crate::wait::clock;

/// A group of consumers that share the records of a ring, and how it is made if there is none yet.
///
/// The options of the group that exists count: who joins it cannot change them.
///
/// ```
/// use std::time::Duration;
///
/// use quoit::{Group, Start};
///
/// let group = Group::new("workers").start(Start::Oldest).hold(Duration::from_secs(60)).limit(16);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until a member joins with them"]
pub struct Group {
    pub(super) name: String,
    pub(super) attach: Attach,
    leases: u32,
    members: u32,
    mode: u32,
    pub(super) lease_ns: u64,
    pub(super) limit: u32,
}

impl Group {
    /// A group under a name of 1 to 63 bytes, without a slash, since its file has the name, too. Gated: the producer may
    /// not overwrite a record before it is acknowledged, while any member lives. 64 members, 1024 leases, mode 0600,
    /// and it starts at the next record to be published.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            attach: Attach::gated().name(name.clone()),
            name,
            leases: LEASES,
            members: 64,
            mode: 0o600,
            lease_ns: 0,
            limit: 0,
        }
    }

    /// Sets where the group starts. Default: the next record to be published. A name that the ring keeps, of a consumer
    /// that is away, goes on as a group where that consumer was.
    pub fn start(self, start: Start) -> Self {
        Self { attach: self.attach.start(start), ..self }
    }

    /// Keeps the gate for `hold` while the group has no member, counted from when the producer notices that it is
    /// blocked by it. After that, and by default at once, the producer goes on, and the group loses what is overwritten.
    pub fn hold(self, hold: Duration) -> Self {
        Self { attach: self.attach.hold(hold), ..self }
    }

    /// As [`hold`](Self::hold), without an end: the producer waits until a member joins or the group is forgotten.
    pub fn hold_forever(self) -> Self {
        Self { attach: self.attach.hold_forever(), ..self }
    }

    /// How many members may be there at a time: 1 to 4096, default 64.
    pub fn members(self, members: u32) -> Self {
        Self { members, ..self }
    }

    /// How many leases there may be that are not done: 64 to 4096, default 1024. A lease is what a member takes at once:
    /// one record with `recv`, up to 32 with `recv_up_to`. While all are taken, nothing more is handed out.
    pub fn leases(self, leases: u32) -> Self {
        Self { leases, ..self }
    }

    /// How long a member may have a record: after that others may get it, and the member's acknowledgement is refused.
    /// Default: as long as it lives. Measured on the monotonic clock of whoever takes a record, so members in another
    /// time namespace measure something else.
    pub fn lease_time(self, time: Duration) -> Self {
        Self { lease_ns: clock::duration_ns(time).max(1), ..self }
    }

    /// How many records a member may have that it has not acknowledged: 1 or more. Default: no limit. Records that
    /// another took together and that come back are taken together, so a member may have more for a while, but less than
    /// twice as many.
    pub fn limit(self, records: u32) -> Self {
        Self { limit: records.max(1), ..self }
    }

    /// Permission bits of the group's file, whatever the umask; default 0600. Every member needs read and write
    /// permission for it and for the ring.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    #[cfg(not(loom))]
    pub(super) fn file_mode(&self) -> u32 {
        self.mode
    }

    pub(super) fn shape(&self) -> Result<Shape<Leased>, Error> {
        if self.name.contains('/') {
            return Err(Error::BadOption {
                what: "the name of a group is part of a file name: it has no slash",
            });
        }
        check_mode(self.mode)?;
        let content = Leased { leases: self.leases.into() };
        let shape = Shape { seats: self.members.into(), alignment: page_bytes(), content };
        shape.check()?;
        Ok(shape)
    }
}
