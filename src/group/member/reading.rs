//! How a member reads the records of its lease, and lends them.

use crate::atomics::{Word, at, fence_at};
use crate::group::error::GroupError;
use crate::group::holding::bit;
use crate::group::leases::Acknowledged;
use crate::group::member::job::Job;
use crate::group::member::{BAD_LEASE, Current, GroupEvent, GroupMember, Lost, Next};
use crate::group::until::Until;
use crate::ring::protocol::reader::{Found, Taken};
use crate::ring::protocol::record::Record;
use crate::ring::protocol::times;
use crate::ring::protocol::{Place, after, gate};

impl GroupMember {
    /// Whether something of its lease is still to be handed to its caller.
    #[inline(always)]
    pub(in crate::group) fn has_current(&self) -> bool {
        self.ahead() != 0
    }

    /// A bit for each record of the newest lease that is still to be handed to its caller.
    #[inline(always)]
    pub(in crate::group) fn ahead(&self) -> u32 {
        self.current.ahead.get()
    }

    /// The same, and whether that is a record that was handed out as often as it may be.
    pub(super) fn current_is_spent(&self) -> Option<bool> {
        self.has_current().then_some(self.current.lease.is_spent)
    }

    /// The gate may have been opened, or taken, since the last look. What is published from then on is read in place.
    pub(in crate::group) fn look_at_the_gate(&mut self) {
        if self.budget_ns > 0 {
            // The producer may take it at any time: the reader checks every copy.
            return;
        }
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
        self.held_from = published;
        self.reader.gate_holds(published, None, self.is_copied());
    }

    /// Whether records are copied though a gate protects them.
    fn is_copied(&self) -> bool {
        self.lease_ns > 0 || self.ring.is_guarded()
    }

    /// What comes back may be from before the gate held, though later records have been read in place.
    pub(super) fn look_at_the_place(&mut self, place: Place) {
        if after(self.held_from, place.position) && self.reader.is_held(place.position) {
            self.reader.gate_holds(self.held_from, None, self.is_copied());
        }
    }

    /// The next record of the lease. `None`: there is none left.
    pub(super) fn read_next(&mut self) -> Result<Option<Next>, GroupError> {
        // Looked at before the ring: once all of its own are done, the rest of the lease may be overwritten.
        while self.has_current() {
            let Current { lease, ahead } = &self.current;
            let found = self.reader.poll(self.ring.areas(), &mut self.copies);
            self.check_memory()?;
            match found {
                Found::Record(taken) if taken.len < self.ring.geometry().time_bytes() => {
                    let place = self.reader.next().before_record(taken.len);
                    return Err(times::missing(place).into());
                }
                Found::Record(taken) => {
                    let index = taken.sequence.wrapping_sub(lease.place.sequence) as u32;
                    if !after(lease.end.sequence, taken.sequence) {
                        return Err(BAD_LEASE.into());
                    }
                    if ahead.get() & bit(index) != 0 {
                        ahead.set(ahead.get() & !bit(index));
                        return Ok(Some(Next::Job(taken, index)));
                    }
                }
                Found::Changed { .. } => {}
                Found::Lapped => return self.lose(),
                Found::Nothing => return Err(BAD_LEASE.into()),
                Found::Corrupt(corruption) => return Err(corruption.into()),
            }
        }
        Ok(None)
    }

    /// The rest of a lease was overwritten.
    #[cold]
    fn lose(&mut self) -> Result<Option<Next>, GroupError> {
        let lease = self.current.lease;
        let next = self.ahead().trailing_zeros();
        let (id, rest) = ((lease.number, lease.tag), u32::MAX.checked_shl(next).unwrap_or(0));
        let (records, lost) = self.in_turn(Until::NEVER, |member| Ok(member.leases().lose(id, rest)))?;
        if lost == Acknowledged::Lost {
            self.leave(id);
            return Ok(None);
        }
        self.current.ahead.set(0);
        self.close(id, rest, lost)?;
        if lost == Acknowledged::Lease {
            self.after_a_lease()?;
        }
        let first = lease.place.sequence.wrapping_add(next.into());
        let lost = Lost { records, first, next: lease.end.sequence };
        Ok((records > 0).then_some(Next::Lost(lost)))
    }

    pub(super) fn lend(&self, next: Next) -> GroupEvent<'_> {
        match next {
            Next::Job(taken, index) => GroupEvent::Job(self.job(taken, index)),
            Next::Lost(lost) => GroupEvent::Lost(lost),
        }
    }

    /// The lease is not this member's any more. What of it is still to be handed to the caller is not, either.
    #[cold]
    #[inline(never)]
    pub(in crate::group) fn leave(&self, lease: (u64, u32)) {
        self.holding.forget(lease);
        if (self.current.lease.number, self.current.lease.tag) == lease {
            self.current.ahead.set(0);
        }
    }

    pub(in crate::group) fn job(&self, taken: Taken, index: u32) -> Job<'_> {
        let Taken { sequence, len, in_ring } = taken;
        let record = match in_ring {
            None => Record::copied(sequence, self.copies.payload(len)),
            Some(word) => {
                let words: &[Word] = &self.ring.areas().data[word..word + (len as usize).div_ceil(8)];
                Record::lent(sequence, len as usize, words)
            }
        };
        let record = if self.ring.geometry().timed { record.with_time() } else { Some(record) };
        Job::new(self, record.unwrap_or(Record::copied(sequence, &[])), index)
    }
}
