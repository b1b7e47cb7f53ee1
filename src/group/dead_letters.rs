//! Dead letters: records that were handed out as often as they may be, and that nobody acknowledged. They go to a ring of
//! their own, so that a record that kills whoever has it does not kill one member after the other.

use core::fmt;

use crate::atomics::at;
use crate::error::{Error, ErrorKind, SendError};
use crate::group::layout::Line;
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::names;
use crate::ring::producer::Producer;
use crate::ring::rings::Ring;
use crate::wait::clock;

/// Marks a dead letter.
const MARK: [u8; 4] = *b"dead";

/// A record of a ring for dead letters: what a [group](crate::Group::max_deliveries) put there.
///
/// The same record may be there several times: a member may be killed after it has sent it, and before it has noted that.
/// Its ring and its sequence tell it from others.
///
/// | bytes | content, little-endian |
/// |---|---|
/// | 0 to 15 | the id of the ring that the record comes from |
/// | 16 to 23 | its sequence there |
/// | 24 to 27 | how often it was handed out |
/// | 28 to 31 | `dead` |
/// | 32 and on | its payload |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    pub(super) ring: u128,
    pub(super) sequence: u64,
    pub(super) deliveries: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> DeadLetter<'a> {
    /// Takes a record of the ring for dead letters apart. `None`: it is none.
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        let (ring, rest) = record.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (deliveries, rest) = rest.split_first_chunk()?;
        let (mark, payload) = rest.split_first_chunk()?;
        let (ring, sequence) = (u128::from_le_bytes(*ring), u64::from_le_bytes(*sequence));
        let deliveries = u32::from_le_bytes(*deliveries);
        (*mark == MARK).then_some(Self { ring, sequence, deliveries, payload })
    }

    /// The id of the ring that the record comes from, which tells it from every other ring.
    pub fn ring(&self) -> u128 {
        self.ring
    }

    /// Its sequence there.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How often it was handed out.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Its payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    fn to_record(self) -> Vec<u8> {
        let header =
            [&self.ring.to_le_bytes()[..], &self.sequence.to_le_bytes(), &self.deliveries.to_le_bytes()];
        [&header.concat(), &MARK[..], self.payload].concat()
    }
}

/// Why a record could not be put into the ring for dead letters.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// The ring could not be opened as its producer.
    Open(Error),
    /// The ring did not take the record.
    Send(SendError),
}

impl DeadLetterError {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(error) => error.kind(),
            Self::Send(error) => error.kind(),
        }
    }
}

impl fmt::Display for DeadLetterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DeadLetterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(error) => error.source(),
            Self::Send(error) => error.source(),
        }
    }
}

/// How often a record may be handed out, and where it goes then.
#[derive(Clone, Debug)]
pub(super) struct DeadLetters {
    pub(super) most: u32,
    pub(super) ring: Ring,
}

impl DeadLetters {
    /// Those of a group that exists: how often is for the group to say, and where for each member.
    pub(super) fn of_group(line: &Line, given: Option<&Self>) -> Result<Option<Self>, Error> {
        let most = line.max_deliveries.load(at!(J_READ, Relaxed));
        let most = u32::try_from(most)
            .map_err(|_| Error::Garbage { what: "how often a record may be handed out" })?;
        match given {
            _ if most == 0 => Ok(None),
            Some(given) => Ok(Some(Self { most, ring: given.ring.clone() })),
            None => Err(Error::BadOption {
                what: "this group puts aside what is handed out too often: name the ring for that by max_deliveries",
            }),
        }
    }

    /// Whether a group on `ring` can use them.
    pub(super) fn check(&self, ring: &Region) -> Result<(), Error> {
        let own = self.ring.region(Access::Reader)?;
        let refused = |what| Err(Error::BadOption { what });
        // In the models all objects have the same id.
        if !cfg!(loom) && own.id() == ring.id() {
            return refused("a group's dead letters go to another ring than its own");
        }
        if own.geometry().schema != 0 {
            return refused("dead letters are bytes: their ring is made without a type");
        }
        if own.is_sealed() {
            return refused("a sealed ring takes no dead letters: its one producer came with it");
        }
        Ok(())
    }

    /// Becomes the producer, for one record. Who else does so keeps the place for a moment, so wait for that.
    fn producer(&self, until_ns: u64) -> Result<Producer, Error> {
        let mut producer = self.ring.producer();
        names::retry(|| {
            let is_taken = matches!(producer, Err(Error::ProducerAlive { .. })) && !clock::is_past(until_ns);
            if is_taken {
                producer = self.ring.producer();
            }
            Ok(!is_taken)
        })?;
        producer
    }

    pub(super) fn send(&self, letter: DeadLetter<'_>, until_ns: u64) -> Result<(), DeadLetterError> {
        let mut producer = self.producer(until_ns).map_err(DeadLetterError::Open)?;
        producer.try_send(&letter.to_record()).map(drop).map_err(DeadLetterError::Send)
    }
}
