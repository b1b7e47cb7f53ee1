//! Owned events: values instead of lent records, and an iterator over them.

use std::borrow::BorrowMut;

use crate::error::RecvError;
use crate::ring::consumer::Consumer;
use crate::ring::observer::Observer;
use crate::ring::protocol::record::{Event, Loss};
use crate::ring::reading::Receive;
use crate::wait::timestamp::Timestamp;

/// An [`Event`] whose payload is a `P`: owned bytes, a value, or a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventOf<P> {
    /// The next record.
    Record {
        /// The record's number in the stream.
        sequence: u64,
        /// When it was published: as [`Record::time`](crate::Record::time).
        time: Option<Timestamp>,
        /// Its payload.
        payload: P,
    },
    /// As [`Event::Lost`].
    Lost(Loss),
    /// As [`Event::Evicted`].
    Evicted,
    /// As [`Event::ProducerChanged`].
    ProducerChanged {
        /// The number of the producer: 1 for the first that opened the ring.
        epoch: u64,
    },
}

impl<P> EventOf<P> {
    /// The payload, if the event is a record.
    pub fn payload(self) -> Option<P> {
        match self {
            Self::Record { payload, .. } => Some(payload),
            _ => None,
        }
    }
}

impl Event<'_> {
    /// The same event with an owned copy of the payload.
    pub fn to_owned(&self) -> EventOf<Vec<u8>> {
        match self {
            Self::Record(record) => {
                EventOf::Record { sequence: record.sequence(), time: record.time(), payload: record.to_vec() }
            }
            Self::Lost(loss) => EventOf::Lost(*loss),
            Self::Evicted => EventOf::Evicted,
            Self::ProducerChanged { epoch } => EventOf::ProducerChanged { epoch: *epoch },
        }
    }
}

/// An iterator over everything that a consumer or an observer receives, with owned payloads. It waits for each event.
/// It ends when the producer has ended cleanly and everything was received, or after any other error of
/// [`Consumer::recv`].
///
/// It allocates for each record; [`Consumer::for_each`] and [`Consumer::drain`] lend records instead. Get it from
/// [`Consumer::events`], or write `for event in consumer`.
///
/// ```
/// use quoit::{Attach, Options, Ring};
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let consumer = ring.consumer(&Attach::gated())?;
/// let mut producer = ring.producer()?;
/// for word in ["one", "two"] {
///     producer.send(word.as_bytes())?;
/// }
/// drop(producer);
/// let records: Vec<Vec<u8>> =
///     consumer.into_iter().filter_map(|event| event.map(quoit::EventOf::payload).transpose()).collect::<Result<_, _>>()?;
/// assert_eq!(records, [b"one", b"two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "an iterator receives nothing until it is asked"]
pub struct Events<H> {
    handle: H,
    ended: bool,
}

impl<H> Events<H> {
    pub(crate) fn new(handle: H) -> Self {
        Self { handle, ended: false }
    }

    /// The handle that it receives from.
    pub fn into_inner(self) -> H {
        self.handle
    }

    fn next_of<R: Receive>(&mut self) -> Option<Result<EventOf<Vec<u8>>, RecvError>>
    where
        H: BorrowMut<R>,
    {
        if self.ended {
            return None;
        }
        let event = self.handle.borrow_mut().recv().map(|event| event.to_owned());
        self.ended = event.is_err();
        match event {
            Err(RecvError::Closed) => None,
            event => Some(event),
        }
    }
}

macro_rules! events {
    ($handle:ty) => {
        impl Iterator for Events<$handle> {
            type Item = Result<EventOf<Vec<u8>>, RecvError>;

            fn next(&mut self) -> Option<Self::Item> {
                self.next_of::<$handle>()
            }
        }

        impl std::iter::FusedIterator for Events<$handle> {}

        impl Iterator for Events<&mut $handle> {
            type Item = Result<EventOf<Vec<u8>>, RecvError>;

            fn next(&mut self) -> Option<Self::Item> {
                self.next_of::<$handle>()
            }
        }

        impl std::iter::FusedIterator for Events<&mut $handle> {}

        impl IntoIterator for $handle {
            type Item = Result<EventOf<Vec<u8>>, RecvError>;
            type IntoIter = Events<Self>;

            fn into_iter(self) -> Self::IntoIter {
                Events::new(self)
            }
        }

        impl<'a> IntoIterator for &'a mut $handle {
            type Item = Result<EventOf<Vec<u8>>, RecvError>;
            type IntoIter = Events<Self>;

            fn into_iter(self) -> Self::IntoIter {
                Events::new(self)
            }
        }
    };
}

events!(Consumer);
events!(Observer);
