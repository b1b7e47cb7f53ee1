//! Options of a group.

#[cfg(not(loom))]
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::group::dead_letters::DeadLetters;
use crate::group::layout::{LEASES, LOSSY, Leased};
use crate::memory::extents::page_bytes;
use crate::memory::format::Format;
use crate::memory::permissions::check_mode;
use crate::ring::attach::{Attach, Start};
use crate::ring::rings::Ring;
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
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a member joins with them"]
pub struct Group {
    pub(super) name: String,
    pub(super) attach: Attach,
    leases: u32,
    members: u32,
    mode: u32,
    pub(super) lease_ns: u64,
    pub(super) limit: u32,
    pub(super) dead_letters: Option<DeadLetters>,
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
            dead_letters: None,
        }
    }

    /// Lets the group hold the producer up for `budget` at most in one lap of the ring, as
    /// [`Attach::gated_for`](crate::Attach::gated_for) does for a consumer. After that the producer goes on, and what is
    /// overwritten is lost, whether a member has it or nobody: see [`Lost`](crate::Lost). The gate is open again once the group
    /// is behind by an eighth of the capacity at most. Members get copies of records, which are checked, and never read in
    /// place.
    pub fn gated_for(mut self, budget: Duration) -> Self {
        self.attach.gated = true;
        self.attach.budget_ns = clock::duration_ns(budget).clamp(1, LOSSY - 1);
        self
    }

    /// Never holds the producer up: what it overwrites before it is acknowledged is lost, and told to one member. Members get
    /// copies of records, which are checked, and never read in place. A member that has a record may acknowledge it after it
    /// was overwritten, but if it dies, no other gets it.
    pub fn lossy(mut self) -> Self {
        self.attach.gated = false;
        self.attach.budget_ns = 0;
        self
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
    /// Default: as long as it lives. Measured on the machine's monotonic clock, as a [`Timestamp`](crate::Timestamp) is.
    pub fn lease_time(self, time: Duration) -> Self {
        Self { lease_ns: clock::duration_ns(time).max(1), ..self }
    }

    /// How many records a member may have that it has not acknowledged: 1 or more. Default: no limit. Records that
    /// another took together and that come back are taken together, so a member may have more for a while, but less than
    /// twice as many.
    pub fn limit(self, records: u32) -> Self {
        Self { limit: records.max(1), ..self }
    }

    /// Hands a record out so often, at least once, and then puts it into the ring `dead_letters`: it counts as acknowledged
    /// here, and what is there is a [`DeadLetter`](crate::DeadLetter). Default: a record is handed out until it is
    /// acknowledged, though it kill every member.
    ///
    /// Each time counts, whether the member died, gave the record back, left, or had it for longer than the lease time; also
    /// if a member was killed just while it took the record. A member that is handed such a record puts it aside itself,
    /// instead of returning it: it is the producer of that ring for one record, and ends that stream again. So no other process
    /// may be that ring's producer for long. Nobody waits for room there: with a gated consumer, or under a name with a
    /// [hold](crate::Attach::hold_forever), nothing of it is overwritten, and with none the oldest is. A record that cannot be
    /// put aside is told, as [`GroupError::DeadLetter`](crate::GroupError::DeadLetter), and tried again; no member gets it, and
    /// it keeps its room in the ring.
    ///
    /// Records that [`recv_up_to`](crate::GroupMember::recv_up_to) took together come back one by one, in order, so that one
    /// that kills members is put aside alone. With 1 all of them are put aside.
    ///
    /// How often counts from when the group is made. Where is for each member to say, so give all of them the same ring; who
    /// joins without one is refused.
    pub fn max_deliveries(self, most: u32, dead_letters: &Ring) -> Self {
        Self { dead_letters: Some(DeadLetters { most: most.max(1), ring: dead_letters.clone() }), ..self }
    }

    /// Permission bits of the group's file, whatever the umask; default 0600. Every member needs read and write
    /// permission for it and for the ring.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// The file of the group `name` of the ring at `path`: `PATH.NAME.group`. It is of no use without the ring.
    #[cfg(not(loom))]
    pub fn file(path: impl AsRef<Path>, name: &str) -> PathBuf {
        let mut file = path.as_ref().as_os_str().to_owned();
        file.push(format!(".{name}.group"));
        file.into()
    }

    #[cfg(not(loom))]
    pub(super) fn file_mode(&self) -> u32 {
        self.mode
    }

    /// As the group's file has it.
    pub(super) fn budget_ns(&self) -> u64 {
        if self.attach.gated { self.attach.budget_ns } else { LOSSY }
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
