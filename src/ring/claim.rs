//! Writing in place (claims), and writing several records at once (batches).

use std::fmt;
use std::time::Instant;

use crate::atomics::Word;
use crate::atomics::copy;
use crate::error::SendError;
use crate::ring::protocol::writer::Claimed;
use crate::ring::send::{Publisher, Sender, TimeLimit};

/// Room for one record, to be filled in place and published. Dropping a claim publishes nothing and returns the room.
#[must_use = "a claim that is dropped publishes nothing"]
pub struct Claim<'a> {
    publisher: Publisher<'a>,
    claimed: Claimed,
    /// The words of the payload.
    words: &'a [Word],
}

/// The error of a write that would pass the end of its claim. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutOfClaim {
    /// Offset of the write, in bytes from the start of the claim.
    pub offset: usize,
    /// Length of the write in bytes.
    pub bytes: usize,
    /// Length of the claim in bytes.
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
    #[inline(always)]
    pub(crate) fn new(sender: &'a mut Sender, claimed: Claimed) -> Self {
        let publisher = sender.publisher();
        let words = publisher.words(claimed);
        Self { publisher, claimed, words }
    }

    /// Payload bytes of the record.
    #[inline]
    pub fn len(&self) -> usize {
        self.claimed.len as usize
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.claimed.len == 0
    }

    /// The sequence the record will have.
    pub fn sequence(&self) -> u64 {
        self.publisher.writer.staged().sequence
    }

    /// Writes `bytes` at `offset` bytes from the start of the record. Bytes that are never written hold whatever the
    /// ring held there before.
    ///
    /// # Errors
    ///
    /// [`OutOfClaim`] if they do not fit.
    #[inline(always)]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfClaim> {
        let len = self.len();
        if offset.checked_add(bytes.len()).is_none_or(|end| end > len) {
            return Err(OutOfClaim { offset, bytes: bytes.len(), len });
        }
        copy::write_at(self.words, offset, bytes);
        Ok(())
    }

    /// The record's bytes, to be written in place. `None` unless the ring was created
    /// [`gated_only`](crate::Options::gated_only): on other rings a consumer may still be reading the previous lap's
    /// record in these words.
    ///
    /// # Safety
    ///
    /// The slice is shared memory. The caller promises that no process that can write the file touches the words of a
    /// claim, and that every process that reads the ring respects the gates. Handles of this library do.
    ///
    /// One kind of read may still load bytes that are being filled. A consumer that attaches walks from header to
    /// header, starting at the index, and the producer may have been allowed past its gate before the gate opened.
    /// The consumer reads payloads only from the newest record on, which its gate protects, or, under a name that was
    /// held, from a place protected all along. But if the producer laps it during the walk, it may take payload bytes
    /// of a claim for a header. It loads them as atomics, checks the result, finds that it was lapped, discards them
    /// and starts again. These words are then read while they are written with plain stores. By the rules of the
    /// language that is a data race, although no supported machine behaves differently.
    #[cfg(not(loom))]
    #[allow(unsafe_code, reason = "hands its contract on to the caller")]
    pub unsafe fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        if !self.publisher.region.geometry().gated_only {
            return None;
        }
        // SAFETY: the caller's promise; `&mut self` prevents this handle from touching the words meanwhile.
        Some(unsafe { copy::slice_mut(self.words, self.claimed.len as usize) })
    }

    /// Publishes the record and returns its sequence. If the file was cut short, the record is not published, and the
    /// next call returns [`SendError::Truncated`](crate::SendError::Truncated).
    #[inline(always)]
    pub fn publish(self) -> u64 {
        self.publisher.publish_claim(self.claimed, self.words)
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("sequence", &self.sequence()).field("len", &self.len()).finish()
    }
}

/// Records that are published together. Dropping a batch publishes none of them.
///
/// A batch spans at most half the ring. Its records get no inline copy, because batches are for throughput.
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

    /// Adds a copy of each payload, in order; returns how many. Waits while a gated consumer holds the space. Faster
    /// than calling [`send`](Self::send) for each, especially for payloads whose length the compiler knows, such as
    /// arrays. If `payloads` panics, some of the payloads before the panic may be missing from the batch;
    /// [`records`](Self::records) still gives the right count.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). Payloads added before the error stay in the batch: see [`records`](Self::records).
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
            let Some(payload) = rest else { break };
            if self.sender.is_timed() {
                self.add_all_timed(payload, payloads, time_limit)?;
                break;
            }
            self.sender.add_slow(payload.as_ref(), time_limit)?;
            self.records += 1;
        }
        Ok(self.records - before)
    }

    /// The first payload, and all the others, on a ring whose records carry times. The iterator is moved here, so that the
    /// compiler can keep it in registers.
    #[cold]
    #[inline(never)]
    fn add_all_timed<P: AsRef<[u8]>>(
        &mut self,
        payload: P,
        mut payloads: impl Iterator<Item = P>,
        time_limit: TimeLimit,
    ) -> Result<(), SendError> {
        let (mut added, mut rest) = self.sender.add_run_timed(&mut std::iter::once(payload));
        loop {
            self.records += added;
            if let Some(payload) = rest {
                self.sender.add_slow(payload.as_ref(), time_limit)?;
                self.records += 1;
            }
            (added, rest) = self.sender.add_run_timed(&mut payloads);
            if rest.is_none() {
                self.records += added;
                return Ok(());
            }
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
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<BatchClaim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Infinite)
    }

    /// As [`claim`](Self::claim), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    #[inline]
    pub fn try_claim(&mut self, len: usize) -> Result<BatchClaim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Zero)
    }

    #[inline(always)]
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

    /// Publishes every record of the batch at once, and returns the sequence of the last. `None`: the batch was
    /// empty, or the file was cut short; then nothing is published, and the next call returns
    /// [`SendError::Truncated`](crate::SendError::Truncated).
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
    #[inline]
    pub fn len(&self) -> usize {
        self.claim.len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.claim.is_empty()
    }

    /// As [`Claim::write_at`].
    ///
    /// # Errors
    ///
    /// As [`Claim::write_at`].
    #[inline(always)]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfClaim> {
        self.claim.write_at(offset, bytes)
    }

    /// Adds the complete record to the batch. Returns the sequence it will have.
    #[inline]
    pub fn add(self) -> u64 {
        *self.records += 1;
        self.claim.publisher.add_claim(self.claim.claimed)
    }
}
