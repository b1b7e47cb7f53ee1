//! Stages: a follower receives what its stage has released, and nothing else.

use std::time::{Duration, Instant};

use quoit::{Attach, Conflate, Consumer, Error, Event, LossCause, RecvError, Start, Status, WaitSet, Watch};

use crate::common::{payload, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    only_what_was_released,
    from_where_the_stage_began,
    what_a_stage_keeps_is_not_passed_on,
    several_followers_and_a_chain,
    a_lossy_follower_is_told_what_it_lost,
    nothing_that_the_stage_lost,
    a_batch_goes_through,
    the_newest_of_what_was_released,
    a_follower_that_comes_late_is_noticed,
    waiting_in_a_set,
    a_follower_resumes,
    what_the_stage_lost_while_away,
    what_is_shown,
}

pub(crate) fn journal() -> Attach {
    Attach::gated().name("journal").start(Start::Oldest)
}

pub(crate) fn logic() -> Attach {
    Attach::gated().after("journal").start(Start::Oldest)
}

/// The next record, without waiting, by its sequence.
pub(crate) fn next(consumer: &mut Consumer) -> Option<u64> {
    match consumer.try_recv().expect("try")? {
        Event::Record(record) => {
            assert_eq!(record.to_vec(), payload(record.sequence(), record.len()), "torn or foreign payload");
            Some(record.sequence())
        }
        event => panic!("{event}"),
    }
}

/// All that there is, without waiting.
pub(crate) fn all(consumer: &mut Consumer) -> Vec<u64> {
    std::iter::from_fn(|| next(consumer)).collect()
}

fn only_what_was_released(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic());
    let first = setup.first;
    // Many laps.
    for sequence in (0..400).map(|number| first.wrapping_add(number)) {
        sent.send(&mut producer, 40 + (sequence % 100) as usize);
        assert_eq!(next(&mut logic), None, "the journal has not seen it");
        assert_eq!(next(&mut journal), Some(sequence));
        assert_eq!(next(&mut logic), None, "the journal has it in hand");
        if sequence % 2 == 0 {
            journal.release();
        } else {
            assert_eq!(next(&mut journal), None);
        }
        assert_eq!(next(&mut logic), Some(sequence));
        assert_eq!(next(&mut logic), None);
    }
}

/// What was published before the stage attached has not gone through it.
fn from_where_the_stage_began(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let first = setup.first;
    sent.send_many(&mut producer, [24; 3]);
    let mut journal = ring.consumer(&Attach::gated().name("journal"));
    sent.send_many(&mut producer, [24; 2]);
    assert_eq!(next(&mut journal), Some(first.wrapping_add(3)));
    assert_eq!(next(&mut journal), Some(first.wrapping_add(4)));
    let starts = [Start::Oldest, Start::Last(4), Start::Sequence(first.wrapping_add(3)), Start::Newest];
    for (start, expected) in starts.into_iter().zip([3, 3, 3, 5]) {
        let follower = ring.consumer(&Attach::lossy().after("journal").start(start));
        assert_eq!(follower.next_sequence(), first.wrapping_add(expected), "{start}");
    }
    let asked = first.wrapping_add(2);
    match ring.try_consumer(&Attach::lossy().after("journal").start(Start::Sequence(asked))) {
        Err(Error::StartGone { asked: told, oldest, next }) => {
            assert_eq!((told, oldest, next), (asked, asked.wrapping_add(1), first.wrapping_add(5)));
        }
        other => panic!("{other:?}"),
    }
}

/// A journal that writes several records, and syncs them together.
fn what_a_stage_keeps_is_not_passed_on(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    journal.keep(true);
    let mut logic = ring.consumer(&logic());
    let first = setup.first;
    for batch in 0..20 {
        sent.send_many(&mut producer, [30; 5]);
        let expected: Vec<_> = (0..5).map(|number| first.wrapping_add(5 * batch + number)).collect();
        assert_eq!(all(&mut journal), expected);
        assert_eq!(all(&mut logic), [0; 0], "the journal has not released it");
        journal.release();
        assert_eq!(all(&mut logic), expected);
    }
}

fn several_followers_and_a_chain(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic().name("logic"));
    let mut copies = ring.consumer(&Attach::lossy().after("journal").start(Start::Oldest));
    let mut answers = ring.consumer(&Attach::gated().after("logic").start(Start::Oldest));
    let first = setup.first;
    for sequence in (0..200).map(|number| first.wrapping_add(number)) {
        sent.send(&mut producer, 56);
        assert_eq!(next(&mut journal), Some(sequence));
        assert_eq!((next(&mut logic), next(&mut copies), next(&mut answers)), (None, None, None));
        journal.release();
        assert_eq!(next(&mut answers), None);
        assert_eq!((next(&mut copies), next(&mut logic)), (Some(sequence), Some(sequence)));
        assert_eq!(next(&mut answers), None);
        logic.release();
        assert_eq!(next(&mut answers), Some(sequence));
    }
}

fn a_lossy_follower_is_told_what_it_lost(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut slow = ring.consumer(&Attach::lossy().after("journal").start(Start::Oldest));
    for _ in 0..300 {
        sent.send(&mut producer, 56);
        while journal.try_recv().expect("try").is_some() {}
    }
    // What it is behind of is still as far as the stage has come.
    sent.send_many(&mut producer, [56; 3]);
    while let Some(event) = slow.try_recv().expect("try") {
        oracle.feed(&sent, event);
    }
    assert!(oracle.lost() > 200, "{} lost", oracle.lost());
    assert_eq!(slow.next_sequence(), setup.first.wrapping_add(300));
    while journal.try_recv().expect("try").is_some() {}
    while let Some(event) = slow.try_recv().expect("try") {
        oracle.feed(&sent, event);
    }
    assert_eq!(slow.next_sequence(), setup.first.wrapping_add(303));
}

/// A stage that lost its gate skips records that are still there. Its followers do not receive those.
fn nothing_that_the_stage_lost(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal().evictable());
    let mut logic = ring.consumer(&Attach::lossy().after("journal").start(Start::Oldest));
    sent.send(&mut producer, 56);
    assert!(next(&mut journal).is_some());
    journal.release();
    producer.evict(journal.slot()).expect("it may be evicted");
    sent.send_many(&mut producer, [56; 200]);
    // The follower is lapped first, and so goes on further back.
    assert!(matches!(logic.try_recv().expect("try"), Some(Event::Lost(_))));
    sent.send_many(&mut producer, [56; 4]);
    assert!(matches!(journal.try_recv().expect("try"), Some(Event::Evicted)));
    assert!(matches!(journal.try_recv().expect("try"), Some(Event::Lost(_))));
    assert!(after(journal.next_sequence(), logic.next_sequence()), "nothing to see here");
    assert!(next(&mut journal).is_some());
    journal.release();
    assert_eq!(next(&mut logic), None, "the stage has lost it");
    assert_eq!(logic.status(), Status::StageGone);
}

fn after(a: u64, b: u64) -> bool {
    a.wrapping_sub(b) as i64 > 0
}

fn a_batch_goes_through(setup: Setup) {
    let Scene { ring, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic());
    let (mut sending, mut sequence) = (setup.first, setup.first);
    for turn in 0..60_usize {
        let count = turn % 20 + 1;
        let mut batch = producer.batch();
        for _ in 0..count {
            batch.send(&payload(sending, 40)).expect("there is room");
            sending = sending.wrapping_add(1);
        }
        batch.publish();
        assert_eq!(logic.drain(usize::MAX, |event| panic!("{event}")).expect("drain"), 0);
        assert_eq!(journal.drain(usize::MAX, |_| {}).expect("drain"), count);
        journal.release();
        let drained = logic.drain(usize::MAX, |event| {
            let record = event.record().expect("a record");
            assert_eq!((record.sequence(), record.to_vec()), (sequence, payload(sequence, 40)));
            sequence = sequence.wrapping_add(1);
        });
        assert_eq!(drained.expect("drain"), count);
    }
}

fn the_newest_of_what_was_released(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut newest = ring.consumer(&Attach::lossy().after("journal").start(Start::Oldest));
    let each = ring.consumer(&Attach::lossy().after("journal").start(Start::Oldest));
    let mut each = Conflate::new(each, 4, |_| ());
    let first = setup.first;
    sent.send_many(&mut producer, [40; 30]);
    for _ in 0..20 {
        assert!(next(&mut journal).is_some());
    }
    journal.release();
    let record = newest.latest(|event| panic!("{event}")).expect("try").expect("a record");
    assert_eq!(record.sequence(), first.wrapping_add(19));
    assert_eq!(newest.skipped().records, 19);
    assert!(newest.latest(|_| {}).expect("try").is_none());
    let sequences: Vec<_> =
        each.try_recv(|_| {}).expect("try").iter().map(|newest| newest.sequence).collect();
    assert_eq!(sequences, [first.wrapping_add(19)]);
}

/// A stage that takes record after record the fast way, and releases each with the next, has not stored its cursor yet.
fn a_follower_that_comes_late_is_noticed(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let first = setup.first;
    sent.send_many(&mut producer, [8; 20]);
    for _ in 0..3 {
        assert!(next(&mut journal).is_some());
    }
    let mut logic = ring.consumer(&logic());
    assert_eq!(next(&mut logic), None);
    for number in 0..17 {
        let sequence = first.wrapping_add(number);
        assert_eq!(next(&mut journal), Some(sequence.wrapping_add(3)));
        if number == 0 {
            assert_eq!(all(&mut logic), [0, 1, 2].map(|number| first.wrapping_add(number)));
        } else {
            assert_eq!(all(&mut logic), [sequence.wrapping_add(2)]);
        }
    }
}

fn waiting_in_a_set(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic());
    let mut set = WaitSet::new();
    sent.send_many(&mut producer, [24; 2]);
    assert!(set.wait_timeout(&mut [&mut logic], Duration::ZERO).is_empty(), "the journal has not seen it");
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(3));
            assert!(next(&mut journal).is_some());
            journal.release();
        });
        assert!(set.wait_deadline(&mut [&mut logic], soon()).contains(0));
        working.join().expect("the journal");
    });
    assert_eq!(all(&mut logic), [setup.first]);
    let (events, told) = std::sync::mpsc::channel();
    let mut watch = Watch::new(move || events.send(()).unwrap_or_default()).expect("a watch");
    assert!(watch.arm(&mut [&mut logic]).expect("arm").is_empty());
    assert!(next(&mut journal).is_some());
    journal.release();
    told.recv_timeout(soon() - Instant::now()).expect("it is told");
    assert_eq!(all(&mut logic), [setup.first.wrapping_add(1)]);
    drop(journal);
    assert!(set.wait_deadline(&mut [&mut logic], soon()).contains(0), "its stage has left");
    assert!(matches!(logic.recv(), Err(RecvError::StageGone)));
}

fn a_follower_resumes(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let attach = logic().name("logic");
    let mut logic = ring.consumer(&attach);
    let first = setup.first;
    sent.send_many(&mut producer, [24; 4]);
    for _ in 0..2 {
        assert!(next(&mut journal).is_some());
    }
    journal.release();
    assert_eq!(next(&mut logic), Some(first));
    logic.release();
    drop(logic);
    let mut logic = ring.consumer(&attach);
    assert_eq!(logic.resumed().map(|resumed| resumed.sequence), Some(first.wrapping_add(1)));
    assert_eq!(all(&mut logic), [first.wrapping_add(1)]);
    drop(logic);
    // The journal loses what is overwritten, and some more; so does its follower when it comes back.
    drop(journal);
    sent.send_many(&mut producer, [56; 200]);
    let mut journal = ring.consumer(&self::journal());
    assert!(matches!(journal.try_recv().expect("try"), Some(Event::Lost(_))));
    let began = journal.next_sequence();
    sent.send(&mut producer, 24);
    while next(&mut journal).is_some() {}
    let mut logic = ring.consumer(&attach);
    match logic.try_recv().expect("try") {
        Some(Event::Lost(loss)) => {
            assert_eq!((loss.first, loss.cause), (first.wrapping_add(2), LossCause::Away));
            assert!(!after(began, loss.next), "{loss}: the journal began again at {began}");
        }
        other => panic!("{other:?}"),
    }
    let rest = all(&mut logic);
    assert_eq!(rest.last(), Some(&sent.next().wrapping_sub(1)));
}

/// A stage that was away and not held resumes at the newest record here. What it has lost is still in the ring, since its
/// follower is held.
fn what_the_stage_lost_while_away(setup: Setup) {
    let ring = setup.backing.ring(&setup.options().gated_only(true));
    let (mut producer, mut sent) = (ring.producer(), setup.sent());
    let journal = Attach::gated().name("journal");
    let attach = Attach::gated().name("logic").after("journal").hold_forever();
    let first = setup.first;
    let mut stage = ring.consumer(&journal);
    let mut logic = ring.consumer(&attach);
    sent.send_many(&mut producer, [24; 4]);
    for _ in 0..2 {
        assert!(next(&mut stage).is_some());
    }
    stage.release();
    assert_eq!(next(&mut logic), Some(first));
    logic.release();
    drop((stage, logic));
    let mut stage = ring.consumer(&journal);
    let mut logic = ring.consumer(&attach);
    let lost = logic.resumed().and_then(|resumed| resumed.lost).expect("the stage has lost two");
    assert_eq!((lost.first, lost.records, lost.next), (first.wrapping_add(1), 3, first.wrapping_add(4)));
    assert!(matches!(logic.try_recv().expect("try"), Some(Event::Lost(loss)) if loss == lost));
    assert_eq!(logic.account().away, 3);
    assert!(matches!(stage.try_recv().expect("try"), Some(Event::Lost(loss)) if loss.records == 2));
    sent.send(&mut producer, 24);
    assert_eq!(next(&mut stage), Some(first.wrapping_add(4)));
    stage.release();
    assert_eq!(all(&mut logic), [first.wrapping_add(4)]);
}

fn what_is_shown(setup: Setup) {
    let ring = setup.ring();
    let stage = ring.consumer(&journal());
    let _logic = ring.consumer(&logic().name("logic"));
    assert_eq!(ring.named("journal").expect("it is there").after, None);
    let shown = ring.named("logic").and_then(|logic| logic.after).expect("it follows");
    assert_eq!((shown.slot, shown.name.as_deref(), shown.stands), (0, Some("journal"), true));
    drop(stage);
    until("it is shown", || {
        let shown = ring.named("logic").and_then(|logic| logic.after).expect("it follows");
        !shown.stands
    });
}
