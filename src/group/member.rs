//! A member of a group: a consumer that shares the records with others.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::{Duration, Instant};

use crate::atomics::{Word, at, fence_at};
use crate::error::Error;
use crate::group::error::GroupError;
use crate::group::holding::{Holding, bit};
use crate::group::layout::{Leased, MOST_RECORDS};
use crate::group::leases::{Claimed, Lease};
use crate::ring::Region;
use crate::ring::protocol::lookahead::Copies;
use crate::ring::protocol::reader::{Found, Overwritable, Reader, Taken};
use crate::ring::protocol::record::Record;
use crate::ring::protocol::times;
use crate::ring::protocol::{Place, after, gate};
use crate::sync::member::Member;
use crate::wait::clock;

pub(super) mod job;

use job::{Job, JobId};

/// Looks before it sleeps.
const SPINS: u32 = if cfg!(loom) { 0 } else { 2000 };

/// A member of a [`Group`](crate::Group): a consumer that shares the records of a ring with others. Each record goes to
/// one of them.
///
/// A record is a member's from when it is received until the member [acknowledges](Job::ack) it, gives it
/// [back](Job::nack), or dies. What is given back, and what a dead member had, goes to others, who are told how often it was
/// handed out before: [`Job::deliveries`]. An acknowledged record is never handed out again. This is about
/// acknowledgements, not about effects: a member that is killed after its work and before it acknowledges has worked, and
/// another works again.
///
/// To the producer the group is one gated consumer: it may not overwrite what is not acknowledged, as long as a member
/// lives, and then for the group's [hold](crate::Group::hold). Records are handed out in order; a record that is handed out
/// again comes out of order.
///
/// Each member has a handle of its own. One thread at a time may use it; it may move between threads (`Send`, not `Sync`).
/// [`try_clone`](Self::try_clone) makes members for other threads. Dropping a member gives back what it has. After a `fork`
/// only the parent may use it.
///
/// A member that waits for more while it has not acknowledged what it has, may wait for ever: once the ring is full, the
/// producer waits for that acknowledgement.
///
/// A member that is *stopped* keeps what it has, unless the group has a [lease time](crate::Group::lease_time), and one that
/// is stopped just while it takes a record stops all members, as the holder of a lock does.
///
/// ```
/// use quoit::{Group, GroupError, GroupMember, Options, Ring};
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut first = GroupMember::on(&ring, &Group::new("workers"))?;
/// let mut second = first.try_clone()?;
/// let mut producer = ring.producer()?;
/// producer.send(b"one")?;
/// producer.send(b"two")?;
/// drop(producer);
///
/// let one = first.recv_job(|_| {})?;
/// assert_eq!(one.record().to_vec(), b"one");
/// one.ack()?;
/// // The second record is given back, and handed out again.
/// second.recv_job(|_| {})?.nack()?;
/// let two = first.recv_job(|_| {})?;
/// assert_eq!((two.record().to_vec(), two.deliveries()), (b"two".to_vec(), 2));
/// two.ack()?;
/// assert!(matches!(first.recv_job(|_| {}), Err(GroupError::Closed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>() {}
/// is_sync::<quoit::GroupMember>();
/// ```
pub struct GroupMember {
    /// Dropped before the seat: who takes that next needs this one's lock.
    pub(super) ring: Region,
    pub(super) group: Member<Leased>,
    pub(super) slot: u32,
    pub(super) lease_ns: u64,
    /// How many records it may have.
    limit: u32,
    pub(super) reader: Reader,
    copies: Copies,
    /// The state word of the gate that the reader knows.
    gate: Option<u64>,
    /// The lease that it is handing to its caller.
    current: Option<Current>,
    pub(super) holding: RefCell<Holding>,
    /// When it last looked for the dead, ns.
    pub(super) swept_ns: Cell<u64>,
    pub(super) spins: u32,
}

/// A lease whose records are handed to the caller one after the other.
#[derive(Clone, Copy, Debug)]
struct Current {
    lease: Lease,
    /// Which record is next.
    next: u32,
}

/// What a member receives.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupEvent<'a> {
    /// A record that is this member's now.
    Job(Job<'a>),
    /// Records that no member gets any more.
    Lost(Lost),
}

/// Records that were overwritten before a member had acknowledged them: they were published before the group's gate held,
/// or while the group had no member and was not held. Told to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// How many.
    pub records: u64,
    /// Sequence of the first of them.
    pub first: u64,
    /// Sequence behind the last of them. Records in between may have been acknowledged before.
    pub next: u64,
}

/// What is handed to the caller, before it is lent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Job(Taken, JobId, u32),
    Lost(Lost),
}

const BAD_LEASE: Error = Error::Garbage { what: "a lease that does not fit the ring" };

impl GroupMember {
    pub(super) fn new(ring: Region, group: Member<Leased>, slot: u32) -> Result<Self, Error> {
        let line = group.views().line;
        let lease_ns = line.lease_ns.load(at!(J_READ, Relaxed));
        let limit = line.limit.load(at!(J_READ, Relaxed)) as u32;
        let areas = ring.areas();
        let epoch = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        let mut reader = Reader::new(Place::default(), Overwritable::Always, epoch, areas.geometry.capacity);
        reader.turn_backoff_off();
        let mut member = Self {
            group,
            ring,
            slot,
            lease_ns,
            limit,
            reader,
            copies: Copies::default(),
            gate: None,
            current: None,
            holding: RefCell::default(),
            swept_ns: Cell::new(0),
            spins: SPINS,
        };
        member.look_at_the_gate();
        member.check_memory()?;
        Ok(member)
    }

    // ---- receiving

    /// Waits for the next record, or for the news that some are lost.
    ///
    /// # Errors
    ///
    /// [`GroupError::Closed`] and [`GroupError::ProducerGone`] once no record is left for this member, and none can come
    /// back from another; [`GroupError::Unacknowledged`]; [`GroupError::Failed`].
    pub fn recv(&mut self) -> Result<GroupEvent<'_>, GroupError> {
        let next = self.wait(1, u64::MAX)?;
        Ok(self.lend(next))
    }

    /// The next record, if there is one. Never waits, and does not report the end of the stream. It returns none, too,
    /// while another member takes a record.
    ///
    /// # Errors
    ///
    /// [`GroupError::Unacknowledged`]; [`GroupError::Failed`].
    pub fn try_recv(&mut self) -> Result<Option<GroupEvent<'_>>, GroupError> {
        match self.take(1, 0) {
            Ok(next) => Ok(next.map(|next| self.lend(next))),
            Err(GroupError::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`recv`](Self::recv), waiting until `deadline` at most. With a deadline that has passed it tries once, and
    /// reports the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); [`GroupError::TimedOut`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<GroupEvent<'_>, GroupError> {
        let next = self.wait(1, clock::deadline_ns(deadline))?;
        Ok(self.lend(next))
    }

    /// As [`recv`](Self::recv), waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<GroupEvent<'_>, GroupError> {
        let next = self.wait(1, clock::after_ns(timeout))?;
        Ok(self.lend(next))
    }

    /// Waits for the next record. Other events before it are passed to `other`.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_job(&mut self, mut other: impl FnMut(GroupEvent<'_>)) -> Result<Job<'_>, GroupError> {
        loop {
            match self.wait(1, u64::MAX)? {
                Next::Job(taken, id, deliveries) => return Ok(self.job(taken, id, deliveries)),
                lost => other(self.lend(lost)),
            }
        }
    }

    /// Waits until there is a record, takes up to `most` records that are there, 1 to 32, and passes them to `each`.
    /// Returns how many events these were. One turn takes them all, so this is the fastest way to receive many; a record
    /// of them that is given back is handed out again once this member has acknowledged, or given back, the others.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv). Records passed to `each` before the error are this member's.
    pub fn recv_up_to(&mut self, most: u32, each: impl FnMut(GroupEvent<'_>)) -> Result<u32, GroupError> {
        self.several(most, u64::MAX, each)
    }

    /// As [`recv_up_to`](Self::recv_up_to), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn recv_up_to_deadline(
        &mut self,
        most: u32,
        deadline: Instant,
        each: impl FnMut(GroupEvent<'_>),
    ) -> Result<u32, GroupError> {
        self.several(most, clock::deadline_ns(deadline), each)
    }

    fn several(
        &mut self,
        most: u32,
        until_ns: u64,
        mut each: impl FnMut(GroupEvent<'_>),
    ) -> Result<u32, GroupError> {
        let most = most.clamp(1, MOST_RECORDS);
        let next = self.wait(most, until_ns)?;
        each(self.lend(next));
        let mut count = 1;
        while count < most
            && self.current.is_some()
            && let Some(next) = self.read_next()?
        {
            each(self.lend(next));
            count += 1;
        }
        Ok(count)
    }

    /// How many records this member has.
    pub fn unacknowledged(&self) -> u32 {
        self.holding.borrow().records()
    }

    /// Looks before it sleeps (default 2000; 0 sleeps at once), as [`Consumer::set_spins`](crate::Consumer::set_spins).
    pub fn set_spins(&mut self, spins: u32) {
        self.spins = spins;
    }

    // ---- taking

    /// Whether the handle is of use.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.group.check()?;
        if self.ring.broken() { Err(self.ring.fault().into()) } else { Ok(()) }
    }

    pub(super) fn check_memory(&self) -> Result<(), Error> {
        self.group.check_memory()?;
        if self.ring.memory_gone() { Err(self.ring.fault().into()) } else { Ok(()) }
    }

    /// The next record of the lease that it has, or of another that it takes: at most `want` records.
    pub(super) fn take(&mut self, want: u32, until_ns: u64) -> Result<Option<Next>, GroupError> {
        self.check()?;
        loop {
            if self.current.is_some()
                && let Some(next) = self.read_next()?
            {
                return Ok(Some(next));
            }
            let room = match self.limit {
                0 => want,
                limit => limit.saturating_sub(self.unacknowledged()).min(want),
            };
            if room == 0 {
                return Err(GroupError::Unacknowledged { limit: self.limit });
            }
            if !self.may_claim() {
                self.check_memory()?;
                return Ok(None);
            }
            let Some(claimed) = self.in_turn(until_ns, |member| member.claim(room))? else { return Ok(None) };
            match claimed {
                Claimed::Lost(from, to) => return Ok(Some(Next::Lost(lost(from, to)))),
                Claimed::Lease(lease) => {
                    let records = lease.end.sequence.wrapping_sub(lease.place.sequence);
                    if records > MOST_RECORDS.into() || !lease.place.position.is_multiple_of(8) {
                        return Err(BAD_LEASE.into());
                    }
                    self.holding.borrow_mut().add(&lease);
                    self.look_at_the_gate();
                    self.reader.skip_to(lease.place);
                    self.current = Some(Current { lease, next: 0 });
                }
            }
        }
    }

    /// The gate may have been opened, or taken, since the last look. What is published from then on is read in place.
    pub(super) fn look_at_the_gate(&mut self) {
        let areas = self.ring.areas();
        let Some(slot) = areas.slots.get(self.slot as usize) else { return };
        let state = slot.gate.state.load(at!(G_STATE, Relaxed));
        if self.gate == Some(state) {
            return;
        }
        self.gate = Some(state);
        if !gate::is_gated(state) {
            return self.reader.gate_is_shut();
        }
        // [G2] SeqCst. Pairs with [G1].
        // Orders: the look at the open gate before the load of `published`, as for whoever opened it.
        // Without it: see [G1].
        fence_at!(G2_FENCE, SeqCst);
        let published = areas.head.inline.published.load(at!(G2_PUBLISHED, Relaxed));
        let is_copied = self.lease_ns > 0 || self.ring.is_guarded();
        self.reader.gate_holds(published, None, is_copied);
    }

    /// The next record of the lease. `None`: there is none left.
    fn read_next(&mut self) -> Result<Option<Next>, GroupError> {
        while let Some(Current { lease, next }) = self.current {
            // Looked at before the ring: once all of its own are done, the rest of the lease may be overwritten.
            if !lease.done & u32::MAX.checked_shl(next).unwrap_or(0) == 0 {
                self.current = None;
                break;
            }
            let found = self.reader.poll(self.ring.areas(), &mut self.copies);
            self.check_memory()?;
            match found {
                Found::Record(taken) if taken.len < self.ring.geometry().time_bytes() => {
                    let place = self.reader.next().before_record(taken.len);
                    return Err(times::missing(place).into());
                }
                Found::Record(taken) => {
                    let index = taken.sequence.wrapping_sub(lease.place.sequence);
                    if index != next.into() {
                        return Err(BAD_LEASE.into());
                    }
                    self.current = Some(Current { lease, next: next + 1 });
                    if lease.done & bit(next) == 0 {
                        let (number, tag) = (lease.number, lease.tag);
                        let id = JobId { lease: (number, tag), index: next, sequence: taken.sequence };
                        return Ok(Some(Next::Job(taken, id, lease.deliveries)));
                    }
                }
                Found::Changed { .. } => {}
                Found::Lapped => {
                    self.current = None;
                    return self.lose(lease, next);
                }
                Found::Nothing => return Err(BAD_LEASE.into()),
                Found::Corrupt(corruption) => return Err(corruption.into()),
            }
        }
        Ok(None)
    }

    /// The rest of a lease was overwritten.
    #[cold]
    fn lose(&self, lease: Lease, next: u32) -> Result<Option<Next>, GroupError> {
        let (id, rest) = ((lease.number, lease.tag), u32::MAX.checked_shl(next).unwrap_or(0));
        let records = self.in_turn(u64::MAX, |member| Ok(member.leases().lose(id, rest)))?;
        self.holding.borrow_mut().close(id, rest, false);
        let first = lease.place.sequence.wrapping_add(next.into());
        let lost = Lost { records, first, next: lease.end.sequence };
        Ok((records > 0).then_some(Next::Lost(lost)))
    }

    fn lend(&self, next: Next) -> GroupEvent<'_> {
        match next {
            Next::Job(taken, id, deliveries) => GroupEvent::Job(self.job(taken, id, deliveries)),
            Next::Lost(lost) => GroupEvent::Lost(lost),
        }
    }

    fn job(&self, taken: Taken, id: JobId, deliveries: u32) -> Job<'_> {
        let Taken { sequence, len, in_ring } = taken;
        let record = match in_ring {
            None => Record::copied(sequence, self.copies.payload(len)),
            Some(word) => {
                let words: &[Word] = &self.ring.areas().data[word..word + (len as usize).div_ceil(8)];
                Record::lent(sequence, len as usize, words)
            }
        };
        let record = if self.ring.geometry().timed { record.with_time() } else { Some(record) };
        Job::new(self, record.unwrap_or(Record::copied(sequence, &[])), id, deliveries)
    }
}

fn lost(from: Place, to: Place) -> Lost {
    let records = to.sequence.wrapping_sub(from.sequence);
    Lost { records, first: from.sequence, next: to.sequence }
}

impl fmt::Debug for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMember")
            .field("ring", &self.ring)
            .field("unacknowledged", &self.unacknowledged())
            .finish_non_exhaustive()
    }
}

impl GroupMember {
    /// Whether a claim may find something, or may look for the dead.
    pub(super) fn may_claim(&self) -> bool {
        self.seems_ready() || (self.leases().is_any_open() && self.is_sweep_due(clock::monotonic_ns()))
    }

    /// Whether something may be published that nobody has, or taken back.
    pub(super) fn seems_ready(&self) -> bool {
        let published = self.ring.areas().head.inline.published.load(at!(R4_PEEK, Relaxed));
        self.leases().seems_ready(published)
    }

    /// Whether the last record published is in a lease.
    pub(super) fn is_all_leased(&self, end: Place) -> bool {
        !after(self.ring.areas().head.inline.published.load(at!(R4_PEEK, Relaxed)), end.position)
    }
}
