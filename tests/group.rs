//! Groups on rings in files and on the heap: who gets which record, what comes back, what is refused.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::{Group, GroupError, GroupEvent, GroupMember, JobId, Options, Producer, Ring, SendError};
use tempfile::TempDir;

#[path = "group/dead_letters.rs"]
mod dead_letters;
#[path = "group/garbage.rs"]
mod garbage;
#[path = "group/gates.rs"]
mod gates;
#[path = "group/joining.rs"]
mod joining;
#[path = "group/refused.rs"]
mod refused;
#[path = "group/sets.rs"]
mod sets;
#[path = "group/several.rs"]
mod several;

const CAPACITY: u64 = 4096;

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") };
        Options::new().capacity(CAPACITY).create(scene.path()).expect("create");
        scene
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("ring")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ring.workers.group")
    }

    fn ring(&self) -> Ring {
        Ring::open(self.path()).expect("open")
    }

    fn join(&self, group: &Group) -> GroupMember {
        GroupMember::join(self.path(), group).expect("join")
    }

    /// A producer, and two members.
    fn two(&self) -> (Producer, GroupMember, GroupMember) {
        let producer = self.ring().producer().expect("a producer");
        (producer, self.join(&workers()), self.join(&workers()))
    }

    /// Overwrites a word of the data area of the group's file, as another process could.
    fn poke(&self, byte: u64, word: u64) {
        let file = std::fs::File::options().write(true).open(self.file()).expect("open");
        file.write_all_at(&word.to_le_bytes(), DATA + byte).expect("write");
    }
}

/// Where the data area of the group's file begins, with 64 members.
const DATA: u64 = 8192;
/// Where the first lease is in it: lease 1.
const LEASE: u64 = 256 + 128;

fn workers() -> Group {
    Group::new("workers")
}

fn send(producer: &mut Producer, from: u64, to: u64) {
    for number in from..to {
        producer.try_send(&number.to_le_bytes()).expect("room");
    }
}

/// The next record: its number, and how often it was handed out.
fn receive(member: &mut GroupMember) -> (u64, u32, JobId) {
    match member.try_recv().expect("try") {
        Some(GroupEvent::Job(job)) => (job.record().read().expect("a number"), job.deliveries(), job.id()),
        other => panic!("{other:?}"),
    }
}

/// Records that are there, at most so many, in one call.
fn take(member: &mut GroupMember, most: u32) -> Vec<JobId> {
    let mut ids = Vec::new();
    let count = member.recv_up_to(most, |event| match event {
        GroupEvent::Job(job) => ids.push(job.id()),
        other => panic!("{other:?}"),
    });
    assert_eq!(count.expect("records") as usize, ids.len());
    ids
}

fn nothing(member: &mut GroupMember) {
    assert!(member.try_recv().expect("try").is_none());
}

#[test]
fn each_record_goes_to_one_member() {
    let heap = Ring::heap(&Options::new().capacity(CAPACITY)).expect("a ring");
    let scene = Scene::new();
    for ring in [heap, scene.ring()] {
        const RECORDS: u64 = 30_000;
        let first = GroupMember::on(&ring, &workers()).expect("make");
        let members: Vec<_> = (0..3).map(|_| first.try_clone().expect("join")).collect();
        let threads: Vec<_> = members
            .into_iter()
            .enumerate()
            .map(|(number, mut member)| {
                std::thread::spawn(move || {
                    let mut mine = Vec::new();
                    loop {
                        let mut ids = Vec::new();
                        let received = member.recv_up_to(number as u32 * 7 + 1, |event| match event {
                            GroupEvent::Job(job) => {
                                assert_eq!(job.deliveries(), 1);
                                mine.push(job.record().read::<u64>().expect("a number"));
                                ids.push(job.id());
                            }
                            other => panic!("{other:?}"),
                        });
                        match received {
                            Ok(count) => assert_eq!(count as usize, ids.len()),
                            Err(GroupError::Closed) => return mine,
                            Err(error) => panic!("{error}"),
                        }
                        ids.into_iter().for_each(|id| member.ack(id).expect("it is its own"));
                    }
                })
            })
            .collect();
        let mut producer = ring.producer().expect("a producer");
        for number in 0..RECORDS {
            producer.send(&number.to_le_bytes()).expect("send");
        }
        drop(producer);
        let mut all: Vec<u64> =
            threads.into_iter().flat_map(|thread| thread.join().expect("a member")).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..RECORDS));
        assert_eq!(first.unacknowledged(), 0);
    }
}

#[test]
fn what_is_given_back_goes_to_another() {
    let scene = Scene::new();
    let (mut producer, mut first, mut second) = scene.two();
    send(&mut producer, 0, 3);
    let (number, deliveries, id) = receive(&mut first);
    assert_eq!((number, deliveries), (0, 1));
    assert_eq!((receive(&mut second).0, first.unacknowledged(), second.unacknowledged()), (1, 1, 1));
    first.nack(id).expect("its own");
    assert_eq!(first.unacknowledged(), 0);
    assert!(matches!(first.ack(id), Err(GroupError::NotLeased { sequence: 0 })));
    assert!(matches!(first.nack(id), Err(GroupError::NotLeased { sequence: 0 })));
    // What was given back comes first.
    let (number, deliveries, again) = receive(&mut second);
    assert_eq!((number, deliveries), (0, 2));
    second.ack(again).expect("its own");
    assert!(matches!(second.ack(again), Err(GroupError::NotLeased { .. })));
    // Leaving gives back.
    drop(second);
    let (number, deliveries, id) = receive(&mut first);
    assert_eq!((number, deliveries), (1, 2));
    first.ack(id).expect("its own");
    assert_eq!(receive(&mut first).0, 2);
    nothing(&mut first);
}

#[test]
fn a_member_has_as_many_as_it_may_have() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&workers().limit(3));
    // The options of the group that exists count.
    let mut other = scene.join(&workers());
    send(&mut producer, 0, 9);
    let mut ids = Vec::new();
    for member in [&mut member, &mut other] {
        let taken = take(member, 32);
        assert_eq!(taken.len(), 3);
        ids.extend(taken);
        assert!(matches!(member.try_recv(), Err(GroupError::Unacknowledged { limit: 3 })));
        assert!(matches!(member.recv(), Err(GroupError::Unacknowledged { limit: 3 })));
    }
    member.ack(ids[1]).expect("its own");
    assert_eq!(receive(&mut member).0, 6);
}

#[test]
fn a_lease_may_be_over() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let group = workers().lease_time(Duration::from_millis(5));
    let (mut slow, mut other) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 2);
    let (_, _, first) = receive(&mut slow);
    let (_, _, second) = receive(&mut slow);
    // It comes to whoever waits for it.
    let Ok(GroupEvent::Job(job)) = other.recv_timeout(Duration::from_secs(20)) else {
        panic!("it was out for too long");
    };
    assert_eq!((job.sequence(), job.deliveries()), (0, 2));
    let id = job.id();
    assert!(matches!(slow.ack(first), Err(GroupError::NotLeased { sequence: 0 })));
    // One that nobody else has taken yet is still its own.
    slow.ack(second).expect("its own");
    other.ack(id).expect("its own");
    producer.send(b"after").expect("send");
    let job = other.recv_job(|_| {}).expect("the next");
    assert_eq!((job.sequence(), job.deliveries()), (2, 1));
}

/// A member that learns from one record that another has its lease is not handed the rest of that.
#[test]
fn the_rest_of_a_lease_that_is_over() {
    const TIME: Duration = Duration::from_millis(20);
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let group = workers().lease_time(TIME);
    let (mut slow, mut other) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 3);
    // Three that were taken together come back, and are taken together, whoever asks for one.
    let ids = take(&mut other, 3);
    assert_eq!(ids.len(), 3);
    ids.iter().for_each(|id| other.nack(*id).expect("its own"));
    let (sequence, deliveries, first) = receive(&mut slow);
    assert_eq!((sequence, deliveries), (0, 2));
    std::thread::sleep(2 * TIME);
    let Ok(GroupEvent::Job(job)) = other.recv_timeout(Duration::from_secs(20)) else {
        panic!("it was out for too long");
    };
    assert_eq!((job.sequence(), job.deliveries()), (0, 3));
    assert!(matches!(slow.ack(first), Err(GroupError::NotLeased { sequence: 0 })));
    assert_eq!(slow.unacknowledged(), 0);
    // The other's time may be over by now, too.
    match slow.try_recv().expect("try") {
        Some(GroupEvent::Job(job)) => assert!(job.deliveries() > 3, "{job:?} is the other's"),
        other => assert!(other.is_none(), "{other:?}"),
    }
}

#[test]
fn the_producer_waits_for_what_is_not_acknowledged() {
    let scene = Scene::new();
    let (mut producer, mut first, mut second) = scene.two();
    let room = CAPACITY / 16;
    send(&mut producer, 0, room);
    assert!(matches!(producer.try_send(&[0; 8]), Err(SendError::Full { .. })));
    let oldest = receive(&mut first).2;
    let mut next = receive(&mut second).2;
    // All but the first are acknowledged.
    for _ in 2..room {
        second.ack(next).expect("its own");
        next = receive(&mut second).2;
    }
    second.ack(next).expect("its own");
    nothing(&mut second);
    assert!(matches!(producer.try_send(&[0; 8]), Err(SendError::Full { .. })));
    let waiting = std::thread::spawn(move || {
        producer.send(&[0; 8]).expect("room in the end");
        producer
    });
    std::thread::sleep(Duration::from_millis(20));
    // Whoever looks moves the gate for a producer that waits, and not past the oldest.
    nothing(&mut second);
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished());
    // Whoever acknowledges lets the producer go on, without another receive.
    first.ack(oldest).expect("its own");
    let mut producer = waiting.join().expect("the producer");
    send(&mut producer, 1, room);
}

#[test]
fn all_leases_may_be_out() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let group = workers().leases(64);
    let (mut first, mut second) = (scene.join(&group), scene.join(&group));
    send(&mut producer, 0, 70);
    let ids: Vec<_> = (0..64).map(|_| receive(&mut first).2).collect();
    nothing(&mut second);
    let waiting = std::thread::spawn(move || {
        let sequence = second.recv_job(|_| {}).expect("a lease in the end").sequence();
        (second, sequence)
    });
    // The room of a lease is that of the oldest.
    first.ack(ids[5]).expect("its own");
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished());
    first.ack(ids[0]).expect("its own");
    assert_eq!(waiting.join().expect("a member").1, 64);
}

#[test]
fn a_group_without_members_is_held() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let group = workers().hold_forever();
    let mut member = scene.join(&group);
    let room = CAPACITY / 16;
    send(&mut producer, 0, room);
    let (_, _, id) = receive(&mut member);
    receive(&mut member);
    member.ack(id).expect("its own");
    drop(member);
    assert!(matches!(
        producer.send_timeout(&[0; 8], Duration::from_millis(10)),
        Err(SendError::TimedOut { .. })
    ));
    let mut member = scene.join(&group);
    for number in 1..room {
        let (found, deliveries, id) = receive(&mut member);
        assert_eq!((found, deliveries), (number, if number == 1 { 2 } else { 1 }));
        member.ack(id).expect("its own");
    }
    nothing(&mut member);
    send(&mut producer, room, room + 8);
}

#[test]
fn a_group_without_members_loses_what_is_overwritten() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let mut member = scene.join(&workers());
    let room = CAPACITY / 16;
    send(&mut producer, 0, room);
    for _ in 0..3 {
        receive(&mut member);
    }
    drop(member);
    for number in room..3 * room {
        producer.send_timeout(&number.to_le_bytes(), Duration::from_secs(20)).expect("nobody is in the way");
    }
    let mut member = scene.join(&workers());
    let (mut lost, mut next) = (0, 0);
    let mut received = Vec::new();
    while let Some(event) = member.try_recv().expect("try") {
        match event {
            GroupEvent::Lost(found) => {
                assert_eq!((found.first, found.next - found.first), (next, found.records));
                (lost, next) = (lost + found.records, found.next);
            }
            GroupEvent::Job(job) => {
                assert_eq!((job.sequence(), job.record().read(), job.deliveries()), (next, Some(next), 1));
                next += 1;
                received.push(job.id());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, 3 * room);
    assert_eq!(lost + received.len() as u64, 3 * room);
    assert!(lost >= 2 * room, "{lost}");
    // From here on the gate holds.
    for number in 3 * room..4 * room {
        if producer.try_send(&number.to_le_bytes()).is_err() {
            member.ack(received.remove(0)).expect("its own");
            nothing_or_job(&mut member);
        }
    }
    for id in received {
        member.ack(id).expect("its own");
    }
}

fn nothing_or_job(member: &mut GroupMember) {
    match member.try_recv().expect("try") {
        None | Some(GroupEvent::Job(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_waits_is_told() {
    let scene = Scene::new();
    let (mut producer, mut first, mut second) = scene.two();
    assert!(matches!(first.recv_timeout(Duration::from_millis(5)), Err(GroupError::TimedOut)));
    assert!(matches!(first.recv_deadline(Instant::now()), Err(GroupError::TimedOut)));
    send(&mut producer, 0, 1);
    let id = receive(&mut first).2;
    drop(producer);
    // It ended, but what the other has may come back.
    assert!(matches!(second.recv_timeout(Duration::from_millis(5)), Err(GroupError::TimedOut)));
    assert!(matches!(first.recv(), Err(GroupError::Closed)));
    let waiting = std::thread::spawn(move || {
        let job = second.recv_job(|_| {}).expect("what is given back");
        assert_eq!(job.deliveries(), 2);
        job.ack().expect("its own");
        assert!(matches!(second.recv(), Err(GroupError::Closed)));
    });
    std::thread::sleep(Duration::from_millis(20));
    first.nack(id).expect("its own");
    waiting.join().expect("a member");
    assert!(matches!(first.recv(), Err(GroupError::Closed)));
}

#[test]
fn members_come_and_go() {
    let scene = Scene::new();
    const RECORDS: u64 = 3000;
    let path = scene.path();
    let mut producer = scene.ring().producer().expect("a producer");
    let group = workers().hold_forever().members(6);
    let keeper = scene.join(&group);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (path, group) = (path.clone(), group.clone());
            std::thread::spawn(move || {
                let mut done: BTreeMap<u64, u32> = BTreeMap::new();
                'coming: loop {
                    let mut member = GroupMember::join(&path, &group).expect("join");
                    for turn in 0..40 {
                        let job = match member.recv_job(|event| panic!("{event:?}")) {
                            Ok(job) => job,
                            Err(GroupError::Closed) => break 'coming done,
                            Err(error) => panic!("{error}"),
                        };
                        let number = job.record().read().expect("a number");
                        match turn % 5 {
                            3 => job.nack().expect("its own"),
                            // Left to whoever comes after this member.
                            4 => {
                                drop(job);
                                continue 'coming;
                            }
                            _ => {
                                job.ack().expect("its own");
                                *done.entry(number).or_default() += 1;
                            }
                        }
                    }
                }
            })
        })
        .collect();
    for number in 0..RECORDS {
        producer.send(&number.to_le_bytes()).expect("send");
    }
    drop(producer);
    let mut all: BTreeMap<u64, u32> = BTreeMap::new();
    for thread in threads {
        for (number, times) in thread.join().expect("a member") {
            *all.entry(number).or_default() += times;
        }
    }
    assert!(all.into_iter().eq((0..RECORDS).map(|number| (number, 1))), "each is acknowledged once");
    drop(keeper);
}
