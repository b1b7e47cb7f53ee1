//! Batches: visible all at once, or not at all.

use std::time::Instant;

use quoit::{Attach, SendError, Start};

use crate::common::{Sent, payload, soon};
use crate::{Scene, Setup};

crate::behaviours! {
    a_dropped_batch_takes_no_padding_back,
    a_batch_becomes_visible_at_once,
    a_dropped_batch_leaves_no_trace,
    an_empty_batch_publishes_nothing,
    many_at_once_are_as_many_one_by_one,
    many_at_once_stop_where_one_would,
    a_panic_among_many_leaves_what_was_added,
    sends_and_claims_mix,
    batches_and_single_sends_mix,
    a_batch_crosses_the_end_of_the_ring,
    a_batch_is_full_at_half_the_ring,
    padding_counts_towards_a_full_batch,
    a_record_too_large_leaves_the_batch_as_it_is,
    a_batch_held_up_by_a_gate_keeps_what_it_has,
    a_batch_waits_for_a_gate,
}

/// Adds a record of `len` bytes to what `batch` has; the history is the caller's to complete.
fn staged(sent: &Sent, already: u64, len: usize) -> Vec<u8> {
    payload(sent.next().wrapping_add(already), len)
}

fn a_batch_becomes_visible_at_once(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    for round in 0..40 {
        let lens = [round, 3 * round, 0, 100, 7];
        let mut batch = producer.batch();
        for (already, len) in lens.into_iter().enumerate() {
            assert_eq!(batch.records(), already as u64);
            let bytes = staged(&sent, already as u64, len);
            assert_eq!(batch.try_send(&bytes), Ok(sent.next().wrapping_add(already as u64)));
            assert!(consumer.try_recv().unwrap().is_none(), "seen before it was published");
            assert!(observer.try_recv().unwrap().is_none(), "seen before it was published");
        }
        let last = batch.publish();
        sent.lens.extend(lens);
        assert_eq!(last, Some(sent.next().wrapping_sub(1)));
        assert_eq!(producer.next_sequence(), sent.next());
        oracle.take(&sent, &mut consumer, lens.len());
        assert!(consumer.try_recv().unwrap().is_none());
        while observer.try_recv().unwrap().is_some() {}
    }
    oracle.is_done(&sent, setup.first);
    assert_eq!(observer.next_sequence(), sent.next());
}

fn many_at_once_are_as_many_one_by_one(setup: Setup) {
    let ring = setup.ring();
    let (mut sent, mut oracle, mut observed) = (setup.sent(), setup.oracle(), setup.oracle());
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    for round in 0..60 {
        // Of one length and of many, of every way to copy, across segments and the end of the ring.
        let lens: Vec<usize> =
            (0..round % 14).map(|n| if round % 3 == 0 { round } else { n * n + round % 7 }).collect();
        let first = sent.next();
        let payloads = (0..).map(|n| first.wrapping_add(n)).zip(&lens).map(|(at, len)| payload(at, *len));
        let mut batch = producer.batch();
        assert_eq!(batch.send_all(payloads), Ok(lens.len() as u64));
        assert_eq!(batch.send_all::<&[u8]>([]), Ok(0));
        assert_eq!(batch.records(), lens.len() as u64);
        assert!(consumer.try_recv().unwrap().is_none(), "seen before it was published");
        assert_eq!(batch.publish().is_some(), !lens.is_empty());
        sent.lens.extend(lens);
        assert_eq!(producer.next_sequence(), sent.next());
        oracle.take(&sent, &mut consumer, round % 14);
        assert!(consumer.try_recv().unwrap().is_none());
        observed.keep_up(&sent, &mut observer);
    }
    oracle.is_done(&sent, setup.first);
    observed.is_done(&sent, setup.first);
}

fn many_at_once_stop_where_one_would(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut consumer = ring.consumer(&Attach::gated());
    let first = sent.next();
    let payloads = |len| (0..).map(move |n| payload(first.wrapping_add(n), len));
    let mut batch = producer.batch();
    assert_eq!(batch.send_all(payloads(56)), Err(SendError::BatchFull));
    assert_eq!(batch.records(), 32, "half of 4 KiB");
    let too_large = SendError::TooLarge { len: 3000, max: 2040 };
    assert_eq!(batch.send_all(payloads(3000)), Err(too_large));
    assert_eq!(batch.records(), 32);
    assert_eq!(batch.publish(), Some(first.wrapping_add(31)));
    sent.lens.extend([56; 32]);
    // A gate holds three quarters: no more comes in than fits, and nothing waits.
    oracle.keep_up(&sent, &mut consumer);
    sent.send_many(&mut producer, [56; 48]);
    let next = sent.next();
    let payloads = (0..).map(|n| payload(next.wrapping_add(n), 120));
    let mut batch = producer.batch();
    assert_eq!(batch.try_send_all(payloads), Err(SendError::Full { slot: 0 }));
    assert_eq!(batch.records(), 8, "a quarter of 4 KiB");
    assert_eq!(batch.publish(), Some(next.wrapping_add(7)));
    sent.lens.extend([120; 8]);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn a_panic_among_many_leaves_what_was_added(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut consumer = ring.consumer(&Attach::gated());
    for round in 1..30 {
        let first = sent.next();
        let mut batch = producer.batch();
        let payloads = (0..9)
            .map(|n| if n < round % 9 { payload(first.wrapping_add(n), 40) } else { panic!("no more") });
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batch.send_all(payloads)));
        assert!(end.is_err());
        // Some of what came before the panic may be gone with it: what is there is whole and in order.
        let added = batch.records();
        assert!(added <= round % 9, "{added} were added");
        let next = payload(first.wrapping_add(added), 7);
        assert_eq!(batch.try_send(&next), Ok(first.wrapping_add(added)));
        batch.publish();
        sent.lens.extend((0..added).map(|_| 40).chain([7]));
        oracle.keep_up(&sent, &mut consumer);
    }
    oracle.is_done(&sent, setup.first);
}

fn a_dropped_batch_leaves_no_trace(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for round in 0..100 {
        let mut batch = producer.batch();
        for len in [5, 200, 0, 300, 41] {
            batch.try_send(&vec![0xbb; len]).unwrap();
        }
        drop(batch);
        assert_eq!(producer.next_sequence(), sent.next());
        assert!(consumer.try_recv().unwrap().is_none());
        sent.send(&mut producer, round);
        oracle.take(&sent, &mut consumer, 1);
        assert!(consumer.try_recv().unwrap().is_none());
    }
    // The index must not know of anything that was dropped.
    let mut observer = ring.observer(Start::Oldest);
    let mut oldest = crate::common::Oracle::new(observer.next_sequence());
    oldest.catch_up(&sent, &mut observer);
    assert_eq!((oldest.next, oldest.lost()), (sent.next(), 0));
}

fn an_empty_batch_publishes_nothing(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    assert_eq!(producer.batch().publish(), None);
    drop(producer.batch());
    let mut batch = producer.batch();
    drop(batch.claim(100).unwrap());
    assert_eq!((batch.records(), batch.publish()), (0, None));
    assert_eq!(producer.next_sequence(), setup.first);
    assert!(consumer.try_recv().unwrap().is_none());
}

fn sends_and_claims_mix(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for round in 0..60 {
        let lens = [round, 90 + round, 2 * round];
        let mut batch = producer.batch();
        batch.send(&staged(&sent, 0, lens[0])).unwrap();
        // A claim that is dropped leaves itself out, and nothing else.
        let mut dropped = batch.claim(500).unwrap();
        dropped.write_at(0, &[0xcc; 500]).unwrap();
        drop(dropped);
        let mut claim = batch.try_claim(lens[1]).unwrap();
        assert_eq!((claim.len(), claim.is_empty()), (lens[1], false));
        claim.write_at(0, &staged(&sent, 1, lens[1])).unwrap();
        assert!(claim.write_at(lens[1], &[1]).is_err());
        assert_eq!(claim.add(), sent.next().wrapping_add(1));
        assert_eq!(batch.records(), 2);
        batch.send_deadline(&staged(&sent, 2, lens[2]), soon()).unwrap();
        assert!(consumer.try_recv().unwrap().is_none());
        assert_eq!(batch.publish(), Some(sent.next().wrapping_add(2)));
        sent.lens.extend(lens);
        oracle.take(&sent, &mut consumer, 3);
    }
    oracle.is_done(&sent, setup.first);
}

fn batches_and_single_sends_mix(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    for round in 0..200 {
        // The inline copy of the single one must not stand in for the last of the batch, which is as long.
        sent.send(&mut producer, 24);
        if round % 2 == 0 {
            oracle.take(&sent, &mut consumer, 1);
        }
        let mut batch = producer.batch();
        batch.try_send(&staged(&sent, 0, 24)).unwrap();
        if round % 3 == 0 {
            batch.try_send(&staged(&sent, 1, 24)).unwrap();
        }
        sent.lens.extend(vec![24; batch.records() as usize]);
        batch.publish();
        oracle.catch_up(&sent, &mut consumer);
    }
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.lost(), 0);
}

fn a_batch_crosses_the_end_of_the_ring(setup: Setup) {
    for before_end in (8..=1024).step_by(8) {
        let end = setup.position & !4095;
        let options = setup.options().origin(end.wrapping_sub(before_end), setup.first);
        let ring = crate::common::Backing::Heap.ring(&options);
        let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::gated());
        let lens = [0, 300, 120, 333];
        for publish in [false, true] {
            let mut batch = producer.batch();
            for (already, len) in lens.into_iter().enumerate() {
                batch.try_send(&staged(&sent, already as u64, len)).unwrap();
            }
            assert!(consumer.try_recv().unwrap().is_none());
            if publish {
                assert_eq!(batch.publish(), Some(sent.next().wrapping_add(3)));
                sent.lens.extend(lens);
            }
        }
        oracle.take(&sent, &mut consumer, 4);
        sent.send(&mut producer, 50);
        oracle.take(&sent, &mut consumer, 1);
        assert!(consumer.try_recv().unwrap().is_none());
        let mut late = setup.oracle();
        late.catch_up(&sent, &mut ring.observer(Start::Oldest));
        late.is_done(&sent, setup.first);
    }
}

/// Fills a batch with records of `len` bytes; returns how many.
fn fill(batch: &mut quoit::Batch<'_>, sent: &Sent, len: usize) -> u64 {
    loop {
        match batch.try_send(&staged(sent, batch.records(), len)) {
            Ok(_) => assert!(batch.records() < 4096, "the batch never fills"),
            Err(SendError::BatchFull) => return batch.records(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn a_batch_is_full_at_half_the_ring(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for round in 0..30 {
        let mut batch = producer.batch();
        let records = fill(&mut batch, &sent, 56);
        assert_eq!(records, 2048 / 64, "round {round}");
        // However patient: nobody but this batch is in the way.
        assert_eq!(batch.send(&[1; 56]), Err(SendError::BatchFull));
        assert_eq!(batch.send_deadline(&[1; 56], soon()), Err(SendError::BatchFull));
        assert_eq!(batch.claim(56).err(), Some(SendError::BatchFull));
        assert_eq!(batch.records(), records);
        assert!(consumer.try_recv().unwrap().is_none());
        sent.lens.extend(vec![56; records as usize]);
        assert_eq!(batch.publish(), Some(sent.next().wrapping_sub(1)));
        oracle.take(&sent, &mut consumer, records as usize);
        consumer.release();
    }
    let mut batch = producer.batch();
    batch.try_send(&staged(&sent, 0, 2040)).unwrap();
    assert_eq!(batch.try_send(&[]), Err(SendError::BatchFull));
    batch.publish();
    sent.lens.push(2040);
    oracle.catch_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn padding_counts_towards_a_full_batch(setup: Setup) {
    let end = setup.position & !4095;
    let options = setup.options().origin(end.wrapping_sub(1024), setup.first);
    let ring = setup.backing.ring(&options);
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut batch = producer.batch();
    batch.try_send(&staged(&sent, 0, 56)).unwrap();
    // 1024 up to the end of the ring and 1040 behind it are more than half.
    assert_eq!(batch.try_send(&[1; 1032]), Err(SendError::BatchFull));
    assert_eq!(batch.records(), 1);
    // 1024 and 1024 are half, padding included.
    assert_eq!(batch.try_send(&staged(&sent, 1, 1016)), Ok(sent.next().wrapping_add(1)));
    assert_eq!(batch.try_send(&[]), Err(SendError::BatchFull));
    batch.publish();
    sent.lens.extend([56, 1016]);
    oracle.keep_up(&sent, &mut consumer);
    // The first record of a batch brings its padding out alone, so any record fits an empty batch.
    sent.send_many(&mut producer, [2040, 0]);
    oracle.keep_up(&sent, &mut consumer);
    let mut batch = producer.batch();
    batch.try_send(&staged(&sent, 0, 2040)).unwrap();
    batch.publish();
    sent.lens.push(2040);
    oracle.catch_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn a_record_too_large_leaves_the_batch_as_it_is(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut batch = producer.batch();
    batch.try_send(&staged(&sent, 0, 10)).unwrap();
    let refused = SendError::TooLarge { len: 2041, max: 2040 };
    assert_eq!(batch.try_send(&[0; 2041]), Err(refused));
    assert_eq!(batch.claim(2041).err(), Some(refused));
    batch.try_send(&staged(&sent, 1, 11)).unwrap();
    assert_eq!(batch.publish(), Some(sent.next().wrapping_add(1)));
    sent.lens.extend([10, 11]);
    oracle.take(&sent, &mut consumer, 2);
}

fn a_batch_held_up_by_a_gate_keeps_what_it_has(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    // 56 of 64 places taken: eight are left, and a batch could have 32.
    sent.send_many(&mut producer, [56; 56]);
    let mut batch = producer.batch();
    for already in 0..8 {
        batch.try_send(&staged(&sent, already, 56)).unwrap();
    }
    assert_eq!(batch.try_send(&[1; 56]), Err(SendError::Full { slot: 0 }));
    assert_eq!(batch.try_claim(0).err(), Some(SendError::Full { slot: 0 }));
    assert_eq!(batch.send_deadline(&[1; 56], Instant::now()), Err(SendError::TimedOut { slot: 0 }));
    assert_eq!(batch.records(), 8);
    oracle.take(&sent, &mut consumer, 1);
    consumer.release();
    batch.try_send(&staged(&sent, 8, 56)).unwrap();
    assert_eq!(batch.try_send(&[1; 56]), Err(SendError::Full { slot: 0 }));
    assert_eq!(batch.publish(), Some(sent.next().wrapping_add(8)));
    sent.lens.extend([56; 9]);
    oracle.catch_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn a_batch_waits_for_a_gate(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    let staged = staged(&sent, 0, 56);
    sent.lens.push(56);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let mut batch = producer.batch();
            batch.send(&staged).unwrap();
            batch.publish().unwrap()
        });
        oracle.take(&sent, &mut consumer, 64);
        consumer.release();
        assert_eq!(waiting.join().unwrap(), sent.next().wrapping_sub(1));
        oracle.keep_up(&sent, &mut consumer);
    });
    oracle.is_done(&sent, setup.first);
}

/// The padding before its first record went out alone. What comes after the batch is behind that.
fn a_dropped_batch_takes_no_padding_back(setup: Setup) {
    for before_end in [8_u64, 16, 64, 1016, 2040] {
        let origin = (setup.position & !4095).wrapping_sub(before_end);
        let ring = setup.backing.ring(&setup.options().origin(origin, setup.first));
        let (mut sent, mut oracle, mut late) = (setup.sent(), setup.oracle(), setup.oracle());
        let mut producer = ring.producer();
        let mut early_consumer = ring.consumer(&Attach::gated());
        let mut batch = producer.batch();
        drop(batch.try_claim(2040).unwrap());
        drop(batch);
        let published = ring.snapshot().published;
        assert!(published == origin || published == origin.wrapping_add(before_end));
        let mut late_consumer = ring.consumer(&Attach::gated());
        for _ in 0..3 {
            sent.fill(&mut producer, 24);
            assert!(ring.snapshot().published.wrapping_sub(published) >= 2048);
            oracle.keep_up(&sent, &mut early_consumer);
            late.keep_up(&sent, &mut late_consumer);
        }
        oracle.is_done(&sent, setup.first);
        late.is_done(&sent, setup.first);
        assert_eq!(oracle.lost() + late.lost(), 0);
    }
}
