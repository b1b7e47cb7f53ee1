//! The watcher of a group: of the members that sleep, one looks for the dead. Its sleeps end by themselves here, and no others,
//! so a death for which nobody looks is a deadlock.
mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::group::{fill, ring, whole};
use common::model;
use quoit::fate::{kill, only_probes_end};
use quoit::{GroupEvent, GroupMember, Producer, WaitMode};

/// A ring, and a member of a group of so many.
fn group(members: u32) -> (Producer, GroupMember) {
    only_probes_end();
    let ring = ring(WaitMode::Fence);
    (ring.producer().unwrap(), common::group::group(&ring, members))
}

fn send(producer: &mut Producer, number: u64) {
    fill(producer, number..number + 1);
}

/// Takes a record that is there, and does nothing with it.
fn take(member: &mut GroupMember) {
    assert!(matches!(member.try_recv(), Ok(Some(GroupEvent::Job(_)))));
}

/// Waits for a record, and acknowledges it. Returns its number.
fn work(member: &mut GroupMember) -> u64 {
    let job = member.recv_job(|event| panic!("{event:?}")).unwrap();
    let sequence = whole(&job);
    job.ack().unwrap();
    sequence
}

/// One member sleeps while another one dies with a record.
#[test]
fn who_sleeps_alone_watches() {
    model("watch_alone", 2, || {
        let (mut producer, mut first) = group(2);
        let mut dying = first.try_clone().unwrap();
        send(&mut producer, 0);
        take(&mut dying);
        let dying = common::spawn(move || kill(dying));
        assert_eq!(work(&mut first), 0);
        dying.join().unwrap();
    });
}

/// It goes to sleep while nobody has a record. Another member takes one at that moment, and dies.
#[test]
fn a_death_that_comes_before_the_sleep() {
    model("watch_before_the_sleep", 2, || {
        let (mut producer, mut first) = group(2);
        let mut dying = first.try_clone().unwrap();
        let dying = common::spawn(move || {
            send(&mut producer, 0);
            let _ = dying.try_recv();
            kill(dying);
            producer
        });
        assert_eq!(work(&mut first), 0);
        let _producer = dying.join().unwrap();
    });
}

/// Two sleep, and one of them watches. A record is published, and one of the two takes it and goes; only then a third member
/// dies. Whichever of the two went, the other one watches from then on.
#[test]
fn another_watches_when_one_goes() {
    model("watch_goes", 1, || {
        let (mut producer, mut dying) = group(3);
        let others = [(); 2].map(|()| dying.try_clone().unwrap());
        send(&mut producer, 0);
        take(&mut dying);
        let dying = Rc::new(Cell::new(Some(dying)));
        let others = others.map(|mut member| {
            let dying = Rc::clone(&dying);
            common::spawn(move || {
                let number = work(&mut member);
                if number == 1 {
                    dying.take().into_iter().for_each(kill);
                }
                (member, number)
            })
        });
        send(&mut producer, 1);
        let [first, second] = others.map(|other| other.join().unwrap());
        assert_eq!(first.1 + second.1, 1, "one record twice");
    });
}
