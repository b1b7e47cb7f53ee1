//! Where readers start, and which slots they take.

use std::sync::atomic;
use std::time::Duration;

use quoit::{Attach, ConsumerState, Error, Event, RecvError, Start};

use crate::common::{Oracle, Ring, Sent, payload};
use crate::{Scene, Setup};

crate::behaviours! {
    newest_is_what_comes_next,
    oldest_is_all_that_is_left,
    oldest_is_intact_after_any_number_of_records,
    a_sequence_is_found_wherever_it_is,
    a_sequence_that_is_gone_is_an_error,
    the_last_few,
    every_start_before_the_first_record,
    a_start_is_kept_while_the_producer_goes_on,
    a_refused_start_leaves_no_trace,
    slots_run_out,
    a_slot_is_used_again,
    observers_take_no_slot,
    a_consumer_may_come_before_the_producer,
    the_last_few_are_always_found,
    comings_and_goings_under_load,
}

/// Everything that a reader receives from `start` on.
fn received(ring: &Ring, sent: &Sent, start: Start) -> (Oracle, Oracle) {
    let mut observer = ring.observer(start);
    let mut observed = Oracle::new(observer.next_sequence());
    observed.keep_up(sent, &mut observer);
    let mut consumer = ring.consumer(&Attach::gated().start(start));
    let mut oracle = Oracle::new(consumer.next_sequence());
    assert_eq!(consumer.next_sequence(), sent.next().wrapping_sub(observed.received));
    oracle.keep_up(sent, &mut consumer);
    assert_eq!((oracle.received, oracle.lost()), (observed.received, 0));
    assert_eq!(observed.lost(), 0);
    (oracle, observed)
}

fn newest_is_what_comes_next(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    for round in 0..200 {
        let (oracle, _) = received(&ring, &sent, Start::Newest);
        assert_eq!(oracle.received, 0);
        let mut oracle = Oracle::new(sent.next());
        let mut consumer = ring.consumer(&Attach::lossy());
        assert_eq!(consumer.next_sequence(), sent.next());
        sent.send_many(&mut producer, [round, 17]);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.received, 2);
    }
}

fn oldest_is_all_that_is_left(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    // 32 records of 128 bytes, two segments each.
    for records in 0..100 {
        let (oracle, _) = received(&ring, &sent, Start::Oldest);
        assert_eq!(ring.snapshot().oldest_sequence, sent.next().wrapping_sub(oracle.received));
        if records < 32 {
            assert_eq!(oracle.received, records, "nothing was overwritten yet");
        } else {
            assert!((31..=32).contains(&oracle.received), "{} of 32 records", oracle.received);
        }
        sent.send(&mut producer, 120);
    }
}

fn oldest_is_intact_after_any_number_of_records(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    for n in 0..500 {
        sent.send(&mut producer, n * 101 % 777);
        let (oracle, _) = received(&ring, &sent, Start::Oldest);
        assert!(oracle.received > 0);
    }
}

fn a_sequence_is_found_wherever_it_is(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    for n in 0..120 {
        sent.send(&mut producer, n * 41 % 256);
        let oldest = ring.snapshot().oldest_sequence;
        for back in (0..=sent.next().wrapping_sub(oldest)).step_by(1 + n % 3) {
            let start = sent.next().wrapping_sub(back);
            let (oracle, _) = received(&ring, &sent, Start::Sequence(start));
            assert_eq!(oracle.received, back);
        }
    }
}

fn a_sequence_that_is_gone_is_an_error(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    for records in [0, 1, 30, 400] {
        sent.send_many(&mut producer, vec![56; records]);
        let oldest = ring.snapshot().oldest_sequence;
        let next = sent.next();
        let gone = [
            oldest.wrapping_sub(1),
            oldest.wrapping_sub(1000),
            next.wrapping_add(1),
            next.wrapping_add(1 << 40),
            next.wrapping_sub(1 << 40),
        ];
        for asked in gone {
            let check = |error| match error {
                Some(Error::StartGone { asked: a, oldest: o, next: n }) => {
                    assert_eq!((a, o, n), (asked, oldest, next));
                }
                other => panic!("{asked} of {oldest}..{next}: {other:?}"),
            };
            let start = Start::Sequence(asked);
            check(ring.try_consumer(&Attach::gated().start(start)).err());
            check(ring.try_consumer(&Attach::lossy().start(start)).err());
            check(ring.try_observer(start).err());
        }
    }
}

fn the_last_few(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    for records in [0, 1, 3, 20, 300] {
        sent.send_many(&mut producer, vec![56; records]);
        let held = sent.next().wrapping_sub(ring.snapshot().oldest_sequence);
        for asked in [0, 1, 2, 23, 60, 64, 1000, 1 << 40, u64::MAX] {
            let (oracle, _) = received(&ring, &sent, Start::Last(asked));
            assert_eq!(oracle.received, asked.min(held), "the last {asked} of {held}");
        }
    }
}

fn every_start_before_the_first_record(setup: Setup) {
    let starts = [Start::Newest, Start::Oldest, Start::Last(5), Start::Sequence(setup.first)];
    for start in starts {
        let ring = setup.ring();
        let mut consumer = ring.consumer(&Attach::gated().start(start));
        let mut observer = ring.observer(start);
        let (mut sent, mut oracle, mut observed) = (setup.sent(), setup.oracle(), setup.oracle());
        let mut producer = ring.producer();
        sent.send_many(&mut producer, [3; 40]);
        oracle.keep_up(&sent, &mut consumer);
        observed.keep_up(&sent, &mut observer);
        for oracle in [oracle, observed] {
            assert_eq!((oracle.received, oracle.lost()), (40, 0));
            assert_eq!(oracle.changes, [], "the first producer succeeds nobody");
        }
    }
}

fn a_start_is_kept_while_the_producer_goes_on(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    sent.send_many(&mut producer, [56; 64]);
    // Gated from the oldest: what the producer may already be past is told, what is behind the gate is not lost.
    let mut consumer = ring.consumer(&Attach::gated().start(Start::Oldest));
    let first = consumer.next_sequence();
    let mut oracle = Oracle::new(first);
    sent.fill(&mut producer, 56);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, first);
    sent.fill(&mut producer, 56);
    let lost = oracle.lost();
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(oracle.lost(), lost, "gated by now");
}

fn a_refused_start_leaves_no_trace(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().slots(1));
    let mut sent = setup.sent();
    let mut producer = ring.producer();
    sent.send_many(&mut producer, [56; 100]);
    let gone = Start::Sequence(setup.first);
    for attach in
        [Attach::gated(), Attach::lossy(), Attach::gated().name("late"), Attach::gated().name("late")]
    {
        let refused = ring.try_consumer(&attach.start(gone));
        assert!(matches!(refused, Err(Error::StartGone { .. })));
        assert!(ring.snapshot().consumers.is_empty());
        assert!(matches!(ring.forget("late"), Err(Error::NameUnknown { .. })));
    }
    // Neither slot nor gate nor name is left behind.
    sent.send_many(&mut producer, [56; 100]);
    let mut consumer = ring.consumer(&Attach::gated().name("late"));
    let mut oracle = Oracle::new(sent.next());
    sent.fill(&mut producer, 56);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(oracle.received, 64);
    // A name that was refused a start that it does not need keeps its place.
    drop(consumer);
    let consumer = ring.consumer(&Attach::gated().name("late").start(gone));
    assert_eq!(consumer.next_sequence(), sent.next());
}

fn slots_run_out(setup: Setup) {
    let ring = setup.ring();
    let mut consumers: Vec<_> = (0..4).map(|_| ring.consumer(&Attach::lossy())).collect();
    let mut slots: Vec<_> = consumers.iter().map(quoit::Consumer::slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3]);
    let taken = |error| match error {
        Some(Error::SlotsTaken { slots, saved }) => (slots, saved),
        other => panic!("{other:?}"),
    };
    assert_eq!(taken(ring.try_consumer(&Attach::gated()).err()), (4, 0));
    assert_eq!(taken(ring.try_consumer(&Attach::gated().name("one more")).err()), (4, 0));
    consumers.truncate(2);
    drop(ring.consumer(&Attach::lossy().name("saved")));
    drop(ring.consumer(&Attach::gated().name("held").hold_forever()));
    assert_eq!(taken(ring.try_consumer(&Attach::lossy()).err()), (4, 2));
    let back = ring.consumer(&Attach::lossy().name("saved"));
    assert_eq!(taken(ring.try_consumer(&Attach::lossy()).err()), (4, 1));
    drop(back);
    ring.forget("saved").unwrap();
    let last = ring.consumer(&Attach::lossy());
    assert_eq!(taken(ring.try_consumer(&Attach::lossy()).err()), (4, 1));
    drop(last);
    drop(consumers);
    ring.forget("held").unwrap();
    assert!(ring.snapshot().consumers.is_empty());
}

fn a_slot_is_used_again(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().slots(2));
    let mut sent = setup.sent();
    let mut producer = ring.producer();
    let lossy = ring.consumer(&Attach::lossy());
    for round in 0..50 {
        let mut oracle = Oracle::new(sent.next());
        let mut consumer = ring.consumer(&[Attach::gated(), Attach::lossy()][round % 2]);
        assert_eq!(consumer.slot(), 1 - lossy.slot());
        sent.send_many(&mut producer, [round, 200]);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.received, 2);
        let infos = ring.snapshot().consumers;
        assert_eq!(infos.len(), 2);
        let state = [ConsumerState::Gated, ConsumerState::Lossy][round % 2];
        assert_eq!(
            (infos[consumer.slot() as usize].state, infos[consumer.slot() as usize].alive),
            (state, true)
        );
        assert_eq!(infos[consumer.slot() as usize].pid, std::process::id());
    }
}

fn observers_take_no_slot(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().slots(1));
    let mut sent = setup.sent();
    let mut producer = ring.producer();
    let consumer = ring.consumer(&Attach::lossy());
    let mut observers: Vec<_> = (0..20).map(|_| ring.observer(Start::Newest)).collect();
    sent.send_many(&mut producer, [56; 100]);
    for observer in &mut observers {
        let mut oracle = setup.oracle();
        oracle.keep_up(&sent, observer);
        oracle.is_done(&sent, setup.first);
    }
    drop(consumer);
    assert!(ring.snapshot().consumers.is_empty());
}

fn a_consumer_may_come_before_the_producer(setup: Setup) {
    let ring = setup.ring();
    let mut consumer = ring.consumer(&Attach::gated());
    assert!(!consumer.producer_alive());
    // No producer yet is no end of the stream.
    assert_eq!(consumer.recv_timeout(Duration::from_millis(10)).unwrap_err(), RecvError::TimedOut);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let Event::Record(record) = consumer.recv().unwrap() else { panic!("no record") };
            assert_eq!(record.to_vec(), payload(setup.first, 33));
        });
        std::thread::sleep(Duration::from_millis(3));
        let mut producer = ring.producer();
        producer.send(&payload(setup.first, 33)).unwrap();
        waiting.join().unwrap();
    });
}

/// Runs `work` while a producer sends small records as fast as it can and meets no gate for long.
fn while_streaming(ring: &Ring, setup: Setup, len: usize, work: impl FnOnce(&dyn Fn(u64) -> Vec<u8>)) {
    let stop = atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut producer = ring.producer();
        let stop = &stop;
        let streaming = scope.spawn(move || {
            let mut next = setup.first;
            while !stop.load(atomic::Ordering::Relaxed) {
                if producer.send_deadline(&payload(next, len), crate::common::soon()).is_err() {
                    panic!("the stream stands still");
                }
                next = next.wrapping_add(1);
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work(&|sequence| payload(sequence, len))
        }));
        stop.store(true, atomic::Ordering::Relaxed);
        streaming.join().unwrap();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

fn the_last_few_are_always_found(setup: Setup) {
    let ring = setup.ring();
    while_streaming(&ring, setup, 24, |_| {
        for round in 0..2000 {
            let start = [Start::Last(u64::MAX), Start::Last(100), Start::Oldest, Start::Newest][round % 4];
            if let Err(error) = ring.try_observer(start) {
                panic!("{start:?} in round {round}: {error}");
            }
        }
    });
}

fn comings_and_goings_under_load(setup: Setup) {
    let ring = setup.ring();
    while_streaming(&ring, setup, 40, |expected| {
        for round in 0..400 {
            let attach = [Attach::gated(), Attach::lossy(), Attach::gated_for(Duration::from_micros(50))]
                [round % 3]
                .clone();
            let start = [Start::Newest, Start::Oldest, Start::Last(20)][round / 3 % 3];
            let attach = if round % 4 == 0 { attach.name("regular") } else { attach };
            let mut consumer = ring.consumer(&attach.start(start));
            let gated = round % 3 == 0;
            // What was lost on the way back is the first event.
            let lost = consumer.resumed().and_then(|resumed| resumed.lost);
            let mut next = lost.map_or(consumer.next_sequence(), |loss| loss.first);
            let mut received = 0;
            while received < 30 {
                match consumer.recv_deadline(crate::common::soon()).expect("the stream goes on") {
                    Event::Record(record) => {
                        assert_eq!(record.sequence(), next);
                        assert!(record.to_vec() == expected(next), "torn");
                        next = next.wrapping_add(1);
                        received += 1;
                    }
                    Event::Lost(loss) => {
                        assert_eq!(loss.first, next);
                        assert_eq!(loss.bytes, loss.records * 40);
                        assert!(
                            !gated || start != Start::Newest || consumer.resumed().is_some(),
                            "lost behind its gate"
                        );
                        next = loss.next;
                    }
                    Event::Evicted => assert_eq!(round % 3, 2),
                    Event::ProducerChanged { .. } => panic!("nobody took over"),
                    _ => unreachable!("no other kind is known here"),
                }
            }
        }
    });
}
