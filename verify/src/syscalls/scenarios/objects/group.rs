//! Groups.

use std::time::Duration;

use quoit::{Error, Group, GroupEvent, GroupMember, Options, Producer, Start};

use super::{SEATS, all_seats, begin, moment};
use crate::syscalls::stage::{Cue, Ended, Found, Stage, soon, wrong};

fn options() -> Group {
    Group::new("workers").start(Start::Oldest).hold_forever().members(SEATS).leases(64)
}

fn join_at(stage: &Stage) -> Result<GroupMember, Error> {
    GroupMember::join(stage.object(), &options())
}

/// A ring with three records, and no group.
fn make_ring(stage: &Stage) -> Ended {
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
