//! A producer that waits for those who are to receive what it sends.

use std::time::{Duration, Instant};

use quoit::{Attach, Error, Start};

use crate::Setup;
use crate::common::{PATIENCE, payload, soon};

crate::behaviours! {
    a_look_needs_no_time,
    who_comes_later_is_waited_for,
    a_wait_ends_with_its_deadline,
    what_cannot_come_is_not_waited_for,
}

crate::behaviours_of_files! {
    the_dead_are_not_counted,
}

fn a_look_needs_no_time(setup: Setup) {
    let ring = setup.ring();
    let producer = ring.producer();
    let past = Instant::now();
    let counts = |count| producer.wait_for_consumers(count, past).unwrap();
    assert!(counts(0) && !counts(1));
    let lossy = ring.consumer(&Attach::lossy());
    let _observer = ring.observer(Start::Newest);
    assert!(counts(1) && !counts(2), "an observer has no slot");
    let gated = ring.consumer(&Attach::gated().name("x").hold_forever());
    assert!(counts(2) && !counts(3));
    assert!(producer.wait_for_name("x", past).unwrap() && !producer.wait_for_name("xy", past).unwrap());
    drop(lossy);
    assert!(counts(1) && !counts(2));
    drop(gated);
    assert!(!counts(1) && !producer.wait_for_name("x", past).unwrap(), "held, and away");
    let _back = ring.consumer(&Attach::lossy().name("x"));
    assert!(counts(1) && producer.wait_for_name("x", past).unwrap());
}

fn who_comes_later_is_waited_for(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let mut sent = setup.sent();
    for round in 0..5 {
        let name = format!("late {round}");
        producer = std::thread::scope(|scope| {
            let (by_name, next) = (name.clone(), payload(sent.next(), 56));
            let waiting = scope.spawn(move || {
                let begin = Instant::now();
                match round % 2 {
                    0 => assert!(producer.wait_for_consumers(1, soon()).unwrap()),
                    _ => assert!(producer.wait_for_name(&by_name, soon()).unwrap()),
                }
                let waited = begin.elapsed();
                // Whoever was waited for receives what is sent from now on.
                producer.try_send(&next).unwrap();
                (producer, waited)
            });
            std::thread::sleep(Duration::from_millis(10));
            let mut consumer = ring.consumer(&Attach::gated().name(&name));
            let (producer, waited) = waiting.join().unwrap();
            assert!(waited < PATIENCE);
            sent.lens.push(56);
            let mut oracle = crate::common::Oracle::new(sent.next().wrapping_sub(1));
            oracle.keep_up(&sent, &mut consumer);
            assert_eq!((oracle.received, oracle.lost()), (1, 0));
            producer
        });
        ring.forget(&name).unwrap();
    }
}

fn a_wait_ends_with_its_deadline(setup: Setup) {
    let ring = setup.ring();
    let producer = ring.producer();
    let _consumer = ring.consumer(&Attach::gated());
    for wait in [0, 300, 1900, 15_900].map(Duration::from_micros) {
        let deadline = Instant::now() + wait;
        assert!(!producer.wait_for_consumers(2, deadline).unwrap());
        assert!(Instant::now() >= deadline, "gave up early");
        let deadline = Instant::now() + wait;
        assert!(!producer.wait_for_name("x", deadline).unwrap());
        assert!(Instant::now() >= deadline, "gave up early");
        assert!(Instant::now() < deadline + PATIENCE, "forgot its deadline");
    }
}

fn what_cannot_come_is_not_waited_for(setup: Setup) {
    let ring = setup.ring();
    let producer = ring.producer();
    let far = Instant::now() + PATIENCE * 10;
    assert!(matches!(producer.wait_for_consumers(5, far), Err(Error::BadOption { .. })), "it has four slots");
    for name in ["", "a\0b"] {
        assert!(matches!(producer.wait_for_name(name, far), Err(Error::BadName { .. })));
    }
}

fn the_dead_are_not_counted(setup: Setup) {
    let ring = setup.ring();
    let producer = ring.producer();
    let past = Instant::now();
    for attach in [Attach::gated().name("x").hold_forever(), Attach::lossy()] {
        ring.kill_consumer(ring.consumer(&attach));
        assert!(!producer.wait_for_consumers(1, past).unwrap());
        assert!(!producer.wait_for_name("x", past).unwrap());
    }
}
