//! What becomes of the records that a member has: acknowledged, given back, or left behind.

use crate::error::Error;
use crate::group::error::GroupError;
use crate::group::holding::{After, bit};
use crate::group::leases::Acknowledged;
use crate::group::member::GroupMember;
use crate::group::member::job::JobId;
use crate::group::until::Until;
use crate::ring::stream::is_closed;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

impl GroupMember {
    /// A record is done: no member gets it again, and its room may be overwritten. Waits for other members' turns if the
    /// producer waits for that room.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotLeased`] if this member does not have the record: nothing is changed. [`GroupError::Failed`].
    #[inline(always)]
    pub fn ack(&self, id: JobId) -> Result<(), GroupError> {
        let JobId { lease: (number, tag), index, sequence } = id;
        self.acknowledge(number, tag, index, sequence)
    }

    /// The same. What it is told fits in registers, and it is called, so that the caller's closure stays small enough to be put
    /// where it is called.
    #[inline(never)]
    fn acknowledge(&self, number: u64, tag: u32, index: u32, sequence: u64) -> Result<(), GroupError> {
        self.check()?;
        let lease = (number, tag);
        let mut holding = self.holding.borrow_mut();
        let Some(at) = holding.find_open(lease, index) else {
            return Err(GroupError::NotLeased { sequence });
        };
        // Without a lease time nobody else changes the word while this member lives.
        let acknowledged = self.leases().acknowledge(lease, index, self.lease_ns == 0);
        self.check_memory()?;
        if acknowledged == Acknowledged::Lost {
            holding.forget(lease);
            return Err(GroupError::NotLeased { sequence });
        }
        let after = holding.close_of(at, bit(index), false);
        drop(holding);
        if after == After::Nothing && acknowledged == Acknowledged::Record {
            return Ok(());
        }
        Ok(self.end_lease(lease, after, acknowledged)?)
    }

    /// Nothing of a lease is open any more.
    #[inline(never)]
    fn end_lease(&self, lease: (u64, u32), after: After, acknowledged: Acknowledged) -> Result<(), Error> {
        if after == After::GiveBack {
            self.give_back(lease)?;
        }
        if acknowledged == Acknowledged::Lease {
            self.after_a_lease()?;
        }
        Ok(())
    }

    /// A lease is done: lets those go on who sleep until then. Under `Spin` nobody sleeps.
    fn after_a_lease(&self) -> Result<(), Error> {
        if self.ring.geometry().wait == WaitMode::Spin {
            return Ok(());
        }
        // Orders the lease that is done before the looks at who waits for that: see [S1].
        doorbell::full_fence();
        if self.producer_waits() {
            self.settle(u64::MAX)?;
        }
        if self.leases().seems_full() || is_closed(self.ring.areas()) {
            self.ring_for_members();
        }
        Ok(())
    }

    /// Gives a record back, to be handed out again: at once, or with the others that [`recv_up_to`](Self::recv_up_to) took
    /// together with it, once this member has acknowledged or given back all of them.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn nack(&self, id: JobId) -> Result<(), GroupError> {
        self.check()?;
        let JobId { lease, index, sequence } = id;
        let mut holding = self.holding.borrow_mut();
        let Some(at) = holding.find_open(lease, index) else {
            return Err(GroupError::NotLeased { sequence });
        };
        let after = holding.close_of(at, bit(index), true);
        drop(holding);
        if after == After::GiveBack {
            self.give_back(lease)?;
        }
        Ok(())
    }

    fn give_back(&self, lease: (u64, u32)) -> Result<(), Error> {
        self.in_turn(Until::NEVER, |member| {
            member.leases().give_back(member.me(), lease);
            Ok(())
        })?;
        self.ring_for_members();
        Ok(())
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        if self.check().is_err() {
            return;
        }
        let leases: Vec<_> = self.holding.borrow_mut().take().collect();
        if leases.is_empty() {
            return;
        }
        let given = self.in_turn(Until::NEVER, |member| {
            leases.iter().for_each(|lease| member.leases().give_back(member.me(), *lease));
            Ok(())
        });
        // If it has no turn, others find its lock free.
        if given.is_ok() {
            self.ring_for_members();
        }
    }
}
