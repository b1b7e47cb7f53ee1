//! Sending on a ring whose records carry times. The fast ways of `send/mod.rs` decline there; the same with the time
//! are here, behind them.

use super::{Sender, TimeLimit};
use crate::error::SendError;
use crate::ring::geometry::Areas;
use crate::ring::protocol::Place;
use crate::ring::protocol::writer::{Claimed, Writer};

impl Sender {
    /// As `send_fast`, on a ring with times. A function of its own, so that the plain fast way is as short as without it; what it
    /// returns is in registers. `None`: nothing was done.
    #[cold]
    #[inline(never)]
    pub(super) fn send_timed(&mut self, payload: &[u8]) -> Option<u64> {
        if self.writer.copies_timed(payload.len()) {
            return self.send_timed_twice(payload);
        }
        self.send_timed_by(payload, |writer, areas, claimed, _, payload| {
            writer.fill_timed(areas, claimed, payload);
        })
    }

    /// With an inline copy. Apart: what it keeps between the copies is in memory, and would cost the way without a copy thirty
    /// stores.
    #[inline(never)]
    fn send_timed_twice(&mut self, payload: &[u8]) -> Option<u64> {
        self.send_timed_by(payload, Writer::fill_timed_twice)
    }

    #[inline(always)]
    fn send_timed_by(
        &mut self,
        payload: &[u8],
        fill: impl Fn(&mut Writer, Areas<'_>, Claimed, Place, &[u8]),
    ) -> Option<u64> {
        if self.region.broken() {
            return None;
        }
        let sequence = self.writer.send_timed(self.region.areas(), payload, fill)?;
        self.publisher().wake();
        Some(sequence)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn send_timed_slow(
        &mut self,
        payload: &[u8],
        time_limit: TimeLimit,
    ) -> Result<u64, SendError> {
        let claimed = self.claim_alone_slow(payload.len(), time_limit)?;
        let areas = self.region.areas();
        let staged = self.writer.stage(areas, claimed.whole());
        self.writer.fill_timed_twice(areas, claimed, staged, payload);
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
