//! Leases of several records, and of all entries at once.

use anyhow::{Context, Result};
use quoit::{GroupEvent, GroupMember};

use super::{
    ACKED, ACKS, BACK, GIVEN, Members, PATIENCE, ack, bit, every, make, make_with, open, recv_three, take,
};
use crate::child::Child;
use crate::steps::objects::{Case, Scene, Stage};
use crate::tracee::mark;

pub(in crate::steps::objects) const CASES: &[Case] = &[
    Case::new("group-ack-all", make, joined_together, ack_all),
    Case::new("group-recv-of-the-dead-in-part", make_partly, joined_partly, recv_three),
    Case::new("group-leases-full", make_leases_full, joined_full, recv_and_ack_two),
];

/// A member does something, and dies.
fn dies(stage: &Stage, work: impl FnOnce(&mut GroupMember)) -> Result<()> {
    let mut child = Child::start(|| {
        let mut member = open(stage).expect("join");
        work(&mut member);
        std::mem::forget(member);
    })?;
    child.ends_within(PATIENCE)?.context("a member that dies")?;
    Ok(())
}

/// A member has taken three together, has acknowledged the second, and has died.
fn make_partly(stage: &Stage) -> Result<()> {
    make(stage)?;
    dies(stage, |member| {
        let mut ids = Vec::new();
        let each = |event: GroupEvent<'_>| {
            let GroupEvent::Job(job) = event else { panic!("{event:?}") };
            ids.push(job.id());
        };
        assert_eq!(member.recv_up_to(3, each).expect("records"), 3);
        member.ack(ids[1]).expect("its own");
    })
}

fn joined_partly(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    stage.add(ACKS, bit(1));
    stage.add(ACKED, bit(1));
    Ok(Box::new(Members::new(stage, every(stage)?)?))
}

/// As many leases as there may be.
const LEASES: u64 = 64;

/// All are out: a dead member has the first, and has acknowledged the others.
fn make_leases_full(stage: &Stage) -> Result<()> {
    make_with(stage, LEASES + 2, 8)?;
    dies(stage, |member| {
        let ids: Vec<_> = (0..LEASES).map(|_| member.recv_job(|_| {}).expect("a record").id()).collect();
        ids[1..].iter().for_each(|id| member.ack(*id).expect("its own"));
    })
}

fn joined_full(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Members::new(stage, bit(0) | bit(LEASES) | bit(LEASES + 1))?))
}

fn recv_and_ack_two(stage: &Stage) {
    let mut member = open(stage).expect("join");
    mark();
    for _ in 0..2 {
        let id = take(stage, &mut member);
        ack(stage, &member, id);
    }
    mark();
    stage.stay();
    let given = stage.get(GIVEN);
    stage.add(BACK, given);
}

fn joined_together(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Members { together: true, ..Members::new(stage, every(stage)?)? }))
}

fn ack_all(stage: &Stage) {
    let mut member = open(stage).expect("join");
    mark();
    let received = member.recv_up_to(3, |event| {
        if let GroupEvent::Job(job) = event {
            stage.add(GIVEN, bit(job.sequence()));
        }
    });
    let given = stage.get(GIVEN);
    stage.add(ACKS, given);
    let acked = member.ack_all();
    stage.add(ACKED, given);
    mark();
    assert!(matches!((&received, &acked), (Ok(3), Ok(3))), "{received:?}, {acked:?}");
    stage.stay();
}
