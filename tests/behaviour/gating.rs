//! Gates: consumers that hold the producer back, for as long as they may.

use std::time::{Duration, Instant};

use quoit::{Attach, ConsumerState, Error, LossCause, Options, RecvError, SendError, Start};

use crate::common::{Oracle, PATIENCE, payload, soon, until};
use crate::{Scene, Setup, while_it_waits};

crate::behaviours! {
    a_gate_holds_exactly_one_ring,
    the_forms_of_sending_meet_a_gate,
    release_frees_at_once,
    the_next_receive_releases,
    a_kept_record_is_released_by_release_alone,
    finding_nothing_releases_everything,
    the_slowest_gate_counts,
    a_gate_opens_where_it_starts,
    a_gate_that_opens_during_a_batch_holds,
    leaving_frees_a_waiting_producer,
    releasing_frees_a_waiting_producer,
    a_patient_producer_loses_nothing,
    a_gated_only_ring_refuses_the_others,
    policies_live_side_by_side,
}

const DEADLINE: Duration = Duration::from_millis(20);

fn a_gate_holds_exactly_one_ring(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for _ in 0..20 {
        assert_eq!(sent.fill(&mut producer, 56), 64, "a ring of 4096 holds 64 records of 64");
        assert_eq!(ring.snapshot().consumers[0].lag_bytes, 4096);
        oracle.keep_up(&sent, &mut consumer);
    }
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.lost(), 0);
    assert_eq!(ring.snapshot().full, 20, "one for each fill");
}

fn the_forms_of_sending_meet_a_gate(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    let full = ring.snapshot().full;
    assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 0 }));
    assert_eq!(producer.try_claim(0).err(), Some(SendError::Full { slot: 0 }));
    assert_eq!(producer.send_deadline(&[], Instant::now()), Err(SendError::TimedOut { slot: 0 }));
    for spins in [0, 500] {
        producer.set_spins(spins);
        let deadline = Instant::now() + DEADLINE;
        assert_eq!(producer.send_deadline(&[], deadline), Err(SendError::TimedOut { slot: 0 }));
        assert!(Instant::now() >= deadline, "gave up early");
        let deadline = Instant::now() + DEADLINE;
        assert_eq!(producer.claim_deadline(9, deadline).err(), Some(SendError::TimedOut { slot: 0 }));
        assert!(Instant::now() >= deadline, "gave up early");
        assert!(Instant::now() < deadline + PATIENCE, "forgot its deadline");
    }
    let after = ring.snapshot();
    assert_eq!(after.full - full, 7, "each refusal counts once");
    // The account begins with the refusal, which on a busy machine comes some time after the call.
    let is_told = (0..20).any(|_| {
        let (begin, before) = (Instant::now(), ring.snapshot().stall);
        assert_eq!(producer.send_deadline(&[], begin + DEADLINE), Err(SendError::TimedOut { slot: 0 }));
        let stall = ring.snapshot().stall - before;
        assert!(stall <= begin.elapsed(), "{stall:?} by its own account");
        stall >= DEADLINE / 2
    });
    assert!(is_told, "what it waited is not in its account");
    assert_eq!(producer.next_sequence(), sent.next());
    let mut oracle = setup.oracle();
    oracle.keep_up(&sent, &mut consumer);
    // A deadline that has passed does not matter where there is room.
    producer.send_deadline(&payload(sent.next(), 9), Instant::now()).unwrap();
    sent.lens.push(9);
    oracle.keep_up(&sent, &mut consumer);
}

fn release_frees_at_once(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    for _ in 0..200 {
        oracle.take(&sent, &mut consumer, 1);
        assert_eq!(producer.try_send(&[0; 56]), Err(SendError::Full { slot: 0 }), "received is not released");
        consumer.release();
        assert_eq!(sent.fill(&mut producer, 56), 1, "room for what was released");
    }
    for _ in 0..20 {
        oracle.take(&sent, &mut consumer, 7);
        consumer.release();
        consumer.release();
        assert_eq!(sent.fill(&mut producer, 56), 7);
    }
}

fn the_next_receive_releases(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    for _ in 0..3 {
        let full = ring.snapshot().full;
        let last = payload(sent.next(), 56);
        producer = std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                producer.send(&last).unwrap();
                producer
            });
            until("the producer meets the gate", || ring.snapshot().full > full);
            oracle.take(&sent, &mut consumer, 1);
            std::thread::sleep(Duration::from_millis(5));
            assert!(!waiting.is_finished(), "the record received last is still the consumer's");
            // The producer sleeps a moment at a time, and a consumer looks for sleepers at each receive. 64 records
            // are there, so one of these comes while it is asleep; at the latest, an eighth of the ring is told.
            oracle.take(&sent, &mut consumer, 16);
            waiting.join().unwrap()
        });
        sent.lens.push(56);
        oracle.keep_up(&sent, &mut consumer);
        sent.fill(&mut producer, 56);
    }
}

fn a_kept_record_is_released_by_release_alone(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    consumer.keep(true);
    for _ in 0..5 {
        sent.fill(&mut producer, 56);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(consumer.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::TimedOut);
        assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 0 }), "nothing was released");
        assert_eq!(ring.snapshot().consumers[0].lag_records, 64);
        consumer.release();
        assert_eq!(ring.snapshot().consumers[0].lag_records, 0);
    }
    sent.fill(&mut producer, 56);
    oracle.keep_up(&sent, &mut consumer);
    consumer.keep(false);
    assert!(consumer.try_recv().unwrap().is_none());
    assert_eq!(sent.fill(&mut producer, 56), 64);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn finding_nothing_releases_everything(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for records in 1..=64 {
        sent.send_many(&mut producer, std::iter::repeat_n(56, records));
        oracle.take(&sent, &mut consumer, records);
        assert!(consumer.try_recv().unwrap().is_none());
        assert_eq!(ring.snapshot().consumers[0].lag_bytes, 0);
        assert_eq!(sent.fill(&mut producer, 56), 64);
        oracle.keep_up(&sent, &mut consumer);
    }
}

fn the_slowest_gate_counts(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let (mut fast, mut slow) = (setup.oracle(), setup.oracle());
    let mut producer = ring.producer();
    let mut fast_consumer = ring.consumer(&Attach::gated());
    let mut slow_consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    for _ in 0..100 {
        fast.keep_up(&sent, &mut fast_consumer);
        assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 1 }));
        slow.take(&sent, &mut slow_consumer, 3);
        slow_consumer.release();
        assert_eq!(sent.fill(&mut producer, 56), 3);
    }
    slow.keep_up(&sent, &mut slow_consumer);
    slow.is_done(&sent, setup.first);
    assert_eq!(fast.lost() + slow.lost(), 0);
}

fn a_gate_opens_where_it_starts(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    sent.send_many(&mut producer, [56; 20]);
    let start = setup.first.wrapping_add(8);
    let mut consumer = ring.consumer(&Attach::gated().start(Start::Sequence(start)));
    assert_eq!(ring.snapshot().consumers[0].lag_records, 12);
    assert_eq!(sent.fill(&mut producer, 56), 64 - 12);
    let mut oracle = Oracle::new(start);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!((oracle.received, oracle.lost()), (64, 0));
    // At the newest one, attached while the producer's limit is a lap old.
    sent.send_many(&mut producer, [56; 30]);
    drop(consumer);
    sent.send_many(&mut producer, [56; 70]);
    let mut oracle = Oracle::new(sent.next());
    let mut consumer = ring.consumer(&Attach::gated());
    assert_eq!(sent.fill(&mut producer, 56), 64);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!((oracle.received, oracle.lost()), (64, 0));
}

fn a_gate_that_opens_during_a_batch_holds(setup: Setup) {
    // The batch meets the limit of the first scan, and scans again, when so many of its records are staged.
    for singles in 33..64 {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        sent.send_many(&mut producer, vec![56; singles]);
        let mut oracle = Oracle::new(sent.next());
        let mut batch = producer.batch();
        for already in 0..32 {
            batch.try_send(&payload(sent.next().wrapping_add(already), 56)).unwrap();
        }
        let mut consumer = ring.consumer(&Attach::gated());
        assert_eq!(consumer.next_sequence(), sent.next());
        batch.publish();
        sent.lens.extend([56; 32]);
        assert_eq!(sent.fill(&mut producer, 56), 32, "a ring from the gate on, after {singles} singles");
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!((oracle.received, oracle.lost()), (64, 0));
    }
}

fn leaving_frees_a_waiting_producer(setup: Setup) {
    for spins in [0, 500] {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        producer.set_spins(spins);
        let consumer = ring.consumer(&Attach::gated());
        sent.fill(&mut producer, 56);
        let _producer = while_it_waits(producer, &[1], || {
            until("the producer meets the gate", || ring.snapshot().full > 1);
            drop(consumer);
        });
        let after = ring.snapshot();
        assert!(after.consumers.is_empty());
        assert_eq!((after.evictions, after.reclaims), (0, 0), "it left by itself");
    }
}

fn releasing_frees_a_waiting_producer(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    producer.set_spins(0);
    let mut consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    for _ in 0..20 {
        let full = ring.snapshot().full;
        producer = while_it_waits(producer, &payload(sent.next(), 56), || {
            until("the producer meets the gate", || ring.snapshot().full > full);
            oracle.take(&sent, &mut consumer, 1);
            consumer.release();
        });
        sent.lens.push(56);
    }
}

fn a_patient_producer_loses_nothing(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    sent.lens = (0..4000).map(|n| n * 71 % 400).collect();
    let mut producer = ring.producer();
    let consumers =
        [Attach::gated(), Attach::gated(), Attach::gated_for(PATIENCE * 3)].map(|it| ring.consumer(&it));
    std::thread::scope(|scope| {
        let sent = &sent;
        for mut consumer in consumers {
            scope.spawn(move || {
                let mut oracle = setup.oracle();
                while oracle.next != sent.next() {
                    oracle.feed(sent, consumer.recv_deadline(soon()).expect("the stream goes on"));
                }
                assert_eq!((oracle.received, oracle.evictions), (4000, 0));
                assert_eq!(consumer.account(), quoit::LossAccount::default());
            });
        }
        for (sequence, len) in (0..).map(|n| sent.first.wrapping_add(n)).zip(&sent.lens) {
            assert_eq!(producer.send_deadline(&payload(sequence, *len), soon()), Ok(sequence));
        }
    });
}

fn a_gated_only_ring_refuses_the_others(setup: Setup) {
    let options = setup.options().gated_only(true);
    let ring = setup.backing.ring(&options);
    assert!(ring.snapshot().gated_only);
    for attach in
        [Attach::lossy(), Attach::gated_for(PATIENCE), Attach::lossy().name("x").start(Start::Oldest)]
    {
        assert!(matches!(ring.try_consumer(&attach), Err(Error::GatedOnly)));
    }
    assert!(matches!(ring.try_observer(Start::Newest), Err(Error::GatedOnly)));
    assert!(ring.snapshot().consumers.is_empty(), "a refusal leaves nothing behind");
    let both: Options = options.hard_limit(PATIENCE);
    assert!(matches!(quoit::Ring::heap(&both), Err(Error::BadOption { .. })));
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated().evictable());
    assert!(!ring.snapshot().consumers[0].evictable, "nobody is overwritten here");
    for len in [0, 5, 100, 2040] {
        fill_in_place(&mut producer, &payload(sent.next(), len));
        sent.lens.push(len);
        oracle.keep_up(&sent, &mut consumer);
    }
    let other = setup.ring();
    let mut producer = other.producer();
    assert!(!fill_in_place(&mut producer, &[1, 2, 3]), "consumers may be reading these words");
}

/// Publishes a claim filled through its slice, where there is one.
#[allow(unsafe_code, reason = "the slice of a claim is an unsafe fn")]
fn fill_in_place(producer: &mut quoit::Producer, bytes: &[u8]) -> bool {
    let mut claim = producer.claim(bytes.len()).unwrap();
    // SAFETY: this process has all handles of the ring, and they are all of this library.
    let Some(slice) = (unsafe { claim.as_mut_slice() }) else { return false };
    slice.copy_from_slice(bytes);
    claim.publish();
    true
}

fn policies_live_side_by_side(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut gated_consumer = ring.consumer(&Attach::gated());
    let mut lossy_consumer = ring.consumer(&Attach::lossy());
    let mut brief_consumer = ring.consumer(&Attach::gated_for(Duration::from_nanos(1)));
    let mut observer = ring.observer(Start::Newest);
    let mut oracles = [0; 4].map(|_| setup.oracle());
    for round in 0..400 {
        let len = round * 53 % 333;
        if producer.try_send(&payload(sent.next(), len)).is_ok() {
            sent.lens.push(len);
        } else {
            oracles[0].keep_up(&sent, &mut gated_consumer);
        }
        if round % 90 == 50 {
            oracles[1].keep_up(&sent, &mut lossy_consumer);
        }
        if round % 70 == 60 {
            oracles[3].keep_up(&sent, &mut observer);
        }
        if round % 120 == 110 {
            oracles[2].keep_up(&sent, &mut brief_consumer);
        }
    }
    oracles[0].keep_up(&sent, &mut gated_consumer);
    oracles[1].keep_up(&sent, &mut lossy_consumer);
    oracles[2].keep_up(&sent, &mut brief_consumer);
    oracles[3].keep_up(&sent, &mut observer);
    for oracle in &oracles {
        oracle.is_done(&sent, setup.first);
    }
    assert_eq!((oracles[0].lost(), oracles[0].evictions), (0, 0));
    assert!(oracles[1].lost_by(LossCause::Overrun) > 0);
    assert_eq!((oracles[2].evictions, oracles[2].lost_by(LossCause::Evicted)), (1, oracles[2].lost()));
    assert!(oracles[3].lost_by(LossCause::Overrun) > 0);
    let infos = ring.snapshot().consumers;
    let states: Vec<_> = infos.iter().map(|info| info.state).collect();
    assert_eq!(states, [ConsumerState::Gated, ConsumerState::Lossy, ConsumerState::Evicted]);
    for (info, oracle) in infos.iter().zip(&oracles) {
        assert_eq!((info.lost.records, info.lost.bytes), (oracle.lost(), oracle.lost_bytes()));
        assert_eq!((info.lag_records, info.lag_bytes), (0, 0));
    }
}
