//! The wait set: one thread waits for many things.
//!
//! A wait looks at all of them a while. Then, in turns: it arms each word, makes one barrier for all that need one, looks
//! at all again, and sleeps on all words in one system call. This is the protocol of `wait/doorbell.rs`, with several
//! words in the place of one: each waker sees its bit, or this thread sees what it made true. A sleep ends after a slice
//! at the latest, and then the locks of the producers are looked at too.

use std::time::{Duration, Instant};

use crate::atomics::spin;
use crate::source::{Source, Waitable};
use crate::wait::clock;
use crate::wait::futex::{self, MANY, Refused};

#[cfg(not(loom))]
pub(crate) mod descriptor;
#[cfg(not(loom))]
mod helpers;
pub(crate) mod merge;
pub(crate) mod method;
pub(crate) mod ready;
mod round;
#[cfg(not(loom))]
mod substitutes;
pub(crate) mod ticker;
#[cfg(not(loom))]
pub(crate) mod watch;

use method::WaitMethod;
use ready::Ready;
use round::{Round, Sleep};
#[cfg(not(loom))]
use substitutes::Substitutes;

/// Single looks before sleeping.
const SPINS: u32 = if cfg!(loom) { 0 } else { 2000 };

/// Waits for many things at once: consumers, observers, members of groups, space for a producer, latest values, tables,
/// events, latches, barriers, clients and servers of services, ticks.
///
/// The things are borrowed for one wait. Their places in the list are the tokens that come back: see [`Ready`].
///
/// | thing | ready when | try |
/// |---|---|---|
/// | [`Consumer`](crate::Consumer), [`Observer`](crate::Observer), [`TypedConsumer`](crate::TypedConsumer) | there is an event, the producer closed the ring or died, or the handle has an error | [`recv_timeout`](crate::Consumer::recv_timeout) with a time-out of 0, which reports the end of the stream as well; or `try_recv`, and [`status`](crate::Consumer::status) if there is nothing |
/// | [`Producer::space`](crate::Producer::space) | there is room for the record, or the send would fail | [`try_send`](crate::Producer::try_send) |
/// | [`LatestReader`](crate::sync::LatestReader), [`LatestBytesReader`](crate::sync::LatestBytesReader) | there is a value that this handle has not returned | [`get`](crate::sync::LatestReader::get) |
/// | [`TableReader`](crate::sync::TableReader) | a row has a value that this handle has not returned | [`next_deadline`](crate::sync::TableReader::next_deadline) |
/// | [`Event`](crate::sync::Event) | it is set. With [`Reset::Manual`](crate::sync::Reset::Manual) also once after it was set and reset since the last wait | [`try_wait`](crate::sync::Event::try_wait), which takes the signal of [`Reset::Auto`](crate::sync::Reset::Auto) |
/// | [`Latch`](crate::sync::Latch) | it is open, or broken | [`try_wait`](crate::sync::Latch::try_wait) |
/// | [`Barrier`](crate::sync::Barrier) | the round is over in which this handle has [arrived](crate::sync::Barrier::arrive), or it is broken | [`try_wait`](crate::sync::Barrier::try_wait) |
/// | [`GroupMember`](crate::GroupMember) | there is a record that it may take, or news that some are lost; the stream has ended; or the handle has an error. Not while it has as many records as it may have | [`recv_timeout`](crate::GroupMember::recv_timeout) with a time-out of 0; [`try_recv`](crate::GroupMember::try_recv) |
/// | [`Client`](crate::service::Client) | there is an answer, a call has ended without one, or the handle has an error | [`try_recv`](crate::service::Client::try_recv) |
/// | [`Server`](crate::service::Server) | there is a request that can be taken, or the handle has an error | [`try_recv`](crate::service::Server::try_recv) |
/// | [`Ticker`](crate::Ticker) | a tick has come | [`take`](crate::Ticker::take) |
///
/// Tries need not empty a thing: what is left makes it ready again. As every receive does, a wait releases the last record
/// that a consumer has received. The end of a stream makes a consumer ready until a receive has reported it, but at most
/// once in 100 ms; after that only another producer does. An event stays ready while it is set, and a latch while it is open.
///
/// A set sleeps in one system call, whatever it waits for, and uses no processor meanwhile. Every sleep has an end: after a
/// slice of 100 ms; with many things, 10 ms for each; where nothing has come for long, after a sixteenth of that time; at most
/// a second. Then the set checks which producers and parties are alive, so it notices a death within that time. Things that nobody wakes
/// are looked at after naps of 1 to 20 ms, longer the longer nothing has come: observers, readers of a latest value or a table
/// that may not write its file, and rings with [`WaitMode::Spin`](crate::WaitMode).
///
/// One thread at a time uses a set; it may move between threads. A set has no state but its buffers: any number of sets may
/// wait for different things, and one set for different lists in turns.
///
/// ```
/// use std::time::Duration;
/// use quoit::sync::{Latest, LatestOptions};
/// use quoit::{Attach, Options, RecvError, Ring, Ticker, WaitSet};
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut orders = ring.consumer(&Attach::gated())?;
/// let mut limit = Latest::local(&LatestOptions::new(), &100_u64)?;
/// let mut config = limit.reader()?;
/// config.get()?;
/// let mut ticker = Ticker::every(Duration::from_millis(5));
///
/// let other = std::thread::spawn(move || {
///     limit.set(&200).unwrap();
///     ring.producer().unwrap().send(b"order").unwrap();
/// });
///
/// const ORDERS: usize = 0;
/// const CONFIG: usize = 1;
/// const TICKER: usize = 2;
///
/// let mut set = WaitSet::new();
/// let (mut orders_seen, mut limit_seen, mut ticks) = (0, 100, 0);
/// let end = 'end: loop {
///     for token in set.wait(&mut [&mut orders, &mut config, &mut ticker]) {
///         match token {
///             ORDERS => match orders.recv_timeout(Duration::ZERO) {
///                 Ok(event) => orders_seen += usize::from(event.record().is_some()),
///                 Err(RecvError::TimedOut) => {}
///                 Err(end) => break 'end end,
///             },
///             CONFIG => limit_seen = config.get()?,
///             TICKER => ticks += ticker.take().map_or(0, |tick| tick.count),
///             _ => unreachable!("three things"),
///         }
///     }
/// };
/// assert_eq!((orders_seen, end), (1, RecvError::Closed));
/// # assert!(limit_seen == 100 || limit_seen == 200);
/// # other.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A handle that is waited for is in use:
///
/// ```compile_fail,E0499
/// fn wait(set: &mut quoit::WaitSet, consumer: &mut quoit::Consumer) {
///     let mut things: [&mut dyn quoit::Waitable; 1] = [consumer];
///     let other = &mut *consumer;
///     let _ = set.wait(&mut things);
///     let _ = other.try_recv();
/// }
/// ```
///
/// ```
/// fn is_send<T: Send>() {}
/// is_send::<quoit::WaitSet>();
/// is_send::<quoit::Watch>();
/// is_send::<quoit::WaitFd>();
/// is_send::<quoit::Merge>();
/// ```
#[derive(Debug)]
pub struct WaitSet {
    spins: u32,
    round: Round,
    method: WaitMethod,
    /// The error number with which the kernel refuses a sleep on several words.
    refused: Option<Refused>,
    #[cfg(not(loom))]
    substitutes: Option<Substitutes>,
}

impl Default for WaitSet {
    fn default() -> Self {
        Self {
            spins: SPINS,
            round: Round::default(),
            method: WaitMethod::None,
            refused: None,
            #[cfg(not(loom))]
            substitutes: None,
        }
    }
}

impl WaitSet {
    /// A set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks before sleeping (default 2000; 0 sleeps at once), shared among the things in the list: a list of ten is
    /// looked at 200 times.
    pub fn set_spins(&mut self, spins: u32) {
        self.spins = spins;
    }

    /// Waits until something is ready. An empty list is never ready: then it returns at once, with nothing.
    pub fn wait(&mut self, things: &mut [&mut dyn Waitable]) -> Ready<'_> {
        self.wait_until(things, u64::MAX)
    }

    /// As [`wait`](Self::wait), until `deadline` at most. If it has passed, looks once.
    pub fn wait_deadline(&mut self, things: &mut [&mut dyn Waitable], deadline: Instant) -> Ready<'_> {
        self.wait_until(things, clock::deadline_ns(deadline))
    }

    /// As [`wait`](Self::wait), for `timeout` at most. A time-out of 0 looks once.
    pub fn wait_timeout(&mut self, things: &mut [&mut dyn Waitable], timeout: Duration) -> Ready<'_> {
        let until_ns = clock::monotonic_ns().saturating_add(clock::duration_ns(timeout));
        self.wait_until(things, until_ns)
    }

    /// How the last sleep was made.
    pub fn method(&self) -> WaitMethod {
        self.method
    }

    fn wait_until(&mut self, things: &mut [&mut dyn Waitable], until_ns: u64) -> Ready<'_> {
        let mut sources: Vec<_> = things.iter_mut().map(|thing| thing.source()).collect();
        self.run(&mut sources, until_ns);
        Ready::new(self.round.ready())
    }

    /// Finds what is ready, or nothing by `until_ns` on the monotonic clock.
    fn run(&mut self, sources: &mut [&mut dyn Source], until_ns: u64) {
        self.round.begin(sources);
        if sources.is_empty() && until_ns == u64::MAX {
            return;
        }
        let began_ns = clock::monotonic_ns();
        if self.round.probe(sources) || clock::is_past(until_ns) || self.spin(sources, until_ns) {
            return;
        }
        while !clock::is_past(until_ns) {
            if self.sleep(sources, began_ns, until_ns) || self.round.probe(sources) {
                return;
            }
        }
    }

    /// Looks at all a while.
    fn spin(&mut self, sources: &mut [&mut dyn Source], until_ns: u64) -> bool {
        let rounds = self.spins / (sources.len().max(1) as u32);
        for round in 0..rounds {
            if self.round.look(sources) {
                return true;
            }
            if round % clock::TURNS == clock::TURNS - 1 && clock::is_past(until_ns) {
                return false;
            }
            spin();
        }
        false
    }

    /// One slice of sleep. Returns whether something is ready, as seen before it.
    #[cold]
    fn sleep(&mut self, sources: &mut [&mut dyn Source], began_ns: u64, until_ns: u64) -> bool {
        let sleep = self.round.arm(sources, began_ns);
        if let Some(Sleep { slice_end, nap_end, nap }) = sleep {
            let sleep = Sleep { slice_end: slice_end.min(until_ns), nap_end: nap_end.min(until_ns), nap };
            self.sleep_armed(sources, sleep);
        }
        #[cfg(quoit_delays)]
        crate::atomics::delays::count(|sleeps| sleeps.found += u64::from(sleep.is_none()));
        round::disarm(sources);
        sleep.is_none()
    }

    fn sleep_armed(&mut self, sources: &[&mut dyn Source], sleep: Sleep) {
        let Sleep { slice_end, nap_end, nap } = sleep;
        let words = self.round.words(sources);
        let method = match (&words[..], self.refused) {
            ([], _) => {
                #[cfg(not(loom))]
                clock::sleep_until(slice_end);
                WaitMethod::Futex
            }
            ([(word, expected)], _) => match futex::wait_or_refused(word, *expected, slice_end) {
                Ok(()) => WaitMethod::Futex,
                Err(refused) => WaitMethod::NoFutex(refused.0),
            },
            (words, None) => {
                let is_all = words.len() <= MANY;
                let slept = &words[..words.len().min(MANY)];
                // Refused: the next sleep is another one.
                self.refused = futex::wait_any(slept, if is_all { slice_end } else { nap_end }).err();
                if is_all { WaitMethod::Futexes } else { WaitMethod::TooMany }
            }
            #[cfg(not(loom))]
            (_, Some(refused)) => self.have_slept(sources, sleep, refused),
            #[cfg(loom)]
            (_, Some(_)) => unreachable!("no model refuses it"),
        };
        self.method = method.or_nap(nap);
    }

    /// Has helpers sleep on the words, and sleeps until one of them calls.
    #[cfg(not(loom))]
    fn have_slept(&mut self, sources: &[&mut dyn Source], sleep: Sleep, refused: Refused) -> WaitMethod {
        let watched = self.round.share_words(sources);
        // A child has no helpers until it starts its own.
        self.substitutes.take_if(|substitutes| substitutes.is_forked());
        if self.substitutes.is_none() {
            self.substitutes = Substitutes::new(refused).ok();
        }
        match &mut self.substitutes {
            Some(substitutes) => substitutes.sleep(watched, sleep),
            None => {
                clock::sleep_until(sleep.nap_end);
                WaitMethod::Refused(refused.0)
            }
        }
    }
}
