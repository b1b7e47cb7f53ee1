//! The end of the stream, for those who wait and those who never do.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use quoit::{Attach, Event, Receive, RecvError, SendError, Start, Status, WaitMode};

use crate::common::{Oracle, PATIENCE, Ring, Sent, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    who_never_waits_learns_that_the_stream_was_closed,
    a_time_out_of_any_length_tells_the_end,
    no_record_is_missed_by_asking_how_the_stream_stands,
    losses_and_evictions_come_before_the_end,
    padding_alone_does_not_hide_the_end,
    who_was_told_the_end_waits_for_another_producer,
    the_next_end_is_told_at_once,
}

crate::behaviours_of_files! {
    who_never_waits_learns_of_a_death,
    a_time_out_of_any_length_tells_a_death,
}

/// One receiver of each kind, at the newest place.
fn receivers(ring: &Ring) -> [(&'static str, Box<dyn Receive + Send>); 4] {
    [
        ("gated", Box::new(ring.consumer(&Attach::gated()))),
        ("lossy", Box::new(ring.consumer(&Attach::lossy()))),
        ("gated for a time", Box::new(ring.consumer(&Attach::gated_for(PATIENCE)))),
        ("observer", Box::new(ring.observer(Start::Newest))),
    ]
}

fn follow(oracle: &mut Oracle, sent: &Sent, receiver: &mut dyn Receive) {
    receiver.drain(usize::MAX, &mut |event| oracle.feed(sent, event)).unwrap();
    assert_eq!(oracle.next, sent.next());
}

fn who_never_waits_learns_that_the_stream_was_closed(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let mut receivers = receivers(&ring).map(|(who, receiver)| (who, receiver, setup.oracle()));
    for (who, receiver, _) in &mut receivers {
        assert_eq!(receiver.status(), Status::Streaming, "{who}: no producer yet");
    }
    for _ in 0..3 {
        let mut producer = ring.producer();
        for (who, receiver, _) in &mut receivers {
            assert_eq!(receiver.status(), Status::Streaming, "{who}: a producer, and no record yet");
        }
        sent.send_many(&mut producer, [8, 300, 40]);
        drop(producer);
        for (who, receiver, oracle) in &mut receivers {
            for _ in 0..3 {
                assert_eq!(receiver.status(), Status::Streaming, "{who}: with records to come");
                let event = receiver.try_recv().unwrap().expect("a record, or a change before it");
                oracle.feed(&sent, event);
            }
            follow(oracle, &sent, &mut **receiver);
            for _ in 0..3 {
                assert_eq!(receiver.status(), Status::Closed, "{who}");
                assert!(receiver.try_recv().unwrap().is_none());
            }
        }
    }
    let producer = ring.producer();
    for (who, receiver, oracle) in &mut receivers {
        assert_eq!(receiver.status(), Status::Streaming, "{who}: another producer");
        oracle.is_done(&sent, setup.first);
        assert_eq!(oracle.changes.len(), 2);
    }
    drop(producer);
}

fn who_never_waits_learns_of_a_death(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let mut receivers = receivers(&ring).map(|(who, receiver)| (who, receiver, setup.oracle()));
    for _ in 0..3 {
        let mut producer = ring.producer();
        for (who, receiver, _) in &mut receivers {
            assert_eq!(receiver.status(), Status::Streaming, "{who}: a living producer");
        }
        sent.send_many(&mut producer, [8, 300, 40]);
        ring.kill_producer(producer);
        for (who, receiver, oracle) in &mut receivers {
            assert_eq!(receiver.status(), Status::Streaming, "{who}: with records to come");
            follow(oracle, &sent, &mut **receiver);
            until("a death is noticed", || receiver.status() != Status::Streaming);
            assert_eq!(receiver.status(), Status::ProducerGone, "{who}");
        }
    }
    drop(ring.producer());
    for (who, receiver, _) in &mut receivers {
        assert_eq!(receiver.status(), Status::Closed, "{who}: the next one ended cleanly");
    }
}

fn a_time_out_of_any_length_tells_the_end(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let mut receivers = receivers(&ring);
    let mut producer = ring.producer();
    sent.send_many(&mut producer, [8]);
    drop(producer);
    for (who, receiver) in &mut receivers {
        let mut oracle = setup.oracle();
        oracle.feed(&sent, receiver.recv_timeout(Duration::ZERO).expect("it is there"));
        // The first to be told is told without the rest of its time; and so is whoever asks once more.
        for timeout in [0, 1, 300_000, 1_900_000, 0] {
            let timeout = Duration::from_nanos(timeout);
            assert_eq!(receiver.recv_timeout(timeout).unwrap_err(), RecvError::Closed, "{who}: {timeout:?}");
        }
        let past = Instant::now();
        assert_eq!(receiver.recv_deadline(past).unwrap_err(), RecvError::Closed, "{who}");
        assert_eq!(receiver.recv_deadline(soon()).unwrap_err(), RecvError::Closed, "{who}");
    }
    let mut producer = ring.producer();
    for (_, receiver) in &mut receivers {
        assert_eq!(receiver.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::TimedOut);
        assert_eq!(receiver.recv_timeout(Duration::from_millis(2)).unwrap_err(), RecvError::TimedOut);
    }
    sent.send_many(&mut producer, [8]);
    for (_, receiver) in &mut receivers {
        let event = receiver.recv_timeout(Duration::ZERO).unwrap();
        assert!(matches!(event, Event::ProducerChanged { epoch: 2 }));
    }
}

fn a_time_out_of_any_length_tells_a_death(setup: Setup) {
    let ring = setup.ring();
    let mut receivers = receivers(&ring);
    let producer = ring.producer();
    for (_, receiver) in &mut receivers {
        assert_eq!(receiver.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::TimedOut);
    }
    ring.kill_producer(producer);
    for (_, receiver) in &mut receivers {
        for timeout in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(2)] {
            // A death is looked for once a millisecond.
            let end = soon();
            let told = loop {
                match receiver.recv_timeout(timeout) {
                    Err(RecvError::TimedOut) => assert!(Instant::now() < end),
                    Err(told) => break told,
                    Ok(event) => panic!("{event:?}"),
                }
            };
            assert_eq!(told, RecvError::ProducerGone);
        }
    }
}

/// Whoever finds nothing, and is then told of the end, has received everything: also what was published in between.
fn no_record_is_missed_by_asking_how_the_stream_stands(setup: Setup) {
    const ROUNDS: usize = 100;
    let mut sent = setup.sent();
    sent.lens = vec![16; 3 * ROUNDS];
    for turn in 0..4 {
        let ring = setup.ring();
        let (who, mut receiver) = receivers(&ring).into_iter().nth(turn).unwrap();
        let (seen, ends) = channel();
        std::thread::scope(|scope| {
            let sent = &sent;
            scope.spawn(move || {
                let mut sequence = setup.first;
                for _ in 0..ROUNDS {
                    let mut producer = ring.producer();
                    for _ in 0..3 {
                        producer.send(&sent.payload(sequence)).unwrap();
                        sequence = sequence.wrapping_add(1);
                    }
                    drop(producer);
                    assert_eq!(ends.recv_timeout(PATIENCE), Ok(sequence), "{who}: told the end too early");
                }
            });
            let mut oracle = setup.oracle();
            let mut told = setup.first;
            while oracle.next != sent.next() || told != oracle.next {
                let received = receiver.drain(usize::MAX, &mut |event| oracle.feed(sent, event)).unwrap();
                if received == 0 && oracle.next != told && receiver.status() == Status::Closed {
                    told = oracle.next;
                    seen.send(told).unwrap();
                }
            }
            oracle.is_done(sent, setup.first);
        });
    }
}

fn losses_and_evictions_come_before_the_end(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut lossy = ring.consumer(&Attach::lossy());
    let mut evicted = ring.consumer(&Attach::gated_for(Duration::from_millis(1)));
    evicted.keep(true);
    let mut blocking = ring.consumer(&Attach::gated());
    let mut oracles = [setup.oracle(), setup.oracle()];
    sent.fill(&mut producer, 56);
    oracles[0].keep_up(&sent, &mut evicted);
    oracles[1].keep_up(&sent, &mut blocking);
    blocking.release();
    until("it is evicted", || {
        assert!(matches!(producer.try_send(&[]), Ok(_) | Err(SendError::Full { .. })));
        ring.snapshot().evictions == 1
    });
    drop(producer);
    assert_eq!(evicted.status(), Status::Streaming, "an eviction is to be told");
    let mut told = 0;
    while let Some(event) = evicted.try_recv().unwrap() {
        told += u64::from(matches!(event, Event::Evicted));
    }
    assert_eq!((told, evicted.status()), (1, Status::Closed));
    // Lapped or not: what is there is told before the end.
    assert_eq!(lossy.status(), Status::Streaming, "records or a loss are to be told");
    while lossy.try_recv().unwrap().is_some() {}
    assert_eq!(lossy.status(), Status::Closed);
}

/// Padding is published by itself where a record does not fit the rest of the ring, and then is not sent.
fn padding_alone_does_not_hide_the_end(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let mut receivers = receivers(&ring).map(|(who, receiver)| (who, receiver, setup.oracle()));
    let mut producer = ring.producer();
    let room = (4096 - setup.position % 4096) as usize;
    sent.send_many(&mut producer, vec![56; room / 64 - 1]);
    sent.send_many(&mut producer, [8]);
    for (_, receiver, oracle) in &mut receivers {
        follow(oracle, &sent, &mut **receiver);
    }
    // 48 bytes are left before the end of the ring.
    drop(producer.claim(56).unwrap());
    drop(producer);
    for (turn, (who, receiver, _)) in receivers.iter_mut().enumerate() {
        if turn % 2 == 0 {
            assert!(receiver.try_recv().unwrap().is_none(), "{who}: padding is nothing");
            assert_eq!(receiver.status(), Status::Closed, "{who}");
        } else {
            assert_eq!(receiver.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::Closed, "{who}");
        }
    }
}

fn who_was_told_the_end_waits_for_another_producer(setup: Setup) {
    for mode in [WaitMode::Membarrier, WaitMode::Spin] {
        let ring = setup.backing.ring(&setup.options().wait(mode));
        let mut sent = setup.sent();
        let mut receivers = receivers(&ring);
        drop(ring.producer());
        std::thread::scope(|scope| {
            for (who, receiver) in &mut receivers {
                scope.spawn(move || {
                    assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
                    let begin = Instant::now();
                    assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
                    let waited = begin.elapsed();
                    assert!(waited >= Duration::from_millis(99), "{who}: waited {waited:?} only");
                    assert!(waited < PATIENCE);
                    let begin = Instant::now();
                    let timeout = Duration::from_millis(7);
                    assert_eq!(receiver.recv_timeout(timeout).unwrap_err(), RecvError::Closed);
                    assert!(begin.elapsed() >= timeout, "{who}: the time was not over");
                });
            }
        });
        std::thread::scope(|scope| {
            for (_, receiver) in &mut receivers {
                scope.spawn(move || {
                    let end = soon();
                    loop {
                        match receiver.recv() {
                            Ok(event) => break assert!(matches!(event, Event::ProducerChanged { epoch: 2 })),
                            Err(told) => assert!(told == RecvError::Closed && Instant::now() < end),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(20));
            let mut producer = ring.producer();
            sent.send_many(&mut producer, [8]);
        });
    }
}

/// Having been told of one end is no reason to sleep through the next.
fn the_next_end_is_told_at_once(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let mut receivers = receivers(&ring).map(|(who, receiver)| (who, receiver, setup.oracle(), PATIENCE));
    drop(ring.producer());
    for (_, receiver, ..) in &mut receivers {
        assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
    }
    for _ in 0..5 {
        let mut producer = ring.producer();
        sent.send_many(&mut producer, [8]);
        drop(producer);
        for (_, receiver, oracle, best) in &mut receivers {
            follow(oracle, &sent, &mut **receiver);
            let begin = Instant::now();
            assert_eq!(receiver.recv().unwrap_err(), RecvError::Closed);
            *best = begin.elapsed().min(*best);
        }
    }
    for (who, _, _, best) in receivers {
        assert!(best < Duration::from_millis(50), "{who}: {best:?} at best");
    }
}
