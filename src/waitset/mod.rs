//! The wait set: one thread waits for many things.
//!
//! A wait looks at all of them a while. Then, in turns: it arms each word, makes one barrier for all that need one, looks
//! at all again, and sleeps on all words in one system call. This is the protocol of `wait/doorbell.rs`, with several
//! words in the place of one: each waker sees its bit, or this thread sees what it made true. A sleep ends after a slice
//! at the latest, and then the locks of the producers are looked at too.

use std::time::{Duration, Instant};

use crate::atomics::{FutexWord, spin};
use crate::source::{Arming, Source, Waitable, Waker};
use crate::wait::clock;
use crate::wait::doorbell::{self, NAP_NS, SLICE_NS};
use crate::wait::futex::{self, MANY, Refused};

pub(crate) mod method;
pub(crate) mod ready;
pub(crate) mod ticker;

use method::WaitMethod;
use ready::Ready;

/// Single looks before sleeping.
const SPINS: u32 = if cfg!(loom) { 0 } else { 2000 };

/// Waits for many things at once: consumers, observers, space for a producer, latest values, ticks.
///
/// The things are borrowed for one wait. Their places in the list are the tokens that come back: see [`Ready`].
///
/// | thing | ready when | try |
/// |---|---|---|
/// | [`Consumer`](crate::Consumer), [`Observer`](crate::Observer), [`TypedConsumer`](crate::TypedConsumer) | there is an event, the producer closed the ring or died, or the handle has an error | [`recv_timeout`](crate::Consumer::recv_timeout) with a time-out of 0, which reports the end of the stream as well; or `try_recv`, and [`status`](crate::Consumer::status) if there is nothing |
/// | [`Producer::space`](crate::Producer::space) | there is room for the record, or the send would fail | [`try_send`](crate::Producer::try_send) |
/// | [`LatestReader`](crate::sync::LatestReader) | there is a value that this handle has not returned | [`get`](crate::sync::LatestReader::get) |
/// | [`Ticker`](crate::Ticker) | a tick has come | [`take`](crate::Ticker::take) |
///
/// Tries need not empty a thing: what is left makes it ready again. As every receive does, a wait releases the last record
/// that a consumer has received. The end of a stream makes a consumer ready until a receive has reported it, but at most
/// once in 100 ms; after that only another producer does.
///
/// A set sleeps in one system call, whatever it waits for, and uses no processor meanwhile. Nobody has to wake it within
/// any time: every sleep ends after 100 ms, and then the set checks which producers are alive. A death is noticed within
/// that time. Things that nobody wakes are looked at after naps of 1 to 20 ms, longer the longer nothing has come:
/// observers, readers of a latest value that may not write its file, and rings with [`WaitMode::Spin`](crate::WaitMode).
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
#[derive(Debug)]
pub struct WaitSet {
    spins: u32,
    /// Tokens of what is ready.
    ready: Vec<usize>,
    armings: Vec<Arming>,
    /// When all were last probed, ns on the monotonic clock.
    probed_ns: u64,
    refused: Option<Refused>,
    method: WaitMethod,
}

impl Default for WaitSet {
    fn default() -> Self {
        Self {
            spins: SPINS,
            ready: Vec::new(),
            armings: Vec::new(),
            probed_ns: 0,
            refused: None,
            method: WaitMethod::None,
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
        Ready::new(&self.ready)
    }

    /// Fills `ready`, or leaves it empty at `until_ns` on the monotonic clock.
    fn run(&mut self, sources: &mut [&mut dyn Source], until_ns: u64) {
        self.ready.clear();
        if sources.is_empty() && until_ns == u64::MAX {
            return;
        }
        for source in sources.iter_mut() {
            source.settle();
        }
        let began_ns = clock::monotonic_ns();
        if self.probe(sources) || clock::is_past(until_ns) || self.spin(sources, until_ns) {
            return;
        }
        while !clock::is_past(until_ns) {
            if self.sleep(sources, began_ns, until_ns) || self.probe(sources) {
                return;
            }
        }
    }

    /// Looks at all, with system calls where it is time for that. Returns whether something is ready.
    fn probe(&mut self, sources: &mut [&mut dyn Source]) -> bool {
        let now = clock::monotonic_ns();
        // The models have no time, so they always check.
        let is_time = cfg!(loom) || now.saturating_sub(self.probed_ns) >= SLICE_NS;
        if is_time {
            self.probed_ns = now;
        }
        self.collect(sources, |source| match is_time || source.longest_ns() < SLICE_NS {
            true => source.probe(),
            false => source.look(),
        })
    }

    fn look(&mut self, sources: &mut [&mut dyn Source]) -> bool {
        self.collect(sources, |source| source.look())
    }

    fn collect(
        &mut self,
        sources: &mut [&mut dyn Source],
        is_ready: impl Fn(&mut dyn Source) -> bool,
    ) -> bool {
        let ready =
            sources.iter_mut().enumerate().filter_map(|(token, source)| is_ready(*source).then_some(token));
        self.ready.clear();
        self.ready.extend(ready);
        !self.ready.is_empty()
    }

    /// Looks at all a while.
    fn spin(&mut self, sources: &mut [&mut dyn Source], until_ns: u64) -> bool {
        let rounds = self.spins / (sources.len().max(1) as u32);
        for round in 0..rounds {
            if self.look(sources) {
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
        self.armings.clear();
        self.armings.extend(sources.iter_mut().map(|source| source.arm()));
        let is_woken = self.make_barriers(sources);
        let is_ready = self.look(sources);
        if !is_ready {
            self.sleep_armed(sources, is_woken, began_ns, until_ns);
        }
        for source in sources.iter_mut() {
            source.disarm();
        }
        is_ready
    }

    /// The barriers of all words, each kind once. Returns whether every word is woken.
    fn make_barriers(&self, sources: &[&mut dyn Source]) -> bool {
        let has = |waker| self.armings.iter().any(|arming| arming.waker == waker);
        if has(Waker::Fences) {
            doorbell::full_fence();
        }
        let needy =
            self.armings.iter().zip(sources).filter(|(arming, _)| arming.waker == Waker::NeedsBarrier);
        // [S2] Pairs with [S1], of every ring in the mode `Membarrier`.
        let happened = futex::heavy_barrier_of(needy.filter_map(|(_, source)| Some(source.bell()?.0)));
        happened && !has(Waker::Missing)
    }

    fn sleep_armed(&mut self, sources: &[&mut dyn Source], is_woken: bool, began_ns: u64, until_ns: u64) {
        let words: Vec<(&FutexWord, u32)> = sources
            .iter()
            .zip(&self.armings)
            .filter_map(|(source, arming)| Some((source.bell()?.0, arming.expected)))
            .collect();
        let now = clock::monotonic_ns();
        let longest_ns = sources.iter().map(|source| source.longest_ns()).min().unwrap_or(SLICE_NS);
        let nap_ns = doorbell::nap_ns(now.saturating_sub(began_ns));
        let slice_ns = if is_woken { doorbell::armed_ns(longest_ns) } else { longest_ns.min(nap_ns) };
        let due_ns = self.armings.iter().map(|arming| arming.due_ns).min().unwrap_or(u64::MAX);
        let until_ns = until_ns.min(due_ns);
        let slice_end = now.saturating_add(slice_ns).min(until_ns);
        let nap_end = now.saturating_add(longest_ns.min(NAP_NS)).min(until_ns);
        match (&words[..], self.refused) {
            ([], _) => {
                self.method = WaitMethod::Futex;
                #[cfg(not(loom))]
                clock::sleep_until(slice_end);
            }
            ([(word, expected)], _) => {
                self.method = WaitMethod::Futex;
                futex::wait(word, *expected, slice_end);
            }
            ([(word, expected), ..], Some(Refused(errno))) => {
                self.method = WaitMethod::Refused(errno);
                futex::wait(word, *expected, nap_end);
            }
            (words, None) => {
                let is_all = words.len() <= MANY;
                self.method = if is_all { WaitMethod::Futexes } else { WaitMethod::TooMany };
                let slept = &words[..words.len().min(MANY)];
                // Refused: the next sleep is a nap.
                self.refused = futex::wait_any(slept, if is_all { slice_end } else { nap_end }).err();
            }
        }
    }
}
