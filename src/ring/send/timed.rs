//! Sending on a ring whose records carry times. The fast ways of `send/mod.rs` decline there; the same with the time
//! are here, behind them.

use super::{Sender, TimeLimit};
use crate::error::SendError;
use crate::ring::protocol::writer::Claimed;

impl Sender {
    #[inline(always)]
    pub(super) fn send_timed(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        // As in `send_fast`.
        if !self.region.broken()
            && let Some(sequence) = self.writer.send_timed(self.region.areas(), payload)
        {
            self.publisher().wake();
            return Ok(sequence);
        }
        self.send_timed_slow(payload, time_limit)
    }

    /// A function of its own, so that what it keeps in memory is none of the fast way's.
    #[cold]
    #[inline(never)]
    fn send_timed_slow(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        let claimed = self.claim_alone_slow(payload.len(), time_limit)?;
        let areas = self.region.areas();
        let staged = self.writer.stage(areas, claimed.whole());
        self.writer.fill_timed(areas, claimed, staged, payload);
        self.publisher().publish(staged)?;
        Ok(staged.sequence.wrapping_sub(1))
    }

    /// As `add_run`.
    #[inline(always)]
    pub(crate) fn add_run_timed<P: AsRef<[u8]>>(
        &mut self,
        payloads: &mut impl Iterator<Item = P>,
    ) -> (u64, Option<P>) {
        let region = &self.region;
        self.writer.add_run_timed(region.areas(), payloads, || !region.broken())
    }

    /// Room for a record of `len` payload bytes, and for its time, which the claim leaves out.
    pub(super) fn claim_timed(&mut self, len: u32, time_limit: TimeLimit) -> Result<Claimed, SendError> {
        let (areas, whole) = (self.region.areas(), len + self.region.geometry().time_bytes());
        let claimed = match self.writer.claim_timed(areas, whole) {
            Some(claimed) => claimed,
            None => self.claim_checked(whole, time_limit)?,
        };
        Ok(claimed.behind_time())
    }
}
