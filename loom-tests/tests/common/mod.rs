//! Small rings, contents that tell torn from whole, and a count of what was explored.
#![allow(dead_code, reason = "each model uses its share")]

pub(crate) mod group;

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use loom::cell::UnsafeCell;
use send_wrapper::SendWrapper;

use quoit::fate::{crash_after, kill};
use quoit::{Attach, Consumer, Event, Options, Producer, Ring};

/// Words of a thread's stack. Loom's own 32 KiB are too few for the library with all structural mutants in it.
const STACK: usize = 0x4000;

/// A thread of a model, with that stack. Loom asks for `Send` then, which its own objects are not: all threads of a model
/// are coroutines of one thread, which is what the wrapper checks.
pub(crate) fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> Handle<T> {
    let body = SendWrapper::new(body);
    let builder = loom::thread::Builder::new().stack_size(STACK);
    Handle(builder.spawn(move || SendWrapper::new(body.take()())).unwrap())
}

pub(crate) struct Handle<T>(loom::thread::JoinHandle<SendWrapper<T>>);

impl<T> Handle<T> {
    pub(crate) fn join(self) -> std::thread::Result<T> {
        self.0.join().map(SendWrapper::take)
    }
}

/// Something outside an object, which loom lets nobody access without an order to what others do with it.
#[derive(Clone)]
pub(crate) struct Outside(Rc<UnsafeCell<()>>);

impl Outside {
    pub(crate) fn new() -> Self {
        Self(Rc::new(UnsafeCell::new(())))
    }

    pub(crate) fn touch(&self) {
        self.0.with_mut(|_| {});
    }

    pub(crate) fn look(&self) {
        self.0.with(|_| {});
    }
}

/// Explores `body` with at most `preemptions` involuntary switches per run, and prints how many runs that took.
pub(crate) fn model(name: &str, preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let runs = std::sync::Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let body = std::sync::Arc::new(body);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        quoit::fate::restart_clock();
        let body = body.clone();
        spawn(move || body()).join().unwrap();
    });
    println!("model {name}: {} runs", runs.load(Ordering::Relaxed));
}

/// Explores `body` with its victim killed after 0 stores, after 1, and so on, until the victim lives to its end in every
/// interleaving. `body` gets the number of stores, and returns whether its victim lived.
pub(crate) fn for_each_crash(
    name: &str,
    preemptions: usize,
    body: impl Fn(usize) -> bool + Clone + Sync + Send + 'static,
) {
    for stores in 0.. {
        let died = std::sync::Arc::new(AtomicBool::new(false));
        let (is_noted, body) = (died.clone(), body.clone());
        model(&format!("{name}_after_{stores}_stores"), preemptions, move || {
            if !body(stores) {
                is_noted.store(true, Ordering::Relaxed);
            }
        });
        if !died.load(Ordering::Relaxed) {
            // Killed after no store it dies whatever it does, and so it does after one if that was its last.
            assert!(stores > 1, "{name}: who is to die stores nothing");
            return;
        }
        assert!(stores < 100, "{name}: the work never ends");
    }
}

/// A thread that works, and is killed after so many stores. Whether it came to its end.
pub(crate) fn dies_after(stores: usize, work: impl FnOnce() + 'static) -> Handle<bool> {
    spawn(move || crash_after(stores, work).is_some())
}

/// A consumer is killed after so many stores of its attach, or once it is attached. Whether it was.
pub(crate) fn dies_attaching(ring: &Ring, attach: &Attach, stores: usize) -> bool {
    let attached = crash_after(stores, || ring.consumer(attach).unwrap());
    let has_attached = attached.is_some();
    attached.into_iter().for_each(kill);
    has_attached
}

/// The smallest ring: 64 bytes, four records of 8 bytes. The stream begins `before_end` bytes before the end of
/// the ring, and of the 64-bit positions and sequences as well.
pub(crate) fn options(before_end: u64) -> Options {
    Options::new()
        .capacity(64)
        .slots(1)
        .origin(0u64.wrapping_sub(before_end), 0u64.wrapping_sub(before_end / 16))
}

pub(crate) fn first_sequence(before_end: u64) -> u64 {
    0u64.wrapping_sub(before_end / 16)
}

pub(crate) fn ring(before_end: u64) -> Ring {
    Ring::heap(&options(before_end)).unwrap()
}

/// Every word of the payload is a function of the sequence.
pub(crate) fn payload(sequence: u64, words: usize) -> Vec<u8> {
    (0..words as u64)
        .flat_map(|word| (sequence.wrapping_mul(31) ^ (word << 60) ^ 0x5a).to_le_bytes())
        .collect()
}

/// Sends one record of half a ring for each of the sequences, yielding while the ring is full.
pub(crate) fn send_halves(producer: &mut Producer, from: u64, records: u64) {
    for sequence in (0..records).map(|sent| from.wrapping_add(sent)) {
        while producer.try_send(&payload(sequence, 3)).is_err() {
            loom::thread::yield_now();
        }
    }
}

/// Looks so many times whether there is something, and holds it against what must have been sent.
pub(crate) fn look(consumer: &mut Consumer, oracle: &mut Oracle, looks: usize) {
    for _ in 0..looks {
        if let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
    }
}

/// Takes everything there is.
pub(crate) fn drain(consumer: &mut Consumer, oracle: &mut Oracle) {
    while let Some(event) = consumer.try_recv().unwrap() {
        oracle.feed(event);
    }
}

/// Follows a stream and holds every event against what must have been sent.
pub(crate) struct Oracle {
    pub(crate) next: u64,
    /// How many words the record of a sequence has.
    words: Box<dyn Fn(u64) -> usize>,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) evicted: bool,
    pub(crate) changes: Vec<u64>,
    /// The sequence before which each change was told.
    pub(crate) changed_at: Vec<u64>,
}

impl Oracle {
    pub(crate) fn new(next: u64, words: usize) -> Self {
        Self::of_lengths(next, move |_| words)
    }

    pub(crate) fn of_lengths(next: u64, words: impl Fn(u64) -> usize + 'static) -> Self {
        Self {
            next,
            words: Box::new(words),
            received: 0,
            lost: 0,
            evicted: false,
            changes: Vec::new(),
            changed_at: Vec::new(),
        }
    }

    pub(crate) fn feed(&mut self, event: Event<'_>) {
        match event {
            Event::Record(record) => {
                assert_eq!(record.sequence(), self.next, "record out of sequence");
                assert_eq!(
                    record.to_vec(),
                    payload(self.next, (self.words)(self.next)),
                    "torn or foreign payload"
                );
                self.next = self.next.wrapping_add(1);
                self.received += 1;
            }
            Event::Lost(loss) => {
                assert_eq!(loss.first, self.next, "loss does not begin where reading stopped");
                assert_eq!(loss.next, loss.first.wrapping_add(loss.records), "loss miscounted");
                let words =
                    (0..loss.records).map(|record| (self.words)(loss.first.wrapping_add(record)) as u64);
                assert_eq!(loss.bytes, 8 * words.sum::<u64>(), "lost bytes miscounted");
                assert_ne!(loss.records, 0, "an empty loss");
                self.next = loss.next;
                self.lost += loss.records;
            }
            Event::Evicted => {
                assert!(!self.evicted, "told twice");
                self.evicted = true;
            }
            Event::ProducerChanged { epoch } => {
                self.changes.push(epoch);
                self.changed_at.push(self.next);
            }
            _ => unreachable!("no other kind is known here"),
        }
    }
}
