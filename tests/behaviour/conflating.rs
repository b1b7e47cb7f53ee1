//! `Conflate`: the newest record of each key, of what piled up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quoit::{AnyReader, Attach, Conflate, Event, Newest, Producer, Record, RecvError, Start};

use crate::common::soon;
use crate::{Scene, Setup};

crate::behaviours! {
    the_newest_of_each_key,
    more_keys_than_places,
    one_place_is_enough,
    a_loss_is_passed_on,
    a_receive_that_finds_nothing_releases,
    an_observer_conflates,
    it_waits_for_a_record,
    the_end_comes_after_the_records,
    it_takes_what_was_there_when_it_began,
}

/// The key is the first byte; the rest tells the records of a key apart.
fn record(key: u8, number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_le_bytes();
    [key, a, b, c, d]
}

fn key(record: &Record<'_>) -> u8 {
    record.bytes()[0]
}

fn send(producer: &mut Producer, keys: impl IntoIterator<Item = u8>) -> u32 {
    let mut count = 0;
    for key in keys {
        producer.try_send(&record(key, count)).unwrap();
        count += 1;
    }
    count
}

fn none(event: Event<'_>) {
    panic!("{event}");
}

/// Of each record: key, number, and how many it replaced.
fn shown(newest: &[Newest<u8>]) -> Vec<(u8, u32, u64)> {
    let number = |payload: &[u8]| u32::from_le_bytes(payload[1..].try_into().unwrap());
    newest
        .iter()
        .map(|newest| {
            assert_eq!(newest.key, newest.payload[0]);
            (newest.key, number(&newest.payload), newest.replaced)
        })
        .collect()
}

fn the_newest_of_each_key(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut conflate = Conflate::new(ring.consumer(&Attach::gated()), 10, key);
    assert!(conflate.try_recv(none).unwrap().is_empty());
    let mut sequence = setup.first;
    for round in 0..40_u8 {
        // A plain model of the same.
        let keys: Vec<u8> = (0..round).map(|n| (n.wrapping_mul(37) ^ round) % 9).collect();
        let mut expected = BTreeMap::new();
        for (number, key) in (0..).zip(&keys) {
            let replaced = expected.get(key).map_or(0, |(_, replaced)| replaced + 1);
            expected.insert(*key, (number, replaced));
        }
        let mut expected: Vec<_> = expected.into_iter().map(|(key, (n, more))| (key, n, more)).collect();
        expected.sort_by_key(|(_, number, _)| *number);
        send(&mut producer, keys);
        let newest = conflate.try_recv(none).unwrap();
        assert_eq!(shown(newest), expected, "round {round}");
        for (newest, (_, number, _)) in newest.iter().zip(&expected) {
            assert_eq!(newest.sequence, sequence.wrapping_add(u64::from(*number)));
        }
        sequence = sequence.wrapping_add(u64::from(round));
    }
}

fn more_keys_than_places(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut conflate = Conflate::new(ring.consumer(&Attach::gated()), 2, key);
    send(&mut producer, [1, 2, 1, 3, 3, 1, 4, 4]);
    let mut round = || shown(conflate.try_recv(none).unwrap());
    assert_eq!(round(), [(2, 1, 0), (1, 2, 1)], "up to the third key");
    assert_eq!(round(), [(3, 4, 1), (1, 5, 0)], "which begins the next round");
    assert_eq!(round(), [(4, 7, 1)]);
    assert_eq!(round(), []);
    assert_eq!(conflate.replaced(), 3);
}

fn one_place_is_enough(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    // No place at all is taken for one.
    let mut conflate = Conflate::new(ring.consumer(&Attach::gated()), 0, key);
    send(&mut producer, [1, 1, 2, 1]);
    let mut round = || shown(conflate.try_recv(none).unwrap());
    assert_eq!(
        [round(), round(), round(), round()],
        [vec![(1, 1, 1)], vec![(2, 2, 0)], vec![(1, 3, 0)], vec![]]
    );
}

fn a_loss_is_passed_on(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut conflate = Conflate::new(ring.consumer(&Attach::lossy()), 10, key);
    let sent = u64::from(send(&mut producer, (0..1000).map(|n| (n % 7) as u8)));
    let mut lost = 0;
    let newest = conflate.try_recv(|event| match event {
        Event::Lost(loss) => lost += loss.records,
        event => panic!("{event}"),
    });
    let received: u64 = newest.unwrap().iter().map(|newest| newest.replaced + 1).sum();
    assert!(lost > 700, "{lost} lost");
    assert_eq!(received + lost, sent);
}

fn a_receive_that_finds_nothing_releases(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut conflate = Conflate::new(ring.consumer(&Attach::gated()), 10, key);
    send(&mut producer, [1, 2, 1]);
    assert_eq!(conflate.try_recv(none).unwrap().len(), 2);
    assert_ne!(ring.snapshot().consumers[0].lag_records, 0, "the last record is not released yet");
    assert!(conflate.try_recv(none).unwrap().is_empty());
    assert_eq!(ring.snapshot().consumers[0].lag_records, 0);
}

fn an_observer_conflates(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut conflate = Conflate::new(ring.observer(Start::Newest), 10, key);
    send(&mut producer, [5, 6, 5]);
    assert_eq!(shown(conflate.try_recv(none).unwrap()), [(6, 1, 0), (5, 2, 1)]);
    let AnyReader::Observer(observer) = conflate.into_reader() else { panic!("a consumer") };
    assert_eq!(observer.next_sequence(), setup.first.wrapping_add(3));
}

fn it_waits_for_a_record(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut conflate = Conflate::new(ring.consumer(&Attach::gated()), 10, key);
    let soon_over = Instant::now() + Duration::from_millis(5);
    assert_eq!(conflate.recv_deadline(soon_over, none), Err(RecvError::TimedOut));
    assert_eq!(conflate.recv_timeout(Duration::ZERO, none), Err(RecvError::TimedOut));
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| shown(conflate.recv_deadline(soon(), none).unwrap()));
        std::thread::sleep(Duration::from_millis(10));
        producer.try_send(&record(3, 0)).unwrap();
        assert_eq!(receiving.join().unwrap(), [(3, 0, 0)]);
    });
}

fn the_end_comes_after_the_records(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut conflate = Conflate::new(ring.consumer(&Attach::gated()), 1, key);
    send(&mut producer, [1, 1, 2]);
    drop(producer);
    assert_eq!(shown(conflate.recv(none).unwrap()), [(1, 1, 1)]);
    assert_eq!(shown(conflate.recv(none).unwrap()), [(2, 2, 0)]);
    assert_eq!(conflate.recv(none), Err(RecvError::Closed));
}

/// A producer that never stops does not keep it from returning.
fn it_takes_what_was_there_when_it_began(setup: Setup) {
    let Scene { ring, producer, .. } = setup.scene();
    let producer = std::cell::RefCell::new(producer);
    let sends = |record: &Record<'_>| {
        producer.borrow_mut().try_send(&[record.bytes()[0].wrapping_add(1)]).unwrap();
        record.bytes()[0]
    };
    let mut conflate = Conflate::new(ring.consumer(&Attach::lossy()), 1000, sends);
    send(&mut producer.borrow_mut(), [1, 2, 3]);
    assert_eq!(conflate.try_recv(none).unwrap().len(), 3);
    assert_eq!(conflate.try_recv(none).unwrap().len(), 3);
}
