//! Members of a group as tasks, under two runtimes: each record goes to one task, and none is lost by one that is dropped.

mod common;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use common::Runtime;
use futures_lite::future;
use quoit::{Group, GroupError, GroupMember, Options, Ring};
use quoit_async::AsyncGroupMember;

fn ring() -> Ring {
    Ring::heap(&Options::new().capacity(4096)).unwrap()
}

#[test]
fn each_record_goes_to_one_task() {
    const RECORDS: u64 = 2000;
    Runtime::each(|runtime| async move {
        let ring = ring();
        let first = GroupMember::on(&ring, &Group::new("workers")).unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let mut member = AsyncGroupMember::new(first.try_clone().unwrap()).unwrap();
                let (sender, done) = std::sync::mpsc::channel();
                let task = runtime.spawn(async move {
                    loop {
                        match member.next_job(|lost| panic!("{lost:?}")).await {
                            // Some are given back at first.
                            Ok(job) if job.id.sequence() % 7 == 6 && job.deliveries == 1 => {
                                member.nack(job.id).unwrap();
                            }
                            Ok(job) => {
                                let number = u64::from_le_bytes(job.payload.try_into().unwrap());
                                member.ack(job.id).unwrap();
                                sender.send(number).unwrap();
                            }
                            Err(GroupError::Closed) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
                (task, done)
            })
            .collect();
        let mut producer = ring.producer().unwrap();
        let sending = thread::spawn(move || {
            for number in 0..RECORDS {
                producer.send(&number.to_le_bytes()).unwrap();
            }
        });
        let mut times: BTreeMap<u64, u32> = BTreeMap::new();
        for (task, done) in tasks {
            task.await;
            done.iter().for_each(|number| *times.entry(number).or_default() += 1);
        }
        sending.join().unwrap();
        assert!(times.into_iter().eq((0..RECORDS).map(|number| (number, 1))));
        drop(first);
    });
}

#[test]
fn who_stops_waiting_has_taken_nothing() {
    Runtime::each(|runtime| async move {
        let ring = ring();
        let mut producer = ring.producer().unwrap();
        let mut member =
            AsyncGroupMember::new(GroupMember::on(&ring, &Group::new("workers")).unwrap()).unwrap();
        for number in 0..50_u64 {
            // It waits, and is dropped; meanwhile a record may come.
            let waited = future::or(async { Some(member.next().await) }, async {
                producer.send(&number.to_le_bytes()).unwrap();
                runtime.sleep(Duration::from_micros(number * 20)).await;
                None
            })
            .await;
            let job = match waited {
                Some(event) => match event.unwrap() {
                    quoit_async::AsyncGroupEvent::Job(job) => job,
                    other => panic!("{other:?}"),
                },
                None => member.next_job(|_| {}).await.unwrap(),
            };
            assert_eq!((job.id.sequence(), job.deliveries), (number, 1));
            member.ack(job.id).unwrap();
        }
        assert_eq!(member.get_ref().unacknowledged(), 0);
    });
}

/// A task that collects records before it acknowledges them.
#[test]
fn what_a_task_has_is_acknowledged_together() {
    Runtime::each(|_| async move {
        let ring = ring();
        let mut producer = ring.producer().unwrap();
        let mut other = GroupMember::on(&ring, &Group::new("workers")).unwrap();
        let mut member = AsyncGroupMember::new(other.try_clone().unwrap()).unwrap();
        let mut ids = Vec::new();
        for number in 0..10_u64 {
            producer.send(&number.to_le_bytes()).unwrap();
            ids.push(member.next_job(|_| {}).await.unwrap().id);
        }
        member.nack(ids[4]).unwrap();
        assert_eq!(member.get_ref().unacknowledged(), 9);
        assert_eq!(member.ack_all().unwrap(), 9);
        assert_eq!((member.get_ref().unacknowledged(), member.ack_all().unwrap()), (0, 0));
        assert!(matches!(member.ack(ids[0]), Err(GroupError::NotLeased { sequence: 0 })));
        // What was given back is not among them.
        let job = other.recv_job(|_| {}).unwrap();
        assert_eq!((job.sequence(), job.deliveries()), (4, 2));
        job.ack().unwrap();
        assert!(other.try_recv().unwrap().is_none(), "something else was left");
    });
}
