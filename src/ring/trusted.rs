//! One `unsafe` promise about a whole ring, instead of one for each record. After it, records and claims are lent as
//! slices.
//!
//! The type records the promise: handles opened from a [`Trusted`] ring are `Trusted` too. They never give out `&mut`
//! of the handle that they wrap, so it cannot be swapped for a handle on a ring without the promise.

use std::time::{Duration, Instant};

use crate::error::{Error, RecvError, SendError};
use crate::memory::permissions::Access;
use crate::ring::attach::Attach;
use crate::ring::claim::{Batch, Claim};
use crate::ring::consumer::Consumer;
use crate::ring::producer::Producer;
use crate::ring::protocol::record::{Event, Status};
use crate::ring::reading::events::EventOf;
use crate::ring::rings::Ring;
use crate::ring::space::Space;
use crate::source::{Source, Waitable};

/// A ring, or a handle on one, that only this library writes, as the caller promised: see [`Ring::trust_writers`].
/// The rules of the wrapped handle apply: one thread at a time, and only in the process that opened it.
///
/// ```
/// use quoit::{Attach, EventOf, Options, Ring};
///
/// let ring = Ring::heap(&Options::new().capacity(4096).gated_only(true))?;
/// // SAFETY: on the heap of this process, whose other threads have no handle on it.
/// let ring = unsafe { ring.trust_writers() };
/// let mut consumer = ring.consumer(&Attach::gated())?;
/// let mut producer = ring.producer()?;
///
/// let mut claim = producer.claim(5)?;
/// claim.as_mut().copy_from_slice(b"hello");
/// claim.publish();
///
/// assert_eq!(consumer.recv()?, EventOf::Record { sequence: 0, time: None, payload: &b"hello"[..] });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trusted<H> {
    handle: H,
}

impl Ring {
    /// Promises that only this library writes the ring. Handles opened from the result lend records as `&[u8]`
    /// ([`Trusted<Consumer>`](Trusted)), and room for records as `&mut [u8]` ([`TrustedClaim`]), without further
    /// `unsafe`.
    ///
    /// # Safety
    ///
    /// As long as a handle opened from the result lives:
    ///
    /// 1. Every process that can write the ring's memory, through its file or descriptor, writes it only through
    ///    handles of this library. Use permissions to ensure this: any process that may write the file can break it.
    /// 2. No process cuts the file short or punches holes into it, and this process does not close descriptors of
    ///    this library.
    /// 3. While a [`TrustedClaim`] lends its bytes, no other thread of this process attaches a consumer to the same
    ///    ring or has an [`Inspector`](crate::Inspector) take a snapshot. Both walk from header to header, starting
    ///    at the index, and may be lapped on the way. Then they load words of the claim, and discard them. Between
    ///    threads of one process that is a data race by the rules of the language. Other processes may do so.
    #[allow(unsafe_code, reason = "takes the promise that the slices below rest on")]
    pub unsafe fn trust_writers(&self) -> Trusted<Self> {
        Trusted { handle: self.clone() }
    }
}

impl<H> Trusted<H> {
    /// The wrapped ring or handle.
    pub fn get(&self) -> &H {
        &self.handle
    }

    /// Unwraps the ring or handle; the promise no longer applies to it.
    pub fn into_inner(self) -> H {
        self.handle
    }
}

/// As the wrapped handle.
impl<H: Waitable> Waitable for Trusted<H> {
    fn source(&mut self) -> &mut dyn Source {
        self.handle.source()
    }
}

impl Trusted<Ring> {
    /// As [`Ring::producer`], for a ring for gated consumers only. On other rings a consumer may still be reading the
    /// previous lap's record in the words of a claim.
    ///
    /// # Errors
    ///
    /// As [`Ring::producer`]; [`Error::BadOption`] unless the ring was made [`gated_only`](crate::Options::gated_only).
    pub fn producer(&self) -> Result<Trusted<Producer>, Error> {
        let region = self.handle.region(Access::Writer)?;
        if !region.geometry().gated_only {
            return Err(Error::BadOption {
                what: "only a ring for gated consumers lends room for records as slices; create it gated-only",
            });
        }
        Ok(Trusted { handle: Producer::take_over(region)? })
    }

    /// As [`Ring::consumer`].
    ///
    /// # Errors
    ///
    /// As [`Ring::consumer`].
    pub fn consumer(&self, attach: &Attach) -> Result<Trusted<Consumer>, Error> {
        Ok(Trusted { handle: self.handle.consumer(attach)? })
    }
}

impl Trusted<Producer> {
    /// As [`Producer::space`].
    pub fn space(&mut self, len: usize) -> Space<'_> {
        self.handle.space(len)
    }

    /// As [`Producer::send`].
    ///
    /// # Errors
    ///
    /// As [`Producer::send`].
    #[inline]
    pub fn send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        self.handle.send(payload)
    }

    /// As [`Producer::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Producer::try_send`].
    #[inline]
    pub fn try_send(&mut self, payload: &[u8]) -> Result<u64, SendError> {
        self.handle.try_send(payload)
    }

    /// As [`Producer::batch`].
    pub fn batch(&mut self) -> Batch<'_> {
        self.handle.batch()
    }

    /// As [`Producer::claim`].
    ///
    /// # Errors
    ///
    /// As [`Producer::claim`].
    pub fn claim(&mut self, len: usize) -> Result<TrustedClaim<'_>, SendError> {
        Ok(TrustedClaim { claim: self.handle.claim(len)? })
    }

    /// As [`Producer::try_claim`].
    ///
    /// # Errors
    ///
    /// As [`Producer::try_claim`].
    pub fn try_claim(&mut self, len: usize) -> Result<TrustedClaim<'_>, SendError> {
        Ok(TrustedClaim { claim: self.handle.try_claim(len)? })
    }

    /// As [`Producer::claim_deadline`].
    ///
    /// # Errors
    ///
    /// As [`Producer::claim_deadline`].
    pub fn claim_deadline(&mut self, len: usize, deadline: Instant) -> Result<TrustedClaim<'_>, SendError> {
        Ok(TrustedClaim { claim: self.handle.claim_deadline(len, deadline)? })
    }

    /// As [`Producer::set_spins`].
    pub fn set_spins(&mut self, spins: u32) {
        self.handle.set_spins(spins);
    }
}

/// Room for one record, lent as a slice by [`AsMut`]. Dropping it publishes nothing and returns the room. Bytes that
/// are never written hold whatever the ring held there before.
#[must_use = "a claim that is dropped publishes nothing"]
#[derive(Debug)]
pub struct TrustedClaim<'a> {
    claim: Claim<'a>,
}

impl TrustedClaim<'_> {
    /// Payload bytes of the record.
    pub fn len(&self) -> usize {
        self.claim.len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.claim.is_empty()
    }

    /// Sequence that the record will have.
    pub fn sequence(&self) -> u64 {
        self.claim.sequence()
    }

    /// Publishes the record and returns its sequence: as [`Claim::publish`].
    pub fn publish(self) -> u64 {
        self.claim.publish()
    }
}

impl AsMut<[u8]> for TrustedClaim<'_> {
    #[inline]
    #[allow(unsafe_code, reason = "rests on the promise of `Ring::trust_writers`")]
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: this claim comes from a handle on a ring that only this library writes, as its caller promised, and
        // all of whose consumers are gated, as `Trusted<Ring>::producer` checks. The claim cannot be swapped for
        // another.
        let bytes = unsafe { self.claim.as_mut_slice() };
        bytes.unwrap_or_default()
    }
}

impl Trusted<Consumer> {
    /// Waits for the next event. A record's bytes are lent in place, until the next receive releases them.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`].
    #[inline]
    pub fn recv(&mut self) -> Result<EventOf<&[u8]>, RecvError> {
        self.handle.recv().map(lend)
    }

    /// The next event, if there is one. Never waits.
    ///
    /// # Errors
    ///
    /// As [`Consumer::try_recv`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<EventOf<&[u8]>>, RecvError> {
        Ok(self.handle.try_recv()?.map(lend))
    }

    /// Waits until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv_deadline`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<EventOf<&[u8]>, RecvError> {
        self.handle.recv_deadline(deadline).map(lend)
    }

    /// Waits for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<EventOf<&[u8]>, RecvError> {
        self.handle.recv_timeout(timeout).map(lend)
    }

    /// Passes up to `max` available events to `each`, and returns how many. Never waits.
    ///
    /// # Errors
    ///
    /// As [`Consumer::drain`].
    #[inline]
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(EventOf<&[u8]>)) -> Result<usize, RecvError> {
        self.handle.drain(max, |event| each(lend(event)))
    }

    /// Waits for events and passes each to `each`, until the producer has ended cleanly and everything was received.
    ///
    /// # Errors
    ///
    /// As [`Consumer::for_each`].
    pub fn for_each(&mut self, mut each: impl FnMut(EventOf<&[u8]>)) -> Result<(), RecvError> {
        self.handle.for_each(|event| each(lend(event)))
    }

    /// As [`Consumer::status`].
    pub fn status(&mut self) -> Status {
        self.handle.status()
    }

    /// As [`Consumer::release`].
    pub fn release(&mut self) {
        self.handle.release();
    }

    /// As [`Consumer::keep`].
    pub fn keep(&mut self, keep: bool) {
        self.handle.keep(keep);
    }

    /// As [`Consumer::set_spins`].
    pub fn set_spins(&mut self, spins: u32) {
        self.handle.set_spins(spins);
    }

    /// As [`Consumer::turn_backoff_off`].
    pub fn turn_backoff_off(&mut self) {
        self.handle.turn_backoff_off();
    }
}

/// The same event, with a record's bytes in place.
#[inline]
#[allow(unsafe_code, reason = "rests on the promise of `Ring::trust_writers`")]
fn lend(event: Event<'_>) -> EventOf<&[u8]> {
    match event {
        Event::Record(record) => {
            // SAFETY: called only for handles on a ring that only this library writes, as its caller promised. Its
            // producer writes no word of a record before the record is released, and that requires this borrow of the
            // handle to end.
            let payload = unsafe { record.as_slice() };
            EventOf::Record { sequence: record.sequence(), time: record.time(), payload }
        }
        Event::Lost(loss) => EventOf::Lost(loss),
        Event::Evicted => EventOf::Evicted,
        Event::ProducerChanged { epoch } => EventOf::ProducerChanged { epoch },
    }
}
