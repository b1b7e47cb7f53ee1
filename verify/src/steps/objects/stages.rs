//! Stages of a ring: a follower receives what its stage has released, all of it and nothing else, whichever of the two dies.

mod pair;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use quoit::{Attach, Consumer, Error, Event, Inspector, Options, Producer, RecvError, Start};

use self::pair::{with_follower, with_stage, without_follower, without_stage};
use super::stage::Stage;
use super::{Case, Word, soon, until};
use crate::tracee::mark;

/// Slots of the ring.
const SLOTS: u32 = 4;
/// Records that are published before a victim begins.
const RECORDS: u64 = 4;
const CAPACITY: u64 = 4096;

/// Until here the stage has released.
const RELEASED: Word = Word::Done;
/// Until here it has begun to release.
const BEGUN: Word = Word::Begun;
/// Until here the victim has received, as a follower.
const TAKEN: Word = Word::First;
/// The victim is ready: the process beside it may go on.
const HERE: Word = Word::Come;
/// Set once the victim follows nobody, or once the stage that leaves is not held.
const FREE: Word = Word::Second;

/// The wake itself is tested by the models; here, that a kill within it loses nothing.
pub(super) const CASES: &[Case] = &[
    // The victim is the follower.
    Case::new("follow-attach", make, with_stage, attach_follower),
    Case::new("follow-next", make, with_stage, look_twice),
    Case::new("follow-wait", make, with_stage, wait),
    Case::new("follow-wait-for-the-held", make, without_stage, wait),
    Case::new("follow-the-dead", make, without_stage, be_told).beside(release_and_die),
    Case::new("follow-leave", make, with_stage, leave_stage),
    Case::new("unfollow", make, with_stage, unfollow),
    // The victim is the stage.
    Case::new("stage-attach", make, with_follower, attach_stage),
    Case::new("stage-release", make, with_follower, release),
    Case::new("stage-receive-next", make, with_follower, receive_next),
    Case::new("stage-release-wake", make, without_follower, release_and_wake).asleep(follow),
    Case::new("stage-notice-follower", make, without_follower, notice_and_wake).beside(follow_late),
    Case::new("stage-leave-wake", make, without_follower, leave_and_wake).asleep(follow),
];

fn journal() -> Attach {
    Attach::gated().name("journal").start(Start::Oldest)
}

fn logic() -> Attach {
    Attach::gated().name("logic").after("journal").start(Start::Oldest)
}

fn open(stage: &Stage, attach: &Attach) -> Result<Consumer, Error> {
    Consumer::open(stage.path(), attach)
}

fn open_journal(stage: &Stage) -> Consumer {
    let mut journal = open(stage, &journal().hold_forever()).expect("the stage attaches");
    journal.keep(true);
    journal
}

/// A ring with records, and a stage that is away and held.
fn make(stage: &Stage) -> Result<()> {
    let mut producer = Producer::create(stage.path(), &Options::new().capacity(CAPACITY).slots(SLOTS))?;
    drop(open(stage, &journal().hold_forever())?);
    for sequence in 0..RECORDS {
        stage.is(producer.send(&sequence.to_le_bytes()) == Ok(sequence), || "a record".to_owned())?;
    }
    Ok(())
}

/// Receives what is next, if there is anything: the record after the last one, whole.
#[inline(always)]
fn take(consumer: &mut Consumer) -> Result<Option<u64>> {
    let due = consumer.next_sequence();
    loop {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => {
                let (sequence, contents) = (record.sequence(), record.read());
                ensure!(
                    (sequence, contents) == (due, Some(due)),
                    "{sequence} with {contents:?} instead of {due}"
                );
                return Ok(Some(due));
            }
            Some(Event::ProducerChanged { .. }) => {}
            Some(event) => bail!("{event}"),
            None => return Ok(None),
        }
    }
}

/// The same as a victim that follows.
#[inline(always)]
fn take_noted(stage: &Stage, follower: &mut Consumer) -> Option<u64> {
    let taken = take(follower).expect("receive");
    if let Some(sequence) = taken {
        stage.set(TAKEN, sequence + 1);
    }
    taken
}

/// The first record, as a stage. It is there.
fn take_first(journal: &mut Consumer) {
    assert_eq!(take(journal).expect("receive"), Some(0));
}

/// Releases what a stage has received.
#[inline(always)]
fn pass_on(stage: &Stage, journal: &mut Consumer) {
    let next = journal.next_sequence();
    stage.set(BEGUN, next);
    journal.release();
    stage.set(RELEASED, next);
}

// ---- followers that are killed

/// A follower that was stopped goes on, and receives all that was released.
fn go_on(stage: &Stage, mut follower: Consumer) {
    stage.stay();
    let due = stage.get(RELEASED);
    until("what was released is received", || {
        while take_noted(stage, &mut follower).is_some() {}
        follower.next_sequence() == due
    })
    .expect("all of it");
}

fn attach_follower(stage: &Stage) {
    mark();
    let follower = open(stage, &logic());
    mark();
    go_on(stage, follower.expect("follow"));
}

/// The first look finds a record, the second one nothing.
fn look_twice(stage: &Stage) {
    let mut follower = open(stage, &logic()).expect("follow");
    mark();
    let first = take_noted(stage, &mut follower);
    let second = take_noted(stage, &mut follower);
    mark();
    assert_eq!(first, Some(0));
    assert!(second.is_none() || stage.is_let_go(), "{second:?} was not released");
    go_on(stage, follower);
}

/// How long a victim waits: long enough to reach its sleep while it is single-stepped.
const A_WHILE: Duration = Duration::from_millis(150);

fn wait(stage: &Stage) {
    let mut follower = open(stage, &logic()).expect("follow");
    while take_noted(stage, &mut follower).is_some() {}
    follower.set_spins(0);
    let due = follower.next_sequence();
    mark();
    let waited = follower.recv_record_deadline(Instant::now() + A_WHILE, |_| {});
    mark();
    match waited {
        Err(RecvError::TimedOut) => {}
        Ok(record) if stage.is_let_go() => {
            assert_eq!(record.sequence(), due);
            stage.set(TAKEN, due + 1);
        }
        other => panic!("{other:?}"),
    }
    go_on(stage, follower);
}

/// Its stage has released a record, and died. Nobody holds its gate.
fn be_told(stage: &Stage) {
    let mut follower = open(stage, &logic()).expect("follow");
    follower.set_spins(0);
    stage.set(HERE, 1);
    let inspector = Inspector::open(stage.path()).expect("open");
    until("the stage is dead", || {
        let consumers = inspector.snapshot().expect("look").consumers;
        consumers.iter().all(|info| info.name.as_deref() != Some("journal") || !info.alive)
    })
    .expect("its death");
    mark();
    let first = take_noted(stage, &mut follower);
    let second = follower.recv_record_deadline(soon(), |_| {}).map(|record| record.sequence());
    mark();
    assert_eq!(first, Some(0), "told before the last record");
    match second {
        Err(RecvError::StageGone) => stage.set(Word::Told, 1),
        // Its successor has come meanwhile.
        Ok(1) if stage.is_let_go() => stage.set(TAKEN, 2),
        other => panic!("{other:?}"),
    }
    go_on(stage, follower);
}

/// The stage of [`be_told`].
fn release_and_die(stage: &Stage) {
    let mut journal = open(stage, &journal()).expect("the stage attaches");
    journal.keep(true);
    take_first(&mut journal);
    pass_on(stage, &mut journal);
    stage.set(Word::Ready, 1);
    stage.until_set(HERE);
    std::mem::forget(journal);
}

fn leave_stage(stage: &Stage) {
    let mut follower = open(stage, &logic()).expect("follow");
    take_noted(stage, &mut follower);
    mark();
    drop(follower);
    mark();
    stage.stay();
}

fn unfollow(stage: &Stage) {
    let mut follower = open(stage, &logic()).expect("follow");
    stage.set(FREE, 1);
    mark();
    follower.unfollow();
    mark();
    stage.stay();
    while take_noted(stage, &mut follower).is_some() {}
    assert!(follower.next_sequence() >= RECORDS, "it follows, still");
}

// ---- stages that are killed

/// A stage that was stopped goes on with what is left.
fn work_on(stage: &Stage, mut journal: Consumer) {
    stage.stay();
    while take(&mut journal).expect("receive").is_some() {
        pass_on(stage, &mut journal);
    }
}

/// The release of what a stage has received is the operation.
#[inline(always)]
fn release_marked(stage: &Stage, mut journal: Consumer) {
    mark();
    pass_on(stage, &mut journal);
    mark();
    work_on(stage, journal);
}

fn attach_stage(stage: &Stage) {
    mark();
    let journal = open(stage, &journal().hold_forever());
    mark();
    let mut journal = journal.expect("the stage attaches");
    journal.keep(true);
    work_on(stage, journal);
}

fn release(stage: &Stage) {
    let mut journal = open_journal(stage);
    take_first(&mut journal);
    release_marked(stage, journal);
}

/// As every consumer that keeps nothing, it releases a record when it receives the next one.
fn receive_next(stage: &Stage) {
    let mut journal = open(stage, &journal().hold_forever()).expect("the stage attaches");
    take_first(&mut journal);
    mark();
    stage.set(BEGUN, 1);
    let second = take(&mut journal);
    stage.set(RELEASED, 1);
    mark();
    assert_eq!(second.expect("receive"), Some(1));
    journal.keep(true);
    stage.stay();
    pass_on(stage, &mut journal);
    work_on(stage, journal);
}

/// The follower, which was there before, is asleep again.
fn release_and_wake(stage: &Stage) {
    let mut journal = open_journal(stage);
    take_first(&mut journal);
    std::thread::sleep(Duration::from_millis(3));
    release_marked(stage, journal);
}

/// The follower has come since the stage last looked for any.
fn notice_and_wake(stage: &Stage) {
    let mut journal = open_journal(stage);
    take_first(&mut journal);
    stage.set(HERE, 1);
    stage.until_set(Word::Others);
    std::thread::sleep(Duration::from_millis(3));
    release_marked(stage, journal);
}

/// It is not held any more, so its follower is told.
fn leave_and_wake(stage: &Stage) {
    let journal = open(stage, &journal()).expect("the stage attaches");
    stage.set(FREE, 1);
    std::thread::sleep(Duration::from_millis(3));
    mark();
    drop(journal);
    mark();
    stage.stay();
}

/// A follower beside the victim: another one than the check's own.
fn other() -> Attach {
    Attach::gated().after("journal").start(Start::Oldest)
}

/// Sleeps until the stage releases the first record, or is gone.
fn follow(stage: &Stage) {
    let mut follower = open(stage, &other()).expect("follow");
    follower.set_spins(0);
    stage.set(Word::Ready, 1);
    wait_beside(stage, &mut follower);
}

/// The same, but it comes when the stage works already.
fn follow_late(stage: &Stage) {
    stage.set(Word::Ready, 1);
    stage.until_set(HERE);
    let mut follower = open(stage, &other()).expect("follow");
    follower.set_spins(0);
    stage.set(Word::Others, 1);
    wait_beside(stage, &mut follower);
}

fn wait_beside(stage: &Stage, follower: &mut Consumer) {
    match follower.recv_record_deadline(soon(), |_| {}) {
        Ok(record) => {
            assert_eq!((record.sequence(), record.read()), (0, Some(0_u64)));
            assert!(stage.get(BEGUN) > 0, "nobody has released it");
        }
        Err(RecvError::StageGone) => stage.set(Word::Told, 1),
        other => panic!("{other:?}"),
    }
    stage.set(Word::Through, 1);
}
