//! Groups whose records are overwritten: what a member is told is lost, and what it is given, are all there is.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use quoit::{
    ConsumerState, Error, Group, GroupError, GroupEvent, GroupMember, Inspector, Lost, Options, Producer,
    Start,
};

use super::{ACKED, ACKS, GIVEN, LARGE, MEMBERS, OTHERS, PATIENCE, bit};
use crate::child::Child;
use crate::steps::objects::{Case, End, Scene, Stage, Word, soon};
use crate::tracee::mark;

pub(in crate::steps::objects) const CASES: &[Case] = &[
    Case::new("group-lossy", make_lossy, joined_lossy, recv_lossy),
    Case::new("group-over-its-budget", make_evicted, joined_evicted, recv_evicted),
    Case::new("group-join-over-its-budget", make_evicted, late_evicted, join_evicted),
];

/// Twice as many as there is room for.
const RECORDS: u64 = 16;

fn workers() -> Group {
    Group::new("workers").start(Start::Oldest).members(MEMBERS).leases(64)
}

fn open_lossy(stage: &Stage) -> Result<GroupMember, Error> {
    GroupMember::join(stage.path(), &workers().lossy())
}

fn open_evicted(stage: &Stage) -> Result<GroupMember, Error> {
    GroupMember::join(stage.path(), &workers().gated_for(Duration::from_micros(100)))
}

/// A member has taken the first record, and has died; then that, and more, were overwritten.
fn make(stage: &Stage, open: fn(&Stage) -> Result<GroupMember, Error>) -> Result<()> {
    let mut producer = Producer::create(stage.path(), &Options::new().capacity(4096))?;
    // As long as it lives the producer waits for it, as long as the group may have it wait.
    let member = open(stage)?;
    producer.send(&[0; LARGE])?;
    let mut other = Child::start(|| {
        let mut other = open(stage).expect("join");
        let _ = other.recv_job(|_| {}).expect("a record");
        std::mem::forget(other);
    })?;
    other.ends_within(PATIENCE)?.context("a member that dies")?;
    for number in 1..RECORDS {
        producer.send_deadline(&[number as u8; LARGE], soon())?;
    }
    drop(member);
    Ok(())
}

fn make_lossy(stage: &Stage) -> Result<()> {
    make(stage, open_lossy)
}

fn make_evicted(stage: &Stage) -> Result<()> {
    make(stage, open_evicted)
}

/// Which records the victim was told are lost.
const LOST: Word = Word::Second;
/// Whether the victim may have been told something that it has not noted.
const HEARS: Word = Word::Come;

/// The bits of what is lost. Nothing between was acknowledged.
fn bits(lost: &Lost) -> u64 {
    assert!(lost.records == lost.next - lost.first && lost.records > 0, "{lost:?}");
    (lost.first..lost.next).fold(0, |bits, sequence| bits | bit(sequence))
}

/// Receives until nothing is left, and acknowledges it.
#[inline(always)]
fn receive_all(stage: &Stage, member: &mut GroupMember) -> GroupError {
    loop {
        stage.set(HEARS, 1);
        match member.recv_deadline(soon()) {
            Ok(GroupEvent::Job(job)) => {
                let its = bit(job.sequence());
                stage.add(GIVEN, its);
                stage.set(HEARS, 0);
                stage.add(ACKS, its);
                let acked = job.ack();
                stage.add(ACKED, its);
                acked.expect("its own");
            }
            Ok(GroupEvent::Lost(lost)) => {
                stage.add(LOST, bits(&lost));
                stage.set(HEARS, 0);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => return error,
        }
    }
}

fn recv(stage: &Stage, open: fn(&Stage) -> Result<GroupMember, Error>) {
    let mut member = open(stage).expect("join");
    // Looks that find nothing are all alike.
    member.set_spins(0);
    mark();
    let end = receive_all(stage, &mut member);
    mark();
    assert!(matches!(end, GroupError::Closed), "{end}");
    stage.set(HEARS, 0);
    stage.stay();
}

fn recv_lossy(stage: &Stage) {
    recv(stage, open_lossy);
}

fn recv_evicted(stage: &Stage) {
    recv(stage, open_evicted);
}

fn join_evicted(stage: &Stage) {
    mark();
    let member = open_evicted(stage);
    mark();
    let mut member = member.expect("join");
    stage.stay();
    let end = receive_all(stage, &mut member);
    assert!(matches!(end, GroupError::Closed), "{end}");
    stage.set(HEARS, 0);
}

struct Losing<'a> {
    stage: &'a Stage,
    open: fn(&Stage) -> Result<GroupMember, Error>,
    member: Option<GroupMember>,
    is_lossy: bool,
    /// What others than the victim were told is lost.
    lost: u64,
}

fn joined_lossy(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let member = Some(open_lossy(stage)?);
    Ok(Box::new(Losing { stage, open: open_lossy, member, is_lossy: true, lost: 0 }))
}

fn late_evicted(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Losing { stage, open: open_evicted, member: None, is_lossy: false, lost: 0 }))
}

fn joined_evicted(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let member = Some(open_evicted(stage)?);
    Ok(Box::new(Losing { stage, open: open_evicted, member, is_lossy: false, lost: 0 }))
}

impl Losing<'_> {
    /// What another member was given, or told. Nothing of that was done, or told, before.
    fn note(&mut self, event: GroupEvent<'_>) -> Result<()> {
        let stage = self.stage;
        let lost = stage.get(LOST) | self.lost;
        let over = lost | stage.get(ACKED) | stage.get(OTHERS);
        match event {
            GroupEvent::Job(job) => {
                let sequence = job.sequence();
                stage.is(over & bit(sequence) == 0, || {
                    format!("record {sequence} is handed out after {over:b}")
                })?;
                let is_whole = job.record().to_vec().iter().all(|byte| u64::from(*byte) == sequence);
                stage.is(is_whole, || format!("record {sequence} has other bytes"))?;
                stage.add(OTHERS, bit(sequence));
                job.ack()?;
            }
            GroupEvent::Lost(lost) => {
                let told = bits(&lost);
                stage.is(over & told == 0, || format!("{lost:?} is told after {over:b}"))?;
                self.lost |= told;
            }
            other => bail!("{other:?}"),
        }
        Ok(())
    }
}

impl Scene for Losing<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        let Some(mut member) = self.member.take() else { return Ok(()) };
        if let Some(event) = member.try_recv()? {
            self.note(event)?;
        }
        self.member = Some(member);
        Ok(())
    }

    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let stage = self.stage;
        let mut member = match self.member.take() {
            Some(member) => member,
            None => (self.open)(stage)?,
        };
        loop {
            match member.recv_timeout(PATIENCE) {
                Ok(event) => self.note(event)?,
                Err(GroupError::Closed) => break,
                Err(error) => return Err(error).context("what is left"),
            }
        }
        let all = bit(RECORDS) - 1;
        let missing = all & !(stage.get(ACKS) | stage.get(OTHERS) | stage.get(LOST) | self.lost);
        // The victim was killed with what it was told, which is one loss.
        let is_one = (missing >> missing.trailing_zeros().min(63)).wrapping_add(1).is_power_of_two();
        let may_miss = end == End::Killed && stage.get(HEARS) == 1 && is_one;
        stage.is(missing == 0 || may_miss, || format!("{missing:b} were neither given nor told"))?;
        if missing == 0 && end == End::Killed {
            stage.note_told();
        }
        // Everything is done, so the gate is open again where there is one.
        let snapshot = Inspector::open(stage.path())?.snapshot()?;
        let states: Vec<_> = snapshot.consumers.iter().map(|consumer| consumer.state).collect();
        let expected = if self.is_lossy { ConsumerState::Lossy } else { ConsumerState::Gated };
        stage.is(states == [expected], || format!("{states:?}"))?;
        drop(member);
        let members = stage.take_seats(MEMBERS - 1, || (self.open)(stage))?;
        stage.is(!members.is_empty(), || "no member".to_owned())
    }
}
