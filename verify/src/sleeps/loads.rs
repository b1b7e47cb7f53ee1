//! The loads. In each of them a process waits for a hand-over that is made once. No later event repairs a lost wake,
//! except in `Stream`, where one may until the ring is full or empty.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use delayed::sync::Event as Signal;
use delayed::{Attach, Consumer, Event, Producer, RecvError, WaitMode, WaitSet};
use support::dice::{Dice, mix};

use super::board::Board;

/// What a set of processes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// A consumer sleeps for each record; the producer sends the next when it was received.
    Handed,
    /// The same with three consumers: gated, lossy, and gated with a deadline that never comes.
    Three,
    /// The ring is full: the producer sleeps for each release, and the consumer makes the next when it sleeps again.
    Full,
    /// Two rings: each side sleeps for the other's answer.
    PingPong,
    /// A wait set asleep for two rings and an event: one of them has something at a time.
    Set,
    /// Records of all sizes through a small ring, to two consumers; both sides sleep now and then.
    Stream,
}

impl Load {
    pub(crate) const ALL: [Self; 6] =
        [Self::Handed, Self::Three, Self::Full, Self::PingPong, Self::Set, Self::Stream];

    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Handed => "one consumer asleep for each record",
            Self::Three => "three consumers asleep for each record",
            Self::Full => "a producer asleep for each release",
            Self::PingPong => "two processes asleep for each other's answer",
            Self::Set => "a wait set asleep for two rings and an event",
            Self::Stream => "a stream through a small ring",
        }
    }

    /// Bytes of the ring. A large one is cold: what the producer wrote stays in its store buffer for longer, and with
    /// it the window that the barriers close.
    pub(crate) fn capacity(self) -> u64 {
        match self {
            Self::Handed | Self::Set => 16 << 20,
            _ => 4096,
        }
    }

    /// A length that follows from the sequence.
    fn length(self, sequence: u64) -> usize {
        if self == Self::Full {
            return QUARTER;
        }
        let dice = mix(!sequence);
        let most = match self {
            Self::Handed | Self::Set if !dice.is_multiple_of(4) => 1_000,
            _ if dice.is_multiple_of(4) => 400,
            _ => 64,
        };
        (dice >> 32) as usize % most
    }

    pub(crate) fn processes(self) -> usize {
        match self {
            Self::Handed | Self::Full | Self::PingPong | Self::Set => 2,
            Self::Three => 4,
            Self::Stream => 3,
        }
    }
}

/// What every process of a load knows.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) load: Load,
    pub(crate) mode: WaitMode,
    pub(crate) seed: u64,
    /// Two rings; most loads use the first.
    pub(crate) rings: [PathBuf; 2],
    /// An event, with one signal for one waiter.
    pub(crate) event: PathBuf,
    /// The site to leave out, and the process that does.
    pub(crate) weak: Option<(&'static str, usize)>,
}

/// The content of a record follows from its sequence.
pub(crate) fn fill(sequence: u64, len: usize, payload: &mut Vec<u8>) {
    payload.clear();
    payload.extend((0..len.div_ceil(8) as u64).flat_map(|word| mix(sequence ^ word << 48).to_le_bytes()));
    payload.truncate(len);
}

/// Process `number` of the load. A panic ends it, and the parent sees that.
pub(crate) fn play(setup: &Setup, number: usize, board: &Board) {
    delayed::delays::begin(setup.seed.wrapping_mul(MOST_SEEDS).wrapping_add(number as u64), true);
    if let Some((site, weak)) = setup.weak
        && weak == number
    {
        delayed::delays::weaken(site);
    }
    match (setup.load, number) {
        (Load::Handed, 0) => hand_over(setup, board, 1),
        (Load::Three, 0) => hand_over(setup, board, 3),
        (Load::Handed | Load::Three, _) => receive(setup, board, number),
        (Load::Full, 0) => fill_up(setup, board),
        (Load::Full, _) => make_room(setup, board),
        (Load::PingPong, _) => exchange(setup, board, number),
        (Load::Set, 0) => hand_to_set(setup, board),
        (Load::Set, _) => receive_by_set(setup, board),
        (Load::Stream, 0) => stream(setup, board),
        (Load::Stream, _) => follow(setup, board, number),
    }
}

pub(super) const MOST_SEEDS: u64 = 16;

/// Holds the caller up for a while: often less than it takes to fall asleep, often more. Whoever arms by `membarrier`
/// interrupts the other processors before it sleeps, which takes as long again.
pub(super) fn dawdle(dice: &mut Dice, mode: WaitMode) {
    let roll = dice.roll();
    let slow = if mode == WaitMode::Membarrier { 2 } else { 1 };
    let size = roll >> 32;
    let ns = match roll % 16 {
        0..=4 => size % 1_500,
        5..=9 => size % 6_000,
        10..=14 => 2_000 + size % 12_000,
        _ => size % 60_000,
    };
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_nanos(slow * ns) {
        std::hint::spin_loop();
    }
}

/// Busy, so that what follows is close to what was waited for. With as many processes as processors, that is.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    for turn in 1_u64.. {
        if is_so() {
            return;
        }
        if turn.is_multiple_of(2_000) {
            std::thread::yield_now();
        }
        // The other side has no processor: let it have this one.
        if turn > 20_000 {
            std::thread::sleep(Duration::from_micros(50));
        }
        std::hint::spin_loop();
    }
}

fn consumer(setup: &Setup, number: usize) -> Consumer {
    let attach = match (setup.load, number) {
        (Load::Three, 2) => Attach::lossy(),
        (Load::Three, 3) => Attach::gated_for(Duration::from_secs(1 << 20)),
        _ => Attach::gated(),
    };
    let mut consumer = Consumer::open(&setup.rings[0], &attach).expect("attach");
    consumer.set_spins(0);
    consumer
}

fn producer(setup: &Setup, ring: usize) -> Producer {
    let mut producer = Producer::open(&setup.rings[ring]).expect("become the producer");
    assert_eq!(producer.wait_mode(), setup.mode, "the mode that was asked for");
    producer.set_spins(0);
    producer
}

/// The sequence of a record that is whole; `None`: no record.
fn whole(event: &Event<'_>, load: Load, payload: &mut Vec<u8>) -> Option<u64> {
    match event {
        Event::Record(record) => {
            fill(record.sequence(), load.length(record.sequence()), payload);
            assert!(*record.bytes() == payload[..], "record {} is not what was sent", record.sequence());
            Some(record.sequence())
        }
        Event::ProducerChanged { .. } => None,
        other => panic!("a record expected: {other:?}"),
    }
}

/// Waits until `consumers` are attached, by their receiving nothing yet: they say 1.
fn assembled(board: &Board, consumers: usize) {
    until(|| (1..=consumers).all(|number| board.received[number].get() == 1));
}

fn hand_over(setup: &Setup, board: &Board, consumers: usize) {
    let mut producer = producer(setup, 0);
    let mut dice = Dice(setup.seed);
    let mut payload = Vec::new();
    assembled(board, consumers);
    while board.stop.get() == 0 {
        let next = producer.next_sequence();
        fill(next, setup.load.length(next), &mut payload);
        match dice.roll() % 8 {
            0 => {
                let mut batch = producer.batch();
                batch.send(&payload).expect("room");
                assert_eq!(batch.publish(), Some(next));
            }
            1 => {
                let mut claim = producer.claim(payload.len()).expect("room");
                claim.write_at(0, &payload).expect("it fits");
                assert_eq!(claim.publish(), next);
            }
            _ => assert_eq!(producer.send(&payload), Ok(next)),
        }
        until(|| (1..=consumers).all(|number| board.received[number].get() == next + 2));
        board.tallies[0].show(next + 1);
        dawdle(&mut dice, setup.mode);
    }
}

fn receive(setup: &Setup, board: &Board, number: usize) {
    let mut consumer = consumer(setup, number);
    let mut payload = Vec::new();
    let mut expected = 0;
    board.received[number].set_fenced(1);
    loop {
        match consumer.recv() {
            Ok(event) => {
                let Some(sequence) = whole(&event, setup.load, &mut payload) else { continue };
                assert_eq!(sequence, expected, "records come in order, each once");
                expected += 1;
                board.tallies[number].show(expected);
                board.received[number].set(expected + 1);
            }
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    board.tallies[number].show(expected);
}

/// Payload bytes of the records that fill a ring of 4 KiB: four of them.
const QUARTER: usize = 1024 - 8;

fn fill_up(setup: &Setup, board: &Board) {
    let mut producer = producer(setup, 0);
    let mut payload = Vec::new();
    assembled(board, 1);
    loop {
        let next = producer.next_sequence();
        fill(next, setup.load.length(next), &mut payload);
        board.begun.set(next + 1);
        assert_eq!(producer.send(&payload), Ok(next));
        board.tallies[0].show(next + 1);
        if board.stop.get() == 1 {
            break;
        }
    }
}

fn make_room(setup: &Setup, board: &Board) {
    let mut consumer = consumer(setup, 1);
    let mut dice = Dice(!setup.seed);
    let mut payload = Vec::new();
    let mut expected = 0;
    board.received[1].set_fenced(1);
    loop {
        // The producer is on its way to sleep for the record after the four that are there, or has ended.
        until(|| board.begun.get() >= expected + 5 || board.stop.get() == 1);
        dawdle(&mut dice, setup.mode);
        match consumer.try_recv() {
            Ok(Some(event)) => {
                let Some(sequence) = whole(&event, setup.load, &mut payload) else { continue };
                assert_eq!(sequence, expected, "records come in order, each once");
                expected += 1;
                consumer.release();
                board.tallies[1].show(expected);
            }
            Ok(None) if board.stop.get() == 1 => match consumer.recv() {
                Ok(event) => expected += u64::from(whole(&event, setup.load, &mut payload).is_some()),
                Err(RecvError::Closed) => break,
                Err(error) => panic!("{error}"),
            },
            Ok(None) => panic!("four records are there"),
            Err(error) => panic!("{error}"),
        }
    }
}

fn exchange(setup: &Setup, board: &Board, number: usize) {
    let mut mine = producer(setup, number);
    // Its ring is there from the start; its producer may not be yet, and then there is nothing to receive.
    let mut consumer =
        Consumer::open(&setup.rings[1 - number], &Attach::gated()).expect("attach to the other's ring");
    consumer.set_spins(0);
    board.received[number].set_fenced(1);
    until(|| board.received[1 - number].get() == 1);
    let mut dice = Dice(setup.seed ^ number as u64);
    let mut payload = Vec::new();
    let mut turn = 0;
    let mut hear = |payload: &mut Vec<u8>, turn: u64| loop {
        match consumer.recv() {
            Ok(event) => {
                let Some(sequence) = whole(&event, setup.load, payload) else { continue };
                assert_eq!(sequence, turn, "records come in order, each once");
                return true;
            }
            Err(RecvError::Closed) => return false,
            Err(error) => panic!("{error}"),
        }
    };
    loop {
        if number == 1 && !hear(&mut payload, turn) {
            break;
        }
        if number == 0 && board.stop.get() == 1 {
            break;
        }
        if dice.roll().is_multiple_of(4) {
            dawdle(&mut dice, setup.mode);
        }
        fill(turn, setup.load.length(turn), &mut payload);
        assert_eq!(mine.send(&payload), Ok(turn));
        assert!(number == 1 || hear(&mut payload, turn), "the answer to {turn}");
        turn += 1;
        board.tallies[number].show(turn);
    }
    board.tallies[number].show(turn);
}

fn hand_to_set(setup: &Setup, board: &Board) {
    let mut producers = [0, 1].map(|ring| producer(setup, ring));
    let event = Signal::open(&setup.event).expect("open the event");
    let mut dice = Dice(setup.seed);
    let mut payload = Vec::new();
    let mut handed = 0;
    assembled(board, 1);
    while board.stop.get() == 0 {
        match dice.roll() % 3 {
            2 => assert!(event.set().expect("set"), "its last signal was taken"),
            ring => {
                let producer = &mut producers[ring as usize];
                let next = producer.next_sequence();
                fill(next, setup.load.length(next), &mut payload);
                assert_eq!(producer.send(&payload), Ok(next));
            }
        }
        handed += 1;
        until(|| board.received[1].get() == handed + 1);
        board.tallies[0].show(handed);
        dawdle(&mut dice, setup.mode);
    }
}

fn receive_by_set(setup: &Setup, board: &Board) {
    let mut consumers =
        setup.rings.each_ref().map(|ring| Consumer::open(ring, &Attach::gated()).expect("attach"));
    let mut event = Signal::open(&setup.event).expect("open the event");
    let mut set = WaitSet::new();
    set.set_spins(0);
    let mut payload = Vec::new();
    let (mut received, mut expected, mut has_ended) = (0, [0; 2], [false; 2]);
    board.received[1].set_fenced(1);
    while has_ended != [true; 2] {
        let [first, second] = &mut consumers;
        let ready: Vec<_> = set.wait(&mut [first, second, &mut event]).into_iter().collect();
        for token in ready {
            if token == 2 {
                received += u64::from(event.try_wait().expect("try"));
                continue;
            }
            match consumers[token].recv_timeout(Duration::ZERO) {
                Ok(event) => {
                    let Some(sequence) = whole(&event, setup.load, &mut payload) else { continue };
                    assert_eq!(sequence, expected[token], "records come in order, each once");
                    expected[token] += 1;
                    received += 1;
                }
                Err(RecvError::TimedOut) => {}
                Err(RecvError::Closed) => has_ended[token] = true,
                Err(error) => panic!("{error}"),
            }
        }
        board.tallies[1].show(received);
        board.received[1].set(received + 1);
    }
}

fn stream(setup: &Setup, board: &Board) {
    let mut producer = producer(setup, 0);
    let mut dice = Dice(setup.seed);
    let mut payload = Vec::new();
    assembled(board, 2);
    while board.stop.get() == 0 {
        let roll = dice.roll();
        let mut next = producer.next_sequence();
        if roll.is_multiple_of(16) {
            let mut batch = producer.batch();
            for _ in 0..(roll >> 8) % 5 {
                fill(next, setup.load.length(next), &mut payload);
                // More than half the ring in one batch, or no room that does not wait for itself: enough of it.
                if batch.send(&payload).is_err() {
                    break;
                }
                next += 1;
            }
            batch.publish();
        } else {
            fill(next, setup.load.length(next), &mut payload);
            assert_eq!(producer.send(&payload), Ok(next));
        }
        board.tallies[0].show(producer.next_sequence());
        if (roll >> 16).is_multiple_of(8) {
            dawdle(&mut dice, setup.mode);
        }
    }
}

fn follow(setup: &Setup, board: &Board, number: usize) {
    let tally = &board.tallies[number];
    let mut dice = Dice(setup.seed ^ (number as u64) << 32);
    let mut consumer = consumer(setup, number);
    let mut payload = Vec::new();
    let mut expected = 0;
    board.received[number].set_fenced(1);
    loop {
        match consumer.recv() {
            Ok(event) => {
                let Some(sequence) = whole(&event, setup.load, &mut payload) else { continue };
                assert_eq!(sequence, expected, "records come in order, each once");
                expected += 1;
                tally.show(expected);
                if dice.roll().is_multiple_of(8) {
                    dawdle(&mut dice, setup.mode);
                }
            }
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
}
