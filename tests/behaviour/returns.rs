//! Gates that open at a place in the past: of names that come back, and of newcomers who start there.

use quoit::{Attach, ConsumerState, Error, Event, LossAccount, LossCause, SendError, Start};

use crate::common::Oracle;
use crate::{Scene, Setup};

crate::behaviours! {
    a_lapped_name_holds_nobody_up_before_it_has_a_place,
    a_held_name_that_gives_up_its_gate,
    what_was_overwritten_before_the_gate_is_no_loss,
    nothing_that_a_gate_holds_is_left_out,
    a_gated_only_ring_lends_nothing_that_is_being_written,
    a_name_is_told_of_a_new_producer,
    what_is_shown_of_a_lag_is_right,
}

/// Records of 64 bytes in a ring of 4 KiB.
const RING: u64 = 64;

fn a_lapped_name_holds_nobody_up_before_it_has_a_place(setup: Setup) {
    for keep in [false, true] {
        for attach in [Attach::gated(), Attach::gated().hold_forever()] {
            let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
            let name = attach.clone().name("n");
            drop(ring.consumer(&Attach::gated().name("n")));
            sent.send_many(&mut producer, [56; 2 * RING as usize]);
            let mut consumer = ring.consumer(&name);
            consumer.keep(keep);
            assert!(consumer.resumed().unwrap().lost.is_some());
            assert_eq!(ring.named("n").unwrap().state, ConsumerState::Lossy, "no place, no gate");
            // As much as anybody sends.
            sent.send_many(&mut producer, [56; 3 * RING as usize]);
            oracle.take(&sent, &mut consumer, 1);
            sent.send_many(&mut producer, [56; 3 * RING as usize]);
            // What it was to go on at is gone as well by now: that is told, and then it has a place.
            oracle.take(&sent, &mut consumer, 1);
            assert_eq!(oracle.losses.len(), 2);
            oracle.take(&sent, &mut consumer, 1);
            assert_eq!((oracle.received, ring.named("n").unwrap().state), (1, ConsumerState::Gated));
            let held_from = sent.next();
            sent.fill(&mut producer, 56);
            assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 0 }), "it is gated");
            oracle.catch_up(&sent, &mut consumer);
            oracle.is_done(&sent, setup.first);
            assert!(oracle.losses.iter().all(|loss| loss.next.wrapping_sub(held_from) as i64 <= 0));
            assert_eq!(oracle.lost_by(LossCause::Away), oracle.lost());
            assert_eq!(consumer.account().away, oracle.lost());
        }
    }
}

fn a_held_name_that_gives_up_its_gate(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    drop(ring.consumer(&Attach::gated().name("n").hold_forever()));
    sent.fill(&mut producer, 56);
    let consumer = ring.consumer(&Attach::lossy().name("n"));
    sent.send_many(&mut producer, [56; RING as usize]);
    assert_eq!(ring.named("n").unwrap().state, ConsumerState::Lossy);
    drop(consumer);
}

fn what_was_overwritten_before_the_gate_is_no_loss(setup: Setup) {
    for attach in [Attach::gated(), Attach::gated_for(crate::common::PATIENCE), Attach::gated().name("n")] {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        // The last of them looked at the gates: the producer looks again a ring later.
        sent.send_many(&mut producer, [56; RING as usize + 1]);
        let mut consumer = ring.consumer(&attach.start(Start::Oldest));
        let first = consumer.next_sequence();
        let mut oracle = Oracle::new(first);
        oracle.take(&sent, &mut consumer, 1);
        let held_from = sent.next();
        sent.fill(&mut producer, 56);
        oracle.catch_up(&sent, &mut consumer);
        oracle.is_done(&sent, first);
        assert_eq!(oracle.lost_by(LossCause::Attaching), oracle.lost());
        assert_eq!(oracle.losses.len(), 1);
        assert!(oracle.losses[0].next.wrapping_sub(held_from) as i64 <= 0, "left out what its gate held");
        assert_eq!(consumer.account(), LossAccount::default(), "booked");
        sent.fill(&mut producer, 56);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.losses.len(), 1);
    }
}

/// The producer overwrites all that it may, and not a record behind it is lost.
fn nothing_that_a_gate_holds_is_left_out(setup: Setup) {
    for behind in 0..RING as usize {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        sent.send_many(&mut producer, vec![56; RING as usize + 1 + behind]);
        let start = [Start::Oldest, Start::Last(20), Start::Last(1)][behind % 3];
        let mut consumer = ring.consumer(&Attach::gated().start(start));
        let (first, held_from) = (consumer.next_sequence(), sent.next());
        let mut oracle = Oracle::new(first);
        sent.fill(&mut producer, 56);
        oracle.keep_up(&sent, &mut consumer);
        oracle.is_done(&sent, first);
        let beyond = oracle.losses.iter().any(|loss| loss.next.wrapping_sub(held_from) as i64 > 0);
        assert!(!beyond, "{behind} behind: {:?}, and the gate holds from {held_from} on", oracle.losses);
    }
}

fn a_gated_only_ring_lends_nothing_that_is_being_written(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().gated_only(true));
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    // While there is nothing yet every start is the same.
    for start in [Start::Oldest, Start::Newest, Start::Last(3), Start::Sequence(setup.first)] {
        assert_eq!(ring.consumer(&Attach::gated().start(start)).next_sequence(), setup.first);
    }
    let mut producer = ring.producer();
    let held = Attach::gated().name("held").hold_forever();
    drop((ring.consumer(&held), ring.consumer(&Attach::gated().name("away"))));
    sent.send_many(&mut producer, [56; 20]);
    for start in [Start::Oldest, Start::Last(3), Start::Sequence(setup.first)] {
        let refused = ring.try_consumer(&Attach::gated().start(start).name("new"));
        assert!(matches!(refused, Err(Error::GatedOnly)));
        assert!(ring.named("new").is_none());
    }
    assert_eq!(ring.consumer(&Attach::gated().start(Start::Last(0))).next_sequence(), sent.next());
    // A name that was held may read on where it was, and one that was not goes on behind it all.
    oracle.keep_up(&sent, &mut ring.consumer(&held));
    assert_eq!((oracle.received, oracle.lost()), (20, 0));
    let mut away = ring.consumer(&Attach::gated().name("away"));
    let lost = away.resumed().unwrap().lost.expect("it was not held");
    assert_eq!((lost.first, lost.records, lost.cause), (setup.first, 20, LossCause::Away));
    assert_eq!(away.account().away, 20);
    let mut oracle = setup.oracle();
    oracle.take(&sent, &mut away, 1);
    sent.send_many(&mut producer, [56; 3]);
    oracle.keep_up(&sent, &mut away);
    assert_eq!((oracle.received, oracle.lost()), (3, 20));
}

fn a_name_is_told_of_a_new_producer(setup: Setup) {
    let ring = setup.ring();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let attach = Attach::gated().name("n").hold_forever();
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&attach);
    sent.send_many(&mut producer, [56; 5]);
    oracle.take(&sent, &mut consumer, 3);
    consumer.release();
    drop((producer, consumer));
    let mut producer = ring.producer();
    let changed_at = sent.next();
    sent.send_many(&mut producer, [56; 5]);
    let mut consumer = ring.consumer(&attach);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(oracle.changes, [(changed_at, 2)]);
    consumer.release();
    drop(consumer);
    // Once is enough, and who was not there before is told nothing.
    sent.send_many(&mut producer, [56; 5]);
    oracle.keep_up(&sent, &mut ring.consumer(&attach));
    assert_eq!(oracle.changes.len(), 1);
    let mut newcomer = ring.consumer(&Attach::lossy().start(Start::Oldest));
    let first = newcomer.next_sequence();
    let mut fresh = Oracle::new(first);
    fresh.keep_up(&sent, &mut newcomer);
    assert_eq!(fresh.changes, []);
}

fn what_is_shown_of_a_lag_is_right(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let attach = Attach::gated().name("n");
    let mut consumer = ring.consumer(&attach);
    sent.send_many(&mut producer, [56; 10]);
    let Some(Event::Record(_)) = consumer.try_recv().unwrap() else { panic!("no record") };
    consumer.release();
    let info = ring.named("n").unwrap();
    assert_eq!((info.lag_records, info.lag_bytes, info.lost_already), (9, 9 * 64, 0));
    assert_eq!((info.next_sequence, info.alive), (setup.first.wrapping_add(1), true));
    assert_eq!((info.budget, info.hold, info.pid), (None, None, std::process::id()));
    drop(consumer);
    for (records, lag) in [(20, 29), (300, 329)] {
        sent.send_many(&mut producer, vec![56; records]);
        let now = ring.snapshot();
        let info = ring.named("n").unwrap();
        assert_eq!((info.lag_records, info.lag_bytes), (lag, lag * 64));
        assert_eq!((now.next_sequence, now.records), (sent.next(), sent.lens.len() as u64));
        assert_eq!((now.bytes, now.capacity), (56 * now.records, 64 * RING));
        // Of these so many are gone: all but what a newcomer could still start at.
        let left = sent.next().wrapping_sub(now.oldest_sequence);
        assert_eq!(info.lost_already, lag.saturating_sub(left));
    }
    let gone = ring.named("n").unwrap().lost_already;
    assert!((264..=266).contains(&gone), "{gone} of 329, in a ring of 64");
    let lost = ring.consumer(&attach).resumed().unwrap().lost.unwrap();
    assert!(lost.records >= gone, "{gone} gone, and {} lost", lost.records);
}
