//! Waits with deadlines under constant interruption. Each side gets a signal every 100 µs, whose handler does not
//! restart system calls; a third process wakes both words all the time; a fourth flips their armed bits and counts.
//! None of this may have an effect: no wait ends before its deadline, none fails, and every record arrives once and
//! in order.
//!
//! Uses the build without delays, which has a time limit on every sleep, since a flipped bit means a lost wake.

#![allow(unsafe_code, reason = "a signal handler and a timer")]

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use quoit::{Attach, Consumer, Event, Options, Producer, RecvError, SendError, WaitMode};
use rustix::thread::futex;
use support::dice::Dice;

use super::board::Board;
use super::loads::{fill, until};
use super::peek::{Peek, Word};
use super::watch::{Limits, Trouble, watch};
use super::words::sleep_words;
use crate::child::Shared;

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_signal(_signal: i32) {
    SIGNALS.fetch_add(1, Relaxed);
}

/// A signal every 100 µs from now on, in this process.
fn signals() {
    let action = SigAction::new(SigHandler::Handler(count_signal), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing but count.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("install a handler");
    let every = libc::timeval { tv_sec: 0, tv_usec: 100 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: `timer` is whole, and the old one is not asked for.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    assert_eq!(set, 0, "set a timer");
}

/// What each of the four counts, in its own numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Storm {
    /// Waits that ended, in the producer and in the consumer, and those of them that ended by their deadline.
    pub(crate) waits: u64,
    pub(crate) timed_out: u64,
    pub(crate) records: u64,
    pub(crate) signals: u64,
    pub(crate) stray_wakes: u64,
    pub(crate) flips: u64,
}

impl Storm {
    pub(crate) fn add(&mut self, other: Self) {
        self.waits += other.waits;
        self.timed_out += other.timed_out;
        self.records += other.records;
        self.signals += other.signals;
        self.stray_wakes += other.stray_wakes;
        self.flips += other.flips;
    }
}

/// The storm in one mode, until so many waits.
pub(crate) fn storm(
    directory: &Path,
    mode: WaitMode,
    seed: u64,
    limits: Limits,
) -> Result<(Storm, Option<Trouble>)> {
    let ring = directory.join(format!("storm {mode:?}"));
    Options::new().capacity(4096).slots(4).wait(mode).create(&ring)?;
    let peek = Peek::open(&ring)?;
    let control = peek.offset(Word::Data);
    let board = Shared::<Board>::new()?;
    let play = |number: usize, board: &Board| match number {
        0 => produce(&ring, seed, board),
        1 => consume(&ring, seed, board),
        2 => wake(&ring, control, board),
        _ => flip(&ring, control, seed, board),
    };
    let own = |process: usize, what: usize| board.tallies[process].own[what].load(Relaxed);
    let waits = || own(0, 0) + own(1, 0);
    let mut run = watch(4, &board, limits, |_| waits(), play, |_| {})?;
    if let Some(Trouble::Hung(state)) = &mut run.trouble {
        state.push_str(&peek.dump()?);
    }
    let storm = Storm {
        waits: waits(),
        timed_out: own(0, 1) + own(1, 1),
        records: own(1, 3),
        signals: own(0, 2) + own(1, 2),
        stray_wakes: own(2, 0),
        flips: own(3, 0),
    };
    std::fs::remove_file(&ring)?;
    Ok((storm, run.trouble))
}

/// Counts of one side, shown after each wait.
#[derive(Default)]
struct Side {
    waits: u64,
    timed_out: u64,
    records: u64,
}

impl Side {
    fn show(&self, board: &Board, number: usize) {
        let tally = &board.tallies[number];
        for (place, count) in
            tally.own.iter().zip([self.waits, self.timed_out, SIGNALS.load(Relaxed), self.records])
        {
            place.store(count, Relaxed);
        }
        tally.steps.store(self.waits, Relaxed);
    }

    /// The wait is over because its deadline has passed. Has it?
    fn is_over(&mut self, deadline: Instant) {
        let now = Instant::now();
        assert!(now >= deadline, "{:?} before the deadline", deadline - now);
        self.timed_out += 1;
    }
}

fn soon(dice: &mut Dice) -> Instant {
    Instant::now() + Duration::from_nanos(dice.roll() % 400_000)
}

/// Now and then longer than the other side waits.
fn rest(dice: &mut Dice) {
    let roll = dice.roll();
    if roll.is_multiple_of(16) {
        std::thread::sleep(Duration::from_nanos((roll >> 8) % 500_000));
    }
}

fn length(sequence: u64) -> usize {
    (sequence % 7) as usize * 100
}

fn produce(ring: &Path, seed: u64, board: &Board) {
    let mut producer = Producer::open(ring).expect("become the producer");
    producer.set_spins(0);
    until(|| board.received[1].get() == 1);
    signals();
    let (mut dice, mut side, mut payload) = (Dice(seed), Side::default(), Vec::new());
    while board.stop.get() == 0 {
        let next = producer.next_sequence();
        fill(next, length(next), &mut payload);
        let deadline = soon(&mut dice);
        match producer.send_deadline(&payload, deadline) {
            Ok(sequence) => assert_eq!(sequence, next),
            Err(SendError::TimedOut { .. }) => side.is_over(deadline),
            Err(error) => panic!("{error}"),
        }
        side.waits += 1;
        side.show(board, 0);
        rest(&mut dice);
    }
}

fn consume(ring: &Path, seed: u64, board: &Board) {
    let mut consumer = Consumer::open(ring, &Attach::gated()).expect("attach");
    consumer.set_spins(0);
    board.received[1].set_fenced(1);
    signals();
    let (mut dice, mut side, mut payload) = (Dice(!seed), Side::default(), Vec::new());
    loop {
        let deadline = soon(&mut dice);
        match consumer.recv_deadline(deadline) {
            Ok(Event::Record(record)) => {
                assert_eq!(record.sequence(), side.records, "records come in order, each once");
                fill(side.records, length(side.records), &mut payload);
                assert!(*record.bytes() == payload[..], "record {} is not what was sent", side.records);
                side.records += 1;
            }
            Ok(Event::ProducerChanged { .. }) => {}
            Ok(other) => panic!("a record expected: {other:?}"),
            Err(RecvError::TimedOut) => side.is_over(deadline),
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
        side.waits += 1;
        side.show(board, 1);
        rest(&mut dice);
    }
}

fn wake(ring: &Path, control: u64, board: &Board) {
    let words = sleep_words(ring, control);
    let mut wakes = 0;
    while board.stop.get() == 0 {
        for _ in 0..20 {
            for word in words {
                let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
                wakes += 1;
            }
        }
        board.tallies[2].own[0].store(wakes, Relaxed);
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn flip(ring: &Path, control: u64, seed: u64, board: &Board) {
    let words = sleep_words(ring, control);
    let mut dice = Dice(seed << 1);
    let mut flips = 0;
    while board.stop.get() == 0 {
        let roll = dice.roll();
        let word = words[(roll >> 8) as usize % 2];
        match roll % 4 {
            0 => word.fetch_xor(1, Relaxed),
            1 => word.fetch_or(1, Relaxed),
            2 => word.fetch_add((roll >> 32) as u32, Relaxed),
            _ => word.fetch_add(2, Relaxed),
        };
        flips += 1;
        board.tallies[3].own[0].store(flips, Relaxed);
        std::thread::sleep(Duration::from_micros((roll >> 16) % 100));
    }
}
