//! How a group is made, by the first that joins, and how the seat of a dead member is taken.

use anyhow::Result;
use quoit::{Options, Producer};

use super::{ack, join_and_take, joined_late, make, make_with_dead, open, take};
use crate::steps::objects::{Case, Stage};
use crate::tracee::mark;

pub(in crate::steps::objects) const CASES: &[Case] = &[
    Case::new("group-make", make_ring, joined_late, join_and_take).makes_file(),
    Case::new("group-make-over-another", make_another, joined_late, join_and_take).makes_file(),
    Case::new("group-seat-of-the-dead", make_with_dead, joined_late, join_and_ack),
];

/// A ring with records, and no group.
fn make_ring(stage: &Stage) -> Result<()> {
    let mut producer = Producer::create(stage.path(), &Options::new().capacity(4096))?;
    for number in 0..6 {
        producer.send(&[number; 8])?;
    }
    Ok(())
}

/// The same, with the file of a group of the ring that was there before.
fn make_another(stage: &Stage) -> Result<()> {
    make(stage)?;
    std::fs::remove_file(stage.path())?;
    make_ring(stage)
}

/// The victim has the seat of a dead member before anybody else has what that had.
fn join_and_ack(stage: &Stage) {
    mark();
    let mut member = open(stage).expect("join");
    let id = take(stage, &mut member);
    ack(stage, &member, id);
    mark();
    stage.stay();
    let given = stage.get(super::GIVEN);
    stage.add(super::BACK, given);
}
