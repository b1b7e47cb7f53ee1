//! Asleep when somebody dies: a dead sleeper costs nothing lasting, and the death of a producer wakes the living.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Inspector, Options, Producer, RecvError, WaitMode};
use support::offsets::{CONTROL, DATA_WORD, SPACE_WORD};

use crate::process::{Part, SOON, Stage, eventually, note};

/// A rival counts its sleepers; one that is killed is never counted out, and every later publish makes a system call.
fn a_dead_sleeper_costs_one_wake(mode: WaitMode) {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    let mut producer = Producer::create(&ring, &Options::new().capacity(1 << 16).wait(mode)).expect("create");
    assert_eq!(producer.wait_mode(), mode);
    let inspector = Inspector::open(&ring).expect("inspect");
    let wakes = || inspector.snapshot().expect("snapshot").wakes;
    let part = Part::new("consume").on(&ring).with("max", 5).with("policy", "lossy").with("spins", 0);
    let mut send = |records: u64| {
        let oracle = crate::oracle::Oracle::new(5);
        let mut payload = Vec::new();
        for _ in 0..records {
            oracle.fill(producer.next_sequence(), &mut payload);
            producer.send(&payload).expect("send");
        }
    };
    for _ in 0..10 {
        let mut sleeper = part.start();
        sleeper.says("ready");
        sleeper.falls_asleep();
        // The count does count: a living sleeper is woken.
        let before = wakes();
        eventually("a sleeper is woken", || {
            send(1);
            sleep(Duration::from_millis(2));
            wakes() > before
        });
        sleeper.falls_asleep();
        sleeper.kill();
        let before = wakes();
        send(5_000);
        assert!(wakes() <= before + 1, "{} wakes for nobody", wakes() - before);
        let after = wakes();
        send(5_000);
        assert_eq!(wakes(), after, "the dead one is forgotten");
    }
}

#[test]
fn a_dead_sleeper_costs_one_wake_with_membarrier() {
    a_dead_sleeper_costs_one_wake(WaitMode::Membarrier);
}

#[test]
fn a_dead_sleeper_costs_one_wake_with_fences() {
    a_dead_sleeper_costs_one_wake(WaitMode::Fence);
}

/// What the consumer receives next, the notices apart.
fn next(consumer: &mut Consumer) -> Result<u64, RecvError> {
    loop {
        if let Event::Record(record) = consumer.recv()? {
            return Ok(record.sequence());
        }
    }
}

#[test]
fn a_sleeper_learns_of_its_producers_death_and_goes_on_with_the_next() {
    let stage = Stage::tmpfs(60);
    let mut longest = Duration::ZERO;
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        let ring = stage.file("ring");
        Options::new().capacity(1 << 14).wait(mode).create(&ring).expect("create");
        let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
        consumer.set_spins(0);
        let part = Part::new("produce").on(&ring).with("max", 100).with("seed", 3).with("pause_us", 200);
        let mut expected = 0;
        for epoch in 1..=5 {
            let mut producer = part.start();
            assert_eq!(producer.says("ready"), [expected, epoch]);
            if epoch > 1 {
                match consumer.recv() {
                    Ok(Event::ProducerChanged { epoch: told }) => assert_eq!(told, epoch),
                    other => panic!("a new producer comes first: {other:?}"),
                }
            }
            for _ in 0..20 {
                assert_eq!(next(&mut consumer), Ok(expected));
                expected += 1;
            }
            producer.kill();
            // What it had published comes first, then the news, within a slice or so.
            let start = Instant::now();
            let news = loop {
                match next(&mut consumer) {
                    Ok(sequence) => {
                        assert_eq!(sequence, expected);
                        expected += 1;
                    }
                    Err(news) => break news,
                }
            };
            assert_eq!(news, RecvError::ProducerGone);
            assert!(!consumer.producer_alive());
            longest = longest.max(start.elapsed());
            assert!(longest < Duration::from_secs(2), "told after {longest:?}");
            // And again: it is not an end.
            assert_eq!(next(&mut consumer), Err(RecvError::ProducerGone));
        }
        // One that ends by itself is told apart from one that dies.
        let mut producer = part.with("count", 50).start();
        assert_eq!(producer.says("ready"), [expected, 6]);
        producer.finish();
        for sequence in expected..expected + 50 {
            assert_eq!(next(&mut consumer), Ok(sequence));
        }
        assert_eq!(next(&mut consumer), Err(RecvError::Closed));
        drop(consumer);
        std::fs::remove_file(&ring).expect("remove");
    }
    note(format_args!("a producer's death was told within {longest:?}"));
}

/// The consumer sleeps in another process when its next producer comes, late.
#[test]
fn a_sleeper_outlasts_a_time_without_any_producer() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 14).create(&ring).expect("create");
    let reader = Part::new("consume").on(&ring).with("max", 100).with("policy", "gated").with("spins", 0);
    let mut consumer = reader.with("tell_gone", true).start();
    consumer.says("ready");
    sleep(Duration::from_millis(250));
    assert!(consumer.is_silent(), "a ring that had no producer yet has lost none");
    let part = Part::new("produce").on(&ring).with("max", 100).with("seed", 3).with("pause_us", 200);
    let mut producer = part.start();
    producer.says("ready");
    sleep(Duration::from_millis(20));
    producer.kill();
    // Told again after every slice without a producer.
    consumer.says("gone");
    consumer.says("gone");
    let mut last = part.with("count", 100).start();
    let first = last.says("ready")[0];
    assert_eq!(last.says("done"), [first + 100]);
    let mut line = consumer.line(SOON);
    while line == "gone" {
        line = consumer.line(SOON);
    }
    let done = crate::process::numbers(&line, "done").expect("done");
    assert_eq!(done[..3], [0, first + 100, first + 100]);
}

/// The two sleep words in a ring's file.
struct Words(File);

impl Words {
    const DATA: u64 = CONTROL + DATA_WORD;
    const SPACE: u64 = CONTROL + SPACE_WORD;

    fn open(ring: &Path) -> Self {
        Self(File::options().read(true).write(true).open(ring).expect("open the file"))
    }

    fn get(&self, word: u64) -> u32 {
        let mut bytes = [0; 4];
        self.0.read_exact_at(&mut bytes, word).expect("read a word");
        u32::from_le_bytes(bytes)
    }

    fn set(&self, word: u64, value: u32) {
        self.0.write_all_at(&value.to_le_bytes(), word).expect("write a word");
    }
}

/// Twenty wakes before its end, as a ring that has seen four thousand million of them.
const NEARLY_WRAPPED: u32 = 0_u32.wrapping_sub(40);

#[test]
fn a_consumer_sleeps_across_the_wrap_of_its_word() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence] {
        let stage = Stage::tmpfs(60);
        let ring = stage.file("ring");
        let options = Options::new().capacity(1 << 14).wait(mode);
        let mut producer = Producer::create(&ring, &options).expect("create");
        let words = Words::open(&ring);
        words.set(Words::DATA, NEARLY_WRAPPED);
        let inspector = Inspector::open(&ring).expect("inspect");
        let part = Part::new("consume").on(&ring).with("max", 5).with("policy", "gated").with("spins", 0);
        let mut consumer = part.start();
        consumer.says("ready");
        let (oracle, mut payload) = (crate::oracle::Oracle::new(5), Vec::new());
        let mut sent = 0;
        eventually("the word wraps, and goes on from there", || {
            consumer.falls_asleep();
            oracle.fill(sent, &mut payload);
            assert_eq!(producer.send(&payload), Ok(sent));
            sent += 1;
            (16..1 << 30).contains(&words.get(Words::DATA))
        });
        let wakes = inspector.snapshot().expect("snapshot").wakes;
        assert!((20..=sent).contains(&wakes), "{wakes} wakes for {sent} records");
        drop(producer);
        let done = consumer.says("done");
        assert_eq!(done[..3], [0, sent, sent]);
        consumer.finish();
    }
}

#[test]
fn a_producer_sleeps_across_the_wrap_of_its_word() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence] {
        let stage = Stage::tmpfs(60);
        let ring = stage.file("ring");
        Options::new().capacity(4096).wait(mode).create(&ring).expect("create");
        let words = Words::open(&ring);
        words.set(Words::SPACE, NEARLY_WRAPPED);
        let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
        let mut producer = Part::new("produce").on(&ring).with("max", 300).with("seed", 7).start();
        producer.says("ready");
        let (oracle, mut expected) = (crate::oracle::Oracle::new(300), 0);
        eventually("the word wraps, and goes on from there", || {
            sleep(Duration::from_millis(1));
            if let Some(Event::Record(record)) = consumer.try_recv().expect("receive") {
                assert_eq!(record.sequence(), expected);
                oracle.check(expected, &record.bytes());
                expected += 1;
            }
            consumer.release();
            (16..1 << 30).contains(&words.get(Words::SPACE))
        });
        // And it still sends.
        for _ in 0..100 {
            assert_eq!(next(&mut consumer), Ok(expected));
            expected += 1;
        }
        producer.kill();
    }
}

/// As after exactly 2^32 wakes between a sleeper's look and its sleep: what it waits for is there, its word is what it
/// was, and nobody will wake it. Every sleep is a slice, so it comes back: that it does is the test.
#[test]
fn a_sleeper_that_nobody_wakes_comes_back_by_itself() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence] {
        let stage = Stage::tmpfs(60);
        let ring = stage.file("ring");
        let options = Options::new().capacity(4096).wait(mode);
        let mut producer = Producer::create(&ring, &options).expect("create");
        let words = Words::open(&ring);
        let inspector = Inspector::open(&ring).expect("inspect");
        let part = Part::new("consume").on(&ring).with("max", 5).with("policy", "gated").with("spins", 0);
        let mut consumer = part.with("progress", stage.file("progress").display()).start();
        consumer.says("ready");
        let (oracle, mut payload) = (crate::oracle::Oracle::new(5), Vec::new());
        for sequence in 0..20 {
            consumer.falls_asleep();
            let before = inspector.snapshot().expect("snapshot").wakes;
            // Out of the producer's sight for the moment of the send.
            let armed = words.get(Words::DATA);
            words.set(Words::DATA, armed & !1);
            oracle.fill(sequence, &mut payload);
            assert_eq!(producer.send(&payload), Ok(sequence));
            words.set(Words::DATA, armed);
            let woken = inspector.snapshot().expect("snapshot").wakes - before;
            // Now and then it is awake between two slices, and arms anew.
            assert!(woken <= 1);
            let progress = crate::load::Notebook::open(stage.file("progress"));
            eventually("the record is received all the same", || progress.read() == sequence + 2);
        }
        drop(producer);
        assert_eq!(consumer.says("done")[..3], [0, 20, 20]);
        consumer.finish();
    }
}

/// A producer that waited for a consumer which then lost its gate, or died, has nobody to clear its mark: for that mark
/// every gated consumer would take the long way for each record.
#[test]
fn an_awake_producer_leaves_no_mark() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence] {
        let stage = Stage::tmpfs(60);
        let ring = stage.file("ring");
        let options = Options::new().capacity(1 << 14).wait(mode);
        let mut producer = Producer::create(&ring, &options).expect("create");
        producer.set_spins(0);
        let words = Words::open(&ring);
        let is_armed = || words.get(Words::SPACE) & 1 == 1;
        let evicted = Consumer::open(&ring, &Attach::gated_for(Duration::from_millis(20))).expect("attach");
        for _ in 0..200 {
            producer.send(&[7; 200]).expect("send");
        }
        assert!(!is_armed(), "evicted");
        drop(evicted);
        let mut dead = Part::new("idle consumer").on(&ring).start();
        dead.says("ready");
        while producer.try_send(&[7; 200]).is_ok() {}
        dead.strike();
        producer.send(&[7; 200]).expect("send");
        assert!(!is_armed(), "dead");
        let _slow = Consumer::open(&ring, &Attach::gated()).expect("attach");
        while producer.try_send(&[7; 200]).is_ok() {}
        let soon = Instant::now() + Duration::from_millis(20);
        producer.send_deadline(&[7; 200], soon).expect_err("nobody makes room");
        assert!(!is_armed(), "gave up");
    }
}

/// A producer that is killed in its sleep leaves its mark to the next one, which takes it back.
#[test]
fn a_dead_producers_mark_goes_with_the_next() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 14).create(&ring).expect("create");
    let words = Words::open(&ring);
    let is_armed = || words.get(Words::SPACE) & 1 == 1;
    let _slow = Consumer::open(&ring, &Attach::gated()).expect("attach");
    let inspector = Inspector::open(&ring).expect("inspect");
    let blocked = || inspector.snapshot().expect("snapshot").blocked.is_some();
    let mut left = false;
    for _ in 0..50 {
        let mut producer = Part::new("produce").on(&ring).with("max", 100).with("seed", 3).start();
        producer.says("ready");
        eventually("it waits", || is_armed() && blocked());
        producer.kill();
        left |= is_armed();
        assert!(!blocked(), "nobody is held up where nobody lives");
        let next = Producer::open(&ring).expect("take over");
        assert!(!is_armed(), "armed by the dead");
        assert!(!blocked(), "it was another one that was held up");
        drop(next);
        if left {
            break;
        }
    }
    assert!(left, "it was never killed in its sleep");
}
