//! Names whose consumers are away: for how long, what they have lost by now, and how they are forgotten.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quoit::{Attach, ConsumerState, Error, SendError};
use support::offsets::LEFT;

use crate::common::{PATIENCE, Ring};
use crate::{Scene, Setup};

crate::behaviours_of_files! {
    those_away_for_long_are_forgotten,
    a_killed_one_is_away_from_when_it_was_found_dead,
    a_newcomer_who_finds_no_slot_notes_who_is_gone,
    forgetting_those_away_frees_a_producer,
}

const HOUR: Duration = Duration::from_secs(3600);

/// As if the consumer of this slot had left two hours ago.
fn backdate(ring: &Ring, slot: u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    ring.set_slot(slot, LEFT, (now - 2 * HOUR).as_nanos() as u64);
}

fn those_away_for_long_are_forgotten(setup: Setup) {
    let ring = setup.ring();
    let _producer = ring.producer();
    for name in ["long ago", "just now"] {
        let other = ring.consumer(&Attach::lossy().name("lives"));
        let consumer = ring.consumer(&Attach::gated().name(name));
        assert_eq!(ring.named(name).unwrap().away_for, None, "it lives");
        drop((consumer, other));
    }
    let lives = ring.consumer(&Attach::lossy().name("lives"));
    let long_ago = ring.named("long ago").unwrap();
    assert!(long_ago.away_for.unwrap() < PATIENCE);
    backdate(&ring, long_ago.slot);
    let away_for = ring.named("long ago").unwrap().away_for.unwrap();
    assert!((2 * HOUR..2 * HOUR + PATIENCE).contains(&away_for), "{away_for:?}");

    let forgotten = ring.forget_away(HOUR).unwrap();
    assert_eq!((forgotten.len(), &forgotten[0].name[..], forgotten[0].slot), (1, "long ago", long_ago.slot));
    assert!(forgotten[0].away_for.unwrap() >= 2 * HOUR);
    assert!(ring.named("long ago").is_none());
    let forgotten = ring.forget_away(Duration::ZERO).unwrap();
    assert_eq!(forgotten.iter().map(|it| &it.name[..]).collect::<Vec<_>>(), ["just now"]);
    assert_eq!(ring.forget_away(Duration::ZERO).unwrap(), []);
    assert!(ring.named("lives").unwrap().alive);
    drop(lives);
}

fn a_killed_one_is_away_from_when_it_was_found_dead(setup: Setup) {
    let ring = setup.ring();
    let _producer = ring.producer();
    let attach = Attach::gated().name("killed");
    ring.kill_consumer(ring.consumer(&attach));
    assert_eq!(ring.named("killed").unwrap().away_for, None, "nobody knows");
    assert_eq!(ring.forget_away(HOUR).unwrap(), []);
    assert!(ring.named("killed").unwrap().away_for.unwrap() < PATIENCE);
    // It comes back, and is killed again: not the time from before counts.
    let consumer = ring.consumer(&attach);
    assert!(consumer.resumed().is_some());
    let slot = consumer.slot();
    ring.kill_consumer(consumer);
    assert_eq!(ring.forget_away(HOUR).unwrap(), []);
    backdate(&ring, slot);
    assert_eq!(ring.forget_away(HOUR).unwrap()[0].name, "killed");
    ring.kill_consumer(ring.consumer(&attach));
    let forgotten = ring.forget_away(Duration::ZERO).unwrap();
    assert_eq!((forgotten.len(), forgotten[0].away_for), (1, None));
}

fn a_newcomer_who_finds_no_slot_notes_who_is_gone(setup: Setup) {
    let ring = setup.ring();
    let _producer = ring.producer();
    let lives = ring.consumer(&Attach::lossy().name("lives"));
    for pod in ["pod-1", "pod-2", "pod-3"] {
        ring.kill_consumer(ring.consumer(&Attach::lossy().name(pod)));
    }
    let refused = ring.try_consumer(&Attach::lossy().name("pod-4")).err().unwrap();
    assert!(matches!(refused, Error::SlotsTaken { slots: 4, saved: 3 }));
    assert!(refused.to_string().contains("--away-for"), "{refused}");
    let infos = ring.snapshot().consumers;
    assert_eq!(infos.iter().filter(|info| info.away_for.is_some()).count(), 3);
    for info in infos.iter().filter(|info| !info.alive) {
        backdate(&ring, info.slot);
    }
    assert_eq!(ring.forget_away(HOUR).unwrap().len(), 3);
    drop(ring.consumer(&Attach::lossy().name("pod-4")));
    drop(lives);
}

fn forgetting_those_away_frees_a_producer(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    drop(ring.consumer(&Attach::gated().name("held").hold_forever()));
    sent.fill(&mut producer, 56);
    assert_eq!(producer.try_send(&[]), Err(SendError::Full { slot: 0 }));
    assert_eq!(ring.named("held").unwrap().state, ConsumerState::Gated);
    assert_eq!(ring.forget_away(Duration::ZERO).unwrap().len(), 1, "held or not");
    producer.try_send(&[]).unwrap();
}
