//! A member of a group: a consumer that shares the records with others.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use crate::atomics::at;
use crate::error::Error;
use crate::group::dead_letters::DeadLetters;
use crate::group::error::GroupError;
use crate::group::holding::Holding;
use crate::group::layout::{Leased, MOST_RECORDS};
use crate::group::leases::{Claimed, Lease};
use crate::group::until::Until;
use crate::ring::Region;
use crate::ring::attach;
use crate::ring::protocol::lookahead::Copies;
use crate::ring::protocol::reader::{Overwritable, Reader, Taken};
use crate::ring::protocol::{Place, after};
use crate::sync::member::Member;
use crate::wait::clock;

pub(super) mod job;
mod reading;
mod several;

use job::Job;

/// Looks before it sleeps.
const SPINS: u32 = if cfg!(loom) { 0 } else { 2000 };

/// Most records that a member puts aside in one call.
const MOST_ASIDE: u32 = if cfg!(loom) { 2 } else { 32 };

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
/// lives, and then for the group's [hold](crate::Group::hold); or for a [budget](crate::Group::gated_for), or [not at
/// all](crate::Group::lossy). Records are handed out in order; a record that is handed out
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
    /// How long the group may hold the producer up in a lap, ns.
    pub(super) budget_ns: u64,
    /// How many records it may have.
    limit: u32,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) reader: Reader,
    copies: Copies,
    /// The state word of the gate that the reader knows, and the position from which on it protects records.
    gate: Option<u64>,
    held_from: u64,
    /// Up to where it has seen that records are published, as a look for those records.
    pub(super) seen: u64,
    /// The lease that it is handing to its caller.
    pub(super) current: Current,
    pub(super) holding: Holding,
    /// When it last looked for the dead, ns.
    pub(super) swept_ns: Cell<u64>,
    /// When it puts records aside again, after that failed, ns.
    pub(super) again_ns: Cell<u64>,
    pub(super) spins: u32,
    /// Whether it looks for the dead while others sleep.
    pub(super) is_watching: Cell<bool>,
    /// What was published when the end of the stream was reported.
    pub(super) told_at: Option<u64>,
    /// The same when the end last made a wait for many things ready, and when that was, ns.
    pub(super) shown: Cell<Option<(u64, u64)>>,
}

/// A lease whose records are handed to the caller one after the other.
#[derive(Debug, Default)]
pub(super) struct Current {
    pub(super) lease: Lease,
    /// A bit for each record that is still to be handed to the caller. It is changed before the caller gets the record, who
    /// may panic. 0: there is no such lease.
    ahead: Cell<u32>,
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
/// or while the group had no member and was not held, or the group is [lossy](crate::Group::lossy) or was over its
/// [budget](crate::Group::gated_for). Told to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// How many.
    pub records: u64,
    /// Sequence of the first of them.
    pub first: u64,
    /// Sequence behind the last of them. Records in between may have been acknowledged, or told as lost, before.
    pub next: u64,
}

/// What is handed to the caller, before it is lent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// A record, and which of its lease's.
    Job(Taken, u32),
    Lost(Lost),
}

/// What there is for the caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ready {
    /// A record of the lease that the member has.
    Record,
    Lost(Lost),
}

const BAD_LEASE: Error = Error::Garbage { what: "a lease that does not fit the ring" };

impl GroupMember {
    pub(super) fn new(
        ring: Region,
        group: Member<Leased>,
        slot: u32,
        dead_letters: Option<&DeadLetters>,
    ) -> Result<Self, Error> {
        let line = group.views().line;
        let dead_letters = DeadLetters::of_group(line, dead_letters)?;
        let lease_ns = line.lease_ns.load(at!(J_READ, Relaxed));
        let budget_ns = line.budget_ns.load(at!(J_READ, Relaxed));
        let limit = line.limit.load(at!(J_READ, Relaxed)) as u32;
        let areas = ring.areas();
        let epoch = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        let mut reader = Reader::new(Place::default(), Overwritable::Always, epoch, areas.geometry.capacity);
        reader.turn_backoff_off();
        let seen = attach::published(areas);
        let mut member = Self {
            group,
            ring,
            slot,
            lease_ns,
            budget_ns,
            limit,
            dead_letters,
            reader,
            copies: Copies::default(),
            gate: None,
            held_from: 0,
            seen,
            current: Current::default(),
            holding: Holding::default(),
            swept_ns: Cell::new(0),
            again_ns: Cell::new(0),
            spins: SPINS,
            is_watching: Cell::new(false),
            told_at: None,
            shown: Cell::new(None),
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
    /// back from another; [`GroupError::Unacknowledged`]; [`GroupError::DeadLetter`]; [`GroupError::Failed`].
    pub fn recv(&mut self) -> Result<GroupEvent<'_>, GroupError> {
        let next = self.next(Until::NEVER)?;
        Ok(self.lend(next))
    }

    /// The next record, if there is one. Never waits, and does not report the end of the stream. It returns none, too,
    /// while another member takes a record, and after it has put 32 records aside.
    ///
    /// # Errors
    ///
    /// [`GroupError::Unacknowledged`]; [`GroupError::DeadLetter`]; [`GroupError::Failed`].
    pub fn try_recv(&mut self) -> Result<Option<GroupEvent<'_>>, GroupError> {
        self.stop_watching();
        loop {
            let next = match self.prepare(1, Until::NOW) {
                Ok(None) | Err(GroupError::TimedOut) => return Ok(None),
                Ok(Some(ready)) => self.read(ready)?,
                Err(error) => return Err(error),
            };
            if let Some(next) = next {
                return Ok(Some(self.lend(next)));
            }
        }
    }

    /// As [`recv`](Self::recv), waiting until `deadline` at most. With a deadline that has passed it tries once, and
    /// reports the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); [`GroupError::TimedOut`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<GroupEvent<'_>, GroupError> {
        let next = self.next(Until::Deadline(deadline))?;
        Ok(self.lend(next))
    }

    /// As [`recv`](Self::recv), waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<GroupEvent<'_>, GroupError> {
        let next = self.next(Until::Ns(clock::after_ns(timeout)))?;
        Ok(self.lend(next))
    }

    /// Waits for the next record. Other events before it are passed to `other`.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_job(&mut self, mut other: impl FnMut(GroupEvent<'_>)) -> Result<Job<'_>, GroupError> {
        loop {
            match self.next(Until::NEVER)? {
                Next::Job(taken, index) => return Ok(self.job(taken, index)),
                lost => other(self.lend(lost)),
            }
        }
    }

    /// How many records this member has.
    pub fn unacknowledged(&self) -> u32 {
        self.holding.records()
    }

    /// Whether the ring's file or the group's was removed, renamed, replaced, overwritten or cut short. If so, a process that
    /// joins at the path now does not get into this group. Takes six system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.ring.is_stale() || self.group.is_stale()
    }

    /// Looks before it sleeps (default 2000; 0 sleeps at once), as [`Consumer::set_spins`](crate::Consumer::set_spins).
    pub fn set_spins(&mut self, spins: u32) {
        self.spins = spins;
    }

    // ---- taking

    /// Whether the handle is of use.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Error> {
        self.group.check()?;
        if self.ring.broken() { Err(self.ring.fault().into()) } else { Ok(()) }
    }

    /// The same without the reason.
    #[inline(always)]
    pub(super) fn is_broken(&self) -> bool {
        self.group.check_handle().is_err() || self.ring.broken()
    }

    #[inline(always)]
    pub(super) fn check_memory(&self) -> Result<(), Error> {
        self.group.check_memory()?;
        if self.ring.memory_gone() { Err(self.ring.fault().into()) } else { Ok(()) }
    }

    /// Sees to it that there is a record of the lease that it has, or of another that it takes: of at most `want` records.
    /// `None`: there is nothing.
    pub(super) fn prepare(&mut self, want: u32, until: Until) -> Result<Option<Ready>, GroupError> {
        self.check()?;
        let mut aside = 0;
        loop {
            if let Some(is_spent) = self.current_is_spent() {
                if !is_spent {
                    return Ok(Some(Ready::Record));
                }
                match self.read_next()? {
                    Some(Next::Job(taken, index)) => {
                        self.put_aside(taken, index, until.ns())?;
                        aside += 1;
                    }
                    Some(Next::Lost(lost)) => return Ok(Some(Ready::Lost(lost))),
                    None => {}
                }
                continue;
            }
            if aside >= MOST_ASIDE {
                return Ok(None);
            }
            let room = self.room().min(want);
            if room == 0 {
                return Err(GroupError::Unacknowledged { limit: self.limit });
            }
            let Some(now_ns) = self.now_if_due() else {
                self.check_memory()?;
                return Ok(None);
            };
            match self.take(room, now_ns, until)? {
                None => return Ok(None),
                Some(Claimed::Lost(from, to)) => return Ok(Some(Ready::Lost(lost(from, to)))),
                Some(Claimed::Lease) => self.begin_lease()?,
            }
        }
    }

    #[inline(always)]
    fn begin_lease(&mut self) -> Result<(), Error> {
        let lease = &self.current.lease;
        let records = lease.end.sequence.wrapping_sub(lease.place.sequence);
        if records > MOST_RECORDS.into() || !lease.place.position.is_multiple_of(8) {
            return Err(BAD_LEASE);
        }
        self.holding.add(lease);
        self.current.ahead.set(!lease.done);
        let place = lease.place;
        self.look_at_the_gate();
        self.look_at_the_place(place);
        self.reader.skip_to(place);
        Ok(())
    }

    /// Reads what is ready. `None`: it was of a lease of which everything is done, or lost, by now.
    fn read(&mut self, ready: Ready) -> Result<Option<Next>, GroupError> {
        match ready {
            Ready::Record => self.read_next(),
            Ready::Lost(lost) => Ok(Some(Next::Lost(lost))),
        }
    }

    /// Waits for what is next.
    fn next(&mut self, until: Until) -> Result<Next, GroupError> {
        loop {
            let ready = self.wait(1, until)?;
            if let Some(next) = self.read(ready)? {
                return Ok(next);
            }
        }
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
    /// Whether something may be published that nobody has, or taken back.
    #[inline(always)]
    pub(super) fn seems_ready(&self) -> bool {
        // The producer stores `published` all the time, so a look at it is a line that comes from its core, and goes back.
        self.leases().seems_ready(|end| after(self.seen, end) || after(self.published(), end))
    }

    /// How many records it may take.
    fn room(&self) -> u32 {
        if self.limit == 0 { u32::MAX } else { self.limit.saturating_sub(self.unacknowledged()) }
    }

    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// The position up to which records are published, as a hint.
    pub(super) fn published(&self) -> u64 {
        self.ring.areas().head.inline.published.load(at!(R4_PEEK, Relaxed))
    }

    /// Whether the last record published is in a lease.
    pub(super) fn is_all_leased(&self, end: Place) -> bool {
        !after(self.published(), end.position)
    }
}
