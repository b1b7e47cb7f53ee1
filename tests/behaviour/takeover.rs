//! One producer after another on the same ring.

use std::time::Duration;

use quoit::{Attach, Error, Event, Producer, RecvError, SendError, Start};
use support::offsets;

use crate::common::{Oracle, payload, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    the_next_producer_goes_on,
    each_change_is_told_where_it_happened,
    a_change_is_told_after_what_came_before_it,
    a_closed_ring_says_so_after_the_last_record,
    a_closed_ring_wakes_sleepers,
    reading_goes_on_with_the_next_producer,
    there_is_one_producer_at_a_time,
    what_was_never_published_is_never_seen,
    gates_hold_for_the_next_producer,
    the_index_is_whole_after_a_takeover,
    counters_are_handed_on,
    a_takeover_after_every_kind_of_record,
    the_end_is_over_when_the_next_producer_comes,
}

crate::behaviours_of_files! {
    a_dead_producer_is_told_of,
    a_dead_producer_is_followed,
    a_dead_producers_copy_is_not_taken,
    a_file_that_is_gone_is_stale,
    a_file_that_was_renamed_is_stale,
    a_file_that_was_replaced_is_stale,
    nothing_is_created_over_a_ring,
    open_or_create_opens_or_creates,
}

fn the_next_producer_goes_on(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let (mut gated, mut lossy, mut observed) = (setup.oracle(), setup.oracle(), setup.oracle());
    let mut gated_consumer = ring.consumer(&Attach::gated());
    let mut lossy_consumer = ring.consumer(&Attach::lossy());
    let mut observer = ring.observer(Start::Newest);
    for epoch in 1..=30 {
        let mut producer = ring.producer();
        assert_eq!((producer.epoch(), producer.next_sequence()), (epoch, sent.next()));
        sent.send_many(&mut producer, (0..epoch as usize).map(|n| n * 67 % 150));
        gated.keep_up(&sent, &mut gated_consumer);
        lossy.keep_up(&sent, &mut lossy_consumer);
        observed.keep_up(&sent, &mut observer);
        let now = ring.snapshot();
        assert_eq!((now.epoch, now.records, now.bytes), (epoch, sent.lens.len() as u64, all_bytes(&sent)));
    }
    for oracle in [gated, lossy, observed] {
        oracle.is_done(&sent, setup.first);
        assert_eq!((oracle.lost(), oracle.changes.len()), (0, 29));
    }
}

fn all_bytes(sent: &crate::common::Sent) -> u64 {
    sent.bytes(sent.first, sent.next())
}

fn each_change_is_told_where_it_happened(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut changes = Vec::new();
    for epoch in 2..20 {
        sent.send_many(&mut producer, [30; 3]);
        // Not read before the takeover, so the change must wait for these three.
        drop(producer);
        producer = ring.producer();
        changes.push((sent.next(), epoch));
        sent.send_many(&mut producer, [40; 2]);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.changes, changes);
    }
    oracle.is_done(&sent, setup.first);
}

fn a_change_is_told_after_what_came_before_it(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    sent.send_many(&mut producer, [56; 30]);
    oracle.take(&sent, &mut consumer, 10);
    drop(producer);
    let mut producer = ring.producer();
    let began = sent.next();
    oracle.catch_up(&sent, &mut consumer);
    assert_eq!(oracle.changes, [], "nothing of it is there yet");
    sent.send_many(&mut producer, [56; 200]);
    // Lapped: the loss covers the place where the change happened, so it is told at the first record after it.
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!((oracle.losses.len(), oracle.changes.len()), (1, 1));
    assert_eq!(oracle.changes[0].1, 2);
    assert!(oracle.changes[0].0.wrapping_sub(began) <= oracle.losses[0].next.wrapping_sub(began));
    // A newcomer is not told of what happened before it came.
    let mut late = ring.consumer(&Attach::gated());
    sent.send(&mut producer, 3);
    assert!(matches!(late.try_recv().unwrap(), Some(Event::Record(_))));
}

fn a_closed_ring_says_so_after_the_last_record(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    sent.send_many(&mut producer, [20; 30]);
    drop(producer);
    let (mut oracle, mut observed) = (setup.oracle(), setup.oracle());
    for _ in 0..30 {
        oracle.feed(&sent, consumer.recv().unwrap());
        observed.feed(&sent, observer.recv_deadline(soon()).unwrap());
    }
    for _ in 0..3 {
        assert_eq!(consumer.recv().err(), Some(RecvError::Closed));
        assert_eq!(consumer.recv_deadline(soon()).err(), Some(RecvError::Closed));
        assert_eq!(observer.recv().err(), Some(RecvError::Closed));
        assert!(consumer.try_recv().unwrap().is_none(), "asking without waiting is no error");
    }
    assert!(!consumer.producer_alive());
    oracle.is_done(&sent, setup.first);
    observed.is_done(&sent, setup.first);
}

fn a_closed_ring_wakes_sleepers(setup: Setup) {
    let ring = setup.ring();
    let producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    consumer.set_spins(0);
    std::thread::scope(|scope| {
        let asleep = [
            scope.spawn(move || consumer.recv().err()),
            scope.spawn(move || observer.recv_deadline(soon()).err()),
        ];
        std::thread::sleep(Duration::from_millis(5));
        assert!(asleep.iter().all(|thread| !thread.is_finished()), "nothing has happened yet");
        drop(producer);
        for thread in asleep {
            assert_eq!(thread.join().unwrap(), Some(RecvError::Closed));
        }
    });
}

fn reading_goes_on_with_the_next_producer(setup: Setup) {
    let ring = setup.ring();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut consumer = ring.consumer(&Attach::gated());
    consumer.set_spins(50);
    for epoch in 1..=4 {
        let mut producer = ring.producer();
        let before = sent.next();
        sent.lens.extend([10, 20, 30]);
        let whole = sent.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(2));
                for n in 0..3 {
                    let sequence = before.wrapping_add(n);
                    producer.send(&whole.payload(sequence)).unwrap();
                }
            });
            loop {
                match consumer.recv() {
                    Ok(event) => oracle.feed(&sent, event),
                    Err(RecvError::Closed) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert_eq!(oracle.next, sent.next());
        // The first producer succeeds nobody.
        assert_eq!(oracle.changes.last(), (epoch > 1).then_some(&(before, epoch)));
    }
    oracle.is_done(&sent, setup.first);
}

fn there_is_one_producer_at_a_time(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    for epoch in 1..=3 {
        let mut producer = ring.producer();
        for _ in 0..3 {
            match ring.try_producer() {
                Err(Error::ProducerAlive { pid }) => assert_eq!(pid, std::process::id()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(producer.epoch(), epoch);
        sent.send(&mut producer, 12);
        assert_eq!(ring.snapshot().epoch, epoch, "a refusal changes nothing");
    }
}

fn what_was_never_published_is_never_seen(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let (mut gated, mut lossy) = (setup.oracle(), setup.oracle());
    let mut gated_consumer = ring.consumer(&Attach::gated());
    let mut lossy_consumer = ring.consumer(&Attach::lossy());
    for round in 0..60 {
        let mut producer = ring.producer();
        sent.send_many(&mut producer, [round; 3]);
        // Left in the middle of a claim, or of a batch: as if it had died there.
        if round % 2 == 0 {
            let mut claim = producer.claim(round * 20).unwrap();
            claim.write_at(0, &vec![0xff; round * 20]).unwrap();
            #[allow(clippy::forget_non_drop, reason = "should claims ever come to have one")]
            std::mem::forget(claim);
        } else {
            let mut batch = producer.batch();
            while batch.records() < 5 {
                batch.try_send(&vec![0xff; round]).unwrap();
            }
            std::mem::forget(batch);
        }
        drop(producer);
        if round % 3 == 0 {
            lossy.keep_up(&sent, &mut lossy_consumer);
        }
        gated.keep_up(&sent, &mut gated_consumer);
    }
    lossy.keep_up(&sent, &mut lossy_consumer);
    gated.is_done(&sent, setup.first);
    lossy.is_done(&sent, setup.first);
    assert_eq!(gated.lost(), 0);
}

fn gates_hold_for_the_next_producer(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    drop(ring.consumer(&Attach::gated().name("held").hold_forever()));
    sent.fill(&mut producer, 56);
    drop(producer);
    let mut producer = ring.producer();
    assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 0 }));
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 1 }), "the one who is away as well");
    ring.forget("held").unwrap();
    assert_eq!(sent.fill(&mut producer, 56), 64);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn the_index_is_whole_after_a_takeover(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    for round in 0..150 {
        let mut producer = ring.producer();
        sent.send_many(&mut producer, [round * 29 % 500, round]);
        drop(producer);
        for start in [Start::Oldest, Start::Last(3), Start::Newest] {
            let mut observer = ring.observer(start);
            let mut oracle = Oracle::new(observer.next_sequence());
            oracle.keep_up(&sent, &mut observer);
            assert_eq!(oracle.lost(), 0);
            assert!(start == Start::Newest || oracle.received > 0);
        }
    }
}

fn counters_are_handed_on(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let mut full = 0;
    for round in 1..=3 {
        let mut producer = ring.producer();
        let _consumer = ring.consumer(&Attach::gated_for(Duration::from_millis(1)));
        sent.fill(&mut producer, 56);
        producer.send_deadline(&payload(sent.next(), 56), soon()).unwrap();
        sent.lens.push(56);
        let now = ring.snapshot();
        assert_eq!(now.evictions, round);
        assert!(now.full > full);
        full = now.full;
        assert!(now.stall > Duration::ZERO || now.full > 0);
    }
}

fn a_takeover_after_every_kind_of_record(setup: Setup) {
    // After each of them, right behind each offset of the ring.
    let ring = setup.ring();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut consumer = ring.consumer(&Attach::gated());
    for round in 0..520_usize {
        let mut producer = ring.producer();
        match round % 4 {
            0 => drop(producer.claim(2040).unwrap()),
            1 => {
                sent.send(&mut producer, 104);
            }
            2 => {
                let mut batch = producer.batch();
                for already in 0..3 {
                    let next = sent.next().wrapping_add(already);
                    batch.try_send(&payload(next, round)).unwrap();
                }
                batch.publish();
                sent.lens.extend([round; 3]);
            }
            _ => {
                sent.send(&mut producer, 8 * (round % 128));
            }
        }
        drop(producer);
        oracle.keep_up(&sent, &mut consumer);
    }
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.lost(), 0);
}

fn the_end_is_over_when_the_next_producer_comes(setup: Setup) {
    let ring = setup.ring();
    for _ in 0..2 {
        drop(ring.producer());
        assert!(ring.snapshot().closed);
        let mut producer = ring.producer();
        assert!(!ring.snapshot().closed, "it goes on");
        // Who comes now waits for what this one sends, however long it sends nothing.
        let mut consumer = ring.consumer(&Attach::gated());
        let wait = Duration::from_millis(30);
        assert_eq!(consumer.recv_timeout(wait).unwrap_err(), RecvError::TimedOut, "nothing, and no end");
        producer.send(&[1]).unwrap();
        assert!(matches!(consumer.recv_deadline(soon()), Ok(Event::Record(_))));
    }
}

/// It died with an inline copy half made. Its successor makes none of a record of the same length.
fn a_dead_producers_copy_is_not_taken(setup: Setup) {
    use std::os::unix::fs::FileExt;

    for len in [0, 8, 40, 104] {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        sent.send(&mut producer, 20);
        let published = ring.snapshot().published;
        ring.kill_producer(producer);
        let file = std::fs::File::options().write(true).open(ring.path().unwrap()).unwrap();
        let end = published.wrapping_add(8 + len as u64);
        let header = len as u64 | sent.next() << 32;
        for (at, value) in [(offsets::STAMP, end), (offsets::INLINE_HEADER, header)] {
            file.write_all_at(&value.to_le_bytes(), at).unwrap();
        }
        file.write_all_at(&vec![0xdd; len], offsets::INLINE_PAYLOAD).unwrap();
        let mut producer = ring.producer();
        let mut observer = ring.observer(Start::Newest);
        let mut batch = producer.batch();
        batch.send(&payload(sent.next(), len)).unwrap();
        batch.publish();
        let mut oracle = Oracle::new(sent.next());
        sent.lens.push(len);
        oracle.keep_up(&sent, &mut observer);
        assert_eq!(oracle.received, 1);
    }
}

fn a_dead_producer_is_told_of(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    sent.send_many(&mut producer, [20; 3]);
    ring.kill_producer(producer);
    let (mut oracle, mut observed) = (setup.oracle(), setup.oracle());
    for _ in 0..3 {
        oracle.feed(&sent, consumer.recv().unwrap());
        observed.feed(&sent, observer.recv().unwrap());
    }
    assert_eq!(consumer.recv().err(), Some(RecvError::ProducerGone));
    assert_eq!(observer.recv_deadline(soon()).err(), Some(RecvError::ProducerGone));
    let now = ring.snapshot();
    assert!(!now.producer_alive && !now.closed);
}

fn a_dead_producer_is_followed(setup: Setup) {
    let ring = setup.ring();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut consumer = ring.consumer(&Attach::gated());
    for epoch in 1..=20 {
        let mut producer = ring.producer();
        assert_eq!((producer.epoch(), producer.next_sequence()), (epoch, sent.next()));
        sent.send_many(&mut producer, [epoch as usize * 9; 5]);
        ring.kill_producer(producer);
        oracle.keep_up(&sent, &mut consumer);
    }
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.changes.len(), 19);
}

fn a_file_that_is_gone_is_stale(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let mut oracle = setup.oracle();
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let observer = ring.observer(Start::Newest);
    assert!(!producer.is_stale() && !consumer.is_stale() && !observer.is_stale());
    std::fs::remove_file(ring.path().unwrap()).unwrap();
    assert!(producer.is_stale() && consumer.is_stale() && observer.is_stale());
    // Those who have it go on.
    sent.send_many(&mut producer, [8; 20]);
    oracle.keep_up(&sent, &mut consumer);
    assert!(matches!(ring.try_producer(), Err(Error::NotFound { .. })));
    assert!(matches!(ring.try_consumer(&Attach::gated()), Err(Error::NotFound { .. })));
    assert!(matches!(ring.try_observer(Start::Newest), Err(Error::NotFound { .. })));
}

fn a_file_that_was_renamed_is_stale(setup: Setup) {
    let ring = setup.ring();
    let path = ring.path().unwrap();
    let producer = ring.producer();
    let consumer = ring.consumer(&Attach::gated());
    let inspector = quoit::Inspector::open(path).unwrap();
    let other = path.with_extension("other");
    assert!(!inspector.is_stale());
    std::fs::rename(path, &other).unwrap();
    assert!(producer.is_stale() && consumer.is_stale() && inspector.is_stale());
    std::fs::rename(&other, path).unwrap();
    assert!(!producer.is_stale() && !consumer.is_stale() && !inspector.is_stale());
}

fn a_file_that_was_replaced_is_stale(setup: Setup) {
    let ring = setup.ring();
    let path = ring.path().unwrap();
    let producer = ring.producer();
    let consumer = ring.consumer(&Attach::gated());
    let other = path.with_extension("other");
    setup.options().create(&other).unwrap();
    std::fs::rename(&other, path).unwrap();
    assert!(producer.is_stale() && consumer.is_stale());
    let newcomer = ring.producer();
    assert!(!newcomer.is_stale());
    std::fs::remove_file(path).unwrap();
}

fn nothing_is_created_over_a_ring(setup: Setup) {
    let ring = setup.ring();
    let path = ring.path().unwrap();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    assert!(matches!(setup.options().create(path), Err(Error::Exists { .. })));
    assert!(matches!(Producer::create(path, &setup.options()), Err(Error::Exists { .. })));
    sent.send_many(&mut producer, [8; 20]);
    oracle.keep_up(&sent, &mut consumer);
    drop(producer);
    assert!(matches!(Producer::create(path, &setup.options()), Err(Error::Exists { .. })));
    assert_eq!(ring.producer().next_sequence(), sent.next());
}

fn open_or_create_opens_or_creates(setup: Setup) {
    let directory = setup.backing.directory();
    let path = directory.path().join("new");
    let mut producer = Producer::open_or_create(&path, &setup.options()).unwrap();
    assert_eq!((producer.epoch(), producer.send(&[1]).unwrap()), (1, setup.first));
    let refused = Producer::open_or_create(&path, &setup.options());
    assert!(matches!(refused, Err(Error::ProducerAlive { .. })));
    drop(producer);
    // As it was made, whatever the options say now.
    let producer = Producer::open_or_create(&path, &setup.options_of(8192)).unwrap();
    assert_eq!((producer.epoch(), producer.capacity()), (2, 4096));
    assert_eq!(producer.next_sequence(), setup.first.wrapping_add(1));
    drop(producer);
    // Several at once: one becomes the producer.
    std::fs::remove_file(&path).unwrap();
    let winners = std::thread::scope(|scope| {
        let racers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| Producer::open_or_create(&path, &setup.options()))).collect();
        racers
            .into_iter()
            .filter_map(|racer| match racer.join().unwrap() {
                Ok(producer) => Some(producer),
                Err(Error::ProducerAlive { .. }) => None,
                Err(error) => panic!("{error}"),
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(winners.len(), 1);
    until("the ring is there", || path.exists());
}
