//! Garbage where every consumer may write: slots, and the words that sleepers sleep on.

use quoit::{Inspector, SendError};

use super::*;

fn slot_of(reader: &Reader) -> u64 {
    match reader {
        Reader::Consumer(_, consumer) => at::slot(u64::from(consumer.slot())),
        Reader::Observer(_) => panic!("an observer has no slot"),
    }
}

fn inspect(victim: &Victim) -> quoit::Snapshot {
    at_once("snapshot", || Inspector::open(&victim.path).unwrap().snapshot().unwrap())
}

/// Sends that take a moment at most, gates of the dead included.
fn sends_in_time(producer: &mut Producer) {
    let sequence = producer.next_sequence();
    let soon = Instant::now() + AT_ONCE / 2;
    assert_eq!(producer.send_deadline(&payload(sequence, 300), soon), Ok(sequence));
}

/// A slot says that a consumer is in the way. Its lock is free, so there is none.
#[test]
fn gates_of_nobody() {
    let victim = Victim::new();
    let cursors = [0u64, 1, 4, 5, 7, 8, CAPACITY, 1 << 40, 1 << 62, 1 << 63, u64::MAX];
    for cursor in cursors.into_iter().flat_map(|cursor| [cursor, cursor.wrapping_neg()]) {
        victim.restore();
        let mut producer = victim.producer();
        for deadline in [0, 1, u64::MAX] {
            for number in 0..4 {
                victim.set(at::slot(number) + at::CURSOR, cursor);
                victim.set(at::slot(number) + at::BUDGET, deadline);
                victim.set(at::slot(number) + at::STATE, u64::MAX << 8 | 3);
            }
            inspect(&victim);
            for _ in 0..60 {
                sends_in_time(&mut producer);
            }
        }
        victim.newcomers(3);
        is_healthy(&victim, &mut producer);
    }
}

/// A hold belongs to a name. Without one there is nobody to come back, and nobody to be forgotten.
#[test]
fn a_hold_of_nobody() {
    let victim = Victim::new();
    let mut producer = victim.producer();
    for hold in [u64::MAX, u64::MAX - 1, 1 << 62] {
        victim.set(at::slot(1) + at::CURSOR, victim.get(at::PUBLISHED));
        victim.set(at::slot(1) + at::HOLD, hold);
        victim.set(at::slot(1) + at::STATE, 3);
        for _ in 0..60 {
            sends_in_time(&mut producer);
        }
    }
    // Under a name it does hold, until that is forgotten.
    victim.set(at::slot(1) + at::CURSOR, victim.get(at::PUBLISHED));
    victim.set(at::slot(1) + at::NAME, u64::from_le_bytes(*b"somebody"));
    victim.set(at::slot(1) + at::STATE, 3);
    let full = (0..60).find_map(|_| producer.try_send(&[0; 300]).err());
    assert_eq!(full, Some(SendError::Full { slot: 1 }));
    let soon = Instant::now() + Duration::from_millis(20);
    assert_eq!(producer.send_deadline(&[0; 300], soon), Err(SendError::TimedOut { slot: 1 }));
    quoit::forget(&victim.path, "somebody").unwrap();
    sends_in_time(&mut producer);
}

/// A consumer leaves as what it came as, whatever stands in its slot by then: without a name and a hold of its own it
/// leaves neither.
#[test]
fn what_is_scribbled_into_a_slot_goes_with_its_consumer() {
    let victim = Victim::new();
    let mut producer = victim.producer();
    for attach in [Attach::gated(), Attach::lossy()] {
        let consumer = victim.consumer(attach);
        let slot = at::slot(u64::from(consumer.slot()));
        victim.set(slot + at::NAME, u64::from_le_bytes(*b"somebody"));
        victim.set(slot + at::HOLD, u64::MAX);
        drop(consumer);
        assert_eq!(victim.get(slot + at::STATE) & 0xff, 0, "free");
        for _ in 0..60 {
            sends_in_time(&mut producer);
        }
        victim.newcomers(4);
    }
}

/// Every state, known or not, in the slot of a consumer that lives.
#[test]
fn states_of_the_living() {
    let victim = Victim::new();
    for state in (0..=255).chain([u64::MAX, u64::MAX << 8 | 3, 1 << 63]) {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for reader in &readers[..3] {
            victim.set(slot_of(reader) + at::STATE, state);
        }
        inspect(&victim);
        // They keep up, so it makes no difference to what they receive.
        for _ in 0..20 {
            let sequence = send(&mut producer, 300);
            for reader in &mut readers {
                match reader.look().unwrap() {
                    Some(Seen::Record(told, bytes)) => {
                        assert!(
                            told == sequence && bytes == payload(sequence, 300),
                            "{state}: {}",
                            reader.name()
                        );
                    }
                    other => panic!("{state}, {}: {other:?}", reader.name()),
                }
            }
        }
        victim.newcomers(3);
        drop(readers);
        is_healthy(&victim, &mut producer);
    }
}

/// A gate that is not there any more is no gate: its consumer is lapped, and finds that out.
#[test]
fn a_gate_struck_from_the_slot() {
    let victim = Victim::new();
    for state in [0, 1, 2, 4, 5, 6, 255] {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for reader in &readers[..3] {
            victim.set(slot_of(reader) + at::STATE, state);
        }
        for _ in 0..40 {
            send(&mut producer, 200);
        }
        for reader in &mut readers {
            let mut expected = 0;
            for _ in 0..200 {
                match reader.look() {
                    Ok(Some(Seen::Record(sequence, bytes))) => {
                        assert_eq!(sequence, expected, "{state}, {}", reader.name());
                        assert!(bytes == payload(sequence, 200), "{state}, {}", reader.name());
                        expected += 1;
                    }
                    Ok(Some(Seen::Lost(loss))) => {
                        assert_eq!((loss.first, loss.bytes), (expected, 200 * loss.records));
                        assert!(!reader.is_gated(), "{loss:?}");
                        expected = loss.next;
                    }
                    Ok(Some(Seen::Evicted)) => assert_eq!((state, reader.name()), (4, "gated for a minute")),
                    Ok(None) => break,
                    Err(RecvError::Corrupt(_)) => {
                        assert!(reader.is_gated(), "{}", reader.name());
                        break;
                    }
                    other => panic!("{state}, {}: {other:?}", reader.name()),
                }
            }
            assert_eq!(expected, if reader.is_gated() { 0 } else { 40 }, "{state}, {}", reader.name());
        }
    }
}

/// The producer goes by what stands there, and the consumer by what it knows.
#[test]
fn cursors_and_terms_of_the_living() {
    let victim = Victim::new();
    let mut random = Random(3);
    let mut refused = 0;
    for _ in 0..300 {
        victim.restore();
        let mut producer = victim.producer();
        let mut reader = Reader::Consumer("gated", victim.consumer(Attach::gated().name("kin")));
        let slot = slot_of(&reader);
        let field = random.pick(&[at::CURSOR, at::CURSOR, at::BUDGET, at::HOLD]);
        for _ in 0..30 {
            victim.set(slot + field, random.garbage(victim.get(slot + field)));
            let sequence = producer.next_sequence();
            match at_once("try_send", || producer.try_send(&payload(sequence, 200))) {
                Ok(told) => {
                    assert_eq!(told, sequence);
                    match reader.look() {
                        Ok(Some(Seen::Evicted)) => reader.receives(sequence, &payload(sequence, 200)),
                        Ok(Some(Seen::Record(told, bytes))) => {
                            assert!(told == sequence && bytes == payload(sequence, 200));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Err(SendError::Full { .. }) => {
                    refused += 1;
                    assert_eq!(reader.look(), Ok(None));
                }
                Err(other) => panic!("{other}"),
            }
        }
        inspect(&victim);
        // Whatever it left behind is only as good as its name.
        drop(reader);
        victim.newcomers(3);
        quoit::forget(&victim.path, "kin").unwrap();
        sends_in_time(&mut producer);
        is_healthy(&victim, &mut producer);
    }
    assert!(refused > 50, "{refused}: the cursors were not garbage enough");
}

/// What a name finds when it comes back.
#[test]
fn accounts() {
    let victim = Victim::new();
    let mut random = Random(11);
    let attach = Attach::gated().name("kin");
    let (mut resumed, mut corrupt) = (0, 0);
    for round in 0..400 {
        victim.restore();
        let mut producer = victim.producer();
        let mut reader = Reader::Consumer("named", victim.consumer(attach.clone()));
        let slot = slot_of(&reader);
        for len in [8, 300, 24] {
            let sequence = send(&mut producer, len);
            reader.receives(sequence, &payload(sequence, len));
        }
        drop(reader);
        let cursor = slot + at::CURSOR;
        let account = slot + at::ACCOUNTS + 128 * (victim.get(cursor) & 1);
        match round {
            // All that it lost, and then some.
            0 => victim.set_all(account + 24..account + 112, u64::MAX),
            1 => victim.set_all(account..account + 128, u64::MAX),
            2 => {
                // A place between two words, in both copies.
                for place in [slot + at::ACCOUNTS, slot + at::ACCOUNTS + 128, cursor] {
                    victim.set(place, 12);
                }
            }
            3 => {
                // The mark of a slot that has no place, made to look like one.
                for place in [slot + at::ACCOUNTS, slot + at::ACCOUNTS + 128, cursor] {
                    victim.set(place, 4);
                }
            }
            _ => {
                let place = random.garbage(victim.get(account));
                victim.set(account, place);
                victim.set(cursor, place & !1 | victim.get(cursor) & 1);
                for at in (account + 8..account + 96).step_by(8) {
                    victim.set(at, random.garbage(victim.get(at)));
                }
            }
        }
        inspect(&victim);
        // Away for more than a lap.
        for _ in 0..random.pick(&[0, 1, 30]) + u64::from(round == 0) * 30 {
            send(&mut producer, 200);
        }
        match at_once("resume", || Consumer::open(&victim.path, &attach)) {
            Ok(consumer) => {
                resumed += u64::from(consumer.resumed().is_some());
                let mut reader = Reader::Consumer("named", consumer);
                while let Ok(Some(_)) = reader.look() {}
                assert!(round != 2 && round != 3 || reader.next_sequence() == producer.next_sequence());
                for _ in 0..30 {
                    let _ = at_once("try_send", || producer.try_send(&[0; 200]));
                    let _ = reader.look();
                }
            }
            Err(Error::Corrupt(_)) => corrupt += 1,
            Err(other) => panic!("{round}: {other:?}"),
        }
        quoit::forget(&victim.path, "kin").unwrap();
        sends_in_time(&mut producer);
        is_healthy(&victim, &mut producer);
    }
    assert!(resumed > 20 && corrupt > 20, "{resumed} resumed, {corrupt} corrupt");
}

/// Names that no consumer could have taken.
#[test]
fn names() {
    let victim = Victim::new();
    let mut producer = victim.producer();
    for garbage in [u64::MAX, 0x8080_8080_8080_8080, 0x0100_0000_0000_0000, 0x6100_0061, 0x0a0a_0a0a] {
        for number in 0..3 {
            victim.set_all(at::slot(number) + at::NAME..at::slot(number) + at::NAME + 64, garbage);
            victim.set(at::slot(number) + at::STATE, 5);
        }
        // They take their slots up; the rest goes on.
        let snapshot = inspect(&victim);
        let names: Vec<_> =
            snapshot.consumers.iter().map(|consumer| consumer.name.clone().unwrap()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        is_healthy(&victim, &mut producer);
        let _last = victim.consumer(Attach::lossy());
        let error = Consumer::open(&victim.path, &Attach::lossy()).map(drop).unwrap_err();
        assert!(matches!(error, Error::SlotsTaken { slots: 4, saved: 3 }), "{error:?}");
        assert!(matches!(quoit::forget(&victim.path, "kin"), Err(Error::NameUnknown { .. })));
        assert!(matches!(quoit::forget_slot(&victim.path, 3), Err(Error::SlotUnknown { slot: 3 })));
        assert!(matches!(quoit::forget_slot(&victim.path, 4), Err(Error::SlotUnknown { slot: 4 })));
        // No text leads to these names, their numbers do.
        for number in 0..3 {
            quoit::forget_slot(&victim.path, number).unwrap();
            assert!(matches!(quoit::forget_slot(&victim.path, number), Err(Error::SlotUnknown { .. })));
        }
        assert_eq!(inspect(&victim).consumers.len(), 1, "the last one");
    }
}

/// A name that is held for ever, and is no text any more: its number frees the producer all the same.
#[test]
fn a_held_slot_without_a_name_to_forget_it_by() {
    let victim = Victim::new();
    let mut producer = victim.producer();
    let consumer = victim.consumer(Attach::gated().name("kin").hold_forever());
    let number = consumer.slot();
    assert!(matches!(quoit::forget_slot(&victim.path, number), Err(Error::NameInUse { .. })));
    drop(consumer);
    victim.set(at::slot(u64::from(number)) + at::NAME, u64::MAX);
    while producer.try_send(&[0; 300]).is_ok() {}
    let soon = Instant::now() + Duration::from_millis(5);
    assert_eq!(producer.send_deadline(&[0; 300], soon), Err(SendError::TimedOut { slot: 0 }), "it is held");
    quoit::forget_slot(&victim.path, number).unwrap();
    sends_in_time(&mut producer);
    is_healthy(&victim, &mut producer);
}

/// The cursor of a consumer that has received everything is written over with an older one. It sees to that the next
/// time it finds nothing, be it awake or asleep.
#[test]
fn cursors_that_went_back() {
    let victim = Victim::new();
    for asleep in [false, true] {
        victim.restore();
        let mut producer = victim.producer();
        let mut reader = Reader::Consumer("gated", victim.consumer(Attach::gated()));
        let cursor = slot_of(&reader) + at::CURSOR;
        for _ in 0..40 {
            let sequence = send(&mut producer, 300);
            reader.receives(sequence, &payload(sequence, 300));
            assert_eq!(reader.look(), Ok(None));
        }
        // Until the producer has to look at it.
        loop {
            victim.set(cursor, victim.get(cursor) - CAPACITY);
            let sequence = producer.next_sequence();
            if producer.try_send(&payload(sequence, 300)).is_err() {
                break;
            }
            reader.receives(sequence, &payload(sequence, 300));
            assert_eq!(reader.look(), Ok(None));
        }
        assert_eq!(
            producer.try_send(&payload(producer.next_sequence(), 300)),
            Err(SendError::Full { slot: 0 })
        );
        if asleep {
            assert_eq!(reader.wait(Duration::from_millis(1)), Ok(None));
        } else {
            assert_eq!(reader.look(), Ok(None));
        }
        send(&mut producer, 300);
        while matches!(reader.look(), Ok(Some(_))) {}
        drop(reader);
        is_healthy(&victim, &mut producer);
    }
}

/// The same name in every slot: whichever is found, its place is taken and no other.
#[test]
fn one_name_in_every_slot() {
    let victim = Victim::new();
    let mut producer = victim.producer();
    let attach = Attach::gated().name("somebody");
    drop(victim.consumer(attach.clone()));
    for number in 1..4 {
        victim.set(at::slot(number) + at::NAME, u64::from_le_bytes(*b"somebody"));
        victim.set(at::slot(number) + at::STATE, 5);
    }
    let mut first = Reader::Consumer("named", victim.consumer(attach.clone()));
    let second = Consumer::open(&victim.path, &attach).map(drop).unwrap_err();
    assert!(matches!(second, Error::NameInUse { .. }), "{second:?}");
    let sequence = send(&mut producer, 8);
    first.receives(sequence, &payload(sequence, 8));
    drop(first);
    for _ in 0..4 {
        quoit::forget(&victim.path, "somebody").unwrap();
    }
    assert!(matches!(quoit::forget(&victim.path, "somebody"), Err(Error::NameUnknown { .. })));
    is_healthy(&victim, &mut producer);
}

/// Sleepers come back by their deadlines and find what was sent; wakers are not held up.
#[test]
fn sleep_words() {
    let victim = Victim::new();
    for garbage in [0, 1, 2, u64::from(u32::MAX), u64::from(u32::MAX) - 1, 1 << 31, u64::MAX] {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for word in [at::DATA_WORD, at::SPACE_WORD] {
            victim.set(word, garbage);
        }
        for reader in &mut readers {
            let start = Instant::now();
            assert_eq!(reader.wait(Duration::from_millis(3)), Ok(None));
            assert!(start.elapsed() >= Duration::from_millis(3), "{} came back early", reader.name());
        }
        for word in [at::DATA_WORD, at::SPACE_WORD] {
            victim.set(word, garbage);
        }
        let sequence = send(&mut producer, 8);
        for reader in &mut readers {
            let found = reader.wait(Duration::from_secs(60)).unwrap();
            assert_eq!(found, Some(Seen::Record(sequence, payload(sequence, 8))));
        }
        while producer.try_send(&[0; 300]).is_ok() {}
        victim.set(at::SPACE_WORD, garbage);
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(
            at_once("send_deadline", || producer.send_deadline(&[0; 300], soon)),
            Err(SendError::TimedOut { slot: 0 })
        );
        drop(readers);
        sends_in_time(&mut producer);
    }
}
