//! Gates with a deadline: who holds the producer up for too long loses its gate, and is told so.

use std::time::{Duration, Instant};

use quoit::{Attach, ConsumerState, Event, LossCause, SendError};

use crate::common::{PATIENCE, Reader, payload, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    an_overdue_consumer_loses_its_gate,
    a_deadline_runs_through_refused_tries,
    a_deadline_starts_anew_after_a_lap,
    letting_a_record_through_now_and_then_does_not_help,
    a_deadline_ends_when_its_consumer_is_out_of_the_way,
    an_eviction_is_told_without_a_loss,
    an_eviction_wakes_a_sleeper,
    others_stay_gated_when_one_is_evicted,
    a_hard_limit_is_for_everybody,
}

const DEADLINE: Duration = Duration::from_millis(20);

fn an_overdue_consumer_loses_its_gate(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated_for(DEADLINE));
    assert_eq!(ring.snapshot().consumers[0].budget, Some(DEADLINE));
    let begin = Instant::now();
    sent.fill(&mut producer, 56);
    producer.send_deadline(&payload(sent.next(), 56), soon()).unwrap();
    assert!(begin.elapsed() >= DEADLINE, "evicted after {:?}", begin.elapsed());
    sent.lens.push(56);
    let after = ring.snapshot();
    assert_eq!((after.evictions, after.reclaims), (1, 0));
    assert_eq!(after.consumers[0].state, ConsumerState::Evicted);
    assert!(after.consumers[0].alive);
    // Lossy from here on, for good.
    sent.send_many(&mut producer, [56; 500]);
    let told = oracle.evictions;
    assert!(consumer.step(|event| oracle.feed(&sent, event)));
    assert_eq!((told, oracle.evictions), (0, 1), "told before anything else");
    oracle.keep_up(&sent, &mut consumer);
    sent.send_many(&mut producer, [56; 500]);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(oracle.evictions, 1, "told once");
    assert_eq!(oracle.losses.len(), 2);
    assert_eq!(oracle.lost_by(LossCause::Evicted), oracle.lost());
    oracle.is_done(&sent, setup.first);
    assert_eq!(consumer.account().evicted, oracle.lost());
    assert_eq!(ring.snapshot().evictions, 1);
}

fn a_deadline_runs_through_refused_tries(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let _consumer = ring.consumer(&Attach::gated_for(DEADLINE));
    let begin = Instant::now();
    sent.fill(&mut producer, 56);
    until("the tries evict it", || producer.try_send(&[0; 56]).is_ok());
    assert!(begin.elapsed() >= DEADLINE, "evicted after {:?}", begin.elapsed());
    assert_eq!(ring.snapshot().evictions, 1);
}

fn a_deadline_starts_anew_after_a_lap(setup: Setup) {
    let deadline = DEADLINE * 4;
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated_for(deadline));
    for _ in 0..3 {
        let begin = Instant::now();
        sent.fill(&mut producer, 56);
        std::thread::sleep(deadline / 2);
        let refused = producer.try_send(&[]);
        // A machine that is too slow for this has not shown anything.
        if begin.elapsed() < deadline {
            assert_eq!(refused, Err(SendError::Full { slot: 0 }));
            assert_eq!(ring.snapshot().evictions, 0, "held up three times, but never for so long");
        } else if refused.is_ok() {
            return;
        }
        oracle.keep_up(&sent, &mut consumer);
    }
}

/// Each time it holds the producer up for a part of its deadline only, and then lets one record through.
fn letting_a_record_through_now_and_then_does_not_help(setup: Setup) {
    let deadline = DEADLINE * 4;
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated_for(deadline));
    sent.fill(&mut producer, 56);
    for held_up in 0.. {
        assert!(deadline / 4 * held_up <= deadline, "it goes on and on");
        let _ = producer.try_send(&payload(sent.next(), 56)).map(|_| sent.lens.push(56));
        std::thread::sleep(deadline / 4);
        if producer.try_send(&payload(sent.next(), 56)).is_ok() {
            sent.lens.push(56);
            break;
        }
        oracle.take(&sent, &mut consumer, 1);
        consumer.release();
        sent.send(&mut producer, 56);
    }
    assert_eq!(ring.snapshot().evictions, 1);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!(oracle.evictions, 1);
}

fn a_deadline_ends_when_its_consumer_is_out_of_the_way(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut brief = ring.consumer(&Attach::gated_for(DEADLINE));
    let _other = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    oracle.take(&sent, &mut brief, 1);
    brief.release();
    // Refused all the same, by the other one alone.
    let refused = producer.try_send(&[0; 56]);
    if ring.snapshot().evictions == 0 {
        assert_eq!(refused, Err(SendError::Full { slot: 1 }));
        std::thread::sleep(DEADLINE);
        // In the way again, but only from now on.
        assert_eq!(producer.try_send(&[0; 200]), Err(SendError::Full { slot: 1 }));
        assert_eq!(ring.snapshot().evictions, 0);
        std::thread::sleep(DEADLINE);
        assert_eq!(producer.try_send(&[0; 200]), Err(SendError::Full { slot: 1 }));
        assert_eq!(ring.snapshot().evictions, 1);
    }
}

fn an_eviction_is_told_without_a_loss(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated_for(DEADLINE));
    consumer.keep(true);
    sent.fill(&mut producer, 56);
    oracle.keep_up(&sent, &mut consumer);
    producer.send_deadline(&payload(sent.next(), 56), soon()).unwrap();
    sent.lens.push(56);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!((oracle.evictions, oracle.lost()), (1, 0));
    sent.send_many(&mut producer, [56; 10]);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!((oracle.evictions, oracle.lost()), (1, 0));
}

fn an_eviction_wakes_a_sleeper(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated_for(DEADLINE));
    consumer.keep(true);
    consumer.set_spins(0);
    sent.fill(&mut producer, 56);
    oracle.keep_up(&sent, &mut consumer);
    std::thread::scope(|scope| {
        let asleep = scope.spawn(move || {
            let mut evicted = false;
            while !evicted {
                let event = consumer.recv_deadline(soon()).unwrap();
                evicted = matches!(event, Event::Evicted);
            }
        });
        producer.send_deadline(&[1; 56], soon()).unwrap();
        asleep.join().unwrap();
    });
}

fn others_stay_gated_when_one_is_evicted(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let (mut steady, mut late) = (setup.oracle(), setup.oracle());
    let mut producer = ring.producer();
    let mut steady_consumer = ring.consumer(&Attach::gated());
    let mut late_consumer = ring.consumer(&Attach::gated_for(DEADLINE));
    sent.fill(&mut producer, 56);
    std::thread::sleep(DEADLINE * 2);
    assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 0 }), "one of two gates is still shut");
    assert_eq!(ring.snapshot().evictions, 1);
    for _ in 0..10 {
        steady.keep_up(&sent, &mut steady_consumer);
        assert_eq!(sent.fill(&mut producer, 56), 64);
        assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 0 }));
    }
    steady.keep_up(&sent, &mut steady_consumer);
    late.keep_up(&sent, &mut late_consumer);
    steady.is_done(&sent, setup.first);
    late.is_done(&sent, setup.first);
    assert_eq!((steady.lost(), steady.evictions), (0, 0));
    assert_eq!((late.lost_by(LossCause::Evicted), late.evictions), (late.lost(), 1));
    assert!(late.lost() > 0);
}

fn a_hard_limit_is_for_everybody(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().hard_limit(DEADLINE));
    let mut sent = setup.sent();
    let mut producer = ring.producer();
    let attaches = [Attach::gated(), Attach::gated_for(PATIENCE * 10), Attach::gated_for(DEADLINE / 20)];
    let mut consumers = attaches.map(|attach| ring.consumer(&attach));
    let now = ring.snapshot();
    assert_eq!(now.hard_limit, Some(DEADLINE));
    let deadlines: Vec<_> = now.consumers.iter().map(|info| info.budget.unwrap()).collect();
    assert_eq!(deadlines, [DEADLINE, DEADLINE, DEADLINE / 20]);
    let begin = Instant::now();
    sent.fill(&mut producer, 56);
    producer.send_deadline(&payload(sent.next(), 56), soon()).expect("nobody may be in the way for so long");
    assert!(begin.elapsed() >= DEADLINE);
    sent.lens.push(56);
    sent.send_many(&mut producer, [56; 100]);
    assert_eq!(ring.snapshot().evictions, 3);
    for consumer in &mut consumers {
        let mut oracle = setup.oracle();
        oracle.keep_up(&sent, consumer);
        oracle.is_done(&sent, setup.first);
        assert_eq!((oracle.evictions, oracle.losses.len()), (1, 1));
        assert_eq!(oracle.losses[0].cause, LossCause::Evicted);
    }
}
