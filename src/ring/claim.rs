//! Writing in place, and writing many at once.

use std::fmt;
use std::time::Instant;

use crate::atomics::Word;
use crate::atomics::copy;
use crate::error::SendError;
use crate::ring::protocol::writer::Claimed;
use crate::ring::send::{Sender, TimeLimit};

/// Room for one record, to be filled and published. Dropping it publishes nothing and gives the room back.
#[must_use = "a claim that is dropped publishes nothing"]
pub struct Claim<'a> {
    sender: &'a mut Sender,
    claimed: Claimed,
}

/// A write that would run past the end of its claim. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutOfClaim {
    /// Where the write began, in bytes from the start of the claim.
    pub offset: usize,
    /// Bytes to be written.
    pub bytes: usize,
    /// Bytes of the claim.
    pub len: usize,
}

impl fmt::Display for OutOfClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes, len } = self;
        write!(f, "{bytes} bytes at {offset} do not fit a claim of {len}; claim as much as is to be written")
    }
}

impl std::error::Error for OutOfClaim {}

impl<'a> Claim<'a> {
    pub(crate) fn new(sender: &'a mut Sender, claimed: Claimed) -> Self {
        Self { sender, claimed }
    }

    fn words(&self) -> &[Word] {
        self.claimed.words(self.sender.areas())
    }

    /// Payload bytes of the record.
    pub fn len(&self) -> usize {
        self.claimed.len as usize
    }

    /// Has the record no payload?
    pub fn is_empty(&self) -> bool {
        self.claimed.len == 0
    }

    /// Sequence that the record will have.
    pub fn sequence(&self) -> u64 {
        self.sender.writer().staged().sequence
    }

    /// Writes `bytes` at `offset` bytes from the start of the record. What is never written holds whatever the ring
    /// held there before.
    ///
    /// # Errors
    ///
    /// [`OutOfClaim`] if they do not fit.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfClaim> {
        let len = self.len();
        if offset.checked_add(bytes.len()).is_none_or(|end| end > len) {
            return Err(OutOfClaim { offset, bytes: bytes.len(), len });
        }
        copy::write_at(self.words(), offset, bytes);
        Ok(())
    }

    /// The record's bytes, to be written where they are. `None` unless the ring was created
    /// [`gated_only`](crate::Options::gated_only): elsewhere a consumer may be reading these words for the lap before.
    ///
    /// # Safety
    ///
    /// This is memory of the ring. The caller trusts every process that can write the file not to touch the words
    /// of a claim, and every one that can read it to be gated: consumers and observers of this library are.
    ///
    /// One kind of read may still meet bytes that are being filled: a consumer that is attaching walks over headers from
    /// the index, and the producer may have been let past its gate before that opened. Payloads it reads from the
    /// newest record on, which the gate holds; or, under a name that was held, from a place that it held all the time. If the ring laps it on the way, it takes payload bytes of a claim for
    /// a header. It loads them as atomics, checks what it makes of them, finds that it was lapped, and begins anew:
    /// nothing is made of those bytes. But the words are then read while they are written with plain stores, which is
    /// a data race by the letter of the language, although no machine that this library runs on tells them apart.
    #[cfg(not(loom))]
    #[allow(unsafe_code, reason = "hands its contract on to the caller")]
    pub unsafe fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        if !self.sender.region().geometry().gated_only {
            return None;
        }
        // SAFETY: the caller's promise; `&mut self` keeps this handle from touching the words meanwhile.
        Some(unsafe { copy::slice_mut(self.words(), self.claimed.len as usize) })
    }

    /// Makes the record visible. Returns its sequence. If memory of the ring is gone
    /// ([`SendError::Truncated`](crate::SendError::Truncated)), it is not visible, and the next call says so.
    pub fn publish(self) -> u64 {
        self.sender.publish_claim(self.claimed)
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("sequence", &self.sequence()).field("len", &self.len()).finish()
    }
}

/// Records that become visible together. Dropping it publishes none of them.
///
/// A batch spans at most half the ring. Its records get no inline copy: batches are for throughput.
#[must_use = "a batch that is dropped publishes nothing"]
pub struct Batch<'a> {
    sender: &'a mut Sender,
    records: u64,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(sender: &'a mut Sender) -> Self {
        Self { sender, records: 0 }
    }

    /// Adds a copy of `payload`; returns the sequence it will have. Waits while a gated consumer holds the space.
    ///
    /// # Errors
    ///
    /// [`SendError::BatchFull`] if it would span more than half the ring; [`SendError::TooLarge`],
    /// [`SendError::Forked`]. What was added before stays.
    #[inline]
    pub fn send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        self.add(payload, TimeLimit::Infinite)
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Full`] while a gated consumer holds the space.
    #[inline]
    pub fn try_send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        self.add(payload, TimeLimit::Zero)
    }

    /// As [`send`](Self::send), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TimedOut`].
    pub fn send_deadline(&mut self, payload: &[u8], deadline: Instant) -> Result<u64, SendError> {
        self.add(payload, TimeLimit::Until(deadline))
    }

    /// Adds a copy of each payload, in order; returns how many. Waits while a gated consumer holds the space. Faster than
    /// so many calls of [`send`](Self::send), most of all where all are of a length that the compiler knows, as arrays are.
    /// If `payloads` panics, some of those before it may be left out; [`records`](Self::records) is right all the same.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). What was added before stays: [`records`](Self::records) tells how much that is.
    #[inline]
    pub fn send_all<P: AsRef<[u8]>>(
        &mut self,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<u64, SendError> {
        self.add_all(payloads, TimeLimit::Infinite)
    }

    /// As [`send_all`](Self::send_all), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send). What was added before stays.
    #[inline]
    pub fn try_send_all<P: AsRef<[u8]>>(
        &mut self,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<u64, SendError> {
        self.add_all(payloads, TimeLimit::Zero)
    }

    #[inline(always)]
    pub(super) fn add_all<P: AsRef<[u8]>>(
        &mut self,
        payloads: impl IntoIterator<Item = P>,
        time_limit: TimeLimit,
    ) -> Result<u64, SendError> {
        let before = self.records;
        let mut payloads = payloads.into_iter();
        loop {
            let (added, rest) = self.sender.add_run(&mut payloads);
            self.records += added;
            let Some(payload) = rest else { return Ok(self.records - before) };
            self.sender.add_slow(payload.as_ref(), time_limit)?;
            self.records += 1;
        }
    }

    #[inline(always)]
    fn add(&mut self, payload: &[u8], time_limit: TimeLimit) -> Result<u64, SendError> {
        let sequence = self.sender.add(payload, time_limit)?;
        self.records += 1;
        Ok(sequence)
    }

    /// Claims room for a record of `len` payload bytes within the batch.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn claim(&mut self, len: usize) -> Result<BatchClaim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Infinite)
    }

    /// As [`claim`](Self::claim), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_claim(&mut self, len: usize) -> Result<BatchClaim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Zero)
    }

    pub(super) fn claim_with(
        &mut self,
        len: usize,
        time_limit: TimeLimit,
    ) -> Result<BatchClaim<'_>, SendError> {
        let claimed = self.sender.claim(len, time_limit)?;
        Ok(BatchClaim { claim: Claim::new(self.sender, claimed), records: &mut self.records })
    }

    /// Records added so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Makes every record of the batch visible at once. Returns the last one's sequence; `None`: it was empty, or memory
    /// of the ring is gone and nothing is visible, as the next call says.
    pub fn publish(self) -> Option<u64> {
        if self.records == 0 {
            return None;
        }
        self.sender.publish_batch().ok()
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.sender.end_batch();
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("records", &self.records).finish_non_exhaustive()
    }
}

/// Room for one record of a batch. Dropping it leaves the record out.
#[must_use = "a claim that is dropped adds nothing to its batch"]
#[derive(Debug)]
pub struct BatchClaim<'a> {
    claim: Claim<'a>,
    records: &'a mut u64,
}

impl BatchClaim<'_> {
    /// Payload bytes of the record.
    pub fn len(&self) -> usize {
        self.claim.len()
    }

    /// Has the record no payload?
    pub fn is_empty(&self) -> bool {
        self.claim.is_empty()
    }

    /// As [`Claim::write_at`].
    ///
    /// # Errors
    ///
    /// As [`Claim::write_at`].
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfClaim> {
        self.claim.write_at(offset, bytes)
    }

    /// The record is complete and joins the batch. Returns the sequence it will have.
    pub fn add(self) -> u64 {
        *self.records += 1;
        self.claim.sender.add_claim(self.claim.claimed)
    }
}
