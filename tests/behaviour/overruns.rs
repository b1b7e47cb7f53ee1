//! Being lapped: what was lost is told exactly, and reading goes on.

use quoit::{Attach, LossAccount, LossCause, Start};

use crate::common::{Oracle, Reader, payload};
use crate::{Scene, Setup};

crate::behaviours! {
    a_lap_is_told_exactly,
    one_lap_behind_is_not_yet_lapped,
    one_word_more_than_a_lap_is_lapped,
    reading_goes_on_with_a_margin,
    large_records_do_not_starve_a_slow_reader,
    an_observer_is_told_as_well,
    losses_of_many_laps_add_up,
    the_account_stands_in_the_slot,
    the_account_outlives_the_consumer,
    a_loss_is_released_by_the_receive_after_it,
    a_reader_in_the_middle_of_a_segment_is_lapped,
    a_stream_of_empty_records_is_counted,
    nothing_is_lost_without_a_lap,
    what_was_copied_comes_ahead_of_the_loss,
}

fn a_lap_is_told_exactly(setup: Setup) {
    for laps in [1, 2, 3, 17] {
        let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
        let mut consumer = ring.consumer(&Attach::lossy());
        let mut bytes = 0;
        for len in (0..).map(|n| n * 97 % 301) {
            if bytes > 4096 * laps + 700 {
                break;
            }
            sent.send(&mut producer, len);
            bytes += len + 8;
        }
        assert!(consumer.step(|event| oracle.feed(&sent, event)));
        assert_eq!(oracle.losses.len(), 1, "the loss comes first");
        let loss = oracle.losses[0];
        assert_eq!((loss.first, loss.cause), (setup.first, LossCause::Overrun));
        let kept = sent.bytes(loss.next, sent.next());
        assert!(kept > 4096 / 4, "only {kept} bytes were kept");
        oracle.keep_up(&sent, &mut consumer);
        oracle.is_done(&sent, setup.first);
        assert_eq!(oracle.losses.len(), 1, "one lap, one loss");
    }
}

/// Up to 1 KiB of short records is copied at a time; those are whole however often they are overwritten since.
fn what_was_copied_comes_ahead_of_the_loss(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    sent.send_many(&mut producer, vec![56; 20]);
    assert!(consumer.step(|event| oracle.feed(&sent, event)));
    // Two laps over them, and what is sent now was never copied.
    sent.send_many(&mut producer, vec![56; 128]);
    while oracle.losses.is_empty() {
        assert!(consumer.step(|event| oracle.feed(&sent, event)));
    }
    let before = oracle.losses[0].first.wrapping_sub(setup.first);
    assert!((2..=16).contains(&before), "{before} records came ahead of the loss");
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.losses.len(), 1, "one absence, one loss");
}

fn one_lap_behind_is_not_yet_lapped(setup: Setup) {
    // 64 records of 64 bytes are the ring, from whatever record on.
    for ahead in [0, 1, 13, 63] {
        for over in [0, 1] {
            let ring = setup.ring();
            let mut sent = setup.sent();
            let (mut oracle, mut observed) = (setup.oracle(), setup.oracle());
            let mut producer = ring.producer();
            let mut consumer = ring.consumer(&Attach::lossy());
            let mut observer = ring.observer(Start::Newest);
            sent.send_many(&mut producer, vec![56; ahead]);
            oracle.keep_up(&sent, &mut consumer);
            observed.keep_up(&sent, &mut observer);
            sent.send_many(&mut producer, vec![56; 64 + over]);
            oracle.keep_up(&sent, &mut consumer);
            observed.keep_up(&sent, &mut observer);
            for oracle in [oracle, observed] {
                oracle.is_done(&sent, setup.first);
                assert_eq!(oracle.lost() > 0, over > 0, "{ahead} ahead, {over} over");
            }
        }
    }
}

fn one_word_more_than_a_lap_is_lapped(setup: Setup) {
    // Empty records, so that the reader stands at each word of a segment in turn.
    for ahead in 0..17 {
        let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
        let mut consumer = ring.consumer(&Attach::lossy());
        sent.send_many(&mut producer, vec![0; ahead]);
        oracle.keep_up(&sent, &mut consumer);
        sent.send_many(&mut producer, [0; 513]);
        oracle.keep_up(&sent, &mut consumer);
        oracle.is_done(&sent, setup.first);
        assert_eq!(oracle.losses.len(), 1, "{ahead} ahead");
    }
}

fn reading_goes_on_with_a_margin(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    for _ in 0..50 {
        sent.send_many(&mut producer, [40; 100]);
        let losses = oracle.losses.len();
        oracle.take(&sent, &mut consumer, 1);
        assert_eq!(oracle.losses.len(), losses + 1);
        // Nearly an eighth of the ring later the place is still intact.
        sent.send_many(&mut producer, [40; 9]);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.losses.len(), losses + 1, "lapped again at once");
    }
    oracle.is_done(&sent, setup.first);
    assert!(oracle.received > oracle.lost() / 4, "received {} of {}", oracle.received, sent.lens.len());
}

fn large_records_do_not_starve_a_slow_reader(setup: Setup) {
    // Sixteen records of 64 KiB in the ring; the reader is slower than the producer by a factor.
    for factor in [1, 2, 4, 8] {
        let ring = setup.backing.ring(&setup.options_of(1 << 20));
        let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::lossy());
        // Contents made once: this is about places, and bytes take time.
        let bytes = vec![factor as u8; 65528];
        let (mut events, mut received) = (0, 0);
        for _ in 0..15 {
            producer.try_send(&bytes).unwrap();
            sent.lens.push(bytes.len());
        }
        while events < 160 {
            for _ in 0..factor {
                producer.try_send(&bytes).unwrap();
                sent.lens.push(bytes.len());
            }
            let event = consumer.try_recv().unwrap().expect("the reader is behind");
            if let quoit::Event::Record(record) = event {
                assert_eq!(record.sequence(), oracle.next);
                assert!(*record.bytes() == bytes);
                oracle.next = oracle.next.wrapping_add(1);
                received += 1;
            } else {
                oracle.feed(&sent, event);
            }
            events += 1;
        }
        assert_eq!(oracle.lost() + received, oracle.next.wrapping_sub(setup.first));
        assert!(received >= events / 4, "{received} records in {events} events at 1:{factor}");
    }
}

fn an_observer_is_told_as_well(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut observer = ring.observer(Start::Oldest);
    for round in 0..30 {
        sent.send_many(&mut producer, (0..80).map(|n| n * round % 200));
        oracle.keep_up(&sent, &mut observer);
    }
    oracle.is_done(&sent, setup.first);
    assert!(oracle.lost() > 0 && oracle.received > 0);
    assert_eq!(oracle.lost_by(LossCause::Overrun), oracle.lost());
    assert!(ring.snapshot().consumers.is_empty(), "an observer takes no slot");
}

fn losses_of_many_laps_add_up(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    for round in 0..300_usize {
        let records = round * 31 % 97;
        sent.send_many(&mut producer, (0..records).map(|n| (n * 13 + round) % 250));
        for _ in 0..round % 23 {
            if !consumer.step(|event| oracle.feed(&sent, event)) {
                break;
            }
        }
    }
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert!(oracle.losses.len() > 20);
    assert_eq!(consumer.account(), account_of(&oracle));
}

/// The account that a consumer must have, all of whose losses are overruns.
fn account_of(oracle: &Oracle) -> LossAccount {
    let losses = &oracle.losses;
    let mut account = LossAccount::default();
    account.records = oracle.lost();
    account.bytes = oracle.lost_bytes();
    account.gaps = losses.len() as u64;
    account.largest_gap = losses.iter().map(|loss| loss.records).max().unwrap_or(0);
    account.first = losses.first().map_or(0, |loss| loss.first);
    account.last = losses.last().map_or(0, |loss| loss.next.wrapping_sub(1));
    account.overrun = oracle.lost_by(LossCause::Overrun);
    account.evicted = oracle.lost_by(LossCause::Evicted);
    account.away = oracle.lost_by(LossCause::Away);
    account
}

fn the_account_stands_in_the_slot(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    let inspector = ring.inspector();
    assert_eq!(inspector.snapshot().unwrap().consumers[0].lost, LossAccount::default());
    for round in 0..20 {
        sent.send_many(&mut producer, (0..round * 30).map(|n| n % 150));
        let behind = inspector.snapshot().unwrap().consumers[0].lag_records;
        assert_eq!(behind, sent.next().wrapping_sub(oracle.next));
        oracle.keep_up(&sent, &mut consumer);
        let info = &inspector.snapshot().unwrap().consumers[0];
        assert_eq!(info.lost, account_of(&oracle));
        assert_eq!(info.lost, consumer.account());
        assert_eq!((info.lag_records, info.next_sequence), (0, sent.next()));
    }
    assert!(oracle.losses.len() > 5);
}

fn the_account_outlives_the_consumer(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    for _ in 0..5 {
        let mut consumer = ring.consumer(&Attach::lossy().name("logger"));
        assert_eq!(consumer.account(), account_of(&oracle), "what it lost before is not forgotten");
        sent.send_many(&mut producer, [100; 200]);
        // The loss is told, and booked by leaving.
        assert!(consumer.step(|event| oracle.feed(&sent, event)));
        oracle.take(&sent, &mut consumer, 5);
        consumer.release();
        drop(consumer);
        let info = ring.named("logger").expect("kept under its name");
        assert_eq!(info.lost, account_of(&oracle));
        assert_eq!(info.next_sequence, oracle.next);
        assert!(!info.alive);
    }
    assert_eq!(oracle.losses.len(), 5);
}

/// Without a call of `release`: what was received before the last receive is released, a loss as well.
fn a_loss_is_released_by_the_receive_after_it(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy().name("logger"));
    sent.send_many(&mut producer, [100; 200]);
    assert!(consumer.step(|event| oracle.feed(&sent, event)));
    assert_eq!(oracle.losses.len(), 1);
    oracle.take(&sent, &mut consumer, 3);
    drop(consumer);
    let info = ring.named("logger").expect("kept under its name");
    assert_eq!(info.lost, account_of(&oracle));
    assert_eq!(info.next_sequence, oracle.next.wrapping_sub(1), "the last record was lent, not released");
}

fn a_reader_in_the_middle_of_a_segment_is_lapped(setup: Setup) {
    // Records of one to five segments, so that many segments have no boundary of their own in a lap.
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    for round in 0..400 {
        sent.send_many(&mut producer, (0..40).map(|n| (n * 37 + round * 11) % 320));
        for _ in 0..round % 7 {
            oracle.take(&sent, &mut consumer, 1);
        }
    }
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn a_stream_of_empty_records_is_counted(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::lossy());
    for _ in 0..10 {
        sent.send_many(&mut producer, [0; 512]);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.lost(), 0, "512 headers are the ring");
    }
    sent.send_many(&mut producer, [0; 3000]);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!((oracle.losses.len(), oracle.lost_bytes()), (1, 0));
}

fn nothing_is_lost_without_a_lap(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let (mut oracle, mut observed) = (setup.oracle(), setup.oracle());
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::lossy());
    let mut observer = ring.observer(Start::Newest);
    for round in 0..200 {
        // Up to half a ring at a time: with padding, and rounded up to segments, that is less than one lap.
        let mut left = 1900;
        let mut len = round;
        while left > len + 16 {
            assert_eq!(producer.try_send(&payload(sent.next(), len)), Ok(sent.next()));
            sent.lens.push(len);
            left -= len + 16;
            len = (len * 7 + 13) % 400;
        }
        oracle.keep_up(&sent, &mut consumer);
        observed.keep_up(&sent, &mut observer);
    }
    assert_eq!((oracle.lost(), observed.lost()), (0, 0));
    assert_eq!(consumer.account(), LossAccount::default());
}
