//! Groups that do not hold the producer up for good: what they lose is told, and the rest is done.

use std::borrow::Cow;
use std::time::Duration;

use quoit::{
    Error, Group, GroupError, GroupEvent, GroupMember, Inspector, JobId, Life, Lost, Producer, SendError,
};

use crate::{CAPACITY, Scene, nothing, receive, send, workers};

/// Records of a number that fit the ring.
const FITS: u64 = CAPACITY / 16;

/// Receives what there is: acknowledges records, and counts what is lost.
fn drain(member: &mut GroupMember) -> (u64, u64) {
    let (mut done, mut lost) = (0, 0);
    while let Some(event) = member.try_recv().expect("try") {
        match event {
            GroupEvent::Job(job) => {
                let (number, bytes) = (job.sequence().to_le_bytes(), job.record().to_vec());
                let is_whole = !bytes.is_empty() && bytes.chunks(8).all(|word| word == number);
                assert!(is_whole, "torn or foreign payload");
                job.ack().expect("its own");
                done += 1;
            }
            GroupEvent::Lost(told) => {
                lost += told.records;
                assert!(told.records <= told.next - told.first, "{told:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    (done, lost)
}

fn is_full(producer: &mut Producer) -> bool {
    matches!(producer.try_send(&[0; 8]), Err(SendError::Full { .. }))
}

#[test]
fn a_lossy_group_never_holds_the_producer_up() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&workers().lossy());
    send(&mut producer, 0, 5);
    let first = receive(&mut member).2;
    // Three laps.
    send(&mut producer, 5, 3 * FITS);
    // What it has is its own still, and the rest was overwritten or is there.
    member.ack(first).expect("its own");
    let (done, lost) = drain(&mut member);
    assert_eq!(done + lost + 1, 3 * FITS);
    assert!(done > FITS / 2 && lost >= 2 * FITS - 1, "{done} done, {lost} lost");
}

#[test]
fn what_a_member_has_is_copied() {
    let scene = Scene::new();
    for group in [workers().lossy(), Group::new("others").gated_for(Duration::from_millis(1))] {
        let mut producer = scene.ring().producer().expect("a producer");
        let mut member = scene.join(&group);
        producer.send(&[7; 8]).expect("send");
        let job = member.recv_job(|event| panic!("{event:?}")).expect("a record");
        for _ in 0..2 * FITS {
            producer.send(&[8; 8]).expect("nobody is in the way for long");
        }
        assert_eq!(job.record().to_vec(), [7; 8], "overwritten while a member has it");
        job.ack().expect("its own");
    }
}

/// A group has several processes, and the one that joined last says nothing about who is in the way.
#[test]
fn a_group_that_holds_the_producer_up_is_told_as_one() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&workers());
    send(&mut producer, 0, FITS);
    let kept = receive(&mut member).2;
    assert!(is_full(&mut producer));
    let by = producer.held_by().expect("it is held up");
    let snapshot = Inspector::open(scene.path()).expect("open").snapshot().expect("a snapshot");
    assert_eq!(snapshot.consumers[0].pid, 0);
    for by in [&by, snapshot.blocked.as_ref().expect("and it shows")] {
        assert_eq!((by.is_group, by.pid, by.life), (true, 0, Life::Alive));
        assert_eq!(by.to_string(), "slot 0 'workers' (a group, alive)");
        let remedy = by.remedy();
        assert!(remedy.contains("oldest record") && !remedy.contains("process"), "{remedy}");
    }
    let refused = producer.evict(0).expect_err("it was promised that nothing is overwritten").to_string();
    assert!(refused.contains("end its members") && !refused.contains("process"), "{refused}");
    member.ack(kept).expect("its own");
}

/// A record from before the gate held comes back to a member that has read later ones where they are.
#[test]
fn what_comes_back_from_before_the_gate_is_copied() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut first = scene.join(&workers());
    send(&mut producer, 0, 2);
    let early = receive(&mut first).2;
    let mut second = scene.join(&workers());
    let is_copied = |member: &mut GroupMember| {
        let job = member.recv_job(|event| panic!("{event:?}")).expect("a record");
        let is_copied = matches!(job.record().bytes(), Cow::Borrowed(_));
        job.ack().expect("its own");
        is_copied
    };
    assert!(is_copied(&mut second), "the second member came after it");
    // Two, so that neither is received by its inline copy.
    send(&mut producer, 2, 4);
    assert!(!is_copied(&mut second), "the gate protects it");
    first.nack(early).expect("its own");
    assert!(is_copied(&mut second), "the second member came after it");
}

/// What a member had is overwritten, and then it leaves.
#[test]
fn what_comes_back_may_be_lost() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let group = workers().lossy();
    let (mut first, mut second) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 3);
    let mut ids: Vec<JobId> = Vec::new();
    first
        .recv_up_to(3, |event| match event {
            GroupEvent::Job(job) => ids.push(job.id()),
            other => panic!("{other:?}"),
        })
        .expect("three");
    first.ack(ids[1]).expect("its own");
    send(&mut producer, 3, 2 * FITS);
    drop(first);
    match second.try_recv().expect("try") {
        Some(GroupEvent::Lost(Lost { records: 2, first: 0, next: 3, .. })) => {}
        other => panic!("{other:?}"),
    }
    let (done, lost) = drain(&mut second);
    assert_eq!(3 + done + lost, 2 * FITS);
    nothing(&mut second);
}

/// A member gives a record back, and the rest of what it took together with it is overwritten.
#[test]
fn what_was_given_back_before_a_loss_comes_back() {
    // After a record this long, the next is read when it is handed to the caller.
    let record = |number: u64| [number; 38].map(u64::to_le_bytes).concat();
    let send = |producer: &mut Producer, from: u64, to: u64| {
        for number in from..to {
            producer.send(&record(number)).expect("send");
        }
    };
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&workers().lossy());
    send(&mut producer, 0, 1);
    assert_eq!(drain(&mut member), (1, 0));
    send(&mut producer, 1, 4);
    let mut told = Vec::new();
    let count = member.recv_up_to(3, |event| match event {
        GroupEvent::Job(job) => {
            assert_eq!(job.sequence(), 1);
            job.nack().expect("its own");
            send(&mut producer, 4, 40);
        }
        GroupEvent::Lost(lost) => told.push((lost.first, lost.records)),
        other => panic!("{other:?}"),
    });
    count.expect("a record and a loss");
    assert_eq!(told, [(2, 2)]);
    let (done, lost) = drain(&mut member);
    assert_eq!(
        1 + 2 + done + lost,
        40,
        "each record is done or told as lost, the one that was given back too"
    );
    assert_eq!(member.unacknowledged(), 0);
    nothing(&mut member);
}

#[test]
fn a_group_over_its_budget_is_passed_and_gates_again() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&workers().gated_for(Duration::from_millis(20)));
    let evictions = || {
        let inspector = Inspector::open(scene.path()).expect("open");
        inspector.snapshot().expect("a snapshot").evictions
    };
    let mut sent = 0;
    for lap in 0..3 {
        // It gates: after a ring of records there is no room.
        let full = sent + FITS;
        send(&mut producer, sent, full);
        assert!(is_full(&mut producer), "the gate is open");
        let (number, _, id) = receive(&mut member);
        assert_eq!((number, evictions()), (sent, lap));
        // It is over its budget once, and is not in the way again, though it has turns.
        for number in full..full + 2 * FITS {
            producer.send(&number.to_le_bytes()).expect("the group is passed");
            if number % 64 == 0
                && let Some(GroupEvent::Job(job)) = member.try_recv().expect("try")
            {
                job.ack().expect("its own");
            }
        }
        assert_eq!(evictions(), lap + 1);
        sent = full + 2 * FITS;
        let _ = member.ack(id);
        drain(&mut member);
        // Whoever sleeps moves the gate to where it can be.
        assert!(matches!(member.recv_timeout(Duration::from_millis(5)), Err(GroupError::TimedOut)));
    }
}

#[test]
fn only_what_gates_can_be_held() {
    let scene = Scene::new();
    for group in [workers().lossy().hold_forever(), workers().hold_forever().lossy()] {
        let error = GroupMember::join(scene.path(), &group).expect_err("refused");
        assert!(matches!(error, Error::BadOption { .. }), "{error}");
    }
    let held = workers().gated_for(Duration::from_millis(1)).hold_forever();
    drop(scene.join(&held));
    // How it gates is what the first said.
    let mut member = scene.join(&workers().lossy());
    let mut producer = scene.ring().producer().expect("a producer");
    let mut sent = 0;
    while !is_full(&mut producer) {
        sent += 1;
    }
    assert_eq!(sent, FITS);
    producer.send(&[0; 8]).expect("its budget is over");
    assert!(member.try_recv().expect("try").is_some());
}
