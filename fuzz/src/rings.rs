//! The rings to begin with: images of rings that were really used, one for each state worth attacking.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

use quoit_tampered as quoit;

use quoit::tamper::RawRing;
use quoit::{Attach, Event, Options, Producer, Ring, WaitMode};

/// Capacity and slots of all of them, so that every word has one meaning.
pub(super) const CAPACITY: u64 = 4096;
pub(super) const SLOTS: u32 = 4;
pub(super) const MOST: usize = CAPACITY as usize / 2 - 8;

/// Word numbers.
pub(super) mod at {
    use support::offsets;

    pub(crate) const PUBLISHED: usize = word(offsets::PUBLISHED);
    pub(crate) const RESERVE: usize = word(offsets::RESERVE);
    pub(crate) const CLOSED: usize = word(offsets::CLOSED);
    pub(crate) const COUNTERS: usize = word(offsets::COUNTERS);
    pub(crate) const INDEX: usize = word(offsets::INDEX);
    pub(crate) const INDEX_END: usize = INDEX + word(64 * offsets::ENTRY);
    pub(crate) const CONTROL: usize = word(offsets::CONTROL);
    pub(crate) const CONTROL_END: usize = CONTROL + word(offsets::slot(4));
    pub(crate) const DATA: usize = CONTROL + word(4096);
    pub(crate) const END: usize = DATA + word(super::CAPACITY);

    const fn word(byte: u64) -> usize {
        byte as usize / 8
    }
}

/// The payload of a record depends on the low half of its sequence alone, which stands in its header, and on its
/// length: so each can be judged by itself.
pub(super) fn fill(sequence: u64, len: usize, buffer: &mut Vec<u8>) {
    support::fill(u64::from(sequence as u32) + 1, len, buffer);
}

/// Sends records of these lengths; none finds the ring full.
fn send(producer: &mut Producer, lens: impl IntoIterator<Item = usize>) {
    let mut buffer = Vec::new();
    for len in lens {
        fill(producer.next_sequence(), len, &mut buffer);
        producer.try_send(&buffer).expect("room");
    }
}

fn image(ring: &Ring) -> Vec<u8> {
    let memory = ring.memory().expect("on the heap");
    (0..memory.words()).flat_map(|number| memory.peek(number).to_le_bytes()).collect()
}

fn many(len: usize) -> impl Iterator<Item = usize> {
    std::iter::repeat_n(len, 3 * CAPACITY as usize / (len + 16))
}

/// Makes a ring by `options`, does `work` with its first producer, and takes the image while everybody is still
/// attached: so it looks when all have been killed at once.
fn used(options: &Options, work: impl FnOnce(&Ring, &mut Producer) -> Vec<quoit::Consumer>) -> Vec<u8> {
    let ring = Ring::heap(options).expect("a ring");
    let mut producer = ring.producer().expect("its producer");
    let attached = work(&ring, &mut producer);
    let image = image(&ring);
    drop(attached);
    image
}

fn plain() -> Options {
    Options::new().capacity(CAPACITY).slots(SLOTS).wait(WaitMode::Fence)
}

/// All of them, made once. Files of the same bytes are rings.
pub fn images() -> &'static [Vec<u8>] {
    static IMAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    IMAGES.get_or_init(make)
}

fn make() -> Vec<Vec<u8>> {
    let nobody = |_: &Ring, _: &mut Producer| Vec::new();
    let sends = |lens: Vec<usize>| {
        move |_: &Ring, producer: &mut Producer| {
            send(producer, lens);
            Vec::new()
        }
    };
    let consumer = |ring: &Ring, attach: Attach| ring.consumer(&attach).expect("a slot");
    let take = |consumer: &mut quoit::Consumer, events: usize| {
        for _ in 0..events {
            assert!(consumer.try_recv().expect("whole").is_some(), "an event");
        }
    };
    let late = plain().origin(0u64.wrapping_sub(2048), 0u64.wrapping_sub(20));
    vec![
        image(&Ring::heap(&plain()).expect("a ring")),
        used(&plain(), nobody),
        used(&plain(), sends(vec![8])),
        // Closed, with three records.
        {
            let ring = Ring::heap(&plain()).expect("a ring");
            send(&mut ring.producer().expect("its producer"), [8, 104, 105]);
            image(&ring)
        },
        // Lapped: by small records, by those that leave padding at the end, by the largest.
        used(&plain(), sends(many(24).collect())),
        used(&plain(), sends(many(700).collect())),
        used(&plain(), sends(many(MOST).collect())),
        used(&plain().inline(false), sends(many(40).collect())),
        // About to wrap, and just wrapped.
        used(&late, sends(vec![100; 10])),
        used(&late, sends(many(120).collect())),
        used(&plain().origin((1 << 63) - 1024, (1 << 32) - 5), sends(many(200).collect())),
        // Consumers of every kind, somewhere, all killed.
        used(&plain(), |ring, producer| {
            let mut all = vec![
                consumer(ring, Attach::gated()),
                consumer(ring, Attach::lossy()),
                consumer(ring, Attach::gated().name("kin").hold_forever()),
                consumer(ring, Attach::gated_for(Duration::from_secs(1)).name("brief")),
            ];
            send(producer, [8, 300, 24, 104, 0, 50]);
            for (number, one) in all.iter_mut().enumerate() {
                take(one, number + 1);
                one.release();
            }
            all
        }),
        // A name that is held while it is away, and the ring full because of it.
        used(&plain(), |ring, producer| {
            drop(consumer(ring, Attach::gated().name("kin").hold_forever()));
            let mut buffer = Vec::new();
            loop {
                fill(producer.next_sequence(), 200, &mut buffer);
                if producer.try_send(&buffer).is_err() {
                    break Vec::new();
                }
            }
        }),
        // Names that keep their places: one of them lapped, with losses in its account.
        used(&plain(), |ring, producer| {
            drop(consumer(ring, Attach::gated().name("kin")));
            let mut lossy = consumer(ring, Attach::lossy().name("late"));
            send(producer, many(150));
            let lost = lossy.try_recv().map(|event| matches!(event, Some(Event::Lost(_))));
            assert_eq!(lost, Ok(true), "a loss");
            take(&mut lossy, 3);
            drop(lossy);
            send(producer, many(90));
            Vec::new()
        }),
        // The third producer; the second was killed with a claim open, so `reserve` is ahead.
        {
            let ring = Ring::heap(&plain()).expect("a ring");
            send(&mut ring.producer().expect("its producer"), vec![60; 20]);
            send(&mut ring.producer().expect("its producer"), vec![30; 20]);
            let mut third = ring.producer().expect("its producer");
            send(&mut third, [16, 16]);
            let claim = third.try_claim(900).expect("room");
            let killed = image(&ring);
            drop(claim);
            killed
        },
        used(&plain(), |_, producer| {
            let mut buffer = Vec::new();
            for round in 0..20 {
                let mut batch = producer.batch();
                for len in [round, 3 * round, 40] {
                    fill(batch_next(&batch, round, len), len, &mut buffer);
                    batch.try_send(&buffer).expect("room");
                }
                batch.publish();
            }
            Vec::new()
        }),
        used(&plain().gated_only(true), |ring, producer| {
            let mut gated = consumer(ring, Attach::gated());
            send(producer, [8, 500, 104]);
            take(&mut gated, 2);
            vec![gated]
        }),
        used(&plain().hard_limit(Duration::from_nanos(1)), |ring, producer| {
            let gated = consumer(ring, Attach::gated().name("kin"));
            let mut buffer = Vec::new();
            for _ in 0..40 {
                fill(producer.next_sequence(), 200, &mut buffer);
                while producer.try_send(&buffer).is_err() {}
            }
            vec![gated]
        }),
        used(&plain().wait(WaitMode::Spin), sends(vec![8; 30])),
        used(&plain().wait(WaitMode::Membarrier), sends(vec![96; 60])),
    ]
}

/// Sequence of the record that comes next in a batch of three.
fn batch_next(batch: &quoit::Batch<'_>, round: usize, _len: usize) -> u64 {
    3 * round as u64 + batch.records()
}

thread_local! {
    /// A ring for each image, written anew for each input: quicker than to allocate it.
    static RINGS: RefCell<Vec<Option<Ring>>> = const { RefCell::new(Vec::new()) };
}

/// Hands out the ring of one image, as it was when the image was taken.
pub(super) fn with_ring(number: usize, work: impl FnOnce(&Ring, RawRing)) {
    let images = images();
    let number = number % images.len();
    let taken = RINGS.with_borrow_mut(|rings| {
        rings.resize_with(images.len(), || None);
        rings[number].take()
    });
    let mut ring = match taken {
        Some(ring) => ring,
        None => Ring::from_image(&images[number]).expect("a ring"),
    };
    assert!(ring.restore(&images[number]), "somebody holds the ring still");
    work(&ring, ring.memory().expect("on the heap"));
    RINGS.with_borrow_mut(|rings| rings[number] = Some(ring));
}
