//! `Once`: done at least once, told how many died at it, and never begun again when it is done.

use anyhow::{Context, Result};
use quoit::Error;
use quoit::sync::Once;

use super::stage::{SEATS, Stage, options};
use super::{Case, End, SHORT, Scene, Word, soon};
use crate::tracee::mark;

pub(super) const CASES: &[Case] = &[
    Case::new("once-call", make, idle, call),
    Case::new("once-call-wake", make, idle, call_held).beside(call_as_well),
    Case::new("once-done", make_done, idle, call),
    Case::new("once-time-out", make, idle, time_out).beside(be_at_it),
];

fn make(stage: &Stage) -> Result<()> {
    drop(Once::create(stage.path(), &options())?);
    Ok(())
}

fn make_done(stage: &Stage) -> Result<()> {
    let mut once = Once::create(stage.path(), &options())?;
    once.call(|_| {})?;
    Ok(())
}

fn open(stage: &Stage) -> Result<Once, Error> {
    Once::open(stage.path())
}

const RETURNED: u64 = 1;

/// The deed, in any process: noted before and after.
fn deed(stage: &Stage, begun: Word, done: Word) {
    stage.add(begun, 1);
    stage.add(done, 1);
}

fn call(stage: &Stage) {
    let mut once = open(stage).expect("open");
    mark();
    let called = once.call(|_| deed(stage, Word::Begun, Word::Done));
    stage.set(Word::Come, RETURNED);
    mark();
    let mine = called.expect("call");
    assert!(stage.is_let_go() || mine == (stage.get(Word::Done) == 1));
    stage.stay();
}

/// Others sleep until the victim is through with it.
fn call_held(stage: &Stage) {
    let (mut once, look) = (open(stage).expect("open"), open(stage).expect("open"));
    let called = once.call(|_| {
        stage.set(Word::Begun, 1);
        stage.set(Word::First, 1);
        while look.waiting().is_empty() {
            std::thread::sleep(super::MOMENT);
        }
        mark();
        stage.set(Word::Done, 1);
    });
    stage.set(Word::Come, RETURNED);
    mark();
    assert!(called.expect("call"));
    stage.stay();
}

fn call_as_well(stage: &Stage) {
    let mut once = open(stage).expect("open");
    stage.until_first();
    let called = once.call_deadline(soon(), |state| {
        stage.set(Word::Told, state.attempts);
        stage.add(Word::Others, 1);
    });
    called.expect("call");
    stage.set(Word::Through, 1);
}

/// Is at it until the victim has given up.
fn be_at_it(stage: &Stage) {
    let mut once = open(stage).expect("open");
    let called = once.call(|_| {
        stage.until_first();
        stage.add(Word::Others, 1);
    });
    assert!(called.expect("call"));
    stage.set(Word::Through, 1);
}

fn time_out(stage: &Stage) {
    let mut once = open(stage).expect("open");
    mark();
    let called = once.call_timeout(SHORT, |_| deed(stage, Word::Begun, Word::Done));
    mark();
    assert!(matches!(called, Err(Error::TimedOut)), "{called:?}");
    stage.stay();
}

struct Deeds<'a> {
    stage: &'a Stage,
    once: Once,
    was_done: bool,
}

fn idle(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let once = open(stage)?;
    let was_done = once.is_done()?;
    Ok(Box::new(Deeds { stage, once, was_done }))
}

impl Scene for Deeds<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        let stage = self.stage;
        let is_at_it = stage.get(Word::Begun) > stage.get(Word::Done);
        if is_at_it {
            let tried = self.once.try_call(|_| stage.set(Word::Second, 1))?;
            stage.is(tried.is_none(), || "it is done beside a process that is stopped at it".to_owned())?;
        }
        Ok(())
    }

    fn afterwards(mut self: Box<Self>, end: End) -> Result<()> {
        let stage = self.stage;
        let (begun, done) = (stage.get(Word::Begun), stage.get(Word::Done));
        let has_returned = stage.get(Word::Come) == RETURNED;
        if stage.get(Word::Ready) == 1 {
            stage.set(Word::First, 1);
            stage.until_through()?;
        }
        let others = if stage.point().is_multiple_of(2) {
            stage.take_seats(SEATS - 2, || open(stage))?
        } else {
            vec![open(stage)?]
        };
        let beside = stage.get(Word::Others);
        let mut attempts = stage.get(Word::Told);
        let called = self.once.call_deadline(soon(), |state| {
            attempts = state.attempts;
            stage.add(Word::Others, 1);
        });
        let mine = called.context("call it afterwards")?;
        let was_done = self.was_done || beside > 0 || (has_returned && done == 1);
        stage.is(!mine || !was_done, || "what is done is done again".to_owned())?;
        stage.is(mine || was_done || done == 1, || "said to be done, and nobody did it".to_owned())?;
        stage.is(beside == 0 || !(has_returned && done == 1), || "it was done twice".to_owned())?;
        let died_at_it = end == End::Killed && begun > done;
        stage.is(attempts > 0 || !died_at_it, || "that one died at it was not told".to_owned())?;
        stage.is(attempts == 0 || end == End::Killed, || format!("{attempts} died, it is said"))?;
        if attempts > 0 {
            stage.note_told();
        }
        let is_done = others.iter().all(|once| matches!(once.is_done(), Ok(true)));
        stage.is(is_done, || "it is done, and not for everybody".to_owned())?;
        // One that died after it was done still stands in the word.
        let holder = self.once.holder()?;
        stage.is(holder.is_none(), || "somebody is at what is done".to_owned())
    }
}
