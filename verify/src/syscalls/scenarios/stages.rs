//! Stages: how a follower attaches and waits, how it is woken, and how it is told that its stage is gone.

use std::time::Duration;

use quoit::{Attach, Consumer, Error, Producer, RecvError, Start};

use super::bodies::{begin, expect};
use crate::syscalls::stage::{Cue, Ended, Stage, check, publish, receive, wrong};

/// Records that the stage has released.
const RELEASED: u64 = 3;

fn journal() -> Attach {
    Attach::gated().name("journal").start(Start::Oldest)
}

fn logic() -> Attach {
    Attach::gated().after("journal").start(Start::Oldest)
}

/// The stage, back in its place. It releases nothing by itself.
fn open_journal(stage: &Stage, attach: &Attach) -> Result<Consumer, Error> {
    let mut journal = Consumer::open(stage.ring(), attach)?;
    journal.keep(true);
    Ok(journal)
}

/// Ten records. The stage has released three, and is away and held.
pub(super) fn released(stage: &Stage) -> Ended {
    let mut producer = Producer::create(stage.ring(), &stage.options())?;
    let mut journal = open_journal(stage, &journal().hold_forever())?;
    publish(&mut producer, 10)?;
    receive(&mut journal, 0, RELEASED)?;
    journal.release();
    Ok(())
}

// ---- followers

pub(super) fn follow(stage: &Stage) -> Ended {
    begin();
    let mut logic = Consumer::open(stage.ring(), &logic())?;
    receive(&mut logic, 0, RELEASED)?;
    match logic.try_recv()? {
        None => Ok(()),
        event => wrong!("{event:?}, which is not released"),
    }
}

pub(super) fn follow_nobody(stage: &Stage) -> Ended {
    begin();
    let opened = Consumer::open(stage.ring(), &logic()).map(drop);
    expect(opened, |error| matches!(error, Error::NoStage { .. }))
}

/// A follower that has received what was released.
fn caught_up(stage: &Stage) -> Result<Consumer, crate::syscalls::stage::Problem> {
    let mut logic = Consumer::open(stage.ring(), &logic())?;
    logic.set_spins(0);
    receive(&mut logic, 0, RELEASED)?;
    Ok(logic)
}

pub(super) fn sleep_for_a_release(stage: &Stage) -> Ended {
    let mut logic = caught_up(stage)?;
    begin();
    check(&logic.recv()?, RELEASED)
}

pub(super) fn time_passes(stage: &Stage) -> Ended {
    let mut logic = caught_up(stage)?;
    begin();
    match logic.recv_timeout(Duration::from_millis(3)) {
        Err(RecvError::TimedOut) => Ok(()),
        event => wrong!("{event:?}, which is not released"),
    }
}

pub(super) fn stage_gone(stage: &Stage) -> Ended {
    let mut logic = caught_up(stage)?;
    begin();
    receives_the_end(&mut logic)
}

/// Waits until it is told that its stage is gone.
fn receives_the_end(logic: &mut Consumer) -> Ended {
    match logic.recv() {
        Err(RecvError::StageGone) => Ok(()),
        other => wrong!("{other:?} instead of the end of its stage"),
    }
}

// ---- stages

pub(super) fn release_waking(stage: &Stage) -> Ended {
    let mut journal = open_journal(stage, &journal().hold_forever())?;
    receive(&mut journal, RELEASED, RELEASED + 1)?;
    // What woke the follower just now was the attach: it goes back to sleep.
    std::thread::sleep(Duration::from_millis(1));
    stage.until_follower_sleeps();
    begin();
    journal.release();
    Ok(())
}

pub(super) fn leave_waking(stage: &Stage) -> Ended {
    let journal = open_journal(stage, &journal())?;
    std::thread::sleep(Duration::from_millis(1));
    stage.until_follower_sleeps();
    begin();
    drop(journal);
    Ok(())
}

// ---- beside them

/// The stage: it releases one more record once the victim waits.
pub(super) fn releasing(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    let mut journal = open_journal(stage, &journal().hold_forever())?;
    cue.ready();
    cue.await_go();
    std::thread::sleep(Duration::from_millis(5));
    receive(&mut journal, RELEASED, RELEASED + 1)?;
    journal.release();
    cue.stay()
}

/// The stage, which nobody holds: whoever follows it asks the kernel whether it lives.
pub(super) fn resting(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    let _journal = open_journal(stage, &journal())?;
    cue.ready();
    cue.stay()
}

/// The stage, which nobody holds, and which dies once it is waited for.
pub(super) fn dying(stage: &Stage, cue: &mut Cue) -> Ended {
    std::mem::forget(Producer::open(stage.ring())?);
    std::mem::forget(open_journal(stage, &journal())?);
    cue.ready();
    cue.await_go();
    std::thread::sleep(Duration::from_millis(5));
    Ok(())
}

/// Sleeps until the stage releases a record.
pub(super) fn following(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    let mut logic = caught_up(stage)?;
    cue.ready();
    check(&logic.recv()?, RELEASED)
}

/// Sleeps until the stage is gone.
pub(super) fn left_behind(stage: &Stage, cue: &mut Cue) -> Ended {
    let _producer = Producer::open(stage.ring())?;
    let mut logic = caught_up(stage)?;
    cue.ready();
    receives_the_end(&mut logic)
}
