//! Evictions on request: by the producer itself, and by whoever else asks for one.

use std::time::{Duration, Instant};

use quoit::{Attach, ConsumerState, Error, Event, Evicted, LossCause, Producer, SendError};

use crate::common::{PATIENCE, payload, soon, until};
use crate::{Scene, Setup, while_it_waits};

crate::behaviours! {
    the_producer_evicts_whom_it_likes,
    a_name_that_is_away_keeps_its_place,
    only_who_holds_the_producer_back_is_evicted,
    nobody_is_evicted_who_was_promised_otherwise,
    a_waiting_producer_evicts_whom_it_is_asked_to,
    a_request_waits_for_the_next_look,
    a_request_is_for_one_gate,
    the_evicted_is_told_in_its_sleep,
    without_a_producer_there_is_nobody_to_ask,
}

fn the_producer_evicts_whom_it_likes(setup: Setup) {
    let ring = setup.ring();
    for attach in [Attach::gated().evictable(), Attach::gated_for(PATIENCE * 10)] {
        let mut producer = ring.producer();
        let mut sent = crate::common::Sent::new(producer.next_sequence());
        let mut oracle = crate::common::Oracle::new(sent.first);
        let evictions = ring.snapshot().evictions;
        let mut consumer = ring.consumer(&attach);
        sent.fill(&mut producer, 56);
        assert!(ring.snapshot().consumers[0].evictable);
        producer.evict(consumer.slot()).unwrap();
        let now = ring.snapshot();
        assert_eq!((now.evictions - evictions, now.consumers[0].state), (1, ConsumerState::Evicted));
        assert!(now.blocked.is_none() && producer.held_by().is_none());
        sent.send_many(&mut producer, [56; 70]);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!((oracle.evictions, oracle.losses.len()), (1, 1));
        assert_eq!(oracle.lost_by(LossCause::Evicted), oracle.lost());
        oracle.is_done(&sent, sent.first);
        assert!(matches!(producer.evict(0), Err(Error::NotGated { slot: 0 })), "it holds nobody back now");
    }
}

fn a_name_that_is_away_keeps_its_place(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let attach = Attach::gated().name("x").hold_forever();
    let mut consumer = ring.consumer(&attach);
    sent.send_many(&mut producer, [56; 10]);
    oracle.take(&sent, &mut consumer, 4);
    consumer.release();
    drop(consumer);
    sent.fill(&mut producer, 56);
    producer.evict(0).unwrap();
    let now = ring.snapshot();
    assert_eq!((now.evictions, now.reclaims), (0, 1));
    let info = ring.named("x").unwrap();
    assert_eq!((info.state, info.next_sequence), (ConsumerState::Away, sent.first.wrapping_add(4)));
    sent.send_many(&mut producer, [56; 100]);
    let mut consumer = ring.consumer(&attach);
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!((oracle.evictions, oracle.lost_by(LossCause::Away)), (0, oracle.lost()));
    oracle.is_done(&sent, setup.first);
}

fn only_who_holds_the_producer_back_is_evicted(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let _lossy = ring.consumer(&Attach::lossy());
    drop(ring.consumer(&Attach::gated().name("away")));
    for slot in [0, 1, 2, 3, 4, 1000, u32::MAX] {
        let refused = |result: Error| matches!(result, Error::NotGated { slot: told } if told == slot);
        assert!(refused(producer.evict(slot).unwrap_err()));
        assert!(refused(ring.evict(slot, Duration::ZERO).unwrap_err()));
    }
}

/// Nothing that such a consumer reads is copied first: it would read what is being overwritten.
fn nobody_is_evicted_who_was_promised_otherwise(setup: Setup) {
    let pid = std::process::id();
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated().name("x").hold_forever());
    sent.fill(&mut producer, 56);
    assert!(!ring.named("x").unwrap().evictable);
    let refused = |result: Error| matches!(result, Error::NotEvictable { slot: 0, pid: told } if told == pid);
    assert!(refused(producer.evict(0).unwrap_err()));
    assert!(refused(ring.evict(0, PATIENCE).unwrap_err()));
    // Also if it is asked in spite of that.
    if let Some(path) = ring.path() {
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let slot = offsets::CONTROL + offsets::slot(0);
        let mut state = [0; 8];
        use std::os::unix::fs::FileExt;
        use support::offsets;
        file.read_exact_at(&mut state, slot).unwrap();
        file.write_all_at(&state, slot + offsets::REQUEST).unwrap();
        assert_eq!(producer.try_send(&[1; 56]), Err(SendError::Full { slot: 0 }));
        file.read_exact_at(&mut state, slot + offsets::REQUEST).unwrap();
        assert_eq!(state, [0; 8], "declined");
    }
    assert_eq!(producer.try_send(&[1; 56]), Err(SendError::Full { slot: 0 }));
    oracle.keep_up(&sent, &mut consumer);
    assert_eq!((oracle.lost(), oracle.evictions), (0, 0));
    // Away it may be.
    drop(consumer);
    sent.fill(&mut producer, 56);
    producer.evict(0).unwrap();
}

fn a_waiting_producer_evicts_whom_it_is_asked_to(setup: Setup) {
    for (spins, leaves) in [(0, false), (500, false), (0, true)] {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        producer.set_spins(spins);
        let attach = Attach::gated().evictable().name("x").hold_forever();
        let mut consumer = Some(ring.consumer(&attach));
        sent.fill(&mut producer, 56);
        if leaves {
            consumer = None;
        }
        let _producer = while_it_waits(producer, &payload(sent.next(), 56), || {
            until("it waits", || ring.snapshot().blocked.is_some());
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(ring.evict(0, PATIENCE).unwrap(), Evicted::Done);
        });
        sent.lens.push(56);
        let mut oracle = setup.oracle();
        let mut consumer = consumer.unwrap_or_else(|| ring.consumer(&attach));
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(oracle.evictions, u64::from(!leaves));
        let after = ring.snapshot();
        assert_eq!((after.evictions, after.reclaims), if leaves { (0, 1) } else { (1, 0) });
    }
}

/// A producer that is not held up comes to it at its next look at the gates.
fn a_request_waits_for_the_next_look(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated().evictable());
    sent.send(&mut producer, 56);
    assert_eq!(ring.evict(0, Duration::from_millis(5)).unwrap(), Evicted::Asked);
    assert_eq!(ring.snapshot().evictions, 0);
    let mut oracle = setup.oracle();
    for _ in 0..130 {
        sent.send(&mut producer, 56);
        oracle.keep_up(&sent, &mut consumer);
    }
    assert_eq!((ring.snapshot().evictions, oracle.evictions, oracle.lost()), (1, 1, 0));
}

/// What was asked of one consumer is not done to the next one in its slot, nor to a name that came back.
fn a_request_is_for_one_gate(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let evictable = Attach::gated().evictable();
    for attach in [evictable.clone(), evictable.name("x").hold_forever()] {
        let first = ring.consumer(&attach);
        assert_eq!(ring.evict(0, Duration::ZERO).unwrap(), Evicted::Asked);
        drop(first);
        let mut second = ring.consumer(&attach);
        assert_eq!(second.slot(), 0);
        let mut oracle = crate::common::Oracle::new(second.next_sequence());
        sent.fill(&mut producer, 56);
        oracle.keep_up(&sent, &mut second);
        sent.fill(&mut producer, 56);
        oracle.keep_up(&sent, &mut second);
        assert_eq!((oracle.evictions, ring.snapshot().evictions), (0, 0));
    }
}

/// Nothing is sent, since another gate is still in the way. It would look by itself after a tenth of a second.
fn the_evicted_is_told_in_its_sleep(setup: Setup) {
    let mut least = Duration::MAX;
    for _ in 0..10 {
        let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
        let mut consumer = ring.consumer(&Attach::gated().evictable());
        let _other = ring.consumer(&Attach::gated());
        consumer.keep(true);
        consumer.set_spins(0);
        sent.fill(&mut producer, 56);
        oracle.keep_up(&sent, &mut consumer);
        std::thread::scope(|scope| {
            let asleep = scope.spawn(move || {
                let event = consumer.recv_deadline(soon()).unwrap();
                assert!(matches!(event, Event::Evicted), "{event:?}");
                Instant::now()
            });
            std::thread::sleep(Duration::from_millis(20));
            // The producer is refused for the other's sake, and evicts this one on the way.
            assert_eq!(ring.evict(0, Duration::ZERO).unwrap(), Evicted::Asked);
            let asked = Instant::now();
            assert_eq!(producer.try_send(&[1; 56]), Err(SendError::Full { slot: 1 }));
            let told = asleep.join().unwrap();
            least = least.min(told.saturating_duration_since(asked));
        });
        assert_eq!(producer.next_sequence(), sent.next());
        if least < Duration::from_millis(40) {
            return;
        }
    }
    panic!("told after {least:?} at best");
}

fn without_a_producer_there_is_nobody_to_ask(setup: Setup) {
    let ring = setup.ring();
    let _consumer = ring.consumer(&Attach::gated().evictable());
    assert!(matches!(ring.evict(0, PATIENCE), Err(Error::NoProducer)));
    let producer: Producer = ring.producer();
    assert_eq!(ring.evict(0, Duration::ZERO).unwrap(), Evicted::Asked);
    // It dies, or ends, while somebody waits for its answer.
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            drop(producer);
        });
        assert!(matches!(ring.evict(0, PATIENCE), Err(Error::NoProducer)));
    });
    // And its successor is not asked.
    let mut producer = ring.producer();
    for _ in 0..64 {
        producer.try_send(&[1; 56]).unwrap();
    }
    assert_eq!(producer.try_send(&[1; 56]), Err(SendError::Full { slot: 0 }));
}
