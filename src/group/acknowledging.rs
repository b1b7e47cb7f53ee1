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

    /// The same. Not inlined, with arguments that fit registers: so the caller's closure stays small enough to be inlined.
    #[inline(never)]
    fn acknowledge(&self, number: u64, tag: u32, index: u32, sequence: u64) -> Result<(), GroupError> {
        self.check()?;
        let (lease, bits) = ((number, tag), bit(index));
        if self.holding.open(lease) & bits == 0 {
            return Err(GroupError::NotLeased { sequence });
        }
        match self.set_done(lease, bits)? {
            Acknowledged::Records => Ok(()),
            Acknowledged::Lease => Ok(self.after_a_lease()?),
            Acknowledged::Lost => Err(GroupError::NotLeased { sequence }),
        }
    }

    /// Acknowledges every record that this member has received and has neither acknowledged nor given back yet: as
    /// [`ack`](Self::ack) of each, with one store for all that [`recv_up_to`](Self::recv_up_to) took in a turn. Returns how many
    /// records these were. What is another member's by now, since its [lease time](crate::Group::lease_time) is over, is not among them.
    ///
    /// ```
    /// use quoit::{Group, GroupEvent, GroupMember, Options, Ring};
    ///
    /// let ring = Ring::heap(&Options::new().capacity(4096))?;
    /// let mut member = GroupMember::on(&ring, &Group::new("workers"))?;
    /// let mut producer = ring.producer()?;
    /// producer.send(b"one")?;
    /// producer.send(b"two")?;
    ///
    /// let mut sum = 0;
    /// member.recv_up_to(32, |event| {
    ///     if let GroupEvent::Job(job) = event {
    ///         sum += job.record().len();
    ///     }
    /// })?;
    /// // What was done with all of them is kept, for example in one transaction.
    /// assert_eq!((sum, member.ack_all()?), (6, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`GroupError::Failed`]: some may be acknowledged.
    pub fn ack_all(&self) -> Result<u32, GroupError> {
        self.check()?;
        let (mut records, mut is_any_done) = (0, false);
        let mut done = |lease, bits: u32| {
            if bits != 0 {
                let acknowledged = self.set_done(lease, bits)?;
                is_any_done |= acknowledged == Acknowledged::Lease;
                records += if acknowledged == Acknowledged::Lost { 0 } else { bits.count_ones() };
            }
            Ok::<(), Error>(())
        };
        for (lease, open) in self.holding.older() {
            done(lease, open)?;
        }
        // What was taken, and not handed to the caller yet, is not done.
        let (lease, open) = self.holding.newest();
        done(lease, open & !self.ahead())?;
        if is_any_done {
            self.after_a_lease()?;
        }
        Ok(records)
    }

    /// Sets the bits of records that this member has, as far as it knows. `Lease`: call `after_a_lease`.
    #[inline(always)]
    fn set_done(&self, lease: (u64, u32), bits: u32) -> Result<Acknowledged, Error> {
        // Without a lease time nobody else changes the word while this member lives.
        let acknowledged = self.leases().acknowledge(lease, bits, self.lease_ns == 0);
        self.check_memory()?;
        if acknowledged == Acknowledged::Lost {
            self.leave(lease);
            return Ok(Acknowledged::Lost);
        }
        self.close(lease, bits, acknowledged)?;
        Ok(acknowledged)
    }

    /// These records of a lease are done. If nothing of it is open any more, what is to be given back is.
    #[inline(always)]
    pub(in crate::group) fn close(
        &self,
        lease: (u64, u32),
        bits: u32,
        acknowledged: Acknowledged,
    ) -> Result<(), Error> {
        let after = self.holding.close(lease, bits, false);
        if after == After::GiveBack && acknowledged == Acknowledged::Records {
            self.give_back(lease)?;
        }
        Ok(())
    }

    /// A lease is done: lets those go on who sleep until then. Under `Spin` nobody sleeps.
    #[inline(never)]
    pub(in crate::group) fn after_a_lease(&self) -> Result<(), Error> {
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
        if self.holding.open(lease) & bit(index) == 0 {
            return Err(GroupError::NotLeased { sequence });
        }
        let after = self.holding.close(lease, bit(index), true);
        if after == After::GiveBack {
            self.give_back(lease)?;
        }
        Ok(())
    }

    #[cold]
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
        let leases = self.holding.take();
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
