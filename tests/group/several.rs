//! Records that a member takes together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use quoit::{GroupError, GroupEvent, GroupMember};

use crate::{CAPACITY, Scene, nothing, receive, send, take, workers};

/// A member that has a record before it gets several, so that these are read in place.
fn joined(scene: &Scene, producer: &mut quoit::Producer) -> GroupMember {
    let mut member = scene.join(&workers());
    send(producer, 0, 1);
    let first = receive(&mut member).2;
    member.ack(first).expect("its own");
    member
}

#[test]
fn a_panic_loses_no_record_and_repeats_none() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = joined(&scene, &mut producer);
    send(&mut producer, 1, 6);
    let mut received = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        member.recv_up_to(5, |event| match event {
            GroupEvent::Job(job) => {
                received.push(job.sequence());
                job.ack().expect("its own");
                assert_ne!(received.len(), 2, "on purpose");
            }
            other => panic!("{other:?}"),
        })
    }));
    assert!(panicked.is_err());
    let rest = member.recv_up_to(5, |event| match event {
        GroupEvent::Job(job) => {
            received.push(job.sequence());
            job.ack().expect("its own");
        }
        other => panic!("{other:?}"),
    });
    assert_eq!((rest.expect("a record"), received), (3, vec![1, 2, 3, 4, 5]));
    assert_eq!(member.unacknowledged(), 0);
    nothing(&mut member);
}

/// Records of many lengths, over several laps: leases go on behind padding and the end of the ring.
#[test]
fn leases_pass_the_end_of_the_ring() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = joined(&scene, &mut producer);
    let (mut sent, mut next, mut bytes) = (1_u64, 1_u64, 0_u64);
    while bytes < 8 * CAPACITY {
        for _ in 0..7 {
            let len = 8 + (sent * 37 % 90) as usize;
            let mut payload = vec![sent as u8; len];
            payload[..8].copy_from_slice(&sent.to_le_bytes());
            producer.try_send(&payload).expect("room");
            sent += 1;
            bytes += len as u64;
        }
        while next < sent {
            member
                .recv_up_to(7, |event| match event {
                    GroupEvent::Job(job) => {
                        let payload = job.record().to_vec();
                        assert_eq!(job.sequence(), next);
                        assert_eq!(payload.len(), 8 + (next * 37 % 90) as usize);
                        assert_eq!(payload[..8], next.to_le_bytes());
                        assert!(
                            payload[8..].iter().all(|byte| *byte == next as u8),
                            "torn or foreign payload"
                        );
                        job.ack().expect("its own");
                        next += 1;
                    }
                    other => panic!("{other:?}"),
                })
                .expect("records");
        }
    }
    assert_eq!(member.unacknowledged(), 0);
}

/// Acknowledges all that it has, which is so many.
fn ack_all(member: &GroupMember, records: u32) {
    assert_eq!(member.ack_all().expect("its own"), records);
    assert_eq!(member.ack_all().expect("nothing"), 0);
}

#[test]
fn all_that_was_received_is_done_at_once() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = joined(&scene, &mut producer);
    ack_all(&member, 0);
    send(&mut producer, 1, 9);
    // They belong to two leases, and one of them is acknowledged already.
    assert_eq!(take(&mut member, 3).len(), 3);
    let ids = take(&mut member, 3);
    assert_eq!(ids.len(), 3);
    member.ack(ids[1]).expect("its own");
    ack_all(&member, 5);
    assert!(matches!(member.ack(ids[0]), Err(GroupError::NotLeased { sequence: 4 })));
    assert_eq!(member.unacknowledged(), 0);
    // `ack_all` leaves out what was given back, and what was not handed out yet.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        member.recv_up_to(2, |event| match event {
            GroupEvent::Job(job) => {
                job.nack().expect("its own");
                panic!("on purpose");
            }
            other => panic!("{other:?}"),
        })
    }));
    assert!(panicked.is_err());
    ack_all(&member, 0);
    assert_eq!(member.unacknowledged(), 1);
    assert_eq!(receive(&mut member).0, 8);
    ack_all(&member, 1);
    let (sequence, deliveries, _) = receive(&mut member);
    assert_eq!((sequence, deliveries), (7, 2));
    ack_all(&member, 1);
    nothing(&mut member);
}

#[test]
fn what_is_anothers_by_now_is_not_done() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let group = workers().lease_time(Duration::from_millis(5));
    let (mut slow, mut other) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 2);
    assert_eq!(receive(&mut slow).0, 0);
    assert_eq!(receive(&mut slow).0, 1);
    let Ok(GroupEvent::Job(job)) = other.recv_timeout(Duration::from_secs(20)) else {
        panic!("it was out for too long");
    };
    assert_eq!(job.sequence(), 0);
    ack_all(&slow, 1);
    ack_all(&other, 1);
    assert_eq!((slow.unacknowledged(), other.unacknowledged()), (0, 0));
    nothing(&mut other);
}

#[test]
fn records_taken_together_come_back_together() {
    let scene = Scene::new();
    let (mut producer, mut first, mut second) = scene.two();
    send(&mut producer, 0, 40);
    let ids = take(&mut first, 100);
    assert_eq!((ids.len(), first.unacknowledged()), (32, 32));
    assert!(ids.iter().enumerate().all(|(number, id)| id.sequence() == number as u64));
    first.nack(ids[3]).expect("its own");
    first.nack(ids[31]).expect("its own");
    for id in ids.iter().filter(|id| ![3, 31].contains(&id.sequence())) {
        assert_eq!(second.unacknowledged(), 0);
        first.ack(*id).expect("its own");
    }
    let mut again = Vec::new();
    let count = second.recv_up_to(32, |event| match event {
        GroupEvent::Job(job) => again.push((job.record().read::<u64>().unwrap(), job.deliveries())),
        other => panic!("{other:?}"),
    });
    assert_eq!((count.expect("records"), again), (2, vec![(3, 2), (31, 2)]));
    assert_eq!((first.unacknowledged(), second.unacknowledged()), (0, 2));
}

/// What is done of a lease that comes back may be overwritten as soon as the rest is done.
#[test]
fn the_end_of_a_lease_may_be_overwritten() {
    let scene = Scene::new();
    let (mut producer, mut first, mut second) = scene.two();
    let room = CAPACITY / 16;
    send(&mut producer, 0, room);
    let ids = take(&mut first, 3);
    assert_eq!(ids.len(), 3);
    first.ack(ids[1]).expect("its own");
    first.ack(ids[2]).expect("its own");
    first.nack(ids[0]).expect("its own");
    let (number, deliveries, id) = receive(&mut second);
    assert_eq!((number, deliveries), (0, 2));
    second.ack(id).expect("its own");
    nothing_is_left_but(&mut first, 3..room);
    send(&mut producer, room, room + 5);
    assert_eq!(receive(&mut second).0, room);
}

/// Receives these, acknowledges them, and lets the gate move.
fn nothing_is_left_but(member: &mut GroupMember, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let (found, _, id) = receive(member);
        assert_eq!(found, number);
        member.ack(id).expect("its own");
    }
    assert!(matches!(member.recv_timeout(Duration::from_millis(1)), Err(GroupError::TimedOut)));
}
