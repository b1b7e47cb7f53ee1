//! Names that are away and held: from when their time runs, and until when.

use std::time::{Duration, Instant};

use quoit::{Attach, ConsumerState, SendError};

use crate::common::{payload, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    a_hold_begins_when_its_consumer_has_left,
    a_hold_begins_anew_after_its_gate_was_out_of_the_way,
    what_is_left_of_a_hold_is_told,
}

const HOLD: Duration = Duration::from_millis(60);

/// Not when it was first in the way, while it lived.
fn a_hold_begins_when_its_consumer_has_left(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let consumer = ring.consumer(&Attach::gated().name("x").hold(HOLD));
    sent.fill(&mut producer, 56);
    std::thread::sleep(HOLD * 2);
    assert_eq!(producer.try_send(&[1; 56]), Err(SendError::Full { slot: 0 }), "it lives");
    let begin = Instant::now();
    drop(consumer);
    producer.send_deadline(&payload(sent.next(), 56), soon()).expect("its hold runs out");
    assert!(begin.elapsed() >= HOLD, "held for {:?}", begin.elapsed());
    let after = ring.snapshot();
    assert_eq!((after.reclaims, after.evictions), (1, 0));
    assert_eq!(ring.named("x").unwrap().state, ConsumerState::Away);
}

fn a_hold_begins_anew_after_its_gate_was_out_of_the_way(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    // So that the ring ends nowhere near.
    sent.send_many(&mut producer, [56; 8]);
    drop(ring.consumer(&Attach::gated().name("x").hold(HOLD)));
    sent.send_many(&mut producer, [56; 56]);
    // 512 bytes are left.
    assert_eq!(producer.try_send(&[1; 600]), Err(SendError::Full { slot: 0 }));
    sent.send(&mut producer, 56);
    std::thread::sleep(HOLD * 2);
    // It let the last record through, so this is the first time that it is in the way.
    let begin = Instant::now();
    assert_eq!(producer.try_send(&[1; 600]), Err(SendError::Full { slot: 0 }), "held for no time at all");
    producer.send_deadline(&payload(sent.next(), 600), soon()).expect("its hold runs out");
    assert!(begin.elapsed() >= HOLD, "held for {:?}", begin.elapsed());
}

fn what_is_left_of_a_hold_is_told(setup: Setup) {
    let hold = Duration::from_secs(3600);
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let timed = ring.consumer(&Attach::gated().name("timed").hold(hold));
    let forever = ring.consumer(&Attach::gated().name("forever").hold_forever());
    sent.fill(&mut producer, 56);
    assert_eq!(ring.named("timed").unwrap().hold_left, None, "it is here");
    drop((timed, forever));
    let left = || ring.named("timed").unwrap().hold_left.expect("it is away and held for a time");
    assert_eq!(left(), hold, "nobody is held up yet");
    // A producer that does not wait looks once a millisecond who is away.
    until("it runs", || producer.try_send(&[1; 56]).is_err() && left() < hold);
    let first = left();
    std::thread::sleep(Duration::from_millis(5));
    assert!(left() < first, "it goes on running");
    assert!(left() > hold / 2);
    assert_eq!(ring.named("forever").unwrap().hold_left, None, "it has no end");
    // The next producer goes by its own clock, from when it is held up itself.
    drop(producer);
    let mut producer = ring.producer();
    assert_eq!(left(), hold);
    until("it runs again", || producer.try_send(&[1; 56]).is_err() && left() < hold);
    // Back, and away again: it has all of it.
    let back = ring.consumer(&Attach::gated().name("timed").hold(hold));
    assert_eq!(ring.named("timed").unwrap().hold_left, None);
    drop(back);
    assert_eq!(left(), hold);
}
