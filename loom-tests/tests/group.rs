//! A group: each record goes to one member; none is lost, none is acknowledged twice, whoever dies where; nothing is
//! overwritten before it is acknowledged; nobody sleeps through a record.
mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{for_each_crash, model, options, payload};
use quoit::fate::{crash_after, join_after_death, kill, slice_sleeps};
use quoit::{
    Attach, Consumer, DeadLetter, Group, GroupEvent, GroupMember, Job, Options, Producer, Ring, WaitMode,
    WaitSet,
};

/// A ring of four records of a word, without an inline copy, so that records are read in place.
fn ring(wait: WaitMode) -> Ring {
    Ring::heap(&options(0).inline(false).wait(wait)).unwrap()
}

fn group(ring: &Ring, members: u32) -> GroupMember {
    GroupMember::on(ring, &Group::new("g").members(members).leases(4).hold_forever()).unwrap()
}

fn fill(producer: &mut Producer, records: std::ops::Range<u64>) {
    for number in records {
        producer.try_send(&payload(number, 1)).unwrap();
    }
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
        let here: Vec<u32> = account.0.iter().map(Cell::get).collect();
        // The dead acknowledged those that are missing here: none, the first, or both.
        assert!([[0, 0], [0, 1], [1, 1]].contains(&[here[0], here[1]]), "{here:?}");
        assert!(lived.is_none_or(|number| number == 2 && here[1] == 0), "{here:?}");
        // Nothing of them is left: the ring can be filled once more.
        let _ = first.try_recv().unwrap();
        fill(&mut producer, 2..4);
        account.drain(&mut first);
        assert_eq!((account.0[2].get(), account.0[3].get()), (1, 1));
        let _ = first.try_recv().unwrap();
        for _ in 0..4 {
            producer.try_send(&[9; 8]).unwrap();
        }
        lived.is_some()
    });
}

/// Reads up to two records that are there, and acknowledges them together. Returns how many that were.
fn ack_two(member: &mut GroupMember) -> Option<u32> {
    let received = member.recv_up_to(2, |event| match event {
        GroupEvent::Job(job) => {
            assert_eq!(job.record().to_vec(), payload(job.sequence(), 1), "torn or foreign payload");
        }
        other => panic!("{other:?}"),
    });
    received.ok()?;
    member.ack_all().ok()
}

/// The same with two records that are taken together, and acknowledged together: both are, or neither.
#[test]
fn what_the_dead_took_together() {
    for stores in 0..32 {
        model("group_crash_together", 1, move || {
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
            let here = [0, 1].map(|record: usize| account.0[record].get());
            assert!(here == [0, 0] || here == [1, 1], "{here:?}");
            assert!(acknowledged.is_none() || (acknowledged == Some(Some(2)) && here == [0, 0]), "{here:?}");
            // Nothing of them is left: the ring can be filled once more.
            let _ = first.try_recv().unwrap();
            fill(&mut producer, 2..4);
            account.drain(&mut first);
            assert_eq!((account.0[2].get(), account.0[3].get()), (1, 1));
        });
    }
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

/// One that takes back what the dead had is killed in its turn.
#[test]
fn a_death_while_it_takes_back() {
    for_each_crash("group_crash_taking_back", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut third = group(&ring, 3);
        let (mut first, mut second) = (third.try_clone().unwrap(), third.try_clone().unwrap());
        fill(&mut producer, 0..2);
        assert!(first.try_recv().unwrap().is_some());
        kill(first);
        let dying = common::spawn(move || {
            let lived = crash_after(stores, || {
                let _ = second.try_recv();
            });
            kill(second);
            lived.is_some()
        });
        let lived = dying.join().unwrap();
        let account = Account::default();
        account.drain(&mut third);
        account.is(2);
        lived
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
    assert_eq!(job.record().to_vec(), payload(0, 1), "torn or foreign payload");
    job.ack().is_ok()
}

/// The same beside another that works. Both together acknowledge each record once.
#[test]
fn a_death_beside_a_member() {
    for_each_crash("group_crash_beside", 1, |stores| {
        slice_sleeps(true);
        let ring = ring(WaitMode::Spin);
        let mut producer = ring.producer().unwrap();
        let mut first = group(&ring, 2);
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..2);
        let account = Account::default();
        let dying = common::spawn(move || {
            // It takes, and does not acknowledge.
            let lived = crash_after(stores, || {
                let _ = second.try_recv();
                let _ = second.try_recv();
            });
            kill(second);
            lived.is_some()
        });
        account.drain(&mut first);
        let lived = dying.join().unwrap();
        account.drain(&mut first);
        account.is(2);
        lived
    });
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
        let mut second = first.try_clone().unwrap();
        fill(&mut producer, 0..2);
        give_back(&mut first);
        let dying = common::spawn(move || {
            let lived = crash_after(stores, || {
                // It puts the first aside, and keeps the second.
                let _ = second.try_recv();
            });
            kill(second);
            lived.is_some()
        });
        let lived = dying.join().unwrap();
        let account = Account::default();
        account.drain(&mut first);
        let letters = dead_letters(&mut consumer);
        let acknowledged = [0, 1].map(|sequence: usize| account.0[sequence].get());
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
        let mut second = first.try_clone().unwrap();
        let mut third = first.try_clone().unwrap();
        fill(&mut producer, 0..1);
        give_back(&mut first);
        assert!(first.try_recv().is_err(), "there is room");
        // It is too early for this one to try again: it passes what is shelved, and leaves no other hint.
        assert!(first.try_recv().unwrap().is_none());
        let dying = common::spawn(move || {
            let lived = crash_after(stores, || {
                let _ = second.try_recv();
            });
            kill(second);
            lived.is_some()
        });
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

/// How many records were acknowledged, and how many told to be lost.
#[derive(Clone, Debug, Default)]
struct Told(Rc<[Cell<u64>; 2]>);

/// Receives what is next, and acknowledges it. Returns whether there was anything.
fn take(member: &mut GroupMember, Told(told): &Told) -> bool {
    match member.try_recv().unwrap() {
        Some(GroupEvent::Job(job)) => {
            assert_eq!(job.record().to_vec(), payload(job.sequence(), 1), "torn or foreign payload");
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
