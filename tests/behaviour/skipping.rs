//! Skipping to the newest record: what is skipped is counted, told apart from what is lost, and released.

use quoit::{Attach, Event, Loss, LossCause, Receive, Skipped, Start, Status};

use crate::common::{Oracle, Sent, payload};
use crate::{Scene, Setup};

crate::behaviours! {
    the_newest_comes_next,
    nothing_new_is_nothing_skipped,
    the_way_leads_over_many_segments,
    the_newest_may_end_where_a_segment_begins,
    padding_is_no_record,
    what_was_overwritten_is_lost,
    what_was_copied_in_time_is_skipped,
    only_padding_was_overwritten,
    a_skip_makes_room,
    a_kept_record_stays_until_the_release,
    the_account_keeps_both_apart,
    an_eviction_comes_first,
    another_producer_is_told_after_it,
    a_loss_of_a_name_comes_first,
    the_end_comes_after_the_newest,
    the_latest_of_what_piled_up,
}

fn skipped(sent: &Sent, from: u64, to: u64) -> (u64, u64) {
    (to.wrapping_sub(from), sent.bytes(from, to))
}

fn both(skipped: Skipped) -> (u64, u64) {
    (skipped.records, skipped.bytes)
}

fn none(event: Event<'_>) {
    panic!("{event} comes first");
}

fn the_newest_comes_next(setup: Setup) {
    for records in [1, 2, 3, 17, 40] {
        let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
        let mut readers =
            (ring.consumer(&Attach::gated()), ring.consumer(&Attach::lossy()), ring.observer(Start::Newest));
        sent.send_many(&mut producer, (0..records).map(|n| n * 13 % 61));
        let newest = sent.next().wrapping_sub(1);
        let expected = skipped(&sent, setup.first, newest);
        macro_rules! check {
            ($reader:expr) => {
                assert_eq!(both($reader.skip_to_newest(none).unwrap()), expected);
                // Once more skips nothing.
                assert_eq!(both($reader.skip_to_newest(none).unwrap()), (0, 0));
                assert_eq!(both($reader.skipped()), expected);
                let mut oracle = Oracle::new(newest);
                oracle.keep_up(&sent, &mut $reader);
                assert_eq!(oracle.received, 1);
            };
        }
        check!(readers.0);
        check!(readers.1);
        check!(readers.2);
    }
}

fn nothing_new_is_nothing_skipped(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let readers: [Box<dyn Receive>; 3] = [
        Box::new(ring.consumer(&Attach::gated())),
        Box::new(ring.consumer(&Attach::lossy())),
        Box::new(ring.observer(Start::Newest)),
    ];
    for mut reader in readers {
        assert_eq!(reader.skip_to_newest(&mut none).unwrap(), Skipped::default());
        assert!(reader.latest(&mut none).unwrap().is_none());
        assert_eq!(reader.skipped(), Skipped::default());
    }
    let mut consumer = ring.consumer(&Attach::gated());
    sent.send(&mut producer, 5);
    assert_eq!(consumer.latest(none).unwrap().unwrap().to_vec(), payload(setup.first, 5));
    assert!(consumer.latest(none).unwrap().is_none(), "it was received");
    assert_eq!(consumer.skipped(), Skipped::default());
}

/// Further than the reader walks by itself, the index leads to the newest record.
fn the_way_leads_over_many_segments(setup: Setup) {
    for len in [0, 8, 56, 100, 1500] {
        let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
        let mut consumer = ring.consumer(&Attach::gated());
        sent.fill(&mut producer, len);
        let newest = sent.next().wrapping_sub(1);
        assert_eq!(both(consumer.skip_to_newest(none).unwrap()), skipped(&sent, setup.first, newest));
        let mut oracle = Oracle::new(newest);
        oracle.keep_up(&sent, &mut consumer);
    }
}

/// Segments have 64 bytes, so the newest entry of the index is the end of the stream now and then.
fn the_newest_may_end_where_a_segment_begins(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut oracle = Oracle::new(setup.first);
    for round in 0..40 {
        sent.send_many(&mut producer, [56, 56, 120 + 8 * (round % 9)]);
        let newest = sent.next().wrapping_sub(1);
        assert_eq!(both(consumer.skip_to_newest(none).unwrap()), skipped(&sent, oracle.next, newest));
        oracle.next = newest;
        oracle.keep_up(&sent, &mut consumer);
    }
}

fn padding_is_no_record(setup: Setup) {
    for before in 0..60 {
        let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
        let mut consumer = ring.consumer(&Attach::gated());
        // The end of the ring comes somewhere here; a claim that does not fit before it publishes padding.
        sent.send_many(&mut producer, vec![8; before]);
        drop(producer.try_claim(2000).unwrap());
        let newest = setup.first.wrapping_add((before as u64).saturating_sub(1));
        assert_eq!(both(consumer.skip_to_newest(none).unwrap()), skipped(&sent, setup.first, newest));
        let mut oracle = Oracle::new(newest);
        oracle.keep_up(&sent, &mut consumer);
        sent.send(&mut producer, 2000);
        assert_eq!(consumer.latest(none).unwrap().unwrap().to_vec(), sent.payload(oracle.next));
        assert_eq!(consumer.skipped().records, (before as u64).saturating_sub(1));
    }
}

/// Collects losses, and fails for any other event.
fn losses(losses: &mut Vec<Loss>) -> impl FnMut(Event<'_>) {
    |event| match event {
        Event::Lost(loss) => losses.push(loss),
        event => panic!("{event} comes first"),
    }
}

fn what_was_overwritten_is_lost(setup: Setup) {
    for laps in [1, 2, 5] {
        let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
        let mut readers = (ring.consumer(&Attach::lossy()), ring.observer(Start::Newest));
        sent.send_many(&mut producer, (0..64 * laps + 30).map(|n| 40 + n % 17));
        let newest = sent.next().wrapping_sub(1);
        let check = |told: Vec<Loss>, skip: Skipped| {
            let [loss] = told[..] else { panic!("one absence, one loss: {told:?}") };
            assert_eq!((loss.first, loss.cause), (setup.first, LossCause::Overrun));
            assert_eq!((loss.records, loss.bytes), skipped(&sent, setup.first, loss.next));
            assert_eq!(both(skip), skipped(&sent, loss.next, newest));
            assert!(skip.records > 8, "the rest was still there: {skip:?}");
        };
        let mut told = Vec::new();
        let skip = readers.0.skip_to_newest(losses(&mut told)).unwrap();
        check(told, skip);
        let mut told = Vec::new();
        let skip = readers.1.skip_to_newest(losses(&mut told)).unwrap();
        check(told, skip);
        Oracle::new(newest).keep_up(&sent, &mut readers.0);
        Oracle::new(newest).keep_up(&sent, &mut readers.1);
        let account = readers.0.account();
        assert_eq!(account.records + account.skipped.records + 1, sent.lens.len() as u64);
    }
}

fn what_was_copied_in_time_is_skipped(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    sent.send_many(&mut producer, vec![56; 20]);
    oracle.take(&sent, &mut consumer, 1);
    // Two laps over them, and what is sent now was never copied.
    sent.send_many(&mut producer, vec![56; 128]);
    let mut told = Vec::new();
    let skip = consumer.skip_to_newest(losses(&mut told)).unwrap();
    let newest = sent.next().wrapping_sub(1);
    let copied = told[0].first.wrapping_sub(setup.first);
    assert!((2..=16).contains(&copied), "{copied} records were copied");
    assert_eq!(told.len(), 1);
    assert_eq!(skip.records, (copied - 1) + newest.wrapping_sub(told[0].next));
    assert_eq!(skip.bytes, 56 * skip.records);
}

/// Padding is all that stands at the reader's place, and it is overwritten: there is no loss to tell.
fn only_padding_was_overwritten(setup: Setup) {
    let mut seen = 0;
    for over in 0..30 {
        let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
        let mut consumer = ring.consumer(&Attach::lossy());
        sent.send_many(&mut producer, vec![56; 10]);
        oracle.keep_up(&sent, &mut consumer);
        // Padding up to the end of the ring, unless it is too far.
        while ring.snapshot().published.wrapping_sub(setup.position) < 4096 - 512 {
            sent.send(&mut producer, 56);
            oracle.keep_up(&sent, &mut consumer);
        }
        sent.send(&mut producer, 1900);
        sent.send_many(&mut producer, vec![56; over]);
        let mut told = Vec::new();
        let skip = consumer.skip_to_newest(losses(&mut told)).unwrap();
        let lost: u64 = told.iter().map(|loss| loss.records).sum();
        let newest = sent.next().wrapping_sub(1);
        assert_eq!(skip.records + lost, newest.wrapping_sub(oracle.next));
        seen += usize::from(told.is_empty());
        Oracle::new(newest).keep_up(&sent, &mut consumer);
    }
    assert!(seen > 0, "always lost");
}

fn a_skip_makes_room(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let filled = sent.fill(&mut producer, 56);
    assert_eq!(consumer.skip_to_newest(none).unwrap().records, filled as u64 - 1);
    // All but the newest has room again, before anything is received.
    assert_eq!(sent.fill(&mut producer, 56), filled - 1);
    let mut oracle = Oracle::new(setup.first.wrapping_add(filled as u64 - 1));
    oracle.keep_up(&sent, &mut consumer);
}

fn a_kept_record_stays_until_the_release(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    consumer.keep(true);
    let filled = sent.fill(&mut producer, 56);
    oracle.take(&sent, &mut consumer, 1);
    assert_eq!(consumer.skip_to_newest(none).unwrap().records, filled as u64 - 2);
    assert_eq!(sent.fill(&mut producer, 56), 0, "the first record is kept");
    assert_eq!(ring.snapshot().consumers[0].lost.skipped, Skipped::default(), "not released yet");
    consumer.release();
    assert_eq!(ring.snapshot().consumers[0].lost.skipped.records, filled as u64 - 2);
    assert_eq!(sent.fill(&mut producer, 56), filled - 1);
}

fn the_account_keeps_both_apart(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let attach = Attach::lossy().name("both");
    let mut consumer = ring.consumer(&attach);
    sent.send_many(&mut producer, vec![56; 100]);
    let mut told = Vec::new();
    consumer.skip_to_newest(losses(&mut told)).unwrap();
    let account = consumer.account();
    assert_eq!((account.records, account.gaps), (told[0].records, 1));
    assert_eq!(both(account.skipped), (99 - account.records, 56 * (99 - account.records)));
    consumer.release();
    assert_eq!(ring.named("both").unwrap().lost, account, "it stands in the slot");
    drop(consumer);
    assert_eq!(ring.named("both").unwrap().lost, account, "and outlives the consumer");
    let mut consumer = ring.consumer(&attach);
    assert_eq!(consumer.account(), account);
    assert_eq!(consumer.skipped(), Skipped::default(), "of this handle");
    sent.send_many(&mut producer, vec![56; 3]);
    assert_eq!(consumer.skip_to_newest(none).unwrap().records, 3);
    assert_eq!(consumer.account().skipped.records, account.skipped.records + 3);
    assert_eq!(consumer.account().records, account.records);
}

fn an_eviction_comes_first(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated().evictable());
    sent.fill(&mut producer, 56);
    producer.evict(consumer.slot()).unwrap();
    sent.send_many(&mut producer, vec![56; 100]);
    let mut told = Vec::new();
    let skip = consumer
        .skip_to_newest(|event| match event {
            Event::Evicted => told.push(None),
            Event::Lost(loss) => told.push(Some(loss)),
            event => panic!("{event}"),
        })
        .unwrap();
    let [None, Some(loss)] = told[..] else { panic!("{told:?}") };
    assert_eq!((loss.first, loss.cause), (setup.first, LossCause::Evicted));
    assert_eq!(skip.records, sent.next().wrapping_sub(1).wrapping_sub(loss.next));
}

fn another_producer_is_told_after_it(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    sent.send_many(&mut producer, [8; 5]);
    drop(producer);
    let mut producer = ring.producer();
    sent.send_many(&mut producer, [8; 5]);
    assert_eq!(consumer.skip_to_newest(none).unwrap().records, 9);
    let mut oracle = Oracle::new(sent.next().wrapping_sub(1));
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(oracle.changes, [(sent.next().wrapping_sub(1), 2)]);
    // `latest` passes it on.
    drop(producer);
    let mut producer = ring.producer();
    sent.send_many(&mut producer, [8; 2]);
    let mut epochs = Vec::new();
    let latest = consumer.latest(|event| match event {
        Event::ProducerChanged { epoch } => epochs.push(epoch),
        event => panic!("{event}"),
    });
    assert_eq!(latest.unwrap().unwrap().sequence(), sent.next().wrapping_sub(1));
    assert_eq!(epochs, [3]);
}

fn a_loss_of_a_name_comes_first(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let attach = Attach::gated().name("away");
    drop(ring.consumer(&attach));
    sent.send_many(&mut producer, vec![56; 150]);
    let mut consumer = ring.consumer(&attach);
    let lost = consumer.resumed().unwrap().lost.unwrap();
    let mut told = Vec::new();
    let skip = consumer.skip_to_newest(losses(&mut told)).unwrap();
    assert_eq!((told, lost.cause), (vec![lost], LossCause::Away));
    assert_eq!(skip.records, 149 - lost.records);
    // Its gate is open again: nothing more is lost.
    let filled = sent.fill(&mut producer, 56);
    assert!(filled < 64);
    let mut oracle = Oracle::new(setup.first.wrapping_add(149));
    oracle.keep_up(&sent, &mut consumer);
}

fn the_end_comes_after_the_newest(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    sent.send_many(&mut producer, [8; 5]);
    drop(producer);
    consumer.skip_to_newest(none).unwrap();
    assert_eq!(consumer.status(), Status::Streaming, "the newest is still to be received");
    assert!(consumer.latest(none).unwrap().is_some());
    assert_eq!(consumer.status(), Status::Closed);
    assert!(consumer.latest(none).unwrap().is_none());
}

fn the_latest_of_what_piled_up(setup: Setup) {
    let Scene { ring, mut sent, oracle: _, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut received = 0;
    for round in 0..50 {
        sent.send_many(&mut producer, (0..round % 7).map(|n| n * 31 % 200));
        match consumer.latest(none).unwrap() {
            Some(record) => {
                assert_eq!(record.sequence(), sent.next().wrapping_sub(1));
                assert_eq!(record.to_vec(), sent.payload(record.sequence()));
                received += 1;
            }
            None => assert_eq!(round % 7, 0, "nothing, and there is more"),
        }
    }
    assert_eq!(consumer.skipped().records + received, sent.lens.len() as u64);
    assert_eq!(consumer.account().records, 0);
}
