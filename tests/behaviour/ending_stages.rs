//! Stages that end, and who may be one: what a follower is told, and how long it waits.

use std::time::Duration;

use quoit::{Attach, Error, RecvError, Start, Status};

use super::stages::{all, journal, logic, next};
use crate::common::soon;
use crate::{Scene, Setup};

crate::behaviours! {
    the_end_waits_for_the_stage,
    a_death_waits_for_the_stage,
    a_stage_that_follows_nobody_any_more,
    a_held_stage_is_waited_for,
    a_stage_that_left_comes_back,
    a_stage_that_is_gone,
    going_on_without_it,
    who_cannot_be_followed,
    a_stage_is_not_forgotten,
    no_circles,
}

fn the_end_waits_for_the_stage(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic());
    sent.send_many(&mut producer, [24; 2]);
    drop(producer);
    assert!(next(&mut journal).is_some());
    assert!(matches!(logic.recv_timeout(Duration::ZERO), Err(RecvError::TimedOut)));
    assert_eq!(logic.status(), Status::Streaming, "the journal has still to release it");
    assert!(next(&mut journal).is_some());
    assert_eq!(next(&mut journal), None);
    assert_eq!(journal.status(), Status::Closed);
    drop(journal);
    assert_eq!(all(&mut logic).len(), 2);
    // The stage has left, but there is nothing to wait for.
    assert_eq!(logic.status(), Status::Closed);
    assert!(matches!(logic.recv(), Err(RecvError::Closed)));
}

fn a_death_waits_for_the_stage(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic());
    sent.send_many(&mut producer, [24]);
    // A ring on the heap has no file in which its producer could leave the traces of a death.
    if ring.path().is_none() {
        return;
    }
    ring.kill_producer(producer);
    assert!(matches!(logic.recv_timeout(Duration::from_millis(5)), Err(RecvError::TimedOut)));
    assert_eq!(logic.status(), Status::Streaming, "the journal has still to release it");
    assert!(next(&mut journal).is_some());
    journal.release();
    assert_eq!(all(&mut logic), [setup.first]);
    assert_eq!(logic.recv_deadline(soon()).err(), Some(RecvError::ProducerGone));
}

/// What it releases from now on has not gone through the stage that it followed.
fn a_stage_that_follows_nobody_any_more(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let _journal = ring.consumer(&journal());
    drop(ring.consumer(&logic().name("logic").hold_forever()));
    let mut answers = ring.consumer(&Attach::gated().after("logic").start(Start::Oldest));
    let mut free = ring.consumer(&Attach::gated().name("logic").start(Start::Oldest).hold_forever());
    sent.send_many(&mut producer, [24]);
    assert!(next(&mut free).is_some());
    free.release();
    assert!(matches!(answers.recv_deadline(soon()), Err(RecvError::StageGone)));
}

fn a_held_stage_is_waited_for(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let attach = journal().hold_forever();
    let mut journal = ring.consumer(&attach);
    let mut logic = ring.consumer(&logic());
    sent.send_many(&mut producer, [24; 3]);
    assert!(next(&mut journal).is_some());
    journal.release();
    drop(journal);
    assert_eq!(all(&mut logic), [setup.first]);
    assert!(matches!(logic.recv_timeout(Duration::from_millis(5)), Err(RecvError::TimedOut)));
    assert_eq!(logic.status(), Status::Streaming);
    let mut journal = ring.consumer(&attach);
    assert_eq!(next(&mut journal), Some(setup.first.wrapping_add(1)));
    assert_eq!(next(&mut journal), Some(setup.first.wrapping_add(2)));
    // The successor knows of the follower.
    assert_eq!(all(&mut logic), [setup.first.wrapping_add(1)]);
    journal.release();
    assert_eq!(all(&mut logic), [setup.first.wrapping_add(2)]);
}

/// Not held, but nothing was overwritten: it goes on where it was, and so do its followers.
fn a_stage_that_left_comes_back(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut first = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic());
    sent.send_many(&mut producer, [24; 2]);
    assert!(next(&mut first).is_some());
    first.release();
    drop(first);
    assert_eq!(all(&mut logic), [setup.first]);
    assert!(matches!(logic.recv(), Err(RecvError::StageGone)));
    assert!(matches!(logic.recv_timeout(Duration::ZERO), Err(RecvError::StageGone)), "told once, and lost");
    let mut second = ring.consumer(&journal());
    assert_eq!(logic.status(), Status::Streaming);
    assert_eq!(next(&mut second), Some(setup.first.wrapping_add(1)));
    second.release();
    assert_eq!(all(&mut logic), [setup.first.wrapping_add(1)]);
}

fn a_stage_that_is_gone(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal().evictable());
    let mut logic = ring.consumer(&logic());
    sent.send_many(&mut producer, [24; 2]);
    assert!(next(&mut journal).is_some());
    journal.release();
    producer.evict(journal.slot()).expect("it may be evicted");
    assert_eq!(all(&mut logic), [setup.first], "what it had released is received");
    let error = logic.recv_deadline(soon()).expect_err("its stage is gone");
    assert_eq!(error, RecvError::StageGone);
    assert!(error.to_string().contains("unfollow"), "{error}");
    assert_eq!(logic.status().to_string(), "stage gone");
    drop((logic, journal));
    match ring.try_consumer(&crate::stages::logic()) {
        Err(error @ Error::NoStage { .. }) => assert!(error.to_string().contains("journal"), "{error}"),
        other => panic!("{other:?}"),
    }
}

fn going_on_without_it(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut journal = ring.consumer(&journal());
    let mut logic = ring.consumer(&logic());
    sent.send_many(&mut producer, [24; 3]);
    assert!(next(&mut journal).is_some());
    journal.release();
    assert_eq!(all(&mut logic), [setup.first]);
    drop(journal);
    assert!(matches!(logic.recv(), Err(RecvError::StageGone)));
    logic.unfollow();
    assert_eq!(all(&mut logic).len(), 2);
    sent.send(&mut producer, 24);
    assert_eq!(all(&mut logic).len(), 1);
    assert_eq!(logic.status(), Status::Streaming);
    drop(producer);
    assert!(matches!(logic.recv(), Err(RecvError::Closed)));
}

fn who_cannot_be_followed(setup: Setup) {
    let ring = setup.ring();
    let follow = |name: &str| ring.try_consumer(&Attach::gated().after(name)).map(drop);
    assert!(matches!(follow("journal"), Err(Error::NoStage { name }) if name == "journal"));
    assert!(matches!(follow(""), Err(Error::BadName { .. })));
    let itself = ring.try_consumer(&Attach::gated().name("x").after("x")).map(drop);
    assert!(matches!(itself, Err(Error::BadOption { .. })), "{itself:?}");
    {
        let _lossy = ring.consumer(&Attach::lossy().name("lossy"));
        let refused = follow("lossy").expect_err("a lossy stage");
        assert!(matches!(refused, Error::NotAStage { .. }), "{refused}");
        assert!(refused.to_string().contains("gated"), "{refused}");
    }
    // Away: it has no gate.
    assert!(matches!(follow("lossy"), Err(Error::NoStage { .. })));
    drop(ring.consumer(&journal()));
    assert!(matches!(follow("journal"), Err(Error::NoStage { .. })));
    drop(ring.consumer(&journal().hold_forever()));
    follow("journal").expect("it is held");
}

fn a_stage_is_not_forgotten(setup: Setup) {
    let ring = setup.ring();
    let attach = journal().hold_forever();
    drop(ring.consumer(&attach));
    let logic = ring.consumer(&logic());
    let door = ring.door();
    match door.forget("journal") {
        Err(error @ Error::NameFollowed { slot, .. }) => {
            assert_eq!(slot, logic.slot());
            assert!(error.to_string().contains("evict"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(door.forget_away(Duration::ZERO).expect("forget"), []);
    let back = ring.consumer(&attach);
    drop((logic, back));
    door.forget("journal").expect("nobody follows it");
}

/// Of two consumers each follows the other under its name. The one that comes back last is bound to a stretch that is over.
fn no_circles(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let a = Attach::gated().name("a").start(Start::Oldest).hold_forever();
    let b = Attach::gated().name("b").start(Start::Oldest).hold_forever();
    drop(ring.consumer(&a));
    let mut second = ring.consumer(&b.clone().after("a"));
    let mut first = ring.consumer(&a.clone().after("b"));
    sent.send(&mut producer, 24);
    assert!(matches!(second.recv(), Err(RecvError::StageGone)), "it waits for one that waits for it");
    assert!(matches!(first.recv_timeout(Duration::ZERO), Err(RecvError::TimedOut)));
    second.unfollow();
    assert!(next(&mut second).is_some());
    second.release();
    assert!(next(&mut first).is_some());
}
