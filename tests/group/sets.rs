//! A member that waits together with other things.

use std::thread;
use std::time::Duration;

use quoit::{GroupError, GroupEvent, GroupMember, WaitSet};

use crate::{Scene, nothing, receive, send, workers};

fn is_ready(member: &mut GroupMember) -> bool {
    WaitSet::new().wait_timeout(&mut [member], Duration::ZERO).contains(0)
}

#[test]
fn ready_is_what_it_may_take() {
    let scene = Scene::new();
    let group = workers().limit(2);
    let (mut first, mut second) = (scene.join(&group), scene.join(&group));
    let mut producer = scene.ring().producer().expect("a producer");
    assert!(!is_ready(&mut first));
    send(&mut producer, 0, 3);
    assert!(is_ready(&mut first) && is_ready(&mut second));
    let ids = [receive(&mut first).2, receive(&mut first).2];
    // It has as many as it may have; the other may have what is left.
    assert!(!is_ready(&mut first) && is_ready(&mut second));
    let third = receive(&mut second).2;
    assert!(!is_ready(&mut second));
    first.nack(ids[1]).expect("its own");
    assert!(is_ready(&mut first) && is_ready(&mut second));
    let again = receive(&mut second).2;
    assert_eq!(again.sequence(), 1);
    first.ack(ids[0]).expect("its own");
    // The end is that once nothing is left that another may give back.
    drop(producer);
    // A try finds that nothing is left of what was given back.
    nothing(&mut first);
    assert!(!is_ready(&mut first));
    second.ack(again).expect("its own");
    second.ack(third).expect("its own");
    assert!(is_ready(&mut first), "the end");
    assert!(!is_ready(&mut first), "at most once in 100 ms");
    thread::sleep(Duration::from_millis(110));
    assert!(is_ready(&mut first));
    assert!(matches!(first.recv_timeout(Duration::ZERO), Err(GroupError::Closed)));
    thread::sleep(Duration::from_millis(110));
    assert!(!is_ready(&mut first), "it was told");
    // Another producer goes on.
    send(&mut scene.ring().producer().expect("the next"), 3, 4);
    assert!(is_ready(&mut first));
    let id = receive(&mut first).2;
    first.ack(id).expect("its own");
    nothing(&mut first);
}

/// Records that were taken together are handed out one after the other, and then the set sleeps.
#[test]
fn the_rest_of_a_lease_is_ready() {
    let scene = Scene::new();
    let (mut first, mut second) = (scene.join(&workers()), scene.join(&workers()));
    let mut producer = scene.ring().producer().expect("a producer");
    send(&mut producer, 0, 3);
    let mut ids = Vec::new();
    first
        .recv_up_to(3, |event| match event {
            GroupEvent::Job(job) => ids.push(job.id()),
            other => panic!("{other:?}"),
        })
        .expect("three");
    ids.iter().for_each(|id| first.nack(*id).expect("its own"));
    // They come back together.
    let id = receive(&mut second).2;
    for sequence in 1..3 {
        assert!(is_ready(&mut second));
        let next = receive(&mut second).2;
        assert_eq!(next.sequence(), sequence);
        second.ack(next).expect("its own");
    }
    nothing(&mut second);
    assert!(!is_ready(&mut second));
    second.ack(id).expect("its own");
}

#[test]
fn a_set_is_woken() {
    for what in ["a record", "what comes back", "the end"] {
        let scene = Scene::new();
        let (mut first, mut second) = (scene.join(&workers()), scene.join(&workers()));
        let mut producer = scene.ring().producer().expect("a producer");
        send(&mut producer, 0, 1);
        let id = receive(&mut first).2;
        let waiting = thread::spawn(move || {
            let mut set = WaitSet::new();
            set.set_spins(0);
            assert!(set.wait_timeout(&mut [&mut second], Duration::from_secs(60)).contains(0));
            second
        });
        thread::sleep(Duration::from_millis(20));
        match what {
            "a record" => send(&mut producer, 1, 2),
            "what comes back" => first.nack(id).expect("its own"),
            _ => {
                drop(producer);
                first.ack(id).expect("its own");
            }
        }
        let mut second = waiting.join().expect("a member");
        match second.recv_timeout(Duration::ZERO) {
            Ok(GroupEvent::Job(job)) => assert_ne!(what, "the end", "{job:?}"),
            Err(GroupError::Closed) => assert_eq!(what, "the end"),
            other => panic!("{what}: {other:?}"),
        }
    }
}
