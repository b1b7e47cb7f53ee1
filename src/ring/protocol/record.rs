//! What receiving yields: records, losses, and changes of the stream or the consumer.

use std::borrow::Cow;

use crate::atomics::{Word, at, copy};
use crate::ring::geometry::Geometry;
use crate::ring::layout::TIME_BYTES;
use crate::ring::protocol::Place;
use crate::wait::timestamp::Timestamp;

/// What a consumer receives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The next record.
    Record(Record<'a>),
    /// Records were overwritten before they were read. Reading continues at an intact one.
    Lost(Loss),
    /// The producer took this consumer's gate: it exceeded its budget, or its eviction was requested. From here on it
    /// is lossy.
    Evicted,
    /// The records from here on come from another producer, which took over. Sequences continue without a gap. If
    /// several producers took over since the last receive that found something, only the latest takeover is reported,
    /// where it began.
    ProducerChanged {
        /// The number of the producer: 1 for the first that opened the ring.
        epoch: u64,
    },
}

impl<'a> Event<'a> {
    /// The record, if the event is one.
    #[inline]
    pub fn record(self) -> Option<Record<'a>> {
        match self {
            Self::Record(record) => Some(record),
            _ => None,
        }
    }
}

/// The state of the stream, for callers that do not wait: see [`Consumer::status`](crate::Consumer::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// There is something to receive, or there may be later: the producer lives, or none has opened the ring yet.
    Streaming,
    /// Everything was received and the producer ended cleanly. Another producer may take over.
    Closed,
    /// Everything was received and the producer died. Another producer may take over.
    ProducerGone,
    /// Everything was received that the stage has released which this consumer [follows](crate::Attach::after), and the
    /// stage is gone: see [`RecvError::StageGone`](crate::RecvError::StageGone).
    StageGone,
}

/// One gap in what a consumer received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Number of records lost, exact.
    pub records: u64,
    /// Their payload bytes, exact.
    pub bytes: u64,
    /// Why they were lost.
    pub cause: LossCause,
    /// Sequence of the first record lost.
    pub first: u64,
    /// Sequence of the record at which reading continues.
    pub next: u64,
}

/// Why records were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossCause {
    /// The producer lapped a consumer that does not hold it back.
    Overrun,
    /// The consumer had been evicted, and was overwritten as a lossy one.
    Evicted,
    /// The consumer was away, and its name was not held.
    Away,
    /// The consumer started in the past, and the producer could overwrite that part of the ring until the gate held.
    /// No record published after the attach is lost by this. Such losses are in no account: no guarantee covers
    /// records published before the gate existed.
    Attaching,
}

/// Everything that a consumer has lost, over all attachments under its name, except records overwritten before its
/// gate held ([`LossCause::Attaching`]); and what it has skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossAccount {
    /// Records.
    pub records: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Number of gaps, each a run of lost records.
    pub gaps: u64,
    /// Records of the largest gap.
    pub largest_gap: u64,
    /// Sequence of the first record lost; not meaningful while `gaps` is 0.
    pub first: u64,
    /// Sequence of the last record lost; not meaningful while `gaps` is 0.
    pub last: u64,
    /// Records lost by [`LossCause::Overrun`].
    pub overrun: u64,
    /// Records lost by [`LossCause::Evicted`].
    pub evicted: u64,
    /// Records lost by [`LossCause::Away`].
    pub away: u64,
    /// What was skipped on request. It is in none of the other fields.
    pub skipped: Skipped,
}

/// Records that a reader skipped on request, without receiving them. They do not count as lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Number of records, exact.
    pub records: u64,
    /// Their payload bytes, exact.
    pub bytes: u64,
}

impl Skipped {
    /// What is between two places.
    pub(crate) fn between(left: Place, place: Place, geometry: &Geometry) -> Self {
        let records = place.sequence.wrapping_sub(left.sequence);
        Self { records, bytes: geometry.payload_bytes(place.bytes.wrapping_sub(left.bytes), records) }
    }

    /// What was added since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            records: self.records.wrapping_sub(before.records),
            bytes: self.bytes.wrapping_sub(before.bytes),
        }
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.records = self.records.wrapping_add(more.records);
        self.bytes = self.bytes.wrapping_add(more.bytes);
    }
}

/// Where a named consumer resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// Sequence of the record at which it continues.
    pub sequence: u64,
    /// What was overwritten while it was away. The loss is also the first event it receives.
    pub lost: Option<Loss>,
}

/// A record, borrowed until the next receive or release.
///
/// If the producer cannot overwrite it (a gated consumer without a budget), the payload is still in the ring, and
/// [`copy_to`](Self::copy_to) makes the only copy. Otherwise it was copied out, and the copy checked, before the
/// record was lent.
#[derive(Debug)]
pub struct Record<'a> {
    sequence: u64,
    len: usize,
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    /// A private copy.
    Copied(&'a [u8]),
    /// Words of the ring that are not overwritten before they are released.
    Lent(&'a [Word]),
    /// The same on a ring with times: the publish time, and the payload behind it.
    CopiedTimed(Timestamp, &'a [u8]),
    LentTimed(Timestamp, &'a [Word]),
}

impl<'a> Record<'a> {
    pub(crate) fn copied(sequence: u64, bytes: &'a [u8]) -> Self {
        Self { sequence, len: bytes.len(), source: Source::Copied(bytes) }
    }

    pub(crate) fn lent(sequence: u64, len: usize, words: &'a [Word]) -> Self {
        Self { sequence, len, source: Source::Lent(words) }
    }

    /// The same record of a ring with times: its first bytes are its publish time. `None`: it is too short for one.
    pub(crate) fn with_time(self) -> Option<Self> {
        let len = self.len.checked_sub(TIME_BYTES as usize)?;
        let source = match self.source {
            Source::Copied(bytes) => {
                let (time, payload) = bytes.split_first_chunk()?;
                Source::CopiedTimed(Timestamp::from_nanos(u64::from_le_bytes(*time)), payload)
            }
            Source::Lent(words) => {
                let (time, payload) = words.split_first()?;
                Source::LentTimed(Timestamp::from_nanos(time.load_gated(at!(R2_PAYLOAD, Relaxed))), payload)
            }
            timed => timed,
        };
        Some(Self { len, source, ..self })
    }

    /// When the record was published, on the machine's monotonic clock: taken from the clock just before it became visible.
    /// Never before the time of an earlier record of the ring. Records of a batch have the same time. `None`: the ring was
    /// made without [`Options::times`](crate::Options::times).
    #[inline]
    pub fn time(&self) -> Option<Timestamp> {
        match self.source {
            Source::Copied(_) | Source::Lent(_) => None,
            Source::CopiedTimed(time, _) | Source::LentTimed(time, _) => Some(time),
        }
    }

    /// The record's number in the stream: one more than that of the record published before it.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Payload bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the payload to the start of `buffer`, truncated if `buffer` is shorter. Returns the number of bytes
    /// copied.
    #[inline]
    pub fn copy_to(&self, buffer: &mut [u8]) -> usize {
        let len = self.len.min(buffer.len());
        match self.source {
            Source::Copied(bytes) | Source::CopiedTimed(_, bytes) => {
                buffer[..len].copy_from_slice(&bytes[..len])
            }
            Source::Lent(words) | Source::LentTimed(_, words) => copy::read(words, &mut buffer[..len], true),
        }
        len
    }

    /// Appends the payload to `buffer`.
    #[inline]
    pub fn append_to(&self, buffer: &mut Vec<u8>) {
        match self.source {
            Source::Copied(bytes) | Source::CopiedTimed(_, bytes) => buffer.extend_from_slice(bytes),
            Source::Lent(words) | Source::LentTimed(_, words) => {
                copy::read_vec(words, self.len, buffer, true)
            }
        }
    }

    /// The payload as a new vector.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.append_to(&mut bytes);
        bytes
    }

    /// The payload: borrowed if it was copied out already, a copy if it is still in the ring.
    #[inline]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        match self.source {
            Source::Copied(bytes) | Source::CopiedTimed(_, bytes) => Cow::Borrowed(bytes),
            Source::Lent(_) | Source::LentTimed(..) => Cow::Owned(self.to_vec()),
        }
    }

    /// The payload in place, without a copy.
    ///
    /// # Safety
    ///
    /// For a record of a gated consumer this is shared memory. The caller promises that no process that can write the
    /// file touches the record before it is released. The producer of this library does not.
    #[cfg(not(loom))]
    #[allow(unsafe_code, reason = "hands its contract on to the caller")]
    #[inline]
    pub unsafe fn as_slice(&self) -> &'a [u8] {
        match self.source {
            Source::Copied(bytes) | Source::CopiedTimed(_, bytes) => bytes,
            // SAFETY: the caller's promise; this library's producer writes no word that a gate protects.
            Source::Lent(words) | Source::LentTimed(_, words) => unsafe { copy::slice(words, self.len) },
        }
    }

    /// The payload as a `T`. `None`: its length is not that of `T`.
    #[inline]
    pub fn read<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self) -> Option<T> {
        if self.len != size_of::<T>() {
            return None;
        }
        let mut value = T::new_zeroed();
        match self.source {
            Source::Copied(bytes) | Source::CopiedTimed(_, bytes) => {
                value.as_mut_bytes().copy_from_slice(bytes.get(..size_of::<T>())?);
            }
            Source::Lent(words) | Source::LentTimed(_, words) => {
                // Cut to what the compiler knows.
                copy::read_known(words.get(..size_of::<T>().div_ceil(8))?, value.as_mut_bytes(), true);
            }
        }
        Some(value)
    }
}
