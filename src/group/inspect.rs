//! A read-only view of a group, for people and tools.

use std::path::Path;
use std::time::Duration;

use crate::atomics::{AtomicU64, at};
use crate::error::Error;
use crate::group::joining::slot_of;
use crate::group::layout::{LOSSY, Leased};
use crate::group::leases::{Leases, Seen};
use crate::group::options::Group;
use crate::memory::format::Format;
use crate::memory::permissions::Access;
use crate::memory::region::Region;
use crate::ring;
use crate::ring::names;
use crate::seats::Incarnation;
use crate::sync::look::{Participant, checked, participants};
use crate::sync::shape::Shape;
use crate::wait::timestamp;

/// Shows the state of a group through a read-only map. It takes no seat, and nobody notices it. It needs permission to read
/// the ring and the group's file beside it.
///
/// ```
/// use quoit::{Group, GroupEvent, GroupInspector, GroupMember, Options, Producer};
///
/// let path = format!("/dev/shm/group-inspected-{}", std::process::id());
/// let mut producer = Producer::create(&path, &Options::new())?;
/// let mut member = GroupMember::join(&path, &Group::new("workers"))?;
/// producer.send(b"job")?;
/// let job = member.recv_job(|_| {})?;
///
/// // In any other process:
/// let group = GroupInspector::open(&path, "workers")?.snapshot()?;
/// assert_eq!((group.members.len(), group.unacknowledged), (1, 1));
/// assert_eq!(group.oldest.map(|oldest| oldest.sequence), Some(0));
/// # job.ack()?;
/// # std::fs::remove_file(Group::file(&path, "workers"))?;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GroupInspector {
    region: Region<Shape<Leased>>,
    name: String,
    slot: u32,
}

/// A group at one moment. The fields are read one after another, so they may be slightly out of step while the group is in
/// use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSnapshot {
    /// Its name.
    pub name: String,
    /// The random number of its file.
    pub id: u128,
    /// When it was made, wall clock, ns since 1970.
    pub created_ns: u64,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// Its slot in the ring.
    pub slot: u32,
    /// How many members may be there at a time.
    pub seats: u32,
    /// Who is there, and the dead who have leases still. Each holds as many as it has leases that are not done.
    pub members: Vec<Participant>,
    /// How many leases there may be that are not done.
    pub most_leases: u32,
    /// How many there are.
    pub leases: u32,
    /// How many of them no member has: they were given back, or could not be put aside.
    pub returned: u32,
    /// Records that were handed out and are not acknowledged, those that were given back included.
    pub unacknowledged: u64,
    /// The oldest of them.
    pub oldest: Option<Unacknowledged>,
    /// Sequence of the next record that no member has had.
    pub next_sequence: u64,
    /// How often something was handed out again.
    pub redelivered: u64,
    /// How many records were lost. A death may count some twice, or leave some out.
    pub lost: u64,
    /// How many records were put aside. A death may leave one out.
    pub dead_letters: u64,
    /// A record may be to be put aside, and could not be.
    pub is_shelved: bool,
    /// How often a record may be handed out. `None`: any number of times.
    pub max_deliveries: Option<u32>,
    /// How many records a member may have. `None`: any number.
    pub limit: Option<u32>,
    /// How long a member may have a record. `None`: as long as it lives.
    pub lease_time: Option<Duration>,
    /// Whether it never holds the producer up.
    pub is_lossy: bool,
    /// How long it may hold the producer up in a lap. `None`: as long as a member lives, or not at all.
    pub budget: Option<Duration>,
    /// What is wrong in the file: another process wrote garbage into it. The other fields leave that out.
    pub garbage: Option<&'static str>,
}

/// The oldest record that is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unacknowledged {
    /// Its sequence.
    pub sequence: u64,
    /// How often it was handed out.
    pub deliveries: u32,
    /// How long ago that was, the last time, by the machine's monotonic clock.
    pub since: Duration,
    /// The seat of the member that has it. `None`: nobody has.
    pub seat: Option<u32>,
}

impl GroupInspector {
    /// Opens the group `name` of the ring at `path` read-only.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such group, or its file is of another ring; [`Error::BadName`]; any other error of
    /// opening the two files.
    pub fn open(path: impl AsRef<Path>, name: &str) -> Result<Self, Error> {
        let (path, file) = (path.as_ref(), Group::file(path.as_ref(), name));
        let padded = names::padded(name)?;
        let ring = ring::Region::open(path, Access::Reader)?;
        let region = Region::<Shape<Leased>>::open(&file, Access::Reader)?;
        let Some((slot, _)) = slot_of(&ring, region.views().line, &padded) else {
            return Err(Error::NotFound { path: file });
        };
        Ok(Self { region, name: name.to_owned(), slot })
    }

    /// Reads everything once. Makes a system call for every seat that was ever used. Garbage in the file is not an error
    /// here: see [`GroupSnapshot::garbage`].
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn snapshot(&self) -> Result<GroupSnapshot, Error> {
        checked(&self.region, |region| self.read(region))
    }

    /// Whether the group's file was removed, renamed, replaced, overwritten or cut short. Takes three system calls.
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    fn read(&self, region: &Region<Shape<Leased>>) -> GroupSnapshot {
        let views = region.views();
        let line = views.line;
        let look = |word: &AtomicU64| word.load(at!(J_LOOK, Relaxed));
        let some = |word: &AtomicU64| u32::try_from(look(word)).ok().filter(|number| *number != 0);
        let seen = Leases::new(line, views.items).seen();
        let is_garbage = seen.is_none();
        let (leases, next_sequence) = seen.unwrap_or_default();
        let owners: Vec<Incarnation> = leases.iter().filter_map(|lease| lease.owner).collect();
        let (members, garbage) = participants(region, owners);
        let now_ns = timestamp::now_ns();
        let oldest = |lease: &Seen| Unacknowledged {
            sequence: lease.first,
            deliveries: lease.deliveries,
            since: Duration::from_nanos(now_ns.saturating_sub(lease.since_ns)),
            seat: lease.owner.map(|owner| owner.number),
        };
        let Shape { seats, content, .. } = region.shape();
        let (lease_ns, budget_ns) = (look(&line.lease_ns), look(&line.budget_ns));
        GroupSnapshot {
            name: self.name.clone(),
            id: region.id(),
            created_ns: region.created_ns(),
            file_bytes: region.shape().extents().file_bytes(),
            slot: self.slot,
            seats: *seats as u32,
            members,
            most_leases: content.leases as u32,
            leases: leases.len() as u32,
            returned: leases.iter().filter(|lease| lease.owner.is_none()).count() as u32,
            unacknowledged: leases.iter().map(|lease| u64::from(lease.records)).sum(),
            oldest: leases.first().map(oldest),
            next_sequence,
            redelivered: look(&line.redelivered),
            lost: look(&line.lost),
            dead_letters: look(&line.dead_letters),
            is_shelved: look(&line.shelved) != 0,
            max_deliveries: some(&line.max_deliveries),
            limit: some(&line.limit),
            lease_time: (lease_ns > 0).then(|| Duration::from_nanos(lease_ns)),
            is_lossy: budget_ns == LOSSY,
            budget: (budget_ns > 0 && budget_ns != LOSSY).then(|| Duration::from_nanos(budget_ns)),
            garbage: if is_garbage { Some("the numbers of leases") } else { garbage },
        }
    }
}
