//! Typed rings: every record is a value of one type, which the file names.

use core::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, RecvError, SendError};
#[cfg(not(loom))]
use crate::memory::arrival::open_or_create;
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::attach::Attach;
use crate::ring::consumer::Consumer;
#[cfg(not(loom))]
use crate::ring::geometry::Geometry;
#[cfg(not(loom))]
use crate::ring::options::Options;
use crate::ring::producer::Producer;
use crate::ring::protocol::record::{Event, Skipped};
use crate::ring::reading::events::EventOf;
use crate::ring::rings::Ring;
use crate::schema::{Schema, Typed};

/// Refuses a ring of another type, before the handle takes part in it.
fn check<T: Typed>(region: &Region) -> Result<(), Error> {
    let (asked, found) = (Schema::of::<T>(), region.geometry().schema);
    // Compared as words: a zero-sized type with tag 0 has the same word as no schema.
    match found == asked.to_word() {
        true => Ok(()),
        false => Err(Error::WrongSchema { asked, found: Schema::from_word(found) }),
    }
}

impl Ring {
    /// As [`producer`](Self::producer), for records of `T`.
    ///
    /// # Errors
    ///
    /// As [`producer`](Self::producer); [`Error::WrongSchema`] unless the ring was made for `T`
    /// ([`Options::schema`](crate::Options::schema)).
    pub fn typed_producer<T: Typed>(&self) -> Result<TypedProducer<T>, Error> {
        TypedProducer::on(self.region(Access::Writer)?)
    }

    /// As [`consumer`](Self::consumer), for records of `T`.
    ///
    /// # Errors
    ///
    /// As [`consumer`](Self::consumer); [`Error::WrongSchema`] unless the ring was made for `T`
    /// ([`Options::schema`](crate::Options::schema)).
    pub fn typed_consumer<T: Typed>(&self, attach: &Attach) -> Result<TypedConsumer<T>, Error> {
        TypedConsumer::on(self.region(Access::Participant)?, attach)
    }
}

/// A [`Producer`] of records that are values of `T`.
///
/// The rules of a producer apply: one thread at a time, and only in the process that opened it.
pub struct TypedProducer<T> {
    producer: Producer,
    of: PhantomData<fn(&T)>,
}

impl<T: Typed> TypedProducer<T> {
    /// As [`Producer::create`], for records of `T`; replaces the schema of `options`.
    ///
    /// # Errors
    ///
    /// As [`Producer::create`].
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let producer = Producer::create(path, &options.clone().schema::<T>())?;
        Ok(Self { producer, of: PhantomData })
    }

    /// As [`Producer::open`].
    ///
    /// # Errors
    ///
    /// As [`Producer::open`]; [`Error::WrongSchema`].
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::on(Region::open(path.as_ref(), Access::Writer)?)
    }

    /// As [`Producer::open_or_create`], for records of `T`; a new ring ignores the schema of `options`.
    ///
    /// # Errors
    ///
    /// As [`Producer::open_or_create`]; [`Error::WrongSchema`].
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let (path, owners) = (path.as_ref(), options.owners());
        let open = || Self::on(Region::open_of(path, Access::Writer, owners)?);
        open_or_create::<Geometry, _>(path, owners, open, || Self::create(path, options))
    }

    fn on(region: Region) -> Result<Self, Error> {
        check::<T>(&region)?;
        Ok(Self { producer: Producer::take_over(region)?, of: PhantomData })
    }

    /// Publishes `value` and returns its sequence: as [`Producer::send`].
    ///
    /// # Errors
    ///
    /// As [`Producer::send`].
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<u64, SendError> {
        self.producer.send(value.as_bytes())
    }

    /// As [`Producer::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Producer::try_send`].
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<u64, SendError> {
        self.producer.try_send(value.as_bytes())
    }

    /// As [`Producer::send_deadline`].
    ///
    /// # Errors
    ///
    /// As [`Producer::send_deadline`].
    pub fn send_deadline(&mut self, value: &T, deadline: Instant) -> Result<u64, SendError> {
        self.producer.send_deadline(value.as_bytes(), deadline)
    }

    /// As [`Producer::send_timeout`].
    ///
    /// # Errors
    ///
    /// As [`Producer::send_timeout`].
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<u64, SendError> {
        self.producer.send_timeout(value.as_bytes(), timeout)
    }

    /// Publishes all `values`, in as many batches as needed, and returns how many: as
    /// [`Batch::send_all`](crate::Batch::send_all).
    ///
    /// # Errors
    ///
    /// As [`Producer::send`]. The values before the one that failed are published.
    pub fn send_all<'a>(&mut self, values: impl IntoIterator<Item = &'a T>) -> Result<u64, SendError>
    where
        T: 'a,
    {
        let mut published = 0;
        let mut batch = self.producer.batch();
        for value in values {
            let mut sent = batch.send(value.as_bytes());
            if sent == Err(SendError::BatchFull) {
                published += batch.records();
                batch.publish();
                batch = self.producer.batch();
                sent = batch.send(value.as_bytes());
            }
            if let Err(error) = sent {
                batch.publish();
                return Err(error);
            }
        }
        published += batch.records();
        batch.publish();
        Ok(published)
    }

    /// The untyped producer, for its other methods. It can publish records that are not a `T`.
    pub fn as_untyped(&mut self) -> &mut Producer {
        &mut self.producer
    }

    /// The untyped producer.
    pub fn into_untyped(self) -> Producer {
        self.producer
    }
}

impl<T> fmt::Debug for TypedProducer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedProducer").field(&self.producer).finish()
    }
}

/// A [`Consumer`] of records that are values of `T`.
///
/// The rules of a consumer apply: one thread at a time, and only in the process that opened it.
pub struct TypedConsumer<T> {
    consumer: Consumer,
    of: PhantomData<fn() -> T>,
}

impl<T: Typed> TypedConsumer<T> {
    /// As [`Consumer::open`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::open`]; [`Error::WrongSchema`].
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>, attach: &Attach) -> Result<Self, Error> {
        Self::on(Region::open(path.as_ref(), Access::Participant)?, attach)
    }

    /// As [`Consumer::open_wait`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::open_wait`]; [`Error::WrongSchema`].
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, attach: &Attach, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        crate::memory::arrival::when_there(deadline, || Self::open(path, attach))
    }

    fn on(region: Region, attach: &Attach) -> Result<Self, Error> {
        check::<T>(&region)?;
        Ok(Self { consumer: Consumer::attach(region, attach)?, of: PhantomData })
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`]; [`RecvError::WrongLength`] for a record whose length is not that of `T`; it counts as
    /// received.
    #[inline]
    pub fn recv(&mut self) -> Result<EventOf<T>, RecvError> {
        self.consumer.recv().and_then(value)
    }

    /// The next event, if there is one. Never waits.
    ///
    /// # Errors
    ///
    /// As [`Consumer::try_recv`]; [`RecvError::WrongLength`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<EventOf<T>>, RecvError> {
        self.consumer.try_recv()?.map(value).transpose()
    }

    /// Waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv_deadline`]; [`RecvError::WrongLength`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<EventOf<T>, RecvError> {
        self.consumer.recv_deadline(deadline).and_then(value)
    }

    /// Waits for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv_timeout`]; [`RecvError::WrongLength`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<EventOf<T>, RecvError> {
        self.consumer.recv_timeout(timeout).and_then(value)
    }

    /// The newest value that was not received before; all before it are skipped. `None`: there is no new one. As
    /// [`Consumer::latest`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::latest`]; [`RecvError::WrongLength`].
    pub fn latest(&mut self, other: impl FnMut(Event<'_>)) -> Result<Option<T>, RecvError> {
        let latest = self.consumer.latest(other)?.map(Event::Record).map(value).transpose()?;
        Ok(latest.and_then(EventOf::payload))
    }

    /// What this handle has skipped: as [`Consumer::skipped`].
    pub fn skipped(&self) -> Skipped {
        self.consumer.skipped()
    }

    /// The untyped consumer, for its other methods.
    pub fn as_untyped(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// The untyped consumer.
    pub fn into_untyped(self) -> Consumer {
        self.consumer
    }
}

#[inline]
fn value<T: Typed>(event: Event<'_>) -> Result<EventOf<T>, RecvError> {
    Ok(match event {
        Event::Record(record) => match record.read() {
            Some(payload) => EventOf::Record { sequence: record.sequence(), time: record.time(), payload },
            None => {
                let (sequence, len) = (record.sequence(), record.len());
                return Err(RecvError::WrongLength { sequence, len, expected: size_of::<T>() });
            }
        },
        Event::Lost(loss) => EventOf::Lost(loss),
        Event::Evicted => EventOf::Evicted,
        Event::ProducerChanged { epoch } => EventOf::ProducerChanged { epoch },
    })
}

impl<T> fmt::Debug for TypedConsumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedConsumer").field(&self.consumer).finish()
    }
}
