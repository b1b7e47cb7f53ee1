//! Named consumers: their place and account outlive them; held ones keep their gate.

use std::time::{Duration, Instant};

use quoit::{Attach, ConsumerState, Error, Hold, LossCause, SendError, Start};

use crate::common::{PATIENCE, Reader, payload, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    a_name_resumes_where_it_was,
    what_was_not_released_comes_again,
    a_name_is_not_held_unless_it_asks,
    what_was_missed_is_told,
    what_is_overwritten_later_was_not_missed_away,
    keeping_records_keeps_no_place_that_was_overwritten,
    a_loss_found_on_return_is_told_until_it_is_received,
    a_release_does_not_pass_a_loss_that_was_not_told,
    a_loss_that_was_not_released_is_booked_once,
    a_hold_lasts_for_its_time,
    a_hold_for_ever_lasts,
    a_held_name_that_returns_is_told_of_no_loss,
    a_hard_limit_ends_a_hold,
    forgetting_frees_a_waiting_producer,
    a_forgotten_name_starts_afresh,
    a_name_may_change_its_policy,
    a_name_has_one_consumer,
    bad_names_are_refused,
    a_hold_needs_a_name_and_a_gate,
    names_do_not_mix,
    an_evicted_name_resumes,
}

const HOLD: Duration = Duration::from_millis(20);

fn a_name_resumes_where_it_was(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    for round in 0..40 {
        let attach = [Attach::gated(), Attach::lossy(), Attach::gated_for(PATIENCE)][round % 3].clone();
        // Wherever it says it starts.
        let start = [Start::Newest, Start::Oldest, Start::Sequence(setup.first), Start::Last(1)][round % 4];
        let mut consumer = ring.consumer(&attach.name("a.consumer").start(start));
        assert_eq!(consumer.next_sequence(), oracle.next);
        let resumed = consumer.resumed();
        if round == 0 {
            assert_eq!(resumed, None);
        } else {
            let resumed = resumed.expect("it has been here before");
            assert_eq!((resumed.sequence, resumed.lost), (oracle.next, None));
        }
        sent.send_many(&mut producer, [round; 6]);
        oracle.take(&sent, &mut consumer, 5 + round % 3);
        consumer.release();
        drop(consumer);
        let info = ring.named("a.consumer").expect("kept");
        assert_eq!((info.next_sequence, info.alive, info.state), (oracle.next, false, ConsumerState::Away));
        assert_eq!(info.lag_records, sent.next().wrapping_sub(oracle.next));
    }
    assert_eq!(oracle.lost(), 0);
}

fn what_was_not_released_comes_again(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    sent.send_many(&mut producer, [0; 0]);
    let attach = Attach::gated().name("at least once");
    let mut consumer = ring.consumer(&attach);
    sent.send_many(&mut producer, [10; 20]);
    oracle.take(&sent, &mut consumer, 5);
    drop(consumer);
    // The fifth was not released by a receive after it.
    oracle.next = oracle.next.wrapping_sub(1);
    let mut consumer = ring.consumer(&attach);
    assert_eq!(consumer.resumed().unwrap().sequence, oracle.next);
    consumer.keep(true);
    oracle.take(&sent, &mut consumer, 10);
    drop(consumer);
    // Of these ten none was.
    oracle.next = oracle.next.wrapping_sub(10);
    let mut consumer = ring.consumer(&attach);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(oracle.lost(), 0);
}

fn a_name_is_not_held_unless_it_asks(setup: Setup) {
    for attach in [Attach::gated(), Attach::gated_for(PATIENCE), Attach::lossy()] {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        drop(ring.consumer(&attach.name("away")));
        sent.send_many(&mut producer, [56; 200]);
        let now = ring.snapshot();
        assert_eq!((now.full, now.evictions, now.reclaims), (0, 0, 0));
    }
}

fn what_was_missed_is_told(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("away");
    drop(ring.consumer(&attach));
    for round in 1..6 {
        sent.send_many(&mut producer, vec![56; 100 * round]);
        let mut consumer = ring.consumer(&attach);
        let resumed = consumer.resumed().unwrap();
        let loss = resumed.lost.expect("far more than a ring was sent");
        assert_eq!(loss.cause, LossCause::Away);
        assert_eq!(resumed.sequence, loss.next);
        assert_eq!(consumer.next_sequence(), loss.next);
        assert!(consumer.step(|event| oracle.feed(&sent, event)));
        assert_eq!(oracle.losses.last(), Some(&loss), "the first event is that loss");
        // What was there when it came may still be overwritten; what is published from then on may not.
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(sent.fill(&mut producer, 56), 64);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.losses.len(), round);
        assert_eq!((consumer.account().away, consumer.account().gaps), (oracle.lost(), round as u64));
    }
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.lost_by(LossCause::Away), oracle.lost());
    let info = ring.named("away").unwrap();
    assert_eq!((info.lost.away, info.lost.bytes), (oracle.lost(), oracle.lost_bytes()));
}

/// It came back in time, and was lapped then: away has nothing to do with it.
fn what_is_overwritten_later_was_not_missed_away(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::lossy().name("back in time");
    drop(ring.consumer(&attach));
    sent.send_many(&mut producer, [56; 20]);
    let mut consumer = ring.consumer(&attach);
    assert_eq!(consumer.resumed().unwrap().lost, None);
    sent.send_many(&mut producer, [56; 200]);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert!(oracle.lost() > 0);
    assert_eq!(oracle.lost_by(LossCause::Overrun), oracle.lost());
    assert_eq!((consumer.account().overrun, consumer.account().away), (oracle.lost(), 0));
}

/// A gate at a place that has gone would hold the producer up for nothing.
fn keeping_records_keeps_no_place_that_was_overwritten(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("keeper");
    drop(ring.consumer(&attach));
    sent.send_many(&mut producer, [56; 300]);
    let mut consumer = ring.consumer(&attach);
    consumer.keep(true);
    oracle.take(&sent, &mut consumer, 1);
    assert_eq!(oracle.losses.len(), 1);
    oracle.take(&sent, &mut consumer, 1);
    let kept = oracle.next.wrapping_sub(1);
    assert_eq!(ring.named("keeper").unwrap().next_sequence, kept, "the loss is released, the record is not");
    sent.send(&mut producer, 56);
    drop(consumer);
    // The kept record comes again, the loss does not.
    oracle.next = kept;
    oracle.received -= 1;
    let mut consumer = ring.consumer(&attach);
    assert_eq!(consumer.resumed().unwrap().lost, None);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!(consumer.account().records, oracle.lost(), "booked once");
}

fn a_loss_found_on_return_is_told_until_it_is_received(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::lossy().name("impatient");
    drop(ring.consumer(&attach));
    sent.send_many(&mut producer, [56; 300]);
    for _ in 0..3 {
        // Leaves again without having received anything: it was not told yet.
        let consumer = ring.consumer(&attach);
        assert_eq!(consumer.resumed().unwrap().lost.unwrap().first, setup.first);
    }
    let mut consumer = ring.consumer(&attach);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.losses.len(), 1);
    assert_eq!(consumer.account().records, oracle.lost(), "booked once");
}

fn a_release_does_not_pass_a_loss_that_was_not_told(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::lossy().name("hasty");
    drop(ring.consumer(&attach));
    sent.send_many(&mut producer, [56; 300]);
    for _ in 0..3 {
        let mut consumer = ring.consumer(&attach);
        assert_eq!(consumer.resumed().unwrap().lost.unwrap().first, setup.first);
        consumer.release();
        assert_eq!(ring.named("hasty").unwrap().next_sequence, setup.first);
    }
    let mut consumer = ring.consumer(&attach);
    consumer.release();
    oracle.take(&sent, &mut consumer, 1);
    assert_eq!(oracle.losses.len(), 1);
    consumer.release();
    assert_eq!(ring.named("hasty").unwrap().next_sequence, oracle.next, "told, so it can be released");
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn a_loss_that_was_not_released_is_booked_once(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::lossy().name("interrupted");
    for keep in [false, true, false] {
        let mut consumer = ring.consumer(&attach);
        consumer.keep(keep);
        sent.send_many(&mut producer, [56; 3]);
        oracle.take(&sent, &mut consumer, 3);
        sent.send_many(&mut producer, [56; 200]);
        // Told, and gone before a receive or a release: so it resumes before the loss, and is told again.
        let before = oracle.clone();
        oracle.take(&sent, &mut consumer, 1);
        assert_eq!(oracle.losses.len(), before.losses.len() + 1);
        drop(consumer);
        let info = ring.named("interrupted").unwrap();
        assert_eq!((info.lost.records, info.lost.bytes), (before.lost(), before.lost_bytes()));
        // Kept, the three records before it come again, and have gone by now.
        oracle = before;
        oracle.next = info.next_sequence;
        let mut consumer = ring.consumer(&attach);
        oracle.keep_up(&sent, &mut consumer);
        let account = consumer.account();
        assert_eq!((account.records, account.bytes), (oracle.lost(), oracle.lost_bytes()));
        assert_eq!(account.gaps, oracle.losses.len() as u64);
        drop(consumer);
        assert_eq!(ring.named("interrupted").unwrap().lost, account);
    }
}

fn a_hold_lasts_for_its_time(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("held").hold(HOLD);
    let mut consumer = ring.consumer(&attach);
    sent.send_many(&mut producer, [56; 10]);
    oracle.take(&sent, &mut consumer, 5);
    consumer.release();
    drop(consumer);
    let info = ring.named("held").unwrap();
    assert_eq!((info.state, info.alive, info.hold), (ConsumerState::Gated, false, Some(Hold::For(HOLD))));
    // However long it is away before it is in the way.
    std::thread::sleep(HOLD * 2);
    let begin = Instant::now();
    assert_eq!(sent.fill(&mut producer, 56), 64 - 5);
    producer.send_deadline(&payload(sent.next(), 56), soon()).expect("held for a time only");
    assert!(begin.elapsed() >= HOLD, "held for {:?}", begin.elapsed());
    sent.lens.push(56);
    let now = ring.snapshot();
    assert_eq!((now.reclaims, now.evictions), (1, 0));
    assert_eq!(ring.named("held").unwrap().state, ConsumerState::Away);
    sent.send_many(&mut producer, [56; 100]);
    let mut consumer = ring.consumer(&attach);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!((oracle.losses.len(), oracle.lost_by(LossCause::Away)), (1, oracle.lost()));
}

fn a_hold_for_ever_lasts(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("held").hold_forever();
    drop(ring.consumer(&attach));
    assert_eq!(ring.named("held").unwrap().hold, Some(Hold::Forever));
    for _ in 0..3 {
        sent.fill(&mut producer, 56);
        let late = Instant::now() + HOLD;
        assert_eq!(producer.send_deadline(&[], late), Err(SendError::TimedOut { slot: 0 }));
        let mut consumer = ring.consumer(&attach);
        oracle.keep_up(&sent, &mut consumer);
    }
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.lost(), 0);
    let now = ring.snapshot();
    assert_eq!((now.reclaims, now.evictions), (0, 0));
}

fn a_held_name_that_returns_is_told_of_no_loss(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("held").hold(PATIENCE * 10);
    drop(ring.consumer(&attach));
    sent.fill(&mut producer, 56);
    std::thread::scope(|scope| {
        let next = payload(sent.next(), 56);
        let waiting = scope.spawn(move || producer.send_deadline(&next, soon()));
        until("the producer meets the gate", || ring.snapshot().full > 1);
        let mut consumer = ring.consumer(&attach);
        assert_eq!(consumer.resumed().unwrap().lost, None);
        sent.lens.push(56);
        oracle.take(&sent, &mut consumer, 64);
        consumer.release();
        waiting.join().unwrap().expect("it came back in time");
        oracle.keep_up(&sent, &mut consumer);
    });
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.lost(), 0);
}

fn a_hard_limit_ends_a_hold(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().hard_limit(HOLD));
    let mut sent = setup.sent();
    let mut producer = ring.producer();
    drop(ring.consumer(&Attach::gated().name("held").hold_forever()));
    let begin = Instant::now();
    sent.fill(&mut producer, 56);
    producer.send_deadline(&[1], soon()).expect("nobody may be waited for longer");
    assert!(begin.elapsed() >= HOLD);
    assert_eq!(ring.named("held").unwrap().state, ConsumerState::Away);
}

fn forgetting_frees_a_waiting_producer(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    drop(ring.consumer(&Attach::gated().name("held").hold_forever()));
    sent.fill(&mut producer, 56);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || producer.send_deadline(&[1], soon()));
        until("the producer meets the gate", || ring.snapshot().full > 1);
        ring.forget("held").unwrap();
        waiting.join().unwrap().expect("nobody is in the way any more");
    });
    assert!(ring.snapshot().consumers.is_empty());
}

fn a_forgotten_name_starts_afresh(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::lossy().name("x");
    assert!(matches!(ring.forget("x"), Err(Error::NameUnknown { .. })));
    let mut consumer = ring.consumer(&attach);
    sent.send_many(&mut producer, [56; 200]);
    oracle.keep_up(&sent, &mut consumer);
    assert!(matches!(ring.forget("x"), Err(Error::NameInUse { name }) if name == "x"));
    drop(consumer);
    ring.forget("x").unwrap();
    assert!(ring.named("x").is_none());
    assert!(matches!(ring.forget("x"), Err(Error::NameUnknown { .. })));
    sent.send(&mut producer, 9);
    let consumer = ring.consumer(&attach);
    assert_eq!(consumer.resumed(), None);
    assert_eq!((consumer.next_sequence(), consumer.account().records), (sent.next(), 0));
}

fn a_name_may_change_its_policy(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    drop(ring.consumer(&Attach::gated().name("x").hold_forever()));
    sent.fill(&mut producer, 56);
    // As a lossy one it gives its gate up.
    let mut consumer = ring.consumer(&Attach::lossy().name("x"));
    assert_eq!(ring.named("x").unwrap().state, ConsumerState::Lossy);
    sent.send_many(&mut producer, [56; 100]);
    oracle.keep_up(&sent, &mut consumer);
    assert!(oracle.lost() > 0);
    drop(consumer);
    assert_eq!(ring.named("x").unwrap().hold, None);
    // And takes it up again.
    let mut consumer = ring.consumer(&Attach::gated().name("x"));
    assert_eq!(sent.fill(&mut producer, 56), 64);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn a_name_has_one_consumer(setup: Setup) {
    let ring = setup.ring();
    let _producer = ring.producer();
    let consumer = ring.consumer(&Attach::gated().name("x"));
    for attach in [Attach::gated().name("x"), Attach::lossy().name("x").start(Start::Oldest)] {
        assert!(matches!(ring.try_consumer(&attach), Err(Error::NameInUse { name }) if name == "x"));
    }
    assert_eq!(ring.snapshot().consumers.len(), 1);
    let other = ring.consumer(&Attach::gated().name("y"));
    drop(consumer);
    let consumer = ring.consumer(&Attach::lossy().name("x"));
    assert!(consumer.resumed().is_some());
    assert!(other.resumed().is_none());
}

fn bad_names_are_refused(setup: Setup) {
    let ring = setup.ring();
    let longest = format!("{}x", "é".repeat(31));
    for bad in ["", "a\0b", "\0", &format!("{longest}x"), &"x".repeat(1000)] {
        let refused = ring.try_consumer(&Attach::gated().name(bad));
        assert!(matches!(refused, Err(Error::BadName { name }) if name == bad));
        assert!(matches!(ring.forget(bad), Err(Error::BadName { name }) if name == bad));
    }
    for good in ["a", " ", "with space", &longest, &"x".repeat(63)] {
        drop(ring.consumer(&Attach::lossy().name(good)));
        assert_eq!(ring.named(good).and_then(|info| info.name).as_deref(), Some(good));
        assert!(ring.consumer(&Attach::lossy().name(good)).resumed().is_some());
        ring.forget(good).unwrap();
    }
}

fn a_hold_needs_a_name_and_a_gate(setup: Setup) {
    let ring = setup.ring();
    let bad = [
        Attach::gated().hold(HOLD),
        Attach::gated().hold_forever(),
        Attach::lossy().name("x").hold(HOLD),
        Attach::lossy().name("x").hold_forever(),
    ];
    for attach in bad {
        assert!(matches!(ring.try_consumer(&attach), Err(Error::BadOption { .. })));
    }
    assert!(ring.snapshot().consumers.is_empty());
    drop(ring.consumer(&Attach::gated_for(HOLD).name("x").hold(HOLD)));
}

fn names_do_not_mix(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let names = ["a", "b", "aa"];
    let mut oracles = names.map(|_| setup.oracle());
    for name in names {
        drop(ring.consumer(&Attach::lossy().name(name)));
    }
    for round in 0..60 {
        sent.send_many(&mut producer, [40 + round; 4]);
        let who = round * 7 % 3;
        let mut consumer = ring.consumer(&Attach::lossy().name(names[who]));
        for _ in 0..round % 11 {
            if !consumer.step(|event| oracles[who].feed(&sent, event)) {
                break;
            }
        }
        consumer.release();
    }
    for (name, mut oracle) in names.into_iter().zip(oracles) {
        let mut consumer = ring.consumer(&Attach::lossy().name(name));
        oracle.keep_up(&sent, &mut consumer);
        oracle.is_done(&sent, setup.first);
        let account = consumer.account();
        assert_eq!((account.records, account.bytes), (oracle.lost(), oracle.lost_bytes()), "{name}");
        assert_eq!(account.gaps, oracle.losses.len() as u64);
        assert_eq!(account.overrun + account.away, oracle.lost());
    }
}

fn an_evicted_name_resumes(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated_for(HOLD).name("slow");
    let mut consumer = ring.consumer(&attach);
    sent.fill(&mut producer, 56);
    producer.send_deadline(&payload(sent.next(), 56), soon()).unwrap();
    sent.lens.push(56);
    sent.send_many(&mut producer, [56; 100]);
    assert!(consumer.step(|event| oracle.feed(&sent, event)));
    assert_eq!(oracle.evictions, 1);
    oracle.take(&sent, &mut consumer, 3);
    consumer.release();
    drop(consumer);
    let info = ring.named("slow").unwrap();
    assert_eq!((info.state, info.lost.evicted), (ConsumerState::Away, oracle.lost()));
    let mut consumer = ring.consumer(&attach);
    assert_eq!(ring.named("slow").unwrap().state, ConsumerState::Gated, "a new attachment, a new gate");
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(sent.fill(&mut producer, 56), 64);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.evictions, 1);
}
