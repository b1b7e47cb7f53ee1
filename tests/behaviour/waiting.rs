//! Streams between sleeping threads, in every wait mode.

use std::time::{Duration, Instant};

use quoit::{Attach, Event, RecvError, SendError, Start, WaitMode};

use crate::common::{PATIENCE, Sent, payload, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    membarrier_streams_to_sleepers,
    fence_streams_to_sleepers,
    spin_streams_without_sleep,
    batches_stream_to_sleepers,
    a_fast_producer_meets_slow_readers,
    ping_pong_between_sleepers,
    sleepers_are_woken_and_counted,
    a_deadline_ends_the_longest_spell_of_looking,
}

crate::behaviours_of_files! {
    a_sleeper_that_died_costs_one_wake,
}

const RECORDS: usize = 1500;

/// One producer that pauses now and then, so that its readers fall asleep; one reader of each kind.
fn stream(setup: Setup, mode: WaitMode, batch: usize) {
    let ring = setup.backing.ring(&setup.options().wait(mode));
    assert_eq!(ring.snapshot().wait, mode);
    let mut producer = ring.producer();
    if mode != WaitMode::Membarrier {
        assert_eq!(producer.wait_mode(), mode);
    }
    let mut sent = Sent::new(setup.first);
    sent.lens = (0..RECORDS).map(|n| n * 61 % 190).collect();
    let sent = &sent;
    std::thread::scope(|scope| {
        for attach in [Attach::gated(), Attach::lossy(), Attach::gated_for(PATIENCE * 3)] {
            let mut consumer = ring.consumer(&attach);
            consumer.set_spins(0);
            scope.spawn(move || {
                let mut oracle = setup.oracle();
                while oracle.next != sent.next() {
                    oracle.feed(sent, consumer.recv_deadline(soon()).expect("the stream goes on"));
                }
                oracle.is_done(sent, setup.first);
                assert_eq!(consumer.account().records, oracle.lost());
            });
        }
        let mut observer = ring.observer(Start::Newest);
        observer.set_spins(0);
        scope.spawn(move || {
            let mut oracle = setup.oracle();
            while oracle.next != sent.next() {
                oracle.feed(sent, observer.recv_deadline(soon()).expect("the stream goes on"));
            }
            oracle.is_done(sent, setup.first);
        });
        producer.set_spins(0);
        let mut pairs = (0..).map(|n| setup.first.wrapping_add(n)).zip(&sent.lens);
        for round in 0.. {
            let mut group = producer.batch();
            for (sequence, len) in pairs.by_ref().take(batch) {
                group.send_deadline(&payload(sequence, *len), soon()).unwrap();
            }
            if group.publish().is_none() {
                break;
            }
            if round % 97 == 96 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    });
}

fn membarrier_streams_to_sleepers(setup: Setup) {
    stream(setup, WaitMode::Membarrier, 1);
}

fn fence_streams_to_sleepers(setup: Setup) {
    stream(setup, WaitMode::Fence, 1);
}

fn spin_streams_without_sleep(setup: Setup) {
    stream(setup, WaitMode::Spin, 1);
}

fn batches_stream_to_sleepers(setup: Setup) {
    stream(setup, WaitMode::Membarrier, 7);
}

fn a_fast_producer_meets_slow_readers(setup: Setup) {
    // Single sends without a pause: readers are lapped all the time, with the inline copy and without.
    for inline in [true, false] {
        let ring = setup.backing.ring(&setup.options().inline(inline));
        let mut sent = setup.sent();
        sent.lens = (0..20_000).map(|n| [8, 24, 104, 105, 300][n % 5]).collect();
        let sent = &sent;
        let mut producer = ring.producer();
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let mut consumer = ring.consumer(&Attach::lossy());
                scope.spawn(move || {
                    let mut oracle = setup.oracle();
                    while oracle.next != sent.next() {
                        oracle.feed(sent, consumer.recv_deadline(soon()).expect("the stream goes on"));
                        if oracle.received % 100 == 50 * reader {
                            std::thread::yield_now();
                        }
                    }
                    oracle.is_done(sent, setup.first);
                    assert_eq!(consumer.account().bytes, oracle.lost_bytes());
                });
            }
            for (sequence, len) in (0..).map(|n| setup.first.wrapping_add(n)).zip(&sent.lens) {
                producer.try_send(&payload(sequence, *len)).unwrap();
            }
        });
    }
}

fn ping_pong_between_sleepers(setup: Setup) {
    for mode in [WaitMode::Membarrier, WaitMode::Fence] {
        let [there, back] = [0; 2].map(|_| setup.backing.ring(&setup.options().wait(mode)));
        let mut ping = there.producer();
        let mut pong = back.producer();
        let mut at_ping = back.consumer(&Attach::gated());
        let mut at_pong = there.consumer(&Attach::gated());
        at_ping.set_spins(0);
        at_pong.set_spins(0);
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..200 {
                    let Event::Record(record) = at_pong.recv().unwrap() else { panic!("no record") };
                    let bytes = record.to_vec();
                    pong.send(&bytes).unwrap();
                }
            });
            for n in 0..200 {
                let bytes = payload(n, 64);
                ping.send(&bytes).unwrap();
                let Event::Record(record) = at_ping.recv().unwrap() else { panic!("no record") };
                assert_eq!(record.to_vec(), bytes);
            }
        });
        // A lost wake costs a tenth of a second, and there are four hundred of them.
        assert!(begin.elapsed() < PATIENCE, "took {:?}", begin.elapsed());
    }
}

fn sleepers_are_woken_and_counted(setup: Setup) {
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        let ring = setup.backing.ring(&setup.options().wait(mode));
        let inspector = ring.inspector();
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::gated());
        consumer.set_spins(0);
        let mut records = 0;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                loop {
                    let Event::Record(record) = consumer.recv_deadline(soon()).expect("the stream goes on")
                    else {
                        panic!("no record")
                    };
                    if record.is_empty() {
                        break;
                    }
                }
            });
            until("twenty records, and one that wakes", || {
                producer.send_deadline(&payload(records, 8), soon()).unwrap();
                records += 1;
                records > 20 && (mode == WaitMode::Spin || inspector.snapshot().unwrap().wakes > 0)
            });
            producer.send_deadline(&[], soon()).unwrap();
        });
        let wakes = inspector.snapshot().unwrap().wakes;
        if mode == WaitMode::Spin {
            assert_eq!(wakes, 0, "nobody announces sleep");
        } else {
            assert!((1..=records + 1).contains(&wakes), "{wakes} wakes for {records} records");
            // With nobody asleep a publish looks, and makes no call.
            for n in 0..50 {
                producer.send(&payload(n, 8)).unwrap();
            }
            assert!(inspector.snapshot().unwrap().wakes <= wakes + 1);
        }
    }
}

fn a_sleeper_that_died_costs_one_wake(setup: Setup) {
    use std::os::unix::fs::FileExt;

    use support::offsets;

    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let file = std::fs::File::options().read(true).write(true).open(ring.path().unwrap()).unwrap();
    let data_word = offsets::CONTROL + offsets::DATA_WORD;
    for round in 1..=3 {
        // Armed, and then killed in its sleep.
        let mut armed = [0; 4];
        file.read_exact_at(&mut armed, data_word).unwrap();
        assert_eq!(armed[0] & 1, 0);
        armed[0] |= 1;
        file.write_all_at(&armed, data_word).unwrap();
        sent.send_many(&mut producer, [8; 50]);
        assert_eq!(ring.snapshot().wakes, round, "one for each death");
        oracle.keep_up(&sent, &mut consumer);
    }
}

/// Whoever may look for minutes still comes back in time: some 3 us late at best, and then whenever nothing else has the
/// core.
fn a_deadline_ends_the_longest_spell_of_looking(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    let mut sent = setup.sent();
    producer.set_spins(u32::MAX);
    consumer.set_spins(u32::MAX);
    observer.set_spins(u32::MAX);
    let comes_in_time = |who: &str, look: &mut dyn FnMut(Instant)| {
        until(who, || {
            let deadline = Instant::now() + Duration::from_micros(200);
            look(deadline);
            deadline.elapsed() < Duration::from_micros(20)
        });
    };
    comes_in_time("a consumer comes in time", &mut |deadline| {
        assert_eq!(consumer.recv_deadline(deadline).unwrap_err(), RecvError::TimedOut);
    });
    comes_in_time("an observer comes in time", &mut |deadline| {
        assert_eq!(observer.recv_deadline(deadline).unwrap_err(), RecvError::TimedOut);
    });
    sent.fill(&mut producer, 100);
    let full = payload(sent.next(), 100);
    comes_in_time("a producer comes in time", &mut |deadline| {
        assert_eq!(producer.send_deadline(&full, deadline), Err(SendError::TimedOut { slot: 0 }));
    });
}
