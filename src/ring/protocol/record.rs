//! What receiving yields: records, and everything else a consumer has to be told.

use std::borrow::Cow;

use crate::atomics::Word;
use crate::atomics::copy;

/// What a consumer receives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The next record.
    Record(Record<'a>),
    /// Records were overwritten before they were read. Reading goes on at an intact one.
    Lost(Loss),
    /// This consumer held the producer up for longer than it may, and no longer does: from here on it is lossy.
    Evicted,
    /// The records from here on come from another producer, which took over. Sequences go on without a gap. Of several
    /// takeovers since the last receive that found anything only the latest is reported, where it began.
    ProducerChanged {
        /// The number of the producer: 1 for the first that opened the ring.
        epoch: u64,
    },
}

impl<'a> Event<'a> {
    /// The record, if it is one.
    #[inline]
    pub fn record(self) -> Option<Record<'a>> {
        match self {
            Self::Record(record) => Some(record),
            _ => None,
        }
    }
}

/// How the stream stands, for whoever does not wait: see [`Consumer::status`](crate::Consumer::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// There is something to be received, or there may yet be: the producer lives, or none has opened the ring.
    Streaming,
    /// Everything was received and the producer ended cleanly. Another may open the ring and go on.
    Closed,
    /// Everything was received and the producer died. Another may open the ring and go on.
    ProducerGone,
}

/// One gap in what a consumer received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Records lost, exactly.
    pub records: u64,
    /// Their payload bytes, exactly.
    pub bytes: u64,
    /// Why.
    pub cause: LossCause,
    /// Sequence of the first record lost.
    pub first: u64,
    /// Sequence of the record that reading goes on at.
    pub next: u64,
}

/// Why records were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossCause {
    /// The producer lapped a consumer that does not hold it back.
    Overrun,
    /// The consumer had lost its gate by holding the producer up for too long.
    Evicted,
    /// The consumer was away, and its name was not held.
    Away,
    /// The consumer had asked to start in the past, and the producer was free to write over that part of it when the
    /// gate opened. Nothing published after the attach is ever lost by this. No account has it: what was published before
    /// a gate was there had been promised to nobody.
    Attaching,
}

/// All that a consumer has lost, over every attachment under its name; without what was overwritten before its gate held
/// ([`LossCause::Attaching`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossAccount {
    /// Records.
    pub records: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Gaps: times that records were lost.
    pub gaps: u64,
    /// Records of the largest gap.
    pub largest_gap: u64,
    /// Sequence of the first record lost; means nothing while `gaps` is 0.
    pub first: u64,
    /// Sequence of the last record lost; means nothing while `gaps` is 0.
    pub last: u64,
    /// Records lost by [`LossCause::Overrun`].
    pub overrun: u64,
    /// Records lost by [`LossCause::Evicted`].
    pub evicted: u64,
    /// Records lost by [`LossCause::Away`].
    pub away: u64,
}

/// How a named consumer found its place again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// Sequence of the record that it goes on at.
    pub sequence: u64,
    /// What was overwritten while it was away. It is also the first event it receives.
    pub lost: Option<Loss>,
}

/// A record, lent until the next receive or release.
///
/// Where the producer cannot overwrite it (a gated consumer without a budget) the payload is still in the ring
/// and [`copy_to`](Self::copy_to) is its only copy. Everywhere else it was copied out, and found whole, before
/// it was lent.
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
    /// Words of the ring that nobody overwrites before they are released.
    Lent(&'a [Word]),
}

impl<'a> Record<'a> {
    pub(crate) fn copied(sequence: u64, bytes: &'a [u8]) -> Self {
        Self { sequence, len: bytes.len(), source: Source::Copied(bytes) }
    }

    pub(crate) fn lent(sequence: u64, len: usize, words: &'a [Word]) -> Self {
        Self { sequence, len, source: Source::Lent(words) }
    }

    /// Its number in the stream: one more than that of the record published before it.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Payload bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Has it no payload?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the payload to the start of `buffer`, cut to its length. Returns the bytes copied.
    #[inline]
    pub fn copy_to(&self, buffer: &mut [u8]) -> usize {
        let len = self.len.min(buffer.len());
        match self.source {
            Source::Copied(bytes) => buffer[..len].copy_from_slice(&bytes[..len]),
            Source::Lent(words) => copy::read(words, &mut buffer[..len], true),
        }
        len
    }

    /// The payload, appended to `buffer`.
    #[inline]
    pub fn append_to(&self, buffer: &mut Vec<u8>) {
        match self.source {
            Source::Copied(bytes) => buffer.extend_from_slice(bytes),
            Source::Lent(words) => copy::read_vec(words, self.len, buffer, true),
        }
    }

    /// The payload in a vector of its own.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.append_to(&mut bytes);
        bytes
    }

    /// The payload: borrowed where it was copied out already, a copy where it is still in the ring.
    #[inline]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        match self.source {
            Source::Copied(bytes) => Cow::Borrowed(bytes),
            Source::Lent(_) => Cow::Owned(self.to_vec()),
        }
    }

    /// The payload where it is, without a copy.
    ///
    /// # Safety
    ///
    /// For a record of a gated consumer this is memory of the ring. The caller trusts every process that can write
    /// the file not to touch the record before it is released: the producer of this library does not.
    #[cfg(not(loom))]
    #[allow(unsafe_code, reason = "hands its contract on to the caller")]
    #[inline]
    pub unsafe fn as_slice(&self) -> &'a [u8] {
        match self.source {
            Source::Copied(bytes) => bytes,
            // SAFETY: the caller's promise; this library's producer writes no word that a gate holds.
            Source::Lent(words) => unsafe { copy::slice(words, self.len) },
        }
    }

    /// The payload as a `T`; `None` if it is not exactly as long.
    pub fn read<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self) -> Option<T> {
        let mut value = T::new_zeroed();
        (self.len == size_of::<T>()).then(|| {
            self.copy_to(value.as_mut_bytes());
            value
        })
    }
}
