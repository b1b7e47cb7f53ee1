//! A group between processes: members are killed anywhere, and the account is exact to the record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quoit::{Group, GroupError, GroupEvent, GroupMember, Options, Producer, Ring, WaitSet};

use crate::process::{Part, Process, SOON, Stage, hear, kills_wanted, monotonic_ns, note, say};

pub(crate) fn group() -> Group {
    Group::new("workers").hold_forever().members(16)
}

/// Receives records, one or several at a time, and acknowledges them. Says so before and after each acknowledgement, until
/// it is killed or the stream ends.
///
/// With a ring for dead letters some records kill it.
///
/// `ring`, `dead`.
pub(crate) fn work(part: &Part) {
    let dead = part.find::<PathBuf>("dead").map(|path| Ring::open(path).expect("open"));
    let group = match &dead {
        Some(dead) => group().max_deliveries(3, dead),
        None => group(),
    };
    let mut member = GroupMember::join(part.ring(), &group).expect("join");
    say("works");
    for turn in 0_u32.. {
        let mut jobs = Vec::new();
        let received = member.recv_up_to(turn % 5 + 1, |event| match event {
            GroupEvent::Job(job) => jobs.push((job.id(), job.deliveries())),
            other => panic!("{other:?}"),
        });
        match received {
            Ok(_) => {}
            Err(GroupError::Closed) => break,
            Err(error) => {
                say(format_args!("fails: {error}"));
                panic!("{error}");
            }
        }
        for (id, deliveries) in jobs {
            if dead.is_some() && id.sequence() % 17 == 16 {
                say(format_args!("dies {}", id.sequence()));
                kill(Pid::this(), Signal::SIGKILL).expect("kill itself");
            }
            if dead.is_none() && id.sequence() % 11 == 10 && deliveries == 1 {
                member.nack(id).expect("its own");
                continue;
            }
            say(format_args!("begins {} {deliveries}", id.sequence()));
            member.ack(id).expect("its own");
            say(format_args!("ends {}", id.sequence()));
        }
    }
    say("is done");
}

/// Receives so many records, says which, and keeps them until it is told to go on.
///
/// `ring`, `records`.
pub(crate) fn keep(part: &Part) {
    let mut member = GroupMember::join(part.ring(), &group()).expect("join");
    let mut kept = Vec::new();
    for _ in 0..part.get::<u32>("records") {
        let job = member.recv_job(|_| {}).expect("a record");
        kept.push(job.sequence().to_string());
    }
    say(format_args!("keeps {}", kept.join(" ")));
    hear();
}

/// What the members said of each record.
#[derive(Default)]
pub(crate) struct Account {
    begun: BTreeMap<u64, u32>,
    pub(crate) ended: BTreeMap<u64, u32>,
    pub(crate) again: u64,
}

impl Account {
    /// Returns whether the member was done.
    pub(crate) fn hear(&mut self, lines: &[String]) -> bool {
        for line in lines {
            let numbers = |word| crate::process::numbers(line, word);
            if let Some(numbers) = numbers("begins") {
                *self.begun.entry(numbers[0]).or_default() += 1;
                self.again += u64::from(numbers[1] > 1);
            } else if let Some(numbers) = numbers("ends") {
                *self.ended.entry(numbers[0]).or_default() += 1;
            } else {
                assert!(line == "is done" || line == "works", "{line:?}");
            }
        }
        lines.iter().any(|line| line == "is done")
    }

    /// So many records were published, and so many members killed.
    pub(crate) fn is_exact(&self, sent: u64, kills: u64) {
        // None is lost: of each one somebody said that it began to acknowledge it. None is acknowledged twice.
        assert!(self.begun.keys().copied().eq(0..sent), "records are lost");
        assert!(self.ended.values().all(|times| *times == 1), "a record is acknowledged twice");
        // Whoever began and did not say that it ended was killed in between: a record that one had acknowledged never
        // began again.
        let begun: u64 = self.begun.values().map(|times| u64::from(*times)).sum();
        assert!(begun - self.ended.len() as u64 <= kills, "{begun} begun, {} ended", self.ended.len());
    }
}

/// Five members; one after the other is killed, wherever it is, and replaced, while a producer fills the ring as fast as
/// it may.
#[test]
fn members_are_killed() {
    let stage = Stage::tmpfs(300);
    let path = stage.file("ring");
    let mut producer =
        Producer::open_or_create(&path, &Options::new().capacity(1 << 14)).expect("a producer");
    drop(GroupMember::join(&path, &group()).expect("make the group"));
    let start = || Part::new("work in a group").on(&path).start();
    let mut members: Vec<Process> = (0..5).map(|_| start()).collect();
    let mut account = Account::default();
    let mut sent = 0_u64;
    let kills = kills_wanted(120);
    for kill in 0..kills {
        let until = Instant::now() + Duration::from_micros(kill * 37 % 3000);
        while Instant::now() < until || sent < 4 * kill {
            // The ring is full most of the time: what is acknowledged makes room.
            producer.send_timeout(&sent.to_le_bytes(), SOON).expect("nobody keeps a record");
            sent += 1;
        }
        let at = (kill % 5) as usize;
        account.hear(&members[at].kill());
        members[at] = start();
    }
    drop(producer);
    for member in &mut members {
        let mut lines = vec![member.line(SOON)];
        while lines.last().is_none_or(|line| line != "is done") {
            lines.push(member.line(SOON));
        }
        account.hear(&lines);
    }
    members.into_iter().for_each(Process::finish);
    account.is_exact(sent, kills);
    let mut member = GroupMember::join(&path, &group()).expect("join");
    assert!(matches!(member.recv_timeout(Duration::ZERO), Err(GroupError::Closed)), "something is left");
    note(format_args!("group: {kills} kills, {sent} records, {} handed out again", account.again));
}

fn produce(path: &Path, records: u64) -> Producer {
    let mut producer = Producer::open_or_create(path, &Options::new().capacity(4096)).expect("a producer");
    drop(GroupMember::join(path, &group()).expect("make the group"));
    for number in 0..records {
        producer.send(&number.to_le_bytes()).expect("send");
    }
    producer
}

#[test]
fn who_waits_gets_the_records_of_the_dead() {
    let stage = Stage::tmpfs(120);
    for (waits_ms, in_a_set) in [(0, false), (5, false), (300, false), (5, true), (300, true)] {
        let path = stage.file(&format!("ring-{waits_ms}-{in_a_set}"));
        let _producer = produce(&path, 3);
        let mut holder = Part::new("keep records of a group").on(&path).with("records", 3).start();
        assert_eq!(holder.says("keeps"), [0, 1, 2]);
        let mut member = GroupMember::join(&path, &group()).expect("join");
        let waiting = std::thread::spawn(move || {
            let (mut found, mut first_ns) = (Vec::new(), None);
            for _ in 0..3 {
                if in_a_set {
                    assert!(WaitSet::new().wait(&mut [&mut member]).contains(0));
                }
                let job = match in_a_set {
                    // The set has found that it is there.
                    true => match member.try_recv().expect("try") {
                        Some(GroupEvent::Job(job)) => job,
                        other => panic!("{other:?}"),
                    },
                    false => member.recv_job(|_| {}).expect("what the dead had"),
                };
                first_ns.get_or_insert_with(monotonic_ns);
                found.push((job.sequence(), job.deliveries()));
                job.ack().expect("its own");
            }
            (found, first_ns.expect("three records"))
        });
        std::thread::sleep(Duration::from_millis(waits_ms));
        let struck_ns = monotonic_ns();
        holder.strike();
        let (found, first_ns) = waiting.join().expect("a member");
        assert_eq!(found, [(0, 2), (1, 2), (2, 2)]);
        holder.reap();
        let us = (first_ns - struck_ns) / 1000;
        note(format_args!(
            "group: {us} us from the kill to the first record, after a wait of {waits_ms} ms, in a set: {in_a_set}"
        ));
    }
}

/// A member that always finds a record, and so never sleeps, looks for the dead as well.
#[test]
fn who_works_gets_the_records_of_the_dead() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("ring");
    let mut producer = produce(&path, 3);
    let mut holder = Part::new("keep records of a group").on(&path).with("records", 3).start();
    assert_eq!(holder.says("keeps"), [0, 1, 2]);
    let mut member = GroupMember::join(&path, &group()).expect("join");
    let struck_ns = monotonic_ns();
    holder.strike();
    let mut again = Vec::new();
    while again.len() < 3 {
        // What the dead one has holds the gate. Once the ring is full there is nothing to work at, and a member that waits looks
        // for the dead in another way.
        producer.try_send(&[7; 8]).expect("a member that works looks for the dead before the ring is full");
        let job = member.recv_job(|event| panic!("{event:?}")).expect("a record");
        if job.deliveries() > 1 {
            again.push(job.sequence());
        }
        job.ack().expect("its own");
        std::thread::sleep(Duration::from_millis(10));
    }
    let us = (monotonic_ns() - struck_ns) / 1000;
    holder.reap();
    assert_eq!(again, [0, 1, 2]);
    note(format_args!("group: {us} us from the kill until a member that works had all records"));
}

/// Stopped is not dead: what a stopped member has stays its own, and the others go on with the rest.
#[test]
fn who_is_stopped_keeps_its_records() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("ring");
    let _producer = produce(&path, 4);
    let mut holder = Part::new("keep records of a group").on(&path).with("records", 2).start();
    assert_eq!(holder.says("keeps"), [0, 1]);
    holder.stop();
    let mut member = GroupMember::join(&path, &group()).expect("join");
    for sequence in [2, 3] {
        let job = member.recv_job(|_| {}).expect("the rest");
        assert_eq!((job.sequence(), job.deliveries()), (sequence, 1));
        job.ack().expect("its own");
    }
    assert!(matches!(member.recv_timeout(Duration::from_millis(50)), Err(GroupError::TimedOut)));
    holder.cont();
    holder.tell("go on");
    holder.finish();
    // It left, and what it had comes back.
    for sequence in [0, 1] {
        let job = member.recv_job(|_| {}).expect("what it had");
        assert_eq!((job.sequence(), job.deliveries()), (sequence, 2));
        job.ack().expect("its own");
    }
}

/// To the producer the group lives as long as any member, whoever made it.
#[test]
fn the_producer_waits_for_a_living_member() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("ring");
    let mut producer = Producer::open_or_create(&path, &Options::new().capacity(4096)).expect("a producer");
    // It is not held without members.
    let group = Group::new("workers");
    let first = GroupMember::join(&path, &group).expect("make the group");
    let mut member = first.try_clone().expect("join");
    let mut holder = Part::new("keep records of a group").on(&path).with("records", 1).start();
    drop(first);
    producer.send(&[7; 8]).expect("send");
    assert_eq!(holder.says("keeps"), [0]);
    let mut sent = 1;
    while producer.try_send(&[7; 8]).is_ok() {
        sent += 1;
    }
    holder.kill();
    for _ in 0..sent {
        member.recv_job(|event| panic!("{event:?}")).expect("a record").ack().expect("its own");
    }
    while producer.try_send(&[7; 8]).is_ok() {}
    // The last member goes, and with it the gate.
    drop(member);
    producer.send_timeout(&[7; 8], SOON).expect("nobody is in the way");
}
