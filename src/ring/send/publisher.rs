//! Publishing: what a sender does with a record that is in the ring.

use super::totals::Totals;
use crate::atomics::Word;
use crate::error::SendError;
use crate::ring::Region;
use crate::ring::protocol::Place;
use crate::ring::protocol::writer::{Claimed, Writer};
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// The parts of a sender that publish. The region is borrowed apart from the state, so that a claim can hold the words
/// of its record beside them, instead of looking them up at each write.
pub(crate) struct Publisher<'a> {
    pub(crate) region: &'a Region,
    pub(crate) writer: &'a mut Writer,
    pub(super) totals: &'a mut Totals,
    pub(super) mode: WaitMode,
}

impl<'a> Publisher<'a> {
    /// The words for the payload of a claim, which must be the last one made.
    #[inline(always)]
    pub(crate) fn words(&self, claimed: Claimed) -> &'a [Word] {
        self.writer.open(self.region.areas(), claimed)
    }

    /// Publishes a record that was filled in place. Returns its sequence even if the file was cut short; that is
    /// permanent, and the next call reports it.
    ///
    /// Nothing checks for a fork here: a claim from before it has no words to publish, as documented.
    #[inline(always)]
    pub(crate) fn publish_claim(mut self, claimed: Claimed, words: &[Word]) -> u64 {
        if let Some(sequence) = self.writer.publish_fast(self.region.areas(), claimed, words) {
            self.wake();
            return sequence;
        }
        let Self { region, writer, totals, mode } = self;
        publish_slow(region, writer, totals, mode, claimed.len)
    }

    /// Adds a record that was filled in place to the batch. Returns the sequence it will have.
    #[inline]
    pub(crate) fn add_claim(self, claimed: Claimed) -> u64 {
        self.writer.stage(self.region.areas(), claimed.whole()).sequence.wrapping_sub(1)
    }

    /// Publishes staged records, and wakes the sleepers.
    pub(super) fn publish(&mut self, staged: Place) -> Result<(), SendError> {
        // Records written beyond the end of a file that was cut short are in no file: they must not be published.
        if self.region.memory_gone() {
            self.writer.withhold();
            return Err(self.region.fault().into());
        }
        self.writer.publish(self.region.areas(), staged);
        if self.writer.has_notes() {
            self.writer.write_notes(self.region.areas());
        }
        self.wake();
        // If the file was cut short, no reader sees it.
        if self.region.memory_gone() {
            return Err(self.region.fault().into());
        }
        Ok(())
    }

    /// Wakes consumers that sleep for records.
    #[inline(always)]
    pub(super) fn wake(&mut self) {
        if doorbell::notify(&self.region.areas().control.data, self.mode) {
            count_wake(self.region, self.totals);
        }
    }
}

/// As `Publisher::publish_claim`, for a claim that `publish_fast` does not take. Its arguments fit registers: a publisher
/// would be put together in memory for every record.
#[cold]
#[inline(never)]
fn publish_slow(region: &Region, writer: &mut Writer, totals: &mut Totals, mode: WaitMode, len: u32) -> u64 {
    let areas = region.areas();
    let claimed = writer.claimed(areas, len + areas.geometry.time_bytes());
    writer.stamp_claim(areas, claimed);
    let staged = writer.stage(areas, claimed);
    writer.repeat(areas, claimed, staged, claimed.words(areas));
    let _ = Publisher { region, writer, totals, mode }.publish(staged);
    staged.sequence.wrapping_sub(1)
}

/// A separate function: otherwise `wake` would build the areas for every record.
#[cold]
#[inline(never)]
fn count_wake(region: &Region, totals: &mut Totals) {
    totals.count_wake(region.areas());
}
