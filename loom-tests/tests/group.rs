//! A group: each record goes to one member; none is lost, none is acknowledged twice, whoever dies where; nothing is
//! overwritten before it is acknowledged; nobody sleeps through a record.
mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{model, options, payload};
use quoit::fate::{crash_after, kill, slice_sleeps};
use quoit::{Group, GroupError, GroupEvent, GroupMember, Job, Ring, WaitMode};

/// A ring of four records of a word, without an inline copy, so that records are read in place.
fn ring(wait: WaitMode) -> Ring {
    Ring::heap(&options(0).inline(false).wait(wait)).unwrap()
}

fn group(ring: &Ring, members: u32) -> GroupMember {
    GroupMember::on(ring, &Group::new("g").members(members).leases(4).hold_forever()).unwrap()
}

/// How often each record was acknowledged.
#[derive(Clone, Default)]
struct Account(Rc<[Cell<u32>; 4]>);

impl Account {
    /// Acknowledges a record, which nobody has done before.
    fn ack(&self, job: Job<'_>) {
        let sequence = job.sequence();
        assert_eq!(job.record().to_vec(), payload(sequence, 1), "torn or foreign payload");
        job.ack().unwrap();
        let times = &self.0[sequence as usize];
        times.set(times.get() + 1);
        assert_eq!(times.get(), 1, "acknowledged twice");
    }

    /// Receives and acknowledges what there is.
    fn drain(&self, member: &mut GroupMember) {
        while let Some(event) = member.try_recv().unwrap() {
            match event {
                GroupEvent::Job(job) => self.ack(job),
                other => panic!("{other:?}"),
            }
        }
    }

    fn is(&self, records: usize) {
        let times: Vec<u32> = self.0.iter().map(Cell::get).collect();
        let wanted: Vec<u32> = (0..4).map(|record| u32::from(record < records)).collect();
        assert_eq!(times, wanted, "records are lost");
    }
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
        (0..2).for_each(|number| drop(producer.try_send(&payload(number, 1)).unwrap()));
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
        (0..4).for_each(|number| drop(producer.try_send(&payload(number, 1)).unwrap()));
        let account = Account::default();
        let there = account.clone();
        let other = common::spawn(move || {
            match second.try_recv().unwrap() {
                Some(GroupEvent::Job(job)) => there.ack(job),
                other => panic!("{other:?}"),
            }
            second
        });
        // Its turns move the gate past what the other has acknowledged by then.
        for _ in 0..2 {
            match first.try_recv().unwrap() {
                Some(GroupEvent::Job(job)) => account.ack(job),
                other => panic!("{other:?}"),
            }
        }
        let _ = producer.try_send(&[9; 8]);
        let _ = producer.try_send(&[9; 8]);
        let _second = other.join().unwrap();
    });
}

/// A member is killed before any of its stores, from its first claim to its second acknowledgement.
#[test]
fn what_the_dead_had_goes_to_another() {
    for stores in 0..40 {
        model("group_crash", 1, move || {
            slice_sleeps(true);
            let ring = ring(WaitMode::Spin);
            let mut producer = ring.producer().unwrap();
            let mut first = group(&ring, 2);
            let mut second = first.try_clone().unwrap();
            (0..2).for_each(|number| drop(producer.try_send(&payload(number, 1)).unwrap()));
            let account = Account::default();
            let there = account.clone();
            let dying = common::spawn(move || {
                // What it acknowledged: its stores may be a ghost's, and then do not count.
                let done = Cell::new(0);
                let begun = Cell::new(0);
                crash_after(stores, || {
                    for _ in 0..2 {
                        if let Ok(Some(GroupEvent::Job(job))) = second.try_recv() {
                            begun.set(begun.get() | 1 << job.sequence());
                            let sequence = job.sequence();
                            if job.ack().is_ok() {
                                done.set(done.get() | 1 << sequence);
                            }
                        }
                    }
                });
                kill(second);
                let _ = there;
                (begun.get(), done.get())
            });
            let (begun, _) = dying.join().unwrap();
            account.drain(&mut first);
            // Each record is acknowledged by one of the two: what is not here was begun there.
            for record in 0..2 {
                let here = account.0[record].get();
                assert!(here == 1 || begun & (1 << record) != 0, "a record is lost");
            }
            assert!(matches!(first.recv_timeout(std::time::Duration::ZERO), Err(GroupError::TimedOut)));
            // All leases are done: as many records as the ring holds can be sent once more.
            first.try_recv().unwrap();
        });
    }
}

/// The same beside another that works. Both together acknowledge each record once.
#[test]
fn a_death_beside_a_member() {
    for stores in 0..24 {
        model("group_crash_beside", 1, move || {
            slice_sleeps(true);
            let ring = ring(WaitMode::Spin);
            let mut producer = ring.producer().unwrap();
            let mut first = group(&ring, 2);
            let mut second = first.try_clone().unwrap();
            (0..2).for_each(|number| drop(producer.try_send(&payload(number, 1)).unwrap()));
            let account = Account::default();
            let dying = common::spawn(move || {
                // It takes, and does not acknowledge.
                crash_after(stores, || {
                    let _ = second.try_recv();
                    let _ = second.try_recv();
                });
                kill(second);
            });
            account.drain(&mut first);
            dying.join().unwrap();
            account.drain(&mut first);
            account.is(2);
        });
    }
}

/// Sleeps have no end: a record that is slept through is a deadlock.
#[test]
fn nobody_sleeps_through_what_is_given_back() {
    model("group_given_back", 2, || {
        let ring = ring(WaitMode::Fence);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        producer.try_send(&payload(0, 1)).unwrap();
        let Some(GroupEvent::Job(job)) = first.try_recv().unwrap() else { panic!("a record") };
        let id = job.id();
        let waiting = common::spawn(move || {
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
