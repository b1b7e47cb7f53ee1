//! Groups: each record is acknowledged once or handed out again, whichever member dies.

pub(super) mod aside;
pub(super) mod leases;
pub(super) mod losing;
pub(super) mod making;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use quoit::{Error, Group, GroupError, GroupEvent, GroupMember, JobId, Options, Producer, SendError, Start};

use super::stage::Stage;
use super::{Case, End, MOMENT, PATIENCE, SHORT, Scene, Word, soon};
use crate::child::Child;
use crate::tracee::mark;

/// Seats of members.
const MEMBERS: u32 = 4;

pub(super) const CASES: &[Case] = &[
    Case::new("group-recv-ack", make, joined, recv_and_ack),
    Case::new("group-recv-three", make, joined, recv_three),
    Case::new("group-nack", make, joined, nack),
    Case::new("group-leave", make, joined, leave),
    Case::new("group-join", make, joined, join_and_take),
    Case::new("group-recv-of-the-dead", make_with_dead, joined, recv_and_ack),
    Case::new("group-ack-for-space", make_full, joined, recv_and_ack).asleep(produce_more),
    Case::new("group-nack-wake", make_with_one, joined_late, nack_for_another).beside(wait_for_one),
    Case::new("group-time-out", make_empty, producing, time_out),
];

fn group() -> Group {
    Group::new("workers").start(Start::Oldest).hold_forever().members(MEMBERS).leases(64)
}

fn open(stage: &Stage) -> Result<GroupMember, Error> {
    GroupMember::join(stage.path(), &group())
}

/// So many records, of so many bytes, in a ring whose producer has ended.
fn make_with(stage: &Stage, records: u64, bytes: usize) -> Result<()> {
    let mut producer = Producer::create(stage.path(), &Options::new().capacity(4096))?;
    drop(open(stage)?);
    for number in 0..records {
        match producer.try_send(&vec![number as u8; bytes]) {
            Ok(sequence) => stage.is(sequence == number, || format!("record {sequence}"))?,
            Err(SendError::Full { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn make(stage: &Stage) -> Result<()> {
    make_with(stage, 6, 8)
}

fn make_with_one(stage: &Stage) -> Result<()> {
    make_with(stage, 1, 8)
}

fn make_empty(stage: &Stage) -> Result<()> {
    make_with(stage, 0, 8)
}

fn make_full(stage: &Stage) -> Result<()> {
    make_with(stage, 64, LARGE)
}

/// A ring has room for a few of these.
const LARGE: usize = 480;

/// A member has died with two records.
fn make_with_dead(stage: &Stage) -> Result<()> {
    make(stage)?;
    let mut member = Child::start(|| {
        let mut member = open(stage).expect("join");
        for _ in 0..2 {
            let _ = member.recv_job(|_| {}).expect("a record");
        }
        std::mem::forget(member);
    })?;
    member.ends_within(PATIENCE)?.context("a member that dies")?;
    Ok(())
}

/// Which records the victim has been given, began to acknowledge, acknowledged, and gives back: a bit for each.
const GIVEN: Word = Word::First;
const ACKS: Word = Word::Begun;
const ACKED: Word = Word::Done;
const BACK: Word = Word::Second;
/// Which ones others were given.
const OTHERS: Word = Word::Others;

/// No two records of a case have the same.
fn bit(sequence: u64) -> u64 {
    1 << (sequence % 61)
}

/// The next record, and that it is the victim's.
#[inline(always)]
fn take(stage: &Stage, member: &mut GroupMember) -> JobId {
    match member.recv() {
        Ok(GroupEvent::Job(job)) => {
            let id = job.id();
            stage.add(GIVEN, bit(id.sequence()));
            id
        }
        other => panic!("{other:?}"),
    }
}

#[inline(always)]
fn ack(stage: &Stage, member: &GroupMember, id: JobId) {
    stage.add(ACKS, bit(id.sequence()));
    let acked = member.ack(id);
    stage.add(ACKED, bit(id.sequence()));
    acked.expect("its own");
}

fn recv_and_ack(stage: &Stage) {
    let mut member = open(stage).expect("join");
    mark();
    let id = take(stage, &mut member);
    ack(stage, &member, id);
    mark();
    stage.stay();
    let given = stage.get(GIVEN);
    stage.add(BACK, given);
}

fn recv_three(stage: &Stage) {
    let mut member = open(stage).expect("join");
    mark();
    let mut ids = [None; 3];
    let mut count = 0;
    let received = member.recv_up_to(3, |event| {
        if let GroupEvent::Job(job) = event {
            ids[count] = Some(job.id());
            count += 1;
            stage.add(GIVEN, bit(job.sequence()));
        }
    });
    // The second of them.
    if let Some(id) = ids[1] {
        ack(stage, &member, id);
    }
    mark();
    received.expect("records");
    stage.stay();
    let given = stage.get(GIVEN);
    stage.add(BACK, given);
}

fn nack(stage: &Stage) {
    let mut member = open(stage).expect("join");
    let (kept, back) = (take(stage, &mut member), take(stage, &mut member));
    mark();
    stage.add(BACK, bit(back.sequence()));
    let given_back = member.nack(back);
    stage.set(Word::Come, 1);
    mark();
    given_back.expect("its own");
    stage.stay();
    stage.add(BACK, bit(kept.sequence()));
}

/// The one record there is; another member sleeps for it.
fn nack_for_another(stage: &Stage) {
    let mut member = open(stage).expect("join");
    let id = take(stage, &mut member);
    stage.set(Word::Come, 1);
    // The other one has joined since, and sleeps.
    while stage.get(Word::Told) == 0 {
        std::thread::sleep(MOMENT);
    }
    std::thread::sleep(Duration::from_millis(3));
    mark();
    stage.add(BACK, bit(id.sequence()));
    let given_back = member.nack(id);
    mark();
    given_back.expect("its own");
    stage.stay();
}

fn leave(stage: &Stage) {
    let mut member = open(stage).expect("join");
    for _ in 0..2 {
        take(stage, &mut member);
    }
    mark();
    let given = stage.get(GIVEN);
    stage.add(BACK, given);
    drop(member);
    mark();
    stage.stay();
}

fn join_and_take(stage: &Stage) {
    mark();
    let member = open(stage);
    mark();
    let mut member = member.expect("join");
    stage.stay();
    let id = take(stage, &mut member);
    ack(stage, &member, id);
}

fn time_out(stage: &Stage) {
    let mut member = open(stage).expect("join");
    mark();
    let received = member.recv_timeout(SHORT).map(drop);
    mark();
    assert!(matches!(received, Err(GroupError::TimedOut)), "{received:?}");
    stage.stay();
}

/// The producer, asleep until there is space.
fn produce_more(stage: &Stage) {
    let mut producer = Producer::open(stage.path()).expect("take over");
    producer.set_spins(0);
    stage.set(Word::Ready, 1);
    producer.send_deadline(&[0; LARGE], soon()).expect("space in time");
    stage.set(Word::Through, 1);
}

/// A member that sleeps for what another has.
fn wait_for_one(stage: &Stage) {
    stage.set(Word::Ready, 1);
    while stage.get(Word::Come) == 0 {
        std::thread::sleep(MOMENT);
    }
    let mut member = open(stage).expect("join");
    stage.set(Word::Told, 1);
    match member.recv_deadline(soon()) {
        Ok(GroupEvent::Job(job)) => {
            assert_eq!((job.sequence(), job.deliveries()), (0, 2));
            stage.add(OTHERS, bit(0));
            job.ack().expect("its own");
        }
        other => panic!("{other:?}"),
    }
    stage.set(Word::Through, 1);
}

struct Members<'a> {
    stage: &'a Stage,
    open: fn(&Stage) -> Result<GroupMember, Error>,
    member: Option<GroupMember>,
    producer: Option<Producer>,
    /// The records that are not acknowledged in the beginning, a bit for each.
    all: u64,
    /// The victim acknowledges what it has together: all of it, or nothing.
    together: bool,
    /// Records that are put aside.
    aside: u64,
}

impl<'a> Members<'a> {
    /// Joins when all is over.
    fn late(stage: &'a Stage, all: u64) -> Self {
        Self { stage, open, member: None, producer: None, all, together: false, aside: 0 }
    }

    /// Has joined already.
    fn new(stage: &'a Stage, all: u64) -> Result<Self> {
        Ok(Self { member: Some(open(stage)?), ..Self::late(stage, all) })
    }
}

/// A bit for each record of the ring.
fn every(stage: &Stage) -> Result<u64> {
    Ok(bit(quoit::Inspector::open(stage.path())?.snapshot()?.next_sequence) - 1)
}

fn joined(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Members::new(stage, every(stage)?)?))
}

fn joined_late(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Members::late(stage, every(stage)?)))
}

fn producing(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let producer = Some(Producer::open(stage.path())?);
    Ok(Box::new(Members { producer, ..Members::new(stage, 0)? }))
}

impl Members<'_> {
    /// What another member may be given: nothing that the victim has, and nothing twice.
    fn check_given(&self, sequence: u64, deliveries: u32, is_over: bool) -> Result<()> {
        let stage = self.stage;
        let given = bit(sequence);
        let was_given = stage.get(GIVEN) & given != 0;
        let is_back = is_over || stage.get(BACK) & given != 0;
        stage.is(!was_given || is_back, || {
            format!("record {sequence} is handed out while its member is stopped")
        })?;
        let is_acked = stage.get(ACKED) & given != 0;
        stage.is(!is_acked, || format!("record {sequence} is handed out, and was acknowledged"))?;
        let is_twice = stage.get(OTHERS) & given != 0;
        stage.is(!is_twice, || format!("record {sequence} is handed out twice"))?;
        stage.is(!was_given || deliveries >= 2, || {
            format!("record {sequence} has {deliveries} deliveries after a death")
        })?;
        stage.is(self.aside & given == 0, || {
            format!("record {sequence} is handed out, and is to be put aside")
        })?;
        stage.add(OTHERS, given);
        Ok(())
    }
}

impl Scene for Members<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        if self.producer.is_some() {
            return Ok(());
        }
        let Some(mut member) = self.member.take() else { return Ok(()) };
        // One that is stopped during its turn stops all.
        match member.try_recv() {
            Ok(Some(GroupEvent::Job(job))) => {
                self.check_given(job.sequence(), job.deliveries(), false)?;
                job.ack()?;
            }
            // There is no room for it.
            Ok(None) | Err(GroupError::DeadLetter { .. }) => {}
            Ok(Some(other)) => bail!("{other:?}"),
            Err(error) => return Err(error.into()),
        }
        self.member = Some(member);
        Ok(())
    }

    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let stage = self.stage;
        let has_more = stage.get(Word::Ready) == 1 && stage.get(Word::Come) == 0;
        let waits_beside = stage.get(Word::Come) == 1 && stage.get(Word::Told) == 1;
        drop(self.producer.take());
        let reader = aside::reader(stage, self.aside)?;
        let mut member = match self.member.take() {
            Some(member) => member,
            None => {
                if waits_beside {
                    stage.until_through()?;
                }
                (self.open)(stage)?
            }
        };
        let mut is_again = false;
        let mut received = 0;
        loop {
            match member.recv_timeout(PATIENCE) {
                Ok(GroupEvent::Job(job)) => {
                    let (sequence, deliveries) = (job.sequence(), job.deliveries());
                    // What came since: the producer beside it.
                    if (self.all | self.aside) & bit(sequence) != 0 {
                        self.check_given(sequence, deliveries, true)?;
                        is_again |= deliveries > 1;
                        stage.is(
                            job.record().to_vec().iter().all(|byte| u64::from(*byte) == sequence),
                            || format!("record {sequence} has other bytes"),
                        )?;
                    }
                    job.ack()?;
                    received += 1;
                    stage.is(received <= self.all.count_ones() + 1, || "more than there are".to_owned())?;
                }
                Ok(other) => bail!("{other:?}"),
                Err(GroupError::Closed | GroupError::ProducerGone) => break,
                // The dead may have been that ring's producer, just before.
                Err(GroupError::DeadLetter { .. }) => {}
                Err(error) => return Err(error).context("what is left"),
            }
        }
        if has_more {
            stage.until_through()?;
        }
        let (given, acked) = (stage.get(GIVEN), stage.get(ACKED));
        let lost = self.all & !(stage.get(OTHERS) | stage.get(ACKS));
        stage.is(lost == 0, || format!("lost: {lost:b}, given {given:b}, acknowledged {acked:b}"))?;
        let acks = stage.get(ACKS);
        let back = stage.get(OTHERS) & acks;
        stage.is(!self.together || back == 0 || back == acks, || {
            format!("of {acks:b}, which were acknowledged together, {back:b} are left")
        })?;
        let is_told = is_again || waits_beside;
        let had_some = end == End::Killed && given & !stage.get(ACKS) != 0;
        stage.is(is_told || !had_some, || "the records of the dead are handed out as new".to_owned())?;
        if is_told && end == End::Killed {
            stage.note_told();
        }
        drop(member);
        // Every seat again, that of the dead among them.
        let mut members = stage.take_seats(MEMBERS - 1, || (self.open)(stage))?;
        let Some(last) = members.first_mut() else { return Ok(()) };
        let more = last.recv_timeout(Duration::ZERO).map(drop);
        let is_end = matches!(more, Err(GroupError::Closed | GroupError::ProducerGone));
        stage.is(is_end || has_more, || format!("something is left: {more:?}"))?;
        reader.map_or(Ok(()), |reader| reader.check(stage, self.aside, end))
    }
}
