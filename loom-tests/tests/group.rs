//! A group: each record goes to one member; none is lost, none is acknowledged twice; nothing is overwritten before it is
//! acknowledged; nobody sleeps through a record. Deaths: `group_deaths.rs`.
mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::group::{Account, ack_two, fill, group, ring, whole};
use common::{model, payload};
use quoit::fate::{join_after_death, slice_sleeps};
use quoit::{Group, GroupEvent, GroupMember, Job, WaitMode, WaitSet};

/// The next record, which is there, once the member has its turn.
fn next(member: &mut GroupMember) -> Job<'_> {
    member.recv_job(|event| panic!("{event:?}")).unwrap()
}

/// Two members take what there is. Sleeps end by themselves, so that nothing but the words orders the two.
#[test]
fn each_record_goes_to_one_member() {
    model("group_two", 2, || {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..2);
        let account = Account::default();
        let there = account.clone();
        let other = common::spawn(move || {
            there.drain(&mut second);
            second
        });
        account.drain(&mut first);
        let _second = other.join().unwrap();
        account.drain(&mut first);
        account.is(2);
    });
}

/// A record is read in place by one, and acknowledged; another moves the gate, and the producer overwrites it.
#[test]
fn nothing_is_overwritten_while_it_is_read() {
    model("group_gate", 2, || {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..4);
        let account = Account::default();
        let there = account.clone();
        let other = common::spawn(move || {
            there.ack(next(&mut second));
            second
        });
        // Its turns move the gate past what the other has acknowledged by then.
        for _ in 0..2 {
            account.ack(next(&mut first));
        }
        let _ = producer.try_send(&[9; 8]);
        let _ = producer.try_send(&[9; 8]);
        let _second = other.join().unwrap();
    });
}

/// Two records are read in place, and acknowledged together; another moves the gate, and the producer overwrites them.
#[test]
fn nothing_of_several_is_overwritten_while_it_is_read() {
    model("group_gate_together", 2, || {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..4);
        let other = common::spawn(move || {
            assert!(ack_two(&mut second).is_some_and(|records| records > 0));
            second
        });
        // Its turns move the gate past what the other has acknowledged by then.
        let account = Account::default();
        for _ in 0..2 {
            account.ack(next(&mut first));
        }
        let _ = producer.try_send(&[9; 8]);
        let _ = producer.try_send(&[9; 8]);
        let _second = other.join().unwrap();
    });
}

/// The lease time is over at once: two have the same record, and one of them acknowledges it.
#[test]
fn one_of_two_acknowledges() {
    model("group_lease_time", 2, || {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let options = Group::new("g").members(2).leases(4).lease_time(Duration::from_nanos(1));
        let mut first = GroupMember::on(&ring, &options).unwrap();
        let mut second = first.try_clone().unwrap();
        producer.try_send(&payload(0, 1)).unwrap();
        let other = common::spawn(move || {
            let acknowledged = second.try_recv().unwrap().map(ack);
            (second, acknowledged)
        });
        let here = first.try_recv().unwrap().map(ack);
        let (_second, there) = other.join().unwrap();
        let times = [here, there].into_iter().flatten().filter(|acknowledged| *acknowledged).count();
        assert!(times <= 1, "acknowledged twice");
        // It is done, or comes once more.
        let again = first.try_recv().unwrap().map(ack);
        assert_eq!(times + usize::from(again == Some(true)), 1);
    });
}

/// The entry of a lease that is over has another lease by the time its member acknowledges.
#[test]
fn a_late_acknowledgement_is_of_nothing() {
    model("group_late", 1, || {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let options = Group::new("g").members(2).leases(2).lease_time(Duration::from_nanos(1));
        let mut first = GroupMember::on(&ring, &options).unwrap();
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..3);
        let take = |member: &mut GroupMember| match member.try_recv().unwrap() {
            Some(GroupEvent::Job(job)) => job.id(),
            other => panic!("{other:?}"),
        };
        let late = take(&mut first);
        for sequence in 0..2 {
            let id = take(&mut second);
            assert_eq!(id.sequence(), sequence);
            second.ack(id).unwrap();
        }
        let id = take(&mut second);
        assert!(first.ack(late).is_err(), "acknowledged what another has");
        second.ack(id).unwrap();
    });
}

fn ack(event: GroupEvent<'_>) -> bool {
    let GroupEvent::Job(job) = event else { panic!("{event:?}") };
    assert_eq!(whole(&job), 0);
    job.ack().is_ok()
}

/// A member waits for a record that another gives back. Sleeps have no end: a record that is slept through is a deadlock.
fn given_back(name: &str, wait: fn(&mut GroupMember)) {
    model(name, 2, move || {
        let ring = ring(WaitMode::Fence);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        producer.try_send(&payload(0, 1)).unwrap();
        let Some(GroupEvent::Job(job)) = first.try_recv().unwrap() else { panic!("a record") };
        let id = job.id();
        let waiting = common::spawn(move || {
            wait(&mut second);
            let account = Account::default();
            account.ack(second.recv_job(|_| {}).unwrap());
            account.is(1);
            second
        });
        first.nack(id).unwrap();
        let _second = waiting.join().unwrap();
        drop(producer);
    });
}

#[test]
fn nobody_sleeps_through_what_is_given_back() {
    given_back("group_given_back", |_| {});
}

#[test]
fn a_set_does_not_sleep_through_what_is_given_back() {
    given_back("group_set", |member| assert!(WaitSet::new().wait(&mut [member]).contains(0)));
}

/// The same with a record that is published.
#[test]
fn nobody_sleeps_through_a_record() {
    model("group_wake", 2, || {
        let ring = ring(WaitMode::Fence);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 1);
        let sending = common::spawn(move || {
            producer.try_send(&payload(0, 1)).unwrap();
            producer
        });
        let account = Account::default();
        account.ack(first.recv_job(|_| {}).unwrap());
        let _producer = sending.join().unwrap();
    });
}

/// The same with room for a lease, while all are out.
#[test]
fn nobody_sleeps_through_room_for_a_lease() {
    model("group_room", 2, || {
        let ring = ring(WaitMode::Fence);
        let mut producer = ring.producer().unwrap();
        let options = Group::new("g").members(2).leases(2);
        let mut first = GroupMember::on(&ring, &options).unwrap();
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..3);
        let ids = [(); 2].map(|()| match first.try_recv().unwrap() {
            Some(GroupEvent::Job(job)) => job.id(),
            other => panic!("{other:?}"),
        });
        let waiting = common::spawn(move || {
            assert_eq!(second.recv_job(|_| {}).unwrap().sequence(), 2);
            second
        });
        first.ack(ids[0]).unwrap();
        let _second = waiting.join().unwrap();
        drop(producer);
    });
}

/// How many records were acknowledged, and how many told to be lost.
#[derive(Clone, Debug, Default)]
struct Told(Rc<[Cell<u64>; 2]>);

/// Receives what is next, and acknowledges it. Returns whether there was anything.
fn take(member: &mut GroupMember, Told(told): &Told) -> bool {
    match member.try_recv().unwrap() {
        Some(GroupEvent::Job(job)) => {
            whole(&job);
            job.ack().unwrap();
            told[0].set(told[0].get() + 1);
        }
        Some(GroupEvent::Lost(lost)) => told[1].set(told[1].get() + lost.records),
        other => return other.is_some(),
    }
    true
}

impl Told {
    fn is(&self, records: u64) {
        assert_eq!(self.0[0].get() + self.0[1].get(), records, "{self:?}");
    }
}

/// A member joins a group without members, while the producer takes its gate. It has each record, or is told.
#[test]
fn who_joins_is_told_what_the_producer_overwrites() {
    model("group_join", 2, || {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let last = GroupMember::on(&ring, &Group::new("g").members(2).leases(4)).unwrap();
        fill(&mut producer, 0..4);
        let told = Told::default();
        let there = told.clone();
        let joining = common::spawn(move || {
            let mut member = join_after_death(last).unwrap();
            take(&mut member, &there);
            member
        });
        let mut sent = 4;
        for _ in 0..2 {
            sent += u64::from(producer.try_send(&payload(sent, 1)).is_ok());
        }
        let mut member = joining.join().unwrap();
        while take(&mut member, &told) {}
        told.is(sent);
    });
}

/// The producer overwrites what two members read and have. Each record is acknowledged once, or told to be lost.
fn records_are_lost(name: &str, options: fn(Group) -> Group) {
    model(name, 1, move || {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let group = options(Group::new("g").members(2).leases(4));
        let mut first = GroupMember::on(&ring, &group).unwrap();
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..4);
        let told = Told::default();
        let there = told.clone();
        let other = common::spawn(move || {
            take(&mut second, &there);
            second
        });
        for number in 4..6 {
            // The first refusal begins the time for which the group holds the producer up.
            while producer.try_send(&payload(number, 1)).is_err() {}
        }
        let _second = other.join().unwrap();
        while take(&mut first, &told) {}
        told.is(6);
    });
}

#[test]
fn records_of_a_lossy_group_are_lost() {
    records_are_lost("group_lossy", Group::lossy);
}

#[test]
fn an_evicted_group_loses_records() {
    records_are_lost("group_evicted", |group| group.gated_for(Duration::from_nanos(1)));
}
