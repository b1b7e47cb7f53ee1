//! Garbage in records, and in the inline copy of the newest.

use super::*;

const RUNS_PAST: &str = "a record that runs past what is published";
const TOO_LARGE: &str = "a record larger than half the ring";
const OUT_OF_SEQUENCE: &str = "a record out of sequence";
const PADDING: &str = "padding where none can be";

fn word(len: u64, sequence: u64) -> u64 {
    len | sequence << 32
}

/// Headers that no honest producer writes at the place of record 2, of 24 bytes, with one of 100 behind it; and what
/// is wrong with them.
fn headers() -> Vec<(u64, &'static str)> {
    let mut headers = vec![
        (word(24, 1), OUT_OF_SEQUENCE),
        (word(24, 3), OUT_OF_SEQUENCE),
        (word(24, 2 ^ 1 << 31), OUT_OF_SEQUENCE),
        (word(0, 0), OUT_OF_SEQUENCE),
        (word(0, 1), OUT_OF_SEQUENCE),
        (word(1 << 31, 0), PADDING),
        (word(1 << 31, 2), PADDING),
        (word(1 << 31 | 24, 2), PADDING),
        (word((1 << 32) - 1, 2), PADDING),
        (u64::MAX, PADDING),
    ];
    // To the last byte that is published there are 32 + 112 bytes.
    let lens =
        [137, 144, 1000, MOST as u64, MOST as u64 + 1, CAPACITY, 1 << 20, (1 << 31) - 8, (1 << 31) - 7];
    headers.extend(lens.into_iter().chain([0x7fff_ffff]).map(|len| (word(len, 2), RUNS_PAST)));
    headers
}

#[test]
fn headers_of_records() {
    // Without the copy: the record in the ring is the only one.
    let victim = Victim::with(&options().inline(false));
    for (garbage, what) in headers() {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for len in [8, 16] {
            let sequence = send(&mut producer, len);
            for reader in &mut readers {
                reader.receives(sequence, &payload(sequence, len));
            }
        }
        let position = victim.get(at::PUBLISHED);
        send(&mut producer, 24);
        send(&mut producer, 100);
        victim.set(at::RECORDS + position, garbage);
        for mut reader in readers {
            let corruption = reader.finds_corruption();
            assert_eq!(
                (corruption.position, corruption.what),
                (position, what),
                "{garbage:#x}, {}",
                reader.name()
            );
        }
        victim.newcomers(3);
        // The producer never reads what it wrote. Its successor does.
        for _ in 0..100 {
            send(&mut producer, 72);
        }
        is_healthy(&victim, &mut producer);
    }
}

/// A length that would do, but for being more than any record may have: it would run into the next lap.
#[test]
fn a_header_of_more_than_half_the_ring() {
    let victim = Victim::with(&options().inline(false));
    let mut producer = victim.producer();
    let readers = victim.readers();
    for _ in 0..6 {
        send(&mut producer, 500);
    }
    victim.set(at::RECORDS, word(MOST as u64 + 8, 0));
    for mut reader in readers {
        let corruption = reader.finds_corruption();
        assert_eq!((corruption.position, corruption.what), (0, TOO_LARGE), "{}", reader.name());
    }
}

/// Padding is believed where there may be some: up to the end of the ring, and no further than what is published.
#[test]
fn padding_at_the_end_of_the_ring() {
    let victim = Victim::with(&options().inline(false));
    for (records, expected) in [(7, Some(PADDING)), (8, None)] {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for _ in 0..7 {
            let sequence = send(&mut producer, 504);
            for reader in &mut readers {
                reader.receives(sequence, &payload(sequence, 504));
            }
        }
        // The place of the last record before the end, published or not.
        let position = 7 * 512;
        for _ in 7..records {
            send(&mut producer, 504);
        }
        if records == 7 {
            victim.set(at::PUBLISHED, position + 8);
        }
        victim.set(at::RECORDS + position, 1 << 31);
        for mut reader in readers {
            match (expected, reader.look()) {
                (None, Ok(None)) => {}
                (Some(what), Err(RecvError::Corrupt(found))) => {
                    assert_eq!((found.what, found.position), (what, position), "{}", reader.name());
                }
                (_, other) => panic!("{records}, {}: {other:?}", reader.name()),
            }
        }
    }
}

/// No record runs past the end of the ring, not even one that is published to beyond it.
#[test]
fn a_header_across_the_end_of_the_ring() {
    let victim = Victim::with(&options().inline(false));
    for len in [505, 512, 520, 1000, MOST as u64] {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for number in 0..12 {
            let sequence = send(&mut producer, 504);
            for reader in readers.iter_mut().filter(|_| number < 7) {
                reader.receives(sequence, &payload(sequence, 504));
            }
        }
        victim.set(at::RECORDS + 7 * 512, word(len, 7));
        for mut reader in readers {
            let corruption = reader.finds_corruption();
            assert_eq!(
                (corruption.position, corruption.what),
                (7 * 512, RUNS_PAST),
                "{len}, {}",
                reader.name()
            );
        }
    }
}

/// A takeover walks records that nobody vouches for.
#[test]
fn headers_that_a_new_producer_finds() {
    let victim = Victim::with(&options().inline(false));
    for (garbage, what) in headers() {
        victim.restore();
        let mut producer = victim.producer();
        for len in [8, 16] {
            send(&mut producer, len);
        }
        let position = victim.get(at::PUBLISHED);
        send(&mut producer, 24);
        let behind = victim.get(at::PUBLISHED);
        send(&mut producer, 100);
        drop(producer);
        let header = victim.get(at::RECORDS + position);
        victim.set(at::RECORDS + position, garbage);
        // The walk begins at the newest entry of the index: make that the first.
        victim.set_all(at::INDEX..at::INDEX_END, 1);
        victim.set_all(at::INDEX..at::INDEX + 24, 0);
        let error = at_once("take over", || Producer::open(&victim.path)).map(drop).unwrap_err();
        match error {
            Error::Corrupt(found) => {
                assert_eq!((found.position, found.what), (position, what), "{garbage:#x}")
            }
            other => panic!("{garbage:#x}: {other:?}"),
        }
        victim.newcomers(3);
        assert!(behind > position);
        victim.set(at::RECORDS + position, header);
        is_healthy(&victim, &mut victim.producer());
    }
}

/// The copy beside `published` counts for nothing unless it fits in every respect: the record is in the ring as well.
#[test]
fn inline_copies() {
    let victim = Victim::new();
    let stamp_and_header = |random: &mut Random, end: u64| {
        let stamp = random.pick(&[end, end, end + 8, end - 8, end ^ 1, 0, 1, u64::MAX]);
        // No length that takes up as much as the record: with the right number it would be as good as right.
        let len = random.pick(&[0, 25, 32, 104, 105, 112, 113, 0x7fff_ffff, 1 << 31, u64::from(u32::MAX)]);
        let sequence = random.pick(&[0, 1, 2, u64::from(u32::MAX)]);
        (stamp, word(len, sequence))
    };
    let mut random = Random(7);
    for _ in 0..500 {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for len in [8, 24] {
            let sequence = send(&mut producer, len);
            let (stamp, header) = stamp_and_header(&mut random, victim.get(at::PUBLISHED));
            victim.set(at::STAMP, stamp);
            victim.set(at::INLINE_HEADER, header);
            victim.set_all(at::INLINE_PAYLOAD..at::RESERVE, random.next());
            for reader in &mut readers {
                reader.receives(sequence, &payload(sequence, len));
            }
        }
    }
    // The header is right, but not of the record that it belongs to.
    for stamp in [0, 1, 8, 24, 33, 40, u64::MAX] {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        send(&mut producer, 24);
        victim.set(at::STAMP, stamp);
        victim.set_all(at::INLINE_PAYLOAD..at::RESERVE, u64::MAX);
        for reader in &mut readers {
            reader.receives(0, &payload(0, 24));
        }
    }
    // The other way round, so that the above means something: a copy that fits is taken.
    victim.restore();
    let mut producer = victim.producer();
    let mut readers = victim.readers();
    send(&mut producer, 24);
    victim.set_all(at::INLINE_PAYLOAD..at::RESERVE, u64::MAX);
    for reader in &mut readers {
        reader.receives(0, &[0xff; 24]);
    }
}

/// Somebody is called for a ring that is corrupt, and wants to see the rest of it.
#[test]
fn an_inspector_shows_what_it_can() {
    let victim = Victim::new();
    for everything in [false, true] {
        victim.restore();
        let mut producer = victim.producer();
        let _consumer = victim.consumer(Attach::gated().name("kin"));
        let position = (0..3).map(|_| (victim.get(at::PUBLISHED), send(&mut producer, 24)).0).last().unwrap();
        let whole = quoit::Inspector::open(&victim.path).unwrap().snapshot().unwrap();
        assert_eq!((whole.corruption, whole.records, whole.bytes), (None, 3, 72));
        victim.set(at::RECORDS + position, word(24, 7));
        if everything {
            victim.set_all(at::INDEX..at::INDEX_END, u64::MAX);
        }
        let snapshot = quoit::Inspector::open(&victim.path).unwrap().snapshot().unwrap();
        let corruption = snapshot.corruption.expect("it is told");
        if everything {
            assert_eq!(corruption.what, "no index entry that leads to a record");
            assert_eq!((snapshot.records, snapshot.bytes), (0, 0));
        } else {
            assert_eq!((corruption.position, corruption.what), (position, OUT_OF_SEQUENCE));
            assert_eq!((snapshot.records, snapshot.bytes, snapshot.next_sequence), (2, 48, 2));
        }
        assert_eq!((snapshot.published, snapshot.reserve), (whole.published, whole.reserve));
        assert!(snapshot.producer_alive && snapshot.epoch == 1);
        let names: Vec<_> = snapshot.consumers.iter().map(|consumer| consumer.name.as_deref()).collect();
        assert_eq!(names, [Some("kin")]);
    }
}
