//! A group beside other consumers of its ring: any of them is killed, anywhere, and the account is exact to the record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, GroupError, GroupMember, Options, Producer, RecvError, Start};
use support::dice::Dice;

use crate::group::{Account, group};
use crate::process::{Part, Process, SOON, Stage, kills_wanted, note, numbers, say};

const MEMBERS: usize = 8;

/// Follows the ring under a name, and says what it sees and what it has lost, until it is killed or the stream ends.
///
/// `ring`, `gated`.
pub(crate) fn follow(part: &Part) {
    let attach = match part.get("gated") {
        true => Attach::gated().name("gated").hold_forever(),
        false => Attach::lossy().name("lossy"),
    };
    let mut consumer = Consumer::open(part.ring(), &attach.start(Start::Oldest)).expect("attach");
    say("follows");
    loop {
        match consumer.recv() {
            Ok(Event::Record(record)) => {
                assert_eq!(record.read::<u64>(), Some(record.sequence()), "torn or foreign payload");
                say(format_args!("saw {} {}", record.sequence(), record.sequence() + 1));
            }
            Ok(Event::Lost(loss)) => say(format_args!("lost {} {}", loss.first, loss.next)),
            Ok(_) => {}
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    say("is done");
}

/// What a follower said, over all its lives.
struct Followed {
    is_gated: bool,
    /// Every record below this was seen or lost.
    next: u64,
    /// Where its present life is, once it has said something.
    at: Option<u64>,
    seen: u64,
    lost: u64,
}

impl Followed {
    /// Returns whether it was done.
    fn hear(&mut self, line: &str) -> bool {
        let (is_seen, said) = match (numbers(line, "saw"), numbers(line, "lost")) {
            (Some(said), _) => (true, said),
            (None, Some(said)) => (false, said),
            _ => {
                assert!(line == "follows" || line == "is done", "{line:?}");
                return line == "is done";
            }
        };
        let (from, to) = (said[0], said[1]);
        // What a life has received and not released, the next one receives again; nothing is left out.
        assert!(
            self.at.map_or(from <= self.next, |at| from == at),
            "{line:?} after {:?}, {}",
            self.at,
            self.next
        );
        assert!(is_seen || !self.is_gated, "a gated consumer lost records: {line:?}");
        let new = to.max(self.next) - self.next;
        if is_seen {
            self.seen += new
        } else {
            self.lost += new
        }
        self.next = self.next.max(to);
        self.at = Some(to);
        false
    }
}

enum Who {
    Member(Process),
    Follower(Process, Followed),
}

impl Who {
    fn start(&mut self, path: &std::path::Path) {
        match self {
            Self::Member(process) => *process = member(path),
            Self::Follower(process, followed) => {
                followed.at = None;
                *process = follower(path, followed.is_gated);
            }
        }
    }

    fn process(&mut self) -> &mut Process {
        match self {
            Self::Member(process) | Self::Follower(process, _) => process,
        }
    }

    fn hear(&mut self, line: String, account: &mut Account) -> bool {
        match self {
            Self::Member(_) => account.hear(&[line]),
            Self::Follower(_, followed) => followed.hear(&line),
        }
    }
}

fn member(path: &std::path::Path) -> Process {
    Part::new("work in a group").on(path).start()
}

fn follower(path: &std::path::Path, gated: bool) -> Process {
    Part::new("follow beside a group").on(path).with("gated", gated).start()
}

/// Eight members, a gated and a lossy consumer: one after the other is killed at a random moment and replaced, while a
/// producer fills the ring as fast as it may. `QUOIT_KILLS` sets how many are.
#[test]
fn a_group_beside_others_under_kills() {
    let stage = Stage::tmpfs(300 + kills_wanted(0) / 10);
    let path = stage.file("ring");
    let mut producer =
        Producer::open_or_create(&path, &Options::new().capacity(1 << 14)).expect("a producer");
    drop(GroupMember::join(&path, &group()).expect("make the group"));
    let kills = kills_wanted(100);
    let mut dice = Dice(0x9e37_79b9);
    let mut all: Vec<Who> = (0..MEMBERS).map(|_| Who::Member(member(&path))).collect();
    for is_gated in [true, false] {
        let followed = Followed { is_gated, next: 0, at: None, seen: 0, lost: 0 };
        let mut process = follower(&path, is_gated);
        assert_eq!(process.line(SOON), "follows");
        all.push(Who::Follower(process, followed));
    }
    let mut account = Account::default();
    let mut sent = 0_u64;
    for kill in 0..kills {
        let until = Instant::now() + Duration::from_micros(dice.below(3000));
        while Instant::now() < until || sent < 4 * kill {
            producer.send_timeout(&sent.to_le_bytes(), SOON).expect("whoever has the room is replaced");
            sent += 1;
        }
        let at = dice.below(all.len() as u64) as usize;
        let who = &mut all[at];
        for line in who.process().kill() {
            who.hear(line, &mut account);
        }
        who.start(&path);
    }
    drop(producer);
    let mut followed = Vec::new();
    for mut who in all {
        loop {
            let line = who.process().line(SOON);
            if who.hear(line, &mut account) {
                break;
            }
        }
        match who {
            Who::Member(process) => process.finish(),
            Who::Follower(process, said) => {
                process.finish();
                followed.push(said);
            }
        }
    }
    account.is_exact(sent, kills);
    // Each record was seen by either, or is told to be lost by the one that may lose some.
    for said in &followed {
        assert_eq!((said.next, said.seen + said.lost), (sent, sent), "records are missing");
    }
    let mut member = GroupMember::join(&path, &group()).expect("join");
    assert!(matches!(member.recv_timeout(Duration::ZERO), Err(GroupError::Closed)), "something is left");
    let (again, lost) = (account.again, followed[1].lost);
    note(format_args!(
        "group beside others: {kills} kills, {sent} records, {again} handed out again, {lost} lost"
    ));
}

/// Every seventeenth record kills whoever has it. Three members have it, and then it is put aside.
#[test]
fn a_record_that_kills_is_put_aside() {
    const RECORDS: u64 = 200;
    let stage = Stage::tmpfs(120);
    let (path, dead) = (stage.file("ring"), stage.file("dead"));
    let mut producer =
        Producer::open_or_create(&path, &Options::new().capacity(1 << 14)).expect("a producer");
    let letters = quoit::Ring::create(&dead, &Options::new().capacity(1 << 14)).expect("create");
    let mut consumer = letters.consumer(&Attach::gated()).expect("a consumer");
    drop(GroupMember::join(&path, &group().max_deliveries(3, &letters)).expect("make the group"));
    for number in 0..RECORDS {
        producer.send(&number.to_le_bytes()).expect("send");
    }
    drop(producer);
    let work = || {
        let (mut account, mut died) = (Account::default(), BTreeMap::<u64, u64>::new());
        loop {
            let mut member = Part::new("work in a group").on(&path).with("dead", dead.display()).start();
            loop {
                let line = member.line(SOON);
                if let Some(of) = numbers(&line, "dies") {
                    *died.entry(of[0]).or_default() += 1;
                    member.reap();
                    break;
                }
                if account.hear(&[line]) {
                    member.finish();
                    return (account, died);
                }
            }
        }
    };
    let (mut ended, mut died) = (BTreeMap::<u64, u32>::new(), BTreeMap::<u64, u64>::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (account, deaths) = worker.join().expect("a worker");
            account.ended.iter().for_each(|(record, times)| *ended.entry(*record).or_default() += times);
            deaths.iter().for_each(|(record, times)| *died.entry(*record).or_default() += times);
        }
    });
    let mut put_aside = Vec::new();
    loop {
        match consumer.recv() {
            Ok(Event::Record(record)) => {
                let record = record.to_vec();
                let letter = quoit::DeadLetter::parse(&record).expect("a dead letter");
                assert_eq!(
                    (letter.payload(), letter.deliveries()),
                    (&letter.sequence().to_le_bytes()[..], 3)
                );
                put_aside.push(letter.sequence());
            }
            Ok(_) => {}
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    put_aside.sort_unstable();
    let deadly = |record: &u64| record % 17 == 16;
    assert!(put_aside.iter().copied().eq((0..RECORDS).filter(deadly)), "{put_aside:?}");
    assert!(died.iter().all(|(_, times)| *times == 3) && died.keys().eq(&put_aside), "{died:?}");
    let rest = (0..RECORDS).filter(|record| !deadly(record));
    assert!(ended.into_iter().eq(rest.map(|record| (record, 1))), "the others are acknowledged once");
}
