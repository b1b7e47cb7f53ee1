//! More ways to write: with a timeout instead of a deadline, and through `std::io::Write`.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::error::SendError;
use crate::ring::claim::{Batch, BatchClaim, Claim, OutOfClaim};
use crate::ring::producer::Producer;
use crate::ring::send::TimeLimit;

/// The deadline `timeout` from now; about 30 years from now if the clock cannot represent it.
fn deadline(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}

impl Producer {
    /// As [`send_deadline`](Self::send_deadline), `timeout` from now.
    ///
    /// # Errors
    ///
    /// As [`send_deadline`](Self::send_deadline).
    pub fn send_timeout(&mut self, payload: &[u8], timeout: Duration) -> Result<u64, SendError> {
        self.send_deadline(payload, deadline(timeout))
    }

    /// As [`claim_deadline`](Self::claim_deadline), `timeout` from now.
    ///
    /// # Errors
    ///
    /// As [`claim_deadline`](Self::claim_deadline).
    pub fn claim_timeout(&mut self, len: usize, timeout: Duration) -> Result<Claim<'_>, SendError> {
        self.claim_deadline(len, deadline(timeout))
    }

    /// Returns an [`io::Write`] in which each `flush` publishes one record: see [`RecordWriter`].
    pub fn record_writer(&mut self) -> RecordWriter<'_> {
        RecordWriter { producer: self, record: Vec::new() }
    }
}

impl Batch<'_> {
    /// As [`send_deadline`](Self::send_deadline), `timeout` from now.
    ///
    /// # Errors
    ///
    /// As [`send_deadline`](Self::send_deadline).
    pub fn send_timeout(&mut self, payload: &[u8], timeout: Duration) -> Result<u64, SendError> {
        self.send_deadline(payload, deadline(timeout))
    }

    /// As [`send_all`](Self::send_all), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send_deadline`](Self::send_deadline). What was added before stays.
    pub fn send_all_deadline<P: AsRef<[u8]>>(
        &mut self,
        payloads: impl IntoIterator<Item = P>,
        deadline: Instant,
    ) -> Result<u64, SendError> {
        self.add_all(payloads, TimeLimit::Until(deadline))
    }

    /// As [`claim`](Self::claim), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send_deadline`](Self::send_deadline).
    pub fn claim_deadline(&mut self, len: usize, deadline: Instant) -> Result<BatchClaim<'_>, SendError> {
        self.claim_with(len, TimeLimit::Until(deadline))
    }

    /// As [`claim_deadline`](Self::claim_deadline), `timeout` from now.
    ///
    /// # Errors
    ///
    /// As [`claim_deadline`](Self::claim_deadline).
    pub fn claim_timeout(&mut self, len: usize, timeout: Duration) -> Result<BatchClaim<'_>, SendError> {
        self.claim_deadline(len, deadline(timeout))
    }
}

/// Writes records whose length is not known in advance: each `flush` publishes what was written since the one before
/// as one record. Until then the bytes are buffered in memory of this process. The record is sent as by
/// [`Producer::send`], so a full ring is waited for. A `flush` with nothing to send does nothing; use
/// [`Producer::send`] for a record without payload.
///
/// Dropping it discards what was not flushed, as with a claim. Wrapping it in a buffer of the standard library is not
/// needed, and does not change where a record ends.
///
/// ```
/// use std::io::Write;
///
/// use quoit::{Attach, Options, Ring};
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut consumer = ring.consumer(&Attach::gated())?;
/// let mut producer = ring.producer()?;
/// let mut writer = producer.record_writer();
/// write!(writer, "{} {}", "EURUSD", 10842)?;
/// writer.flush()?;
/// assert_eq!(consumer.recv_record(|_| {})?.to_vec(), b"EURUSD 10842");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a writer that is dropped discards what was not flushed"]
pub struct RecordWriter<'a> {
    producer: &'a mut Producer,
    record: Vec<u8>,
}

impl RecordWriter<'_> {
    /// Bytes written since the last record.
    pub fn buffered(&self) -> usize {
        self.record.len()
    }

    /// Publishes what was written as a record, as `flush` does, and returns its sequence. `None`: nothing was
    /// written.
    ///
    /// # Errors
    ///
    /// As [`Producer::send`]. What was written stays buffered: call this again, or [clear](Self::clear) it.
    pub fn publish(&mut self) -> Result<Option<u64>, SendError> {
        if self.record.is_empty() {
            return Ok(None);
        }
        let sequence = self.producer.send(&self.record)?;
        self.record.clear();
        Ok(Some(sequence))
    }

    /// Discards what was written since the last record.
    pub fn clear(&mut self) {
        self.record.clear();
    }
}

impl io::Write for RecordWriter<'_> {
    /// Takes all of `bytes`. If the record would exceed the largest of the ring, takes nothing and returns
    /// [`io::ErrorKind::InvalidInput`], with [`SendError::TooLarge`] as its source.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (len, max) = (self.record.len().saturating_add(bytes.len()), self.producer.max_len());
        if len > max {
            return Err(SendError::TooLarge { len, max }.into());
        }
        self.record.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Publishes the record.
    fn flush(&mut self) -> io::Result<()> {
        self.publish()?;
        Ok(())
    }
}

impl fmt::Debug for RecordWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordWriter").field("buffered", &self.buffered()).finish_non_exhaustive()
    }
}

/// A claim of either kind.
trait WriteAt {
    fn len(&self) -> usize;
    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfClaim>;
}

impl WriteAt for Claim<'_> {
    fn len(&self) -> usize {
        self.len()
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfClaim> {
        self.write_at(offset, bytes)
    }
}

impl WriteAt for BatchClaim<'_> {
    fn len(&self) -> usize {
        self.len()
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OutOfClaim> {
        self.write_at(offset, bytes)
    }
}

impl Claim<'_> {
    /// Fills the claim from its start through [`io::Write`]: see [`ClaimWriter`].
    pub fn writer(&mut self) -> ClaimWriter<'_> {
        ClaimWriter { claim: self, written: 0 }
    }
}

impl BatchClaim<'_> {
    /// Fills the claim from its start through [`io::Write`]: see [`ClaimWriter`].
    pub fn writer(&mut self) -> ClaimWriter<'_> {
        ClaimWriter { claim: self, written: 0 }
    }
}

/// Fills a claim from its start. At the end of the claim it takes no more bytes, so `write_all` fails with
/// [`io::ErrorKind::WriteZero`]. Flushing does nothing: the claim is published separately.
///
/// ```
/// use std::io::Write;
///
/// use quoit::{Options, Ring};
///
/// let mut producer = Ring::heap(&Options::new().capacity(4096))?.producer()?;
/// let mut claim = producer.claim(8)?;
/// let mut writer = claim.writer();
/// writer.write_all(&7_u32.to_le_bytes())?;
/// writer.fill_rest(0);
/// claim.publish();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ClaimWriter<'a> {
    claim: &'a mut dyn WriteAt,
    written: usize,
}

impl ClaimWriter<'_> {
    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Bytes of the claim that are left.
    pub fn remaining(&self) -> usize {
        self.claim.len() - self.written
    }

    /// Fills the rest of the claim with `byte`. Bytes that are never written hold whatever the ring held there
    /// before.
    pub fn fill_rest(&mut self, byte: u8) {
        let block = [byte; 256];
        while self.remaining() > 0 {
            self.put(&block);
        }
    }

    /// Writes as much of `bytes` as fits, and returns how much.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.remaining());
        match self.claim.write_at(self.written, &bytes[..len]) {
            Ok(()) => self.written += len,
            // It fits.
            Err(_) => return 0,
        }
        len
    }
}

impl io::Write for ClaimWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.put(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for ClaimWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimWriter")
            .field("written", &self.written)
            .field("remaining", &self.remaining())
            .finish()
    }
}
