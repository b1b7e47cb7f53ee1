//! How a member puts a record aside that was handed out as often as it may be.
//!
//! ```text
//! 1  in a turn: a member gets the record alone, and no other member gets it any more
//! 2  it becomes the producer of the ring for dead letters, publishes the record there, and ends that stream
//! 3  it acknowledges the record
//! ```
//!
//! A member that is killed before step 3 leaves the record with its count, so the next one begins with step 1. The record is
//! there once or several times, and in no other member's hands.

use crate::group::dead_letters::DeadLetter;
use crate::group::error::GroupError;
use crate::group::member::GroupMember;
use crate::group::member::job::JobId;
use crate::group::until::Until;
use crate::ring::protocol::reader::Taken;
use crate::wait::doorbell;
use crate::wait::timestamp;

/// How long a member leaves a record alone that could not be put aside, ns.
const AGAIN_NS: u64 = doorbell::SLICE_NS;

impl GroupMember {
    /// Puts a record aside, which this member was handed for that.
    #[cold]
    pub(super) fn put_aside(&mut self, taken: Taken, index: u32, until_ns: u64) -> Result<(), GroupError> {
        let Some(dead_letters) = &self.dead_letters else { return Ok(()) };
        let job = self.job(taken, index);
        let (payload, id, deliveries) = (job.record().to_vec(), job.id(), job.deliveries());
        self.check_memory()?;
        let JobId { sequence, lease, .. } = id;
        let letter = DeadLetter { ring: self.ring.id(), sequence, deliveries, payload: &payload };
        if let Err(error) = dead_letters.send(letter, until_ns) {
            self.again_ns.set(timestamp::now_ns().saturating_add(AGAIN_NS));
            self.leave(lease);
            self.in_turn(Until::NEVER, |member| {
                member.leases().shelve(member.me(), lease);
                Ok(())
            })?;
            return Err(GroupError::DeadLetter { sequence, error });
        }
        match self.ack(id) {
            // Its lease time is over: another member puts it aside once more.
            Err(GroupError::NotLeased { .. }) => Ok(()),
            acknowledged => acknowledged,
        }?;
        self.in_turn(Until::NEVER, |member| {
            member.leases().count_dead_letter();
            Ok(())
        })?;
        Ok(())
    }
}
