//! Groups.

use std::time::{Duration, Instant};

use quoit::sync::{Event, Reset, SyncOptions};
use quoit::{
    DeadLetter, Error, Group, GroupError, GroupEvent, GroupInspector, GroupMember, JobId, Observer, Options,
    Producer, Ring, Start, WaitSet,
};

use super::{SEATS, all_seats, begin, moment};
use crate::syscalls::stage::{Cue, Ended, Found, Problem, Stage, soon, wrong};

fn options() -> Group {
    Group::new("workers").start(Start::Oldest).hold_forever().members(SEATS).leases(64)
}

fn join_at(stage: &Stage) -> Result<GroupMember, Error> {
    GroupMember::join(stage.object(), &options())
}

/// A ring with three records, and no group.
pub(super) fn make_ring(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.object(), &Options::new().capacity(4096).slots(2))?;
    for number in 0..3_u64 {
        producer.send(&number.to_le_bytes())?;
    }
    Ok(())
}

pub(super) fn make(stage: &Stage) -> Ended {
    make_ring(stage)?;
    drop(join_at(stage)?);
    Ok(())
}

pub(super) fn make_dead(stage: &Stage) -> Ended {
    make_ring(stage)?;
    let mut member = join_at(stage)?;
    let _ = member.recv_job(|_| {})?;
    std::mem::forget(member);
    Ok(())
}

/// The first record that it gets, as long as there is any.
pub(super) fn take(stage: &Stage) -> Ended {
    begin();
    let mut member = join_at(stage)?;
    match member.recv_deadline(soon())? {
        GroupEvent::Job(job) if job.sequence() == 0 => Ok(job.ack()?),
        other => wrong!("{other:?} is first"),
    }
}

/// All there is, and one more that comes late.
pub(super) fn wait(stage: &Stage) -> Ended {
    begin();
    let mut member = join_at(stage)?;
    member.set_spins(0);
    for sequence in 0..4 {
        match member.recv_deadline(soon())? {
            GroupEvent::Job(job) if job.sequence() == sequence => job.ack()?,
            other => wrong!("{other:?} instead of record {sequence}"),
        }
    }
    Ok(())
}

/// All there is, kept as long as the member lives.
fn take_all(member: &mut GroupMember) -> Result<Vec<JobId>, Problem> {
    let mut ids = Vec::new();
    member.recv_up_to_deadline(3, soon(), |event| {
        if let GroupEvent::Job(job) = event {
            ids.push(job.id());
        }
    })?;
    match ids.len() {
        3 => Ok(ids),
        other => wrong!("{other} records of three"),
    }
}

/// Gives a record back, gets it again, and leaves with it.
pub(super) fn give_back(stage: &Stage) -> Ended {
    begin();
    let mut member = join_at(stage)?;
    for deliveries in 1..=2 {
        match member.recv_deadline(soon())? {
            GroupEvent::Job(job) if job.sequence() == 0 && job.deliveries() == deliveries => {
                if deliveries == 1 {
                    job.nack()?;
                }
            }
            other => wrong!("{other:?} the {deliveries}. time"),
        }
    }
    Ok(())
}

/// Gives back what another member sleeps for.
pub(super) fn give_back_waking(stage: &Stage) -> Ended {
    let mut member = join_at(stage)?;
    let ids = take_all(&mut member)?;
    stage.until_member_sleeps();
    begin();
    for id in ids {
        member.nack(id)?;
    }
    Ok(())
}

/// Leaves with what another member sleeps for.
pub(super) fn leave_waking(stage: &Stage) -> Ended {
    let mut member = join_at(stage)?;
    take_all(&mut member)?;
    stage.until_member_sleeps();
    begin();
    drop(member);
    Ok(())
}

/// Sleeps until the victim, which has all records, gives one back, leaves or dies.
pub(super) fn sleep_for_it(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut member = join_at(stage)?;
    member.set_spins(0);
    let inspector = GroupInspector::open(stage.object(), "workers")?;
    cue.ready();
    let end = soon();
    while inspector.snapshot()?.unacknowledged != 3 {
        if Instant::now() >= end {
            wrong!("the victim takes nothing");
        }
        moment();
    }
    match member.recv_deadline(soon())? {
        GroupEvent::Job(job) if job.deliveries() == 2 => Ok(job.ack()?),
        other => wrong!("{other:?} instead of what comes back"),
    }
}

pub(super) fn inspect(stage: &Stage) -> Ended {
    begin();
    let inspector = GroupInspector::open(stage.object(), "workers")?;
    let snapshot = inspector.snapshot()?;
    if snapshot.members.len() != 1 || snapshot.unacknowledged != 1 || snapshot.garbage.is_some() {
        wrong!("{snapshot:?}");
    }
    Ok(())
}

/// A member that has the first record.
pub(super) fn have(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut member = join_at(stage)?;
    let _ = member.recv_job(|_| {})?;
    cue.ready();
    cue.stay()
}

/// A member and an event, and the member's record comes late.
pub(super) fn wait_in_a_set(stage: &Stage) -> Ended {
    begin();
    let mut member = join_at(stage)?;
    let mut event = Event::open(stage.folder.join("event"))?;
    let mut set = WaitSet::new();
    set.set_spins(0);
    let mut sequence = 0;
    while sequence < 4 {
        if set.wait_deadline(&mut [&mut event, &mut member], soon()).is_empty() {
            wrong!("record {sequence} does not come");
        }
        if let Some(event) = member.try_recv()? {
            match event {
                GroupEvent::Job(job) if job.sequence() == sequence => job.ack()?,
                other => wrong!("{other:?} instead of record {sequence}"),
            }
            sequence += 1;
        }
    }
    Ok(())
}

pub(super) fn make_with_event(stage: &Stage) -> Ended {
    Event::create(stage.folder.join("event"), &SyncOptions::new(), Reset::Auto)?;
    make(stage)
}

/// The group puts aside what was handed out once, and was not acknowledged.
fn careful(stage: &Stage) -> Result<Group, Error> {
    Ok(options().max_deliveries(1, &Ring::open(stage.folder.join("dead"))?))
}

fn join_careful(stage: &Stage) -> Result<GroupMember, Error> {
    GroupMember::join(stage.object(), &careful(stage)?)
}

pub(super) fn make_careful(stage: &Stage) -> Ended {
    make_ring(stage)?;
    Ring::create(stage.folder.join("dead"), &Options::new().capacity(4096).slots(2))?;
    drop(join_careful(stage)?);
    Ok(())
}

/// The first record is handed out once, and goes to the dead letters.
pub(super) fn put_aside(stage: &Stage) -> Ended {
    begin();
    let mut member = join_careful(stage)?;
    for sequence in 0..2 {
        match member.recv_deadline(soon())? {
            GroupEvent::Job(job) if job.sequence() == sequence => match sequence {
                0 => job.nack()?,
                _ => job.ack()?,
            },
            other => wrong!("{other:?} instead of record {sequence}"),
        }
    }
    Ok(())
}

/// Each record is handed out that never was; each that was is acknowledged or a dead letter, and never both.
pub(super) fn afresh_careful(stage: &Stage) -> Found {
    let mut all = all_seats(SEATS, || join_careful(stage))?;
    let mut done = 0_u64;
    loop {
        match all[0].recv_timeout(Duration::from_secs(10)) {
            Ok(GroupEvent::Job(job)) if job.deliveries() == 1 => {
                done |= 1 << job.sequence();
                job.ack()?;
            }
            Ok(other) => wrong!("{other:?}"),
            Err(GroupError::Closed | GroupError::ProducerGone) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut letters = 0_u64;
    let mut observer = Observer::open(stage.folder.join("dead"), Start::Oldest)?;
    while let Some(event) = observer.try_recv()? {
        let quoit::Event::Record(record) = event else { continue };
        let bytes = record.to_vec();
        match DeadLetter::parse(&bytes) {
            Some(letter) if letter.payload() == letter.sequence().to_le_bytes() => {
                letters |= 1 << letter.sequence();
            }
            _ => wrong!("{bytes:?} among the dead letters"),
        }
    }
    if done & letters != 0 || letters > 0b111 {
        wrong!("acknowledged {done:b}, dead letters {letters:b}");
    }
    Ok((done << 8 | letters, true))
}

pub(super) fn send_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut producer = Producer::open(stage.object())?;
    cue.ready();
    cue.await_go();
    moment();
    producer.send(&3_u64.to_le_bytes())?;
    cue.stay()
}

pub(super) fn afresh(stage: &Stage) -> Found {
    let mut all = all_seats(SEATS, || join_at(stage))?;
    let (mut left, mut next) = (0, None);
    loop {
        match all[0].recv_timeout(Duration::from_secs(10)) {
            Ok(GroupEvent::Job(job)) => {
                let sequence = job.sequence();
                if job.record().to_vec() != sequence.to_le_bytes()
                    || next.is_some_and(|next| next != sequence)
                {
                    wrong!("record {sequence}, or its bytes");
                }
                job.ack()?;
                (left, next) = (left + 1, Some(sequence + 1));
            }
            Ok(other) => wrong!("{other:?}"),
            Err(quoit::GroupError::Closed | quoit::GroupError::ProducerGone) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((left, true))
}
