//! Asleep when somebody dies: a dead sleeper costs nothing lasting, and the death of a producer wakes the living.

use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Inspector, Options, Producer, RecvError, WaitMode};

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
