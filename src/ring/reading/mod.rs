//! How records are received: the same for a consumer and an observer.

use std::time::{Duration, Instant};

use crate::error::RecvError;
#[cfg(not(loom))]
use crate::memory::prepare::{Memory, MemoryReport};
use crate::ring::consumer::Consumer;
use crate::ring::observer::Observer;
use crate::ring::protocol::record::{Event, LossAccount, Record, Resumed, Status};
use crate::ring::reading::events::Events;
use crate::schema::Schema;

pub(crate) mod events;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::ring::consumer::Consumer {}
    impl Sealed for crate::ring::observer::Observer {}
}

/// What a [`Consumer`] and an [`Observer`] have in common, for code that takes either: `&mut dyn Receive`, or
/// `impl Receive`. Both have methods of the same names, which say more. Nobody else can implement it.
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
    /// Waits for the next record; what comes before it goes to `other`. Errors as [`Consumer::recv_record`].
    fn recv_record(&mut self, other: &mut dyn FnMut(Event<'_>)) -> Result<Record<'_>, RecvError>;
    /// Hands over up to `max` events that are there. Errors as [`Consumer::drain`].
    fn drain(&mut self, max: usize, each: &mut dyn FnMut(Event<'_>)) -> Result<usize, RecvError>;
    /// How the stream stands: as [`Consumer::status`].
    fn status(&mut self) -> Status;
    /// Releases what was received: as [`Consumer::release`]. An observer holds nothing.
    fn release(&mut self) {}
    /// Whether to leave releasing to [`release`](Self::release): as [`Consumer::keep`]. An observer holds nothing.
    fn keep(&mut self, keep: bool) {
        let _ = keep;
    }
    /// Polls before blocking: as [`Consumer::set_spins`].
    fn set_spins(&mut self, spins: u32);
    /// Number of the slot that it holds. `None`: it is an observer.
    fn slot(&self) -> Option<u32> {
        None
    }
    /// How it found its place again under its name: as [`Consumer::resumed`]. An observer has none.
    fn resumed(&self) -> Option<Resumed> {
        None
    }
    /// What it has lost so far, as the ring keeps it. `None`: it is an observer, and the ring keeps nothing.
    fn account(&self) -> Option<LossAccount> {
        None
    }
    /// Sequence of the next record to be received.
    fn next_sequence(&self) -> u64;
    /// Does a producer hold the ring? One system call.
    fn producer_alive(&self) -> bool;
    /// Has the kernel prepare the memory of this handle: as [`Consumer::prepare`].
    #[cfg(not(loom))]
    fn prepare(&self, memory: &Memory) -> MemoryReport;
    /// Does the path not lead to this ring any more? As [`Consumer::is_stale`].
    fn is_stale(&self) -> bool;
}

macro_rules! reading {
    ($handle:ty { $($more:item)* }) => {
        impl $handle {
            /// Waits for the next event. The record received before is released by this.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`] and [`RecvError::ProducerGone`] once everything was received: calling again waits for
            /// another producer, and says the same again if nothing came from one within a tenth of a second.
            /// [`RecvError::Corrupt`], [`RecvError::Forked`] and [`RecvError::Truncated`] are final.
            #[inline]
            pub fn recv(&mut self) -> Result<Event<'_>, RecvError> {
                self.receiver.recv()
            }

            /// The next event, if there is one: never waits for one, and makes no system call unless a producer sleeps.
            /// While records stream, a look after the last of them may be put off by some microseconds, if more of them a
            /// second come of it. It never tells that the stream has ended: ask [`status`](Self::status) when there was
            /// nothing.
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
            /// [`RecvError::TimedOut`] if nothing came before the deadline; else as [`recv`](Self::recv). Where the stream has
            /// ended, that is told by the deadline at the latest, however near it is.
            pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Event<'_>, RecvError> {
                self.receiver.recv_deadline(deadline)?.ok_or(RecvError::TimedOut)
            }

            /// As [`recv_deadline`](Self::recv_deadline), `timeout` from now. A timeout of zero is
            /// [`try_recv`](Self::try_recv) that also tells the end of the stream.
            ///
            /// # Errors
            ///
            /// As [`recv_deadline`](Self::recv_deadline).
            pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Event<'_>, RecvError> {
                self.receiver.recv_timeout(timeout)?.ok_or(RecvError::TimedOut)
            }

            /// The next record. What comes before it and is none goes to `other`: a loss, an eviction, a change of
            /// producers. With it a function can lend out the next record, where a loop around [`recv`](Self::recv) that
            /// returns the record does not compile (E0499, a limit of the borrow checker):
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

            /// As [`recv_record`](Self::recv_record), without waiting; `None`: there is no record yet.
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

            /// Hands up to `max` events that are there to `each`, and returns how many there were. Never waits.
            /// The fastest way to receive many; a single one that is waited for comes sooner by
            /// [`try_recv`](Self::try_recv) or [`recv`](Self::recv). Where it finds nothing, [`status`](Self::status) tells
            /// whether anything can still come.
            ///
            /// # Errors
            ///
            /// As [`try_recv`](Self::try_recv). Events handed over before the error stay received.
            #[inline]
            pub fn drain(&mut self, max: usize, each: impl FnMut(Event<'_>)) -> Result<usize, RecvError> {
                self.receiver.drain(max, each)
            }

            /// Hands every event to `each`, waiting for each, until the producer ends cleanly and everything was received.
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

            /// An iterator over everything that is received, each in memory of its own: see [`Events`].
            pub fn events(&mut self) -> Events<&mut Self> {
                Events::new(self)
            }

            /// How the stream stands, for whoever receives without waiting: after a look that found nothing it tells
            /// "nothing yet" from "nothing any more". It is final only once everything published was received, so no record
            /// is missed by asking after the look, in this order. A later producer makes it [`Status::Streaming`] again.
            ///
            /// Cheap: some loads and a look at the clock. Whether the producer died takes a system call, at most one in a
            /// millisecond, so a death may be told a millisecond late. What keeps this handle from receiving for good, a
            /// fork or garbage in the ring, is told by receiving alone.
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

            /// How often to look before going to sleep (an observer: before a nap): a number of looks at the ring with a pause
            /// of the processor after each, 10 to 50 ns in all. 2000 unless set, some tens of microseconds; 0 sleeps at once.
            /// A deadline ends the looks early; that the producer ended or died is noticed after them. Whoever has looked
            /// that often in vain sleeps until something comes, without more looks of this kind, in this wait and in the
            /// next.
            pub fn set_spins(&mut self, spins: u32) {
                self.receiver.set_spins(spins);
            }

            /// Sequence of the next record to be received.
            pub fn next_sequence(&self) -> u64 {
                self.receiver.next_sequence()
            }

            /// What the ring's records are, if it was made for one type: [`Options::schema`](crate::Options::schema).
            pub fn schema(&self) -> Option<Schema> {
                Schema::from_word(self.receiver.region().geometry().schema)
            }

            /// Does a producer hold the ring? One system call.
            pub fn producer_alive(&self) -> bool {
                self.receiver.producer_alive()
            }

            /// Has the kernel fault in, lock, join into huge pages, or move to a NUMA node the memory of this handle, as far
            /// as it lets it. Nothing else changes, whatever comes of it. It may take half a second for each GiB, and
            /// everybody on the ring stumbles while pages are joined or moved: call it before the records that matter.
            #[cfg(not(loom))]
            pub fn prepare(&self, memory: &Memory) -> MemoryReport {
                self.receiver.region().prepare(memory)
            }

            /// Was the file removed, renamed, replaced, overwritten or cut short? Then newcomers at its path do not come to
            /// this ring. Three system calls.
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

            fn status(&mut self) -> Status {
                self.status()
            }

            fn set_spins(&mut self, spins: u32) {
                self.set_spins(spins);
            }

            fn next_sequence(&self) -> u64 {
                self.next_sequence()
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
