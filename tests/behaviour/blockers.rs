//! Who holds the producer up: told by its errors, by itself, and by the ring.

use std::time::Duration;

use quoit::{Attach, Blocker, Hold, Life, SendError};

use crate::common::{Ring, until};
use crate::{Scene, Setup, while_it_waits};

crate::behaviours! {
    the_one_furthest_back_is_told,
    who_is_in_the_way_is_told_with_all_there_is,
    nobody_is_told_once_it_is_out_of_the_way,
    a_waiting_producer_shows_whom_it_waits_for,
    a_blocker_is_the_living_producers,
    a_remedy_fits,
}

fn shown(ring: &Ring) -> Option<u32> {
    ring.snapshot().blocked.map(|blocker| blocker.slot)
}

fn the_one_furthest_back_is_told(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let _lossy = ring.consumer(&Attach::lossy());
    let mut first = ring.consumer(&Attach::gated());
    let mut second = ring.consumer(&Attach::gated());
    assert!(producer.held_by().is_none() && shown(&ring).is_none());
    sent.fill(&mut producer, 56);
    oracle.take(&sent, &mut first, 1);
    first.release();
    let refused = Err(SendError::Full { slot: second.slot() });
    assert_eq!(producer.try_send(&[1; 56]), refused);
    assert_eq!(producer.held_by().map(|by| by.slot), Some(second.slot()));
    assert_eq!(shown(&ring), Some(second.slot()));
    let mut other = setup.oracle();
    other.take(&sent, &mut second, 2);
    second.release();
    let refused = Err(SendError::TimedOut { slot: first.slot() });
    assert_eq!(producer.send_deadline(&[1; 120], std::time::Instant::now()), refused);
    assert_eq!(producer.held_by().map(|by| by.slot), Some(first.slot()));
    assert_eq!(shown(&ring), Some(first.slot()));
    let text = SendError::Full { slot: 7 }.to_string();
    assert!(text.contains("slot 7"), "{text}");
}

fn who_is_in_the_way_is_told_with_all_there_is(setup: Setup) {
    let deadline = Duration::from_secs(1000);
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let consumer = ring.consumer(&Attach::gated_for(deadline).name("au'dit\n").hold_forever());
    sent.fill(&mut producer, 56);
    std::thread::sleep(Duration::from_millis(5));
    let both = |producer: &quoit::Producer| {
        let by = producer.held_by().expect("it is held up");
        let shown = ring.snapshot().blocked.expect("and it shows");
        let short = Duration::from_millis(4)..Duration::from_secs(500);
        assert!(short.contains(&by.since) && short.contains(&shown.since), "{by:?} {shown:?}");
        let timeless = |mut blocker: Blocker| {
            blocker.since = Duration::ZERO;
            blocker
        };
        let by = timeless(by);
        assert_eq!(by, timeless(shown));
        by
    };
    let by = both(&producer);
    assert_eq!((by.slot, by.name.as_deref(), by.pid), (0, Some("au'dit\n"), std::process::id()));
    assert_eq!((by.life, by.budget, by.hold), (Life::Alive, Some(deadline), Some(Hold::Forever)));
    assert!(by.evictable);
    // Nothing of what is written there reaches a terminal as it is.
    assert_eq!(by.to_string(), format!("slot 0 'au\\'dit\\n' (process {}, alive)", std::process::id()));
    drop(consumer);
    assert_eq!(both(&producer).life, Life::Gone);
}

fn nobody_is_told_once_it_is_out_of_the_way(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for _ in 0..3 {
        sent.fill(&mut producer, 56);
        assert!(producer.held_by().is_some() && shown(&ring).is_some());
        // Before the producer has tried again.
        oracle.keep_up(&sent, &mut consumer);
        assert!(producer.held_by().is_none() && shown(&ring).is_none());
        sent.send(&mut producer, 56);
        assert!(producer.held_by().is_none() && shown(&ring).is_none());
        oracle.keep_up(&sent, &mut consumer);
    }
    // In the way of something that is no longer wanted.
    sent.fill(&mut producer, 56);
    oracle.take(&sent, &mut consumer, 2);
    consumer.release();
    assert!(producer.try_send(&[1; 300]).is_err());
    assert!(producer.held_by().is_some() && shown(&ring).is_some());
    sent.send(&mut producer, 56);
    assert!(producer.held_by().is_none() && shown(&ring).is_none());
    sent.fill(&mut producer, 56);
    drop(consumer);
    assert!(producer.held_by().is_none() && shown(&ring).is_none());
}

fn a_waiting_producer_shows_whom_it_waits_for(setup: Setup) {
    for spins in [0, 500] {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        producer.set_spins(spins);
        let consumer = ring.consumer(&Attach::gated());
        sent.fill(&mut producer, 56);
        let producer = while_it_waits(producer, &[1], || {
            until("it waits for long", || {
                let blocked = ring.snapshot().blocked;
                blocked.is_some_and(|by| by.slot == 0 && by.since > Duration::from_millis(20))
            });
            drop(consumer);
        });
        assert!(producer.held_by().is_none() && shown(&ring).is_none());
    }
}

fn a_blocker_is_the_living_producers(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let _consumer = ring.consumer(&Attach::gated());
    sent.fill(&mut producer, 56);
    assert_eq!(shown(&ring), Some(0));
    drop(producer);
    assert_eq!(shown(&ring), None, "nobody is held up where nobody sends");
    let mut producer = ring.producer();
    assert!(producer.held_by().is_none());
    assert_eq!(shown(&ring), None, "its predecessor was");
    assert!(producer.try_send(&[1; 56]).is_err());
    assert_eq!(shown(&ring), Some(0));
}

fn a_remedy_fits(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let mut sent = setup.sent();
    let pid = std::process::id().to_string();
    let timed = Attach::gated_for(Duration::from_secs(1000)).name("x").hold(Duration::from_secs(1001));
    for (attach, leaves, parts) in [
        (Attach::gated(), false, &[&*pid, "release"][..]),
        (Attach::gated().evictable(), false, &[&*pid, "release", "evict RING --slot 0"][..]),
        (Attach::gated_for(Duration::from_secs(77)), false, &["evict RING --slot 0", "77s"][..]),
        (timed, true, &["1001s", "evict RING --slot 0", "quoit forget"][..]),
    ] {
        let consumer = ring.consumer(&attach);
        sent.fill(&mut producer, 56);
        let kept = (!leaves).then_some(consumer);
        let by = producer.held_by().expect("it is in the way");
        let remedy = by.remedy();
        assert!(parts.iter().all(|part| remedy.contains(part)), "{by}: {remedy}");
        assert_eq!(remedy.contains("evict"), by.evictable, "{remedy}");
        drop(kept);
        if leaves {
            ring.forget("x").unwrap();
        }
    }
}
