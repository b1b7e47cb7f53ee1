//! Deaths of members of a group, before each of their stores: none of their records is lost, none is acknowledged twice, and
//! what was handed out too often is put aside.
mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::group::{Account, ack_two, dies_receiving, fill, group, ring, whole};
use common::{for_each_crash, payload};
use quoit::fate::{crash_after, kill, slice_sleeps};
use quoit::{
    Attach, Consumer, DeadLetter, Group, GroupError, GroupEvent, GroupMember, Job, Options, Ring, WaitMode,
};

/// A member is killed before any of its stores, from its first claim to its second acknowledgement. What it had not
/// acknowledged goes to another, and what it had does not.
#[test]
fn what_the_dead_had_goes_to_another() {
    for_each_crash("group_crash", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..2);
        let dying = common::spawn(move || {
            let acknowledged = Cell::new(0);
            let lived = crash_after(stores, || {
                for number in 1..=2 {
                    if let Ok(Some(GroupEvent::Job(job))) = second.try_recv() {
                        let _ = job.ack();
                        acknowledged.set(number);
                    }
                }
            });
            kill(second);
            lived.map(|()| acknowledged.get())
        });
        let lived = dying.join().unwrap();
        let account = Account::default();
        account.drain(&mut first);
        let [here @ .., _, _] = account.times();
        // The dead acknowledged those that are missing here: none, the first, or both.
        assert!([[0, 0], [0, 1], [1, 1]].contains(&here), "{here:?}");
        assert!(lived.is_none_or(|number| number == 2 && here[1] == 0), "{here:?}");
        // Nothing of them is left: the ring can be filled once more.
        let _ = first.try_recv().unwrap();
        fill(&mut producer, 2..4);
        account.drain(&mut first);
        assert_eq!(account.times()[2..], [1, 1]);
        let _ = first.try_recv().unwrap();
        for _ in 0..4 {
            producer.try_send(&[9; 8]).unwrap();
        }
        lived.is_some()
    });
}

/// The same with two records that are taken together, and acknowledged together: both are, or neither is.
#[test]
fn what_the_dead_took_together() {
    for_each_crash("group_crash_together", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..2);
        let dying = common::spawn(move || {
            let acknowledged = crash_after(stores, || ack_two(&mut second));
            kill(second);
            acknowledged
        });
        let acknowledged = dying.join().unwrap();
        let account = Account::default();
        account.drain(&mut first);
        let [here @ .., _, _] = account.times();
        assert!(here == [0, 0] || here == [1, 1], "{here:?}");
        assert!(acknowledged.is_none() || (acknowledged == Some(Some(2)) && here == [0, 0]), "{here:?}");
        // Nothing of them is left: the ring can be filled once more.
        let _ = first.try_recv().unwrap();
        fill(&mut producer, 2..4);
        account.drain(&mut first);
        assert_eq!(account.times()[2..], [1, 1]);
        acknowledged.is_some()
    });
}

/// A member is killed while it takes back what a dead one had.
#[test]
fn a_death_while_it_takes_back() {
    for_each_crash("group_crash_taking_back", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut third = group(&ring, 3);
        let (mut first, second) = (third.try_clone().unwrap(), third.try_clone().unwrap());
        fill(&mut producer, 0..2);
        assert!(first.try_recv().unwrap().is_some());
        kill(first);
        let dying = dies_receiving(stores, second, 1);
        let lived = dying.join().unwrap();
        let account = Account::default();
        account.drain(&mut third);
        account.is(2);
        lived
    });
}

/// A member is killed beside another that works. Each record is acknowledged once.
#[test]
fn a_death_beside_a_member() {
    for_each_crash("group_crash_beside", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let second = first.try_clone().unwrap();
        fill(&mut producer, 0..2);
        let account = Account::default();
        // It takes, and does not acknowledge.
        let dying = dies_receiving(stores, second, 2);
        account.drain(&mut first);
        let lived = dying.join().unwrap();
        account.drain(&mut first);
        account.is(2);
        lived
    });
}

/// The lease time is over at once, so another takes back what a member has while it acknowledges that, and while it is
/// killed before any of its stores. The record is acknowledged once.
#[test]
fn a_death_as_its_time_is_over() {
    for_each_crash("group_crash_timed", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let options = Group::new("g").members(2).leases(4).hold_forever();
        let mut first = GroupMember::on(&ring, &options.lease_time(Duration::from_nanos(1))).unwrap();
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..1);
        // It notes that it was told so: a death after the acknowledgement leaves no note.
        let is_noted = Rc::new(Cell::new(false));
        let noted = is_noted.clone();
        let dying = common::spawn(move || {
            let lived = crash_after(stores, || {
                if let Ok(Some(GroupEvent::Job(job))) = second.try_recv() {
                    noted.set(is_acknowledged(job));
                }
            });
            kill(second);
            lived.is_some()
        });
        let taking = common::spawn(move || {
            let mut times = 0;
            while let Some(GroupEvent::Job(job)) = first.try_recv().unwrap() {
                times += u32::from(is_acknowledged(job));
            }
            (first, times)
        });
        let lived = dying.join().unwrap();
        let (mut first, mut times) = taking.join().unwrap();
        while let Some(GroupEvent::Job(job)) = first.try_recv().unwrap() {
            times += u32::from(is_acknowledged(job));
        }
        times += u32::from(is_noted.get());
        assert!(times <= 1, "acknowledged twice");
        assert!(times == 1 || !lived, "lost");
        // Nothing is left, whoever acknowledged it: the gate moves on.
        fill(&mut producer, 1..4);
        while let Some(GroupEvent::Job(job)) = first.try_recv().unwrap() {
            job.ack().unwrap();
        }
        fill(&mut producer, 4..6);
        lived
    });
}

/// Acknowledges a record that another may have by now.
fn is_acknowledged(job: Job<'_>) -> bool {
    assert_eq!(whole(&job), 0);
    match job.ack() {
        Ok(()) => true,
        // The second is what the dead are told of everything.
        Err(GroupError::NotLeased { .. } | GroupError::Failed(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A ring for dead letters, with room for five.
fn ring_for_dead_letters() -> Ring {
    Ring::heap(&Options::new().capacity(256).slots(1)).unwrap()
}

fn group_with(dead: &Ring, ring: &Ring) -> GroupMember {
    let options = Group::new("g").members(3).leases(4).hold_forever();
    GroupMember::on(ring, &options.max_deliveries(1, dead)).unwrap()
}

/// How often each of two records is among the dead letters.
fn dead_letters(consumer: &mut Consumer) -> [u32; 2] {
    let mut found = [0; 2];
    while let Some(event) = consumer.try_recv().unwrap() {
        // Each comes from a producer of its own.
        let Some(record) = event.record() else { continue };
        let record = record.to_vec();
        let letter = DeadLetter::parse(&record).unwrap();
        let sequence = letter.sequence();
        assert_eq!(letter.payload(), payload(sequence, 1), "torn or foreign payload");
        found[sequence as usize] += 1;
    }
    found
}

/// The next record, which is there, is given back.
fn give_back(member: &mut GroupMember) {
    match member.try_recv().unwrap() {
        Some(GroupEvent::Job(job)) => job.nack().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A member is killed before any of its stores while it puts a record aside. It is put aside once, or twice; nobody else
/// gets it, and what comes after it is acknowledged once.
#[test]
fn a_death_while_it_puts_aside() {
    for_each_crash("group_crash_aside", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let dead = ring_for_dead_letters();
        let mut consumer = dead.consumer(&Attach::gated()).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut first = group_with(&dead, &ring);
        let second = first.try_clone().unwrap();
        fill(&mut producer, 0..2);
        give_back(&mut first);
        // It puts the first aside, and keeps the second.
        let dying = dies_receiving(stores, second, 1);
        let lived = dying.join().unwrap();
        let account = Account::default();
        account.drain(&mut first);
        let letters = dead_letters(&mut consumer);
        let acknowledged = account.times();
        assert!((1..=2).contains(&letters[0]) && acknowledged[0] == 0, "{letters:?}, {acknowledged:?}");
        // The second was handed out once, if it was, to a member that died with it.
        assert_eq!(letters[1] + acknowledged[1], 1, "{letters:?}, {acknowledged:?}");
        assert!(!lived || (letters[0] == 1 && letters[1] == 1), "{letters:?}");
        lived
    });
}

/// There is no room for a dead letter. A member is killed before any of its stores while it finds that; once there is room,
/// another finds the record.
#[test]
fn a_death_while_it_shelves() {
    for_each_crash("group_crash_shelving", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let dead = ring_for_dead_letters();
        let mut consumer = dead.consumer(&Attach::gated()).unwrap();
        let mut filler = dead.producer().unwrap();
        while filler.try_send(&[0; 40]).is_ok() {}
        drop(filler);
        let mut producer = ring.producer().unwrap();
        let mut first = group_with(&dead, &ring);
        let second = first.try_clone().unwrap();
        let mut third = first.try_clone().unwrap();
        fill(&mut producer, 0..1);
        give_back(&mut first);
        assert!(first.try_recv().is_err(), "there is room");
        // It is too early for this one to try again: it passes what is shelved, and leaves no other hint.
        assert!(first.try_recv().unwrap().is_none());
        let dying = dies_receiving(stores, second, 1);
        // Its turns come in between, and after.
        assert!(first.try_recv().unwrap().is_none());
        let lived = dying.join().unwrap();
        assert!(first.try_recv().unwrap().is_none());
        while consumer.try_recv().unwrap().is_some() {}
        assert!(third.try_recv().unwrap().is_none());
        assert_eq!(dead_letters(&mut consumer), [1, 0]);
        lived
    });
}
