//! The calls that receive, which consumers and observers share.

use std::time::{Duration, Instant, SystemTime};

use crate::error::RecvError;
#[cfg(not(loom))]
use crate::memory::prepare::{Memory, MemoryReport};
use crate::ring::consumer::Consumer;
use crate::ring::observer::Observer;
use crate::ring::protocol::record::{Event, LossAccount, Record, Resumed, Skipped, Status};
use crate::ring::reading::events::Events;
use crate::schema::Schema;
use crate::wait::timestamp::Timestamp;

pub(crate) mod events;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::ring::consumer::Consumer {}
    impl Sealed for crate::ring::observer::Observer {}
}

/// What a [`Consumer`] and an [`Observer`] share, for code that takes either: `&mut dyn Receive`, or `impl Receive`.
/// Both have inherent methods of the same names, whose documentation says more. The trait is sealed.
///
/// ```
/// use quoit::{Attach, Event, Options, Receive, RecvError, Ring, Start};
///
/// fn count(reader: &mut dyn Receive) -> Result<usize, RecvError> {
///     let mut records = 0;
///     while let Some(event) = reader.try_recv()? {
///         records += usize::from(event.record().is_some());
///     }
///     Ok(records)
/// }
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut consumer = ring.consumer(&Attach::gated())?;
/// ring.producer()?.send(b"one")?;
/// let mut observer = ring.observer(Start::Oldest)?;
/// assert_eq!((count(&mut consumer)?, count(&mut observer)?), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Receive: sealed::Sealed {
    /// Waits for the next event. Errors as [`Consumer::recv`].
    fn recv(&mut self) -> Result<Event<'_>, RecvError>;
    /// The next event, if there is one. Errors as [`Consumer::try_recv`].
    fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError>;
    /// Waits until `deadline` at most. Errors as [`Consumer::recv_deadline`].
    fn recv_deadline(&mut self, deadline: Instant) -> Result<Event<'_>, RecvError>;
    /// Waits for `timeout` at most. Errors as [`Consumer::recv_timeout`].
    fn recv_timeout(&mut self, timeout: Duration) -> Result<Event<'_>, RecvError>;
    /// Waits for the next record; passes events before it to `other`. Errors as [`Consumer::recv_record`].
    fn recv_record(&mut self, other: &mut dyn FnMut(Event<'_>)) -> Result<Record<'_>, RecvError>;
    /// Passes up to `max` available events to `each`. Errors as [`Consumer::drain`].
    fn drain(&mut self, max: usize, each: &mut dyn FnMut(Event<'_>)) -> Result<usize, RecvError>;
    /// Skips to the newest record: as [`Consumer::skip_to_newest`].
    fn skip_to_newest(&mut self, other: &mut dyn FnMut(Event<'_>)) -> Result<Skipped, RecvError>;
    /// The newest record: as [`Consumer::latest`].
    fn latest(&mut self, other: &mut dyn FnMut(Event<'_>)) -> Result<Option<Record<'_>>, RecvError>;
    /// What this handle has skipped: as [`Consumer::skipped`].
    fn skipped(&self) -> Skipped;
    /// The state of the stream: as [`Consumer::status`].
    fn status(&mut self) -> Status;
    /// Releases what was received: as [`Consumer::release`]. Does nothing for an observer.
    fn release(&mut self) {}
    /// Whether only [`release`](Self::release) releases records: as [`Consumer::keep`]. Does nothing for an observer.
    fn keep(&mut self, keep: bool) {
        let _ = keep;
    }
    /// Polls before blocking: as [`Consumer::set_spins`].
    fn set_spins(&mut self, spins: u32);
    /// Polls at once from here on: as [`Consumer::turn_backoff_off`].
    fn turn_backoff_off(&mut self);
    /// Number of the consumer's slot. `None`: it is an observer.
    fn slot(&self) -> Option<u32> {
        None
    }
    /// Where it resumed under its name: as [`Consumer::resumed`]. An observer has none.
    fn resumed(&self) -> Option<Resumed> {
        None
    }
    /// The loss account that the ring keeps for it. `None`: it is an observer, for which the ring keeps none.
    fn account(&self) -> Option<LossAccount> {
        None
    }
    /// Sequence of the next record to be received.
    fn next_sequence(&self) -> u64;
    /// The time of day at a publish time: as [`Consumer::wall_time`].
    fn wall_time(&self, time: Timestamp) -> Option<SystemTime>;
    /// Whether a producer lives. One system call.
    fn producer_alive(&self) -> bool;
    /// Asks the kernel to prepare the memory of this handle: as [`Consumer::prepare`].
    #[cfg(not(loom))]
    fn prepare(&self, memory: &Memory) -> MemoryReport;
    /// Whether the path no longer leads to this ring: as [`Consumer::is_stale`].
    fn is_stale(&self) -> bool;
}

macro_rules! reading {
    ($handle:ty { $($more:item)* }) => {
        impl $handle {
            /// Waits for the next event. Releases the record received before.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`] and [`RecvError::ProducerGone`] once everything was received. A further call
            /// waits a tenth of a second for another producer, then returns the same error again.
            /// [`RecvError::Corrupt`], [`RecvError::Forked`] and [`RecvError::Truncated`] are final.
            #[inline]
            pub fn recv(&mut self) -> Result<Event<'_>, RecvError> {
                self.receiver.recv()
            }

            /// The next event, if there is one. Never waits, and makes no system call unless the producer sleeps. In
            /// a continuous stream it may delay a poll by microseconds when that measurably raises throughput. It
            /// does not report the end of the stream: after `None`, ask [`status`](Self::status).
            ///
            /// # Errors
            ///
            /// [`RecvError::Corrupt`], [`RecvError::Forked`], [`RecvError::Truncated`].
            #[inline]
            pub fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError> {
                self.receiver.try_recv()
            }

            /// As [`recv`](Self::recv), waiting until `deadline` at most.
            ///
            /// # Errors
            ///
            /// [`RecvError::TimedOut`] if nothing came before the deadline; else as [`recv`](Self::recv). The end of
            /// the stream is reported by the deadline at the latest, however near it is.
            pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Event<'_>, RecvError> {
                self.receiver.recv_deadline(deadline)?.ok_or(RecvError::TimedOut)
            }

            /// As [`recv_deadline`](Self::recv_deadline), `timeout` from now. A timeout of zero polls once, as
            /// [`try_recv`](Self::try_recv), but also reports the end of the stream.
            ///
            /// # Errors
            ///
            /// As [`recv_deadline`](Self::recv_deadline).
            pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Event<'_>, RecvError> {
                self.receiver.recv_timeout(timeout)?.ok_or(RecvError::TimedOut)
            }

            /// Waits for the next record. Events before it (a loss, an eviction, a change of producers) are passed to
            /// `other`. With this call a function can return the next record; a loop around [`recv`](Self::recv) that
            /// returns it does not compile (E0499, a limit of the borrow checker):
            ///
            /// ```
            /// use quoit::{Consumer, Record, RecvError};
            ///
            /// fn next_record(consumer: &mut Consumer) -> Option<Record<'_>> {
            ///     consumer.recv_record(|other| eprintln!("{other}")).ok()
            /// }
            ///
            /// fn next_or_end(consumer: &mut Consumer) -> Result<Record<'_>, RecvError> {
            ///     consumer.recv_record(|_| {})
            /// }
            /// ```
            ///
            /// # Errors
            ///
            /// As [`recv`](Self::recv).
            #[inline]
            pub fn recv_record(&mut self, other: impl FnMut(Event<'_>)) -> Result<Record<'_>, RecvError> {
                self.receiver.recv_record(other)
            }

            /// As [`recv_record`](Self::recv_record), without waiting. `None`: there is no record yet.
            ///
            /// # Errors
            ///
            /// As [`try_recv`](Self::try_recv).
            #[inline]
            pub fn try_recv_record(
                &mut self,
                other: impl FnMut(Event<'_>),
            ) -> Result<Option<Record<'_>>, RecvError> {
                self.receiver.try_recv_record(other)
            }

            /// As [`recv_record`](Self::recv_record), waiting until `deadline` at most.
            ///
            /// # Errors
            ///
            /// As [`recv_deadline`](Self::recv_deadline).
            pub fn recv_record_deadline(
                &mut self,
                deadline: Instant,
                other: impl FnMut(Event<'_>),
            ) -> Result<Record<'_>, RecvError> {
                self.receiver.recv_record_deadline(deadline, other)?.ok_or(RecvError::TimedOut)
            }

            /// Passes up to `max` available events to `each`, and returns how many. Never waits. This is the fastest
            /// way to receive many records; for the lowest latency of a single one use [`try_recv`](Self::try_recv)
            /// or [`recv`](Self::recv). After 0, ask [`status`](Self::status) whether more can come.
            ///
            /// Keep `each` short, and rare cases in functions marked `#[cold]`: the compiler inlines a short closure, and
            /// calls a long one, which takes some 2 ns longer a record.
            ///
            /// # Errors
            ///
            /// As [`try_recv`](Self::try_recv). Events passed to `each` before the error count as received.
            #[inline]
            pub fn drain(&mut self, max: usize, each: impl FnMut(Event<'_>)) -> Result<usize, RecvError> {
                self.receiver.drain(max, each)
            }

            /// Skips every published record but the newest, so that the next receive returns that one, or a newer one.
            /// Never waits, and does nothing if there is at most one record to receive. Returns what it skipped, which
            /// does not count as lost; [`skipped`](Self::skipped) has the total.
            ///
            /// Records that were overwritten before this call are lost, as always. Such a loss, and an eviction, come
            /// first: they are passed to `other`. A change of the producer is reported by the next receive.
            ///
            /// A consumer releases what it skips: at once, or after [`keep`](crate::Consumer::keep) with the next
            /// release.
            ///
            /// Takes longer the more records it skips, as it looks at their headers. If they fill more than a 64th of
            /// the ring, it looks only at those in the newest segment of the index or two, and in the newest batch.
            ///
            /// # Errors
            ///
            /// As [`try_recv`](Self::try_recv).
            pub fn skip_to_newest(&mut self, other: impl FnMut(Event<'_>)) -> Result<Skipped, RecvError> {
                self.receiver.skip_to_newest(other)
            }

            /// The newest record, if it was not received before; all before it are skipped, as by
            /// [`skip_to_newest`](Self::skip_to_newest). Never waits. `None`: there is no new record. Other events are
            /// passed to `other`.
            ///
            /// For a reader to which only the latest state counts. If the ring has no other readers,
            /// [`sync::Latest`](crate::sync::Latest) does the same for less.
            ///
            /// ```
            /// use quoit::{Attach, Options, Ring};
            ///
            /// let ring = Ring::heap(&Options::new().capacity(4096))?;
            /// let mut consumer = ring.consumer(&Attach::gated())?;
            /// let mut producer = ring.producer()?;
            /// for price in ["1.0842", "1.0843", "1.0845"] {
            ///     producer.send(price.as_bytes())?;
            /// }
            /// let record = consumer.latest(|event| println!("{event}"))?.expect("three were sent");
            /// assert_eq!((record.sequence(), record.to_vec()), (2, b"1.0845".to_vec()));
            /// assert_eq!(consumer.skipped().records, 2);
            /// assert!(consumer.latest(|_| {})?.is_none());
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            ///
            /// As [`try_recv`](Self::try_recv).
            pub fn latest(&mut self, other: impl FnMut(Event<'_>)) -> Result<Option<Record<'_>>, RecvError> {
                self.receiver.latest(other)
            }

            /// What this handle has skipped by [`skip_to_newest`](Self::skip_to_newest) and [`latest`](Self::latest).
            pub fn skipped(&self) -> Skipped {
                self.receiver.skipped()
            }

            /// Waits for events and passes each to `each`, until the producer has ended cleanly and everything was
            /// received.
            ///
            /// # Errors
            ///
            /// As [`recv`](Self::recv), without [`RecvError::Closed`].
            pub fn for_each(&mut self, mut each: impl FnMut(Event<'_>)) -> Result<(), RecvError> {
                loop {
                    self.receiver.drain(usize::MAX, &mut each)?;
                    match self.receiver.recv() {
                        Ok(event) => each(event),
                        Err(RecvError::Closed) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }

            /// An iterator over all events, with owned payloads: see [`Events`].
            pub fn events(&mut self) -> Events<&mut Self> {
                Events::new(self)
            }

            /// The state of the stream, for callers that receive without waiting: after a poll that found nothing, it
            /// distinguishes "nothing yet" from "nothing more". It reports the end only once everything published was
            /// received, so a caller that polls first and then asks misses no record. A later producer makes it
            /// [`Status::Streaming`] again.
            ///
            /// Cheap: some loads and a read of the clock. Whether the producer died takes a system call, made at most
            /// once in a millisecond, so a death may be reported a millisecond late. Permanent errors of this handle
            /// (a fork, a corrupt ring) are reported by the receiving calls only.
            ///
            /// ```
            /// use quoit::{Attach, Options, Ring, Status};
            ///
            /// let ring = Ring::heap(&Options::new().capacity(4096))?;
            /// let mut consumer = ring.consumer(&Attach::gated())?;
            /// let mut producer = ring.producer()?;
            /// producer.send(b"first and last")?;
            /// drop(producer);
            ///
            /// let mut received = 0;
            /// loop {
            ///     if consumer.drain(64, |_| received += 1)? > 0 {
            ///         continue;
            ///     }
            ///     match consumer.status() {
            ///         Status::Streaming => std::thread::yield_now(), // or whatever else there is to be done
            ///         end => break println!("{end}"),
            ///     }
            /// }
            /// assert_eq!((received, consumer.status()), (1, Status::Closed));
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            pub fn status(&mut self) -> Status {
                self.receiver.status()
            }

            /// Polls before blocking (default 2000; 0 blocks at once). Each poll reads the ring and pauses the
            /// processor, 10 to 50 ns in all; 2000 take some tens of microseconds. A deadline ends polling early. The
            /// end or death of the producer is noticed only after polling. If this many polls find nothing, the
            /// handle blocks until something comes, and does not poll again until then, in this wait or in the next.
            /// An observer sleeps between polls instead of blocking.
            pub fn set_spins(&mut self, spins: u32) {
                self.receiver.set_spins(spins);
            }

            /// Polls at once from here on, always. Otherwise a handle that keeps up with an uninterrupted stream waits before a
            /// poll, mostly some microseconds, if it receives more records a second that way; it neither does so in bursts
            /// of some hundred records, nor where records come one by one. For one that wants each record of a stream as early as
            /// it can be had, whatever that costs the producer.
            pub fn turn_backoff_off(&mut self) {
                self.receiver.turn_backoff_off();
            }

            /// Sequence of the next record to be received.
            pub fn next_sequence(&self) -> u64 {
                self.receiver.next_sequence()
            }

            /// The type of the ring's records, if it was made for one: [`Options::schema`](crate::Options::schema).
            pub fn schema(&self) -> Option<Schema> {
                Schema::from_word(self.receiver.region().geometry().schema)
            }

            /// The time of day at a time on the publish clock. The ring notes both clocks once in each 64th of its
            /// capacity; this goes by the newest pair that is not after `time`, or by the oldest. It is wrong by as
            /// much as the time of day was set, or the machine suspended, between that pair and `time`. `None`: the ring
            /// was made without [`Options::times`](crate::Options::times), or the handle is broken.
            pub fn wall_time(&self, time: Timestamp) -> Option<SystemTime> {
                self.receiver.wall_time(time)
            }

            /// Whether a producer lives. One system call.
            pub fn producer_alive(&self) -> bool {
                self.receiver.producer_alive()
            }

            /// Asks the kernel to prefault, lock, merge into huge pages, or move to a NUMA node the memory of this
            /// handle. The report says what was done and what was refused; nothing else changes. This may take half a
            /// second for each GiB. While pages are merged or moved, every process on the ring is delayed, so call it
            /// before latency matters.
            #[cfg(not(loom))]
            pub fn prepare(&self, memory: &Memory) -> MemoryReport {
                self.receiver.region().prepare(memory)
            }

            /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens
            /// the path now does not get this ring. Takes three system calls.
            pub fn is_stale(&self) -> bool {
                self.receiver.region().is_stale()
            }
        }

        impl Receive for $handle {
            #[inline]
            fn recv(&mut self) -> Result<Event<'_>, RecvError> {
                self.recv()
            }

            #[inline]
            fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError> {
                self.try_recv()
            }

            fn recv_deadline(&mut self, deadline: Instant) -> Result<Event<'_>, RecvError> {
                self.recv_deadline(deadline)
            }

            fn recv_timeout(&mut self, timeout: Duration) -> Result<Event<'_>, RecvError> {
                self.recv_timeout(timeout)
            }

            fn recv_record(&mut self, other: &mut dyn FnMut(Event<'_>)) -> Result<Record<'_>, RecvError> {
                self.recv_record(other)
            }

            fn drain(&mut self, max: usize, each: &mut dyn FnMut(Event<'_>)) -> Result<usize, RecvError> {
                self.drain(max, each)
            }

            fn skip_to_newest(&mut self, other: &mut dyn FnMut(Event<'_>)) -> Result<Skipped, RecvError> {
                self.skip_to_newest(other)
            }

            fn latest(&mut self, other: &mut dyn FnMut(Event<'_>)) -> Result<Option<Record<'_>>, RecvError> {
                self.latest(other)
            }

            fn skipped(&self) -> Skipped {
                self.skipped()
            }

            fn status(&mut self) -> Status {
                self.status()
            }

            fn set_spins(&mut self, spins: u32) {
                self.set_spins(spins);
            }

            fn turn_backoff_off(&mut self) {
                self.turn_backoff_off();
            }

            fn next_sequence(&self) -> u64 {
                self.next_sequence()
            }

            fn wall_time(&self, time: Timestamp) -> Option<SystemTime> {
                self.wall_time(time)
            }

            fn producer_alive(&self) -> bool {
                self.producer_alive()
            }

            #[cfg(not(loom))]
            fn prepare(&self, memory: &Memory) -> MemoryReport {
                self.prepare(memory)
            }

            fn is_stale(&self) -> bool {
                self.is_stale()
            }

            $($more)*
        }
    };
}

reading!(Consumer {
    fn release(&mut self) {
        self.release();
    }

    fn keep(&mut self, keep: bool) {
        self.keep(keep);
    }

    fn slot(&self) -> Option<u32> {
        Some(self.slot())
    }

    fn resumed(&self) -> Option<Resumed> {
        self.resumed()
    }

    fn account(&self) -> Option<LossAccount> {
        Some(self.account())
    }
});

reading!(Observer {});
