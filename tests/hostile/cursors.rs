//! Garbage in the words that only a producer writes: its cursors, what it says of itself, the index.

use quoit::{Inspector, SendError};

use super::*;

/// A ring on which three records were sent and received by everybody.
fn three_records(victim: &Victim) -> (Producer, [Reader; 4]) {
    victim.restore();
    let mut producer = victim.producer();
    let mut readers = victim.readers();
    for len in [8, 16, 100] {
        let sequence = send(&mut producer, len);
        for reader in &mut readers {
            reader.receives(sequence, &payload(sequence, len));
        }
    }
    (producer, readers)
}

#[test]
fn published_ahead() {
    let victim = Victim::new();
    for garbage in [1, 3, 4, 7, 8, 12, 112, 120, CAPACITY, CAPACITY + 8, 1 << 40, 1 << 62, (1 << 63) - 1] {
        let (mut producer, mut readers) = three_records(&victim);
        let published = victim.get(at::PUBLISHED);
        victim.set(at::PUBLISHED, published.wrapping_add(garbage));
        for reader in &mut readers {
            assert_eq!(reader.finds_corruption().position, published, "{garbage}, {}", reader.name());
        }
        // The fourth slot is for those who come now.
        victim.newcomers(3);
        // The producer knows better, and mends it with its next record. Who found corruption stays with that.
        assert_eq!(send(&mut producer, 8), 3);
        assert_eq!(victim.get(at::PUBLISHED), published + 16);
        for reader in &mut readers {
            assert_eq!(reader.finds_corruption().position, published, "{garbage}, {}", reader.name());
        }
        drop(readers);
        is_healthy(&victim, &mut producer);
    }
}

#[test]
fn published_gone_back() {
    let victim = Victim::new();
    for garbage in [1, 4, 8, 16, 112, CAPACITY, 1 << 40, 1 << 62] {
        let (mut producer, readers) = three_records(&victim);
        let back = victim.get(at::PUBLISHED).wrapping_sub(garbage);
        victim.set(at::PUBLISHED, back);
        for mut reader in readers {
            let corruption = reader.finds_corruption();
            assert_eq!((corruption.position, corruption.what), (back, "a published cursor that went back"));
        }
        victim.newcomers(3);
        assert_eq!(send(&mut producer, 8), 3);
        is_healthy(&victim, &mut producer);
    }
}

/// Exactly half the numbers away is neither ahead nor back.
#[test]
fn published_at_the_other_end_of_the_world() {
    let victim = Victim::new();
    let (mut producer, mut readers) = three_records(&victim);
    victim.set(at::PUBLISHED, victim.get(at::PUBLISHED) ^ 1 << 63);
    for reader in &mut readers {
        assert_eq!(reader.look(), Ok(None), "{}", reader.name());
    }
    victim.newcomers(3);
    let sequence = send(&mut producer, 40);
    for reader in &mut readers {
        reader.receives(sequence, &payload(sequence, 40));
    }
}

/// Whoever cannot be overwritten never looks at it; nor does the producer, which mends it in passing.
#[test]
fn reserve() {
    let victim = Victim::new();
    let far = [0, 1, 8, 9, CAPACITY, CAPACITY + 8, 2 * CAPACITY, 1 << 40, 1 << 62, 1 << 63];
    for garbage in far.into_iter().flat_map(|far| [far, far.wrapping_neg()]) {
        let (mut producer, [mut gated, rest @ ..]) = three_records(&victim);
        victim.set(at::RESERVE, victim.get(at::RESERVE).wrapping_add(garbage));
        let sequence = send(&mut producer, 8);
        gated.receives(sequence, &payload(sequence, 8));
        for mut reader in rest {
            match reader.look() {
                Ok(Some(Seen::Record(3, bytes))) => assert!(bytes == payload(3, 8), "{}", reader.name()),
                Ok(None | Some(Seen::Lost(_))) | Err(RecvError::Corrupt(_)) => {}
                other => panic!("{garbage}, {}: {other:?}", reader.name()),
            }
        }
        victim.newcomers(3);
        for _ in 0..200 {
            let sequence = send(&mut producer, 60);
            gated.receives(sequence, &payload(sequence, 60));
        }
        is_healthy(&victim, &mut producer);
    }
}

#[test]
fn cursors_that_a_new_producer_finds() {
    let victim = Victim::new();
    let take_over = || at_once("take over", || Producer::open(&victim.path)).map(drop);
    let ahead = [1, 4, 7, 8, 64, CAPACITY + 8, 1 << 40, 1 << 63];
    for garbage in ahead.into_iter().flat_map(|far| [far, far.wrapping_neg()]) {
        drop(three_records(&victim));
        let published = victim.get(at::PUBLISHED);
        victim.set(at::PUBLISHED, published.wrapping_add(garbage));
        match take_over().unwrap_err() {
            Error::Corrupt(found) if garbage % 8 != 0 => {
                assert_eq!(found.what, "a published cursor that is no multiple of 8");
            }
            Error::Corrupt(_) => {}
            other => panic!("{garbage}: {other:?}"),
        }
        // A refusal spoils nothing: with the right word back it is a ring again.
        victim.set(at::PUBLISHED, published);
        is_healthy(&victim, &mut victim.producer());
    }
    for reserve in [0, 8, 128, 2 * CAPACITY, 1 << 40, 1 << 63, u64::MAX] {
        drop(three_records(&victim));
        victim.set(at::RESERVE, reserve);
        match take_over() {
            Ok(()) => assert!(reserve.wrapping_sub(victim.get(at::PUBLISHED)) <= CAPACITY, "{reserve}"),
            Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{reserve}: {error:?}"),
        }
    }
}

#[test]
fn epochs() {
    let victim = Victim::new();
    for garbage in [0, 1, 2, 7, 1 << 32, u64::MAX] {
        let (mut producer, mut readers) = three_records(&victim);
        victim.set(at::EPOCH, garbage);
        let sequence = send(&mut producer, 8);
        for reader in &mut readers {
            if garbage > 1 {
                assert_eq!(reader.look(), Ok(Some(Seen::Changed(garbage))), "{}", reader.name());
            }
            reader.receives(sequence, &payload(sequence, 8));
            assert_eq!(reader.look(), Ok(None), "{}", reader.name());
        }
        // It is told where the records of the new producer begin, so never if that is nowhere.
        victim.set(at::ODD_BEGAN, u64::MAX >> 1);
        victim.set(at::EVEN_BEGAN, u64::MAX >> 1);
        victim.set(at::EPOCH, garbage ^ 1);
        let sequence = send(&mut producer, 8);
        for reader in &mut readers {
            reader.receives(sequence, &payload(sequence, 8));
        }
        drop(producer);
        is_healthy(&victim, &mut victim.producer());
    }
}

/// The mode that sleepers go by. At worst they sleep a slice too long.
#[test]
fn modes() {
    let victim = Victim::new();
    for garbage in [1, 2, 3, 255, 1 << 32, u64::MAX] {
        let (mut producer, readers) = three_records(&victim);
        victim.set(at::MODE, garbage);
        let (ready, all_ready) = channel();
        let sleepers = readers.map(|mut reader| {
            let ready = ready.clone();
            std::thread::spawn(move || {
                let start = Instant::now();
                assert_eq!(reader.wait(Duration::from_millis(5)), Ok(None));
                assert!(start.elapsed() >= Duration::from_millis(5), "{} came back early", reader.name());
                ready.send(()).unwrap();
                (reader.wait(Duration::from_secs(60)), reader.name())
            })
        });
        for _ in 0..4 {
            all_ready.recv_timeout(AT_ONCE).unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
        send(&mut producer, 8);
        for sleeper in sleepers {
            let (woken, name) = sleeper.join().unwrap();
            assert!(matches!(woken, Ok(Some(Seen::Record(3, _)))), "{garbage}, {name}: {woken:?}");
        }
        Inspector::open(&victim.path).unwrap().snapshot().unwrap();
    }
}

#[test]
fn closed() {
    let victim = Victim::new();
    let (mut producer, mut readers) = three_records(&victim);
    victim.set(at::CLOSED, 1);
    for reader in &mut readers {
        assert_eq!(reader.look(), Ok(None));
        assert_eq!(reader.wait(Duration::from_secs(60)), Err(RecvError::Closed), "{}", reader.name());
    }
    let sequence = send(&mut producer, 8);
    for reader in &mut readers {
        reader.receives(sequence, &payload(sequence, 8));
    }
    for garbage in [2, 255, 256, 1 << 32, u64::MAX] {
        victim.set(at::CLOSED, garbage);
        for reader in &mut readers {
            assert_eq!(reader.wait(Duration::from_millis(3)), Ok(None), "{garbage}, {}", reader.name());
        }
    }
}

/// Counters that are about to wrap are carried on by every producer.
#[test]
fn counters() {
    let victim = Victim::new();
    let (producer, readers) = three_records(&victim);
    drop((producer, readers));
    victim.set_all(at::COUNTERS..at::COUNTERS + 40, u64::MAX);
    let mut producer = victim.producer();
    // Somebody is armed: a wake.
    let mut consumer =
        Reader::Consumer("gated", victim.consumer(Attach::gated_for(Duration::from_millis(5))));
    victim.set(at::DATA_WORD, 1);
    send(&mut producer, 8);
    // Full, a stall, an eviction.
    while !matches!(producer.try_send(&[0; 500]), Err(SendError::Full { .. })) {}
    producer.send(&[0; 500]).unwrap();
    // Full again, a stall that times out.
    let mut gated = Reader::Consumer("gated", victim.consumer(Attach::gated()));
    while !matches!(producer.try_send(&[0; 500]), Err(SendError::Full { .. })) {}
    let soon = Instant::now() + Duration::from_millis(3);
    assert_eq!(producer.send_deadline(&[0; 500], soon), Err(SendError::TimedOut { slot: 1 }));
    // A dead consumer's gate is taken back.
    let slot = at::slot(match &gated {
        Reader::Consumer(_, consumer) => u64::from(consumer.slot()),
        Reader::Observer(_) => unreachable!(),
    });
    gated.look().unwrap();
    let gate = victim.get(slot + at::STATE);
    let cursor = victim.get(slot + at::CURSOR);
    drop(gated);
    victim.set(slot + at::CURSOR, cursor.wrapping_sub(CAPACITY));
    victim.set(slot + at::STATE, gate);
    producer.send(&[0; 500]).unwrap();
    let snapshot = Inspector::open(&victim.path).unwrap().snapshot().unwrap();
    // Counted on from the largest number there is.
    assert_eq!((snapshot.wakes, snapshot.evictions, snapshot.reclaims), (0, 0, 0));
    assert!(snapshot.full < 10, "{}", snapshot.full);
    assert!(snapshot.stall < Duration::from_secs(60), "{:?}", snapshot.stall);
    while consumer.look().unwrap().is_some() {}
}

/// Nobody who keeps up needs it. The producer writes each entry anew within a lap.
#[test]
fn the_index() {
    let victim = Victim::new();
    let mut random = Random(1);
    for round in 0..40 {
        let (mut producer, mut readers) = three_records(&victim);
        for at in (at::INDEX..at::INDEX_END).step_by(8) {
            let garbage = match round {
                0 => 0,
                1 => 1,
                2 => u64::MAX,
                3 => 8,
                4 => 1 << 63,
                5 => CAPACITY / 2,
                _ => random.garbage(victim.get(at)),
            };
            victim.set(at, garbage);
        }
        victim.newcomers(2);
        for _ in 0..100 {
            let sequence = send(&mut producer, 72);
            for reader in &mut readers {
                reader.receives(sequence, &payload(sequence, 72));
            }
        }
        is_healthy(&victim, &mut producer);
        drop((producer, readers));
        is_healthy(&victim, &mut victim.producer());
    }
}

/// A lapped reader that finds no way on says so; it does not search for ever.
#[test]
fn lapped_with_no_index() {
    let victim = Victim::new();
    for garbage in [1, u64::MAX, 1 << 63, 0] {
        victim.restore();
        let mut producer = victim.producer();
        let mut lossy = Reader::Consumer("lossy", victim.consumer(Attach::lossy()));
        let mut observer = Reader::Observer(victim.observer());
        for _ in 0..100 {
            send(&mut producer, 72);
        }
        victim.set_all(at::INDEX..at::INDEX_END, garbage);
        for reader in [&mut lossy, &mut observer] {
            assert_eq!(reader.finds_corruption().what, "no index entry that leads to a record");
        }
        assert_eq!(victim.newcomers(3), 0);
    }
}

/// Led half-way round all positions twice, a reader comes to lie behind the place it began at. What it knew of the
/// records up to there holds no longer: a length is judged by what is published, as everywhere.
#[test]
fn twice_half_way_round() {
    let victim = Victim::new();
    for length in [56, CAPACITY - 8, 2 * CAPACITY, 1 << 20, 1 << 29] {
        victim.restore();
        let began = victim.get(at::PUBLISHED);
        let mut lossy = Reader::Consumer("lossy", victim.consumer(Attach::lossy()));
        let mut observer = Reader::Observer(victim.observer());
        victim.set_all(at::INDEX..at::INDEX_END, 1);
        // The second place is as far before the beginning as the record there says it is long.
        let second = began.wrapping_sub(length + 8);
        let first = began.wrapping_add((1 << 63) - 32);
        for (place, sequence) in [(first, 5), (second, 6)] {
            victim.set(at::INDEX, place);
            victim.set(at::INDEX + 8, sequence);
            // Too little for any of the records.
            victim.set(at::PUBLISHED, place.wrapping_add(16));
            victim.set(at::RESERVE, place.wrapping_add(16));
            victim.set(at::RECORDS + place % CAPACITY, sequence << 32 | length);
            for reader in [&mut lossy, &mut observer] {
                let seen = reader.look();
                assert!(
                    matches!(seen, Ok(Some(Seen::Lost(_)))),
                    "{}, {length}, at {place:x}: {seen:?}",
                    reader.name()
                );
            }
        }
        for reader in [&mut lossy, &mut observer] {
            assert_eq!(reader.finds_corruption().position, second, "{}, {length}", reader.name());
        }
    }
}

/// The longest way there is: from an entry at one end of the ring to what is published at the other. Whoever comes
/// goes it once or twice, not ten thousand times.
#[test]
fn a_long_way_from_the_only_entry() {
    let victim = Victim::with(&Options::new().capacity(1 << 22).slots(4));
    let mut producer = victim.producer();
    let mut sent = 0;
    while sent < 1 << 17 {
        let mut batch = producer.batch();
        for _ in 0..1 << 14 {
            batch.try_send(&[7; 20]).unwrap();
            sent += 1;
        }
        batch.publish();
    }
    drop(producer);
    let first = [victim.get(at::INDEX), victim.get(at::INDEX + 8), victim.get(at::INDEX + 16)];
    let places = [first, [32 * 5, 5, 20 * 5], [32 * 5, 6, 0], [32 * 5 + 8, 5, 0], [32 * 5, 5 + (1 << 63), 0]];
    for [position, sequence, bytes] in places {
        victim.set_all(at::INDEX..at::INDEX_END, 1);
        victim.set(at::INDEX, position);
        victim.set(at::INDEX + 8, sequence);
        victim.set(at::INDEX + 16, bytes);
        for wanted in [0, 5, 6, sent / 2, sent - 1, sent, sent + 1, u64::MAX, 1 << 63, (1 << 63) + 5] {
            let let_in = victim.newcomers(wanted);
            // All but those who come for a sequence or a name that is not there. A sequence that is wrong in its
            // upper half is believed: records have the lower half only.
            let believed = position == 32 * (sequence % (1 << 32));
            assert_eq!(let_in >= 8, believed, "{position}, {sequence}, {wanted}: {let_in} let in");
        }
    }
}
