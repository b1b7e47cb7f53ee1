//! Consumers that died: their locks are free, and their slots as they left them.

use std::time::{Duration, Instant};

use quoit::{Attach, ConsumerState, Error, Event, SendError};

use crate::common::{payload, soon};
use crate::{Scene, Setup};

crate::behaviours_of_files! {
    a_dead_consumer_holds_nobody_up,
    a_dead_name_resumes_at_its_last_release,
    a_dead_held_name_is_waited_for,
    a_dead_consumers_slot_is_taken,
    a_death_half_way_in_costs_no_slot,
}

const HOLD: Duration = Duration::from_millis(20);

fn a_dead_consumer_holds_nobody_up(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    for (round, attach) in [Attach::gated(), Attach::gated().name("x")].into_iter().enumerate() {
        let mut consumer = ring.consumer(&attach);
        sent.fill(&mut producer, 56);
        let Some(Event::Record(_)) = consumer.try_recv().unwrap() else { panic!("no record") };
        ring.kill_consumer(consumer);
        let dead = ring.snapshot().consumers;
        assert_eq!((dead.len(), dead[0].state, dead[0].alive), (1, ConsumerState::Gated, false));
        producer.send_deadline(&payload(sent.next(), 56), soon()).expect("the dead hold nobody up");
        sent.lens.push(56);
        let now = ring.snapshot();
        assert_eq!((now.reclaims, now.evictions), (round as u64 + 1, 0));
        assert_eq!(now.consumers.len(), round, "a name is kept");
    }
    assert_eq!(ring.named("x").unwrap().state, ConsumerState::Away);
}

fn a_dead_name_resumes_at_its_last_release(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("x");
    for round in 0..20 {
        let mut consumer = ring.consumer(&attach);
        sent.send_many(&mut producer, [56; 5]);
        oracle.take(&sent, &mut consumer, 3 + round % 3);
        consumer.release();
        let released = oracle.clone();
        oracle.take(&sent, &mut consumer, 1);
        ring.kill_consumer(consumer);
        oracle = released;
    }
    let mut consumer = ring.consumer(&attach);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

fn a_dead_held_name_is_waited_for(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("x").hold_forever();
    for _ in 0..3 {
        let mut consumer = ring.consumer(&attach);
        oracle.keep_up(&sent, &mut consumer);
        ring.kill_consumer(consumer);
        assert_eq!(sent.fill(&mut producer, 56), 64);
        assert_eq!(producer.send_deadline(&[], Instant::now() + HOLD), Err(SendError::TimedOut { slot: 0 }));
    }
    let mut consumer = ring.consumer(&attach);
    oracle.keep_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
    assert_eq!(oracle.lost(), 0);
}

fn a_dead_consumers_slot_is_taken(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().slots(1));
    let mut sent = setup.sent();
    let mut producer = ring.producer();
    for attach in [Attach::gated(), Attach::lossy(), Attach::gated_for(HOLD)].iter().cycle().take(9) {
        let mut consumer = ring.consumer(attach);
        let mut oracle = crate::common::Oracle::new(consumer.next_sequence());
        sent.send_many(&mut producer, [5, 50]);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.received, 2);
        ring.kill_consumer(consumer);
    }
    let consumer = ring.consumer(&Attach::gated().name("x"));
    ring.kill_consumer(consumer);
    let refused = ring.try_consumer(&Attach::lossy());
    assert!(matches!(refused, Err(Error::SlotsTaken { slots: 1, saved: 1 })));
    ring.forget("x").unwrap();
    drop(ring.consumer(&Attach::lossy()));
}

fn a_death_half_way_in_costs_no_slot(setup: Setup) {
    use std::os::unix::fs::FileExt;

    use support::offsets;

    let ring = setup.backing.ring(&setup.options().slots(1));
    let mut producer = ring.producer();
    drop(ring.consumer(&Attach::gated().name("x")));
    let file = std::fs::File::options().read(true).write(true).open(ring.path().unwrap()).unwrap();
    let slot = offsets::CONTROL + offsets::slot(0);
    let mut state = [0; 8];
    file.read_exact_at(&mut state, slot).unwrap();
    // Attaching, with the name in place and no cursor: killed before it had a place.
    state[0] = 1;
    file.write_all_at(&state, slot).unwrap();
    file.write_all_at(&4u64.to_le_bytes(), slot + offsets::CURSOR).unwrap();
    producer.send(&[1]).unwrap();
    let consumer = ring.consumer(&Attach::lossy());
    assert_eq!(consumer.resumed(), None);
    drop(consumer);
    assert!(ring.named("x").is_none());
    // The same, and the same name comes again.
    drop(ring.consumer(&Attach::gated().name("x")));
    file.read_exact_at(&mut state, slot).unwrap();
    state[0] = 1;
    file.write_all_at(&state, slot).unwrap();
    file.write_all_at(&4u64.to_le_bytes(), slot + offsets::CURSOR).unwrap();
    let consumer = ring.consumer(&Attach::lossy().name("x"));
    assert_eq!((consumer.resumed(), consumer.next_sequence()), (None, producer.next_sequence()));
}
