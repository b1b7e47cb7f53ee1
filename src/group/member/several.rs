//! How a member receives several records in one call.

use std::time::Instant;

use crate::group::error::GroupError;
use crate::group::holding::bit;
use crate::group::layout::MOST_RECORDS;
use crate::group::member::job::Job;
use crate::group::member::{Current, GroupEvent, GroupMember, Ready};
use crate::group::until::Until;
use crate::ring::protocol::record::Record;

impl GroupMember {
    /// Waits until there is a record, takes up to `most` records that are there, 1 to 32, and passes them to `each`.
    /// Returns how many events these were. One turn takes them all, so this is the fastest way to receive many; a record
    /// of them that is given back is handed out again once this member has acknowledged, or given back, the others.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv). Records passed to `each` before the error are this member's.
    #[inline]
    pub fn recv_up_to(&mut self, most: u32, each: impl FnMut(GroupEvent<'_>)) -> Result<u32, GroupError> {
        self.several(most, Until::NEVER, each)
    }

    /// As [`recv_up_to`](Self::recv_up_to), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_deadline`](Self::recv_deadline).
    #[inline]
    pub fn recv_up_to_deadline(
        &mut self,
        most: u32,
        deadline: Instant,
        each: impl FnMut(GroupEvent<'_>),
    ) -> Result<u32, GroupError> {
        self.several(most, Until::Deadline(deadline), each)
    }

    #[inline(always)]
    fn several(
        &mut self,
        most: u32,
        until: Until,
        mut each: impl FnMut(GroupEvent<'_>),
    ) -> Result<u32, GroupError> {
        let most = most.clamp(1, MOST_RECORDS);
        let mut count = 0;
        while count == 0 {
            let ready = self.wait(most, until)?;
            count = if self.ring.geometry().timed {
                self.pass_timed(most, &mut each)
            } else {
                self.pass_in_place(most, false, &mut each)
            };
            if count < most && (count == 0 || self.has_current()) {
                count += self.pass_rest(ready, count, most, &mut each)?;
            }
        }
        Ok(count)
    }

    /// Passes on the records of the lease that are read where they are, and in one piece. Returns how many.
    ///
    /// Only here does the compiler know the type of `each` (`pass_rest` has a `dyn`), so it inlines it, and a job stays in
    /// registers: one that is stored word by word and loaded in vectors waits for its stores.
    #[inline(always)]
    fn pass_in_place(
        &mut self,
        most: u32,
        is_timed: bool,
        each: &mut (impl FnMut(GroupEvent<'_>) + ?Sized),
    ) -> u32 {
        let areas = self.ring.areas();
        let Current { lease, ahead: left } = &self.current;
        let Some(mut run) = self.reader.run_to(areas, lease.end.position) else { return 0 };
        let mut count = 0;
        while count < most {
            // Once all of its own are done, the rest of the lease may be overwritten.
            let ahead = left.get();
            if ahead == 0 || self.is_broken() {
                break;
            }
            let Some((sequence, len, words)) = run.step() else { break };
            let index = sequence.wrapping_sub(lease.place.sequence) as u32;
            if ahead & bit(index) == 0 {
                continue;
            }
            let record = Record::lent(sequence, len as usize, words);
            // A record too short for a time is an error, which `read_next` reports. The reader has not moved, so `read_next`
            // starts where this run did, and skips what was handed out.
            let Some(record) = (if is_timed { record.with_time() } else { Some(record) }) else {
                return count;
            };
            left.set(ahead & !bit(index));
            count += 1;
            each(GroupEvent::Job(Job::new(self, record, index)));
        }
        self.reader.go_to(&run);
        count
    }

    /// The same where records carry times. Apart, since a record that may have one of two forms does not stay in registers.
    #[inline(never)]
    fn pass_timed(&mut self, most: u32, each: &mut dyn FnMut(GroupEvent<'_>)) -> u32 {
        self.pass_in_place(most, true, each)
    }

    /// Passes on what is ready, and the rest of the lease: copies, the records behind the end of the ring, and losses.
    #[inline(never)]
    fn pass_rest(
        &mut self,
        ready: Ready,
        from: u32,
        most: u32,
        each: &mut dyn FnMut(GroupEvent<'_>),
    ) -> Result<u32, GroupError> {
        let mut count = 0;
        if let Ready::Lost(lost) = ready {
            each(GroupEvent::Lost(lost));
            count += 1;
        }
        while from + count < most
            && self.has_current()
            && let Some(next) = self.read_next()?
        {
            each(self.lend(next));
            count += 1;
        }
        Ok(count)
    }
}
