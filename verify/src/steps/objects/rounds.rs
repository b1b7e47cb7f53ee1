//! Barriers and latches: a round ends for all parties in the same way, whoever dies.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::WaitStatus;
use quoit::Error;
use quoit::sync::{Barrier, BarrierPass, Latch};

use super::stage::{Stage, options};
use super::{Case, End, MOMENT, PATIENCE, SHORT, Scene, Word, soon, until};
use crate::child::Child;
use crate::tracee::mark;

/// The victim, and one other.
const PARTIES: u32 = 2;

pub(super) const CASES: &[Case] = &[
    Case::new("barrier-arrive-last", make, watching, |stage| arrive(stage, Barrier::wait)).asleep(meet),
    Case::new("barrier-arrive-first", make, watching, |stage| arrive(stage, Barrier::wait)).beside(come_late),
    Case::new("barrier-try-last", make, watching, try_last).asleep(meet),
    Case::new("barrier-time-out", make, being_there, time_out),
    Case::new("barrier-abort", make, watching, |stage| say(stage, Barrier::abort)).asleep(meet),
    Case::new("barrier-reset", make_broken, watching, |stage| say(stage, Barrier::reset)),
    Case::new("barrier-leave", make, watching, leave).asleep(meet),
    Case::new("latch-arrive", make_latch, waiting, arrive_at_latch).asleep(wait_for_latch),
    Case::new("latch-leave", make_latch, waiting, leave_latch).asleep(wait_for_latch),
    Case::new("latch-join", make_latch, waiting, join_latch),
    Case::new("latch-time-out", make_latch, waiting, latch_time_out),
    Case::new("latch-reset", make_broken_latch, waiting, reset_latch),
];

fn make(stage: &Stage) -> Result<()> {
    drop(Barrier::create(stage.path(), &options(), PARTIES)?);
    Ok(())
}

fn make_broken(stage: &Stage) -> Result<()> {
    Ok(Barrier::create(stage.path(), &options(), PARTIES)?.abort()?)
}

fn open(stage: &Stage) -> Result<Barrier, Error> {
    Barrier::open(stage.path())
}

/// What a call came to, as the board has it.
const PASSED: u64 = 1;
const BROKEN: u64 = 2;
const OTHERWISE: u64 = 3;
/// Added where it was this party that led.
const LED: u64 = 16;

fn told(result: &Result<BarrierPass, Error>) -> u64 {
    match result {
        Ok(pass) if pass.is_leader => PASSED + LED,
        Ok(_) => PASSED,
        Err(Error::Broken) => BROKEN,
        Err(_) => OTHERWISE,
    }
}

fn arrive(stage: &Stage, how: fn(&Barrier) -> Result<BarrierPass, Error>) {
    let barrier = open(stage).expect("open");
    mark();
    let passed = how(&barrier);
    stage.set(Word::Come, told(&passed));
    mark();
    passed.expect("both are there");
    stage.stay();
}

fn try_last(stage: &Stage) {
    let barrier = open(stage).expect("open");
    mark();
    let passed = barrier.try_wait();
    stage.set(Word::Come, passed.as_ref().map_or(OTHERWISE, |pass| pass.map_or(0, |pass| told(&Ok(pass)))));
    mark();
    assert!(matches!(passed, Ok(Some(_))), "the other has arrived: {passed:?}");
    stage.stay();
}

fn time_out(stage: &Stage) {
    let barrier = open(stage).expect("open");
    mark();
    let passed = barrier.wait_timeout(SHORT);
    stage.set(Word::Come, told(&passed));
    mark();
    assert!(matches!(passed, Err(Error::TimedOut)) || stage.is_let_go(), "{passed:?}");
    stage.stay();
}

/// Something without a result.
fn say(stage: &Stage, what: fn(&Barrier) -> Result<(), Error>) {
    let barrier = open(stage).expect("open");
    mark();
    let said = what(&barrier);
    stage.set(Word::Come, OTHERWISE);
    mark();
    said.expect("it is said");
    stage.stay();
}

fn leave(stage: &Stage) {
    let barrier = open(stage).expect("open");
    mark();
    drop(barrier);
    stage.set(Word::Come, OTHERWISE);
    mark();
    stage.stay();
}

/// The other party.
fn meet(stage: &Stage) {
    let barrier = open(stage).expect("open");
    stage.set(Word::Ready, 1);
    let passed = barrier.wait_deadline(soon());
    stage.set(Word::Others, told(&passed));
    stage.set(Word::Through, 1);
}

fn come_late(stage: &Stage) {
    let barrier = open(stage).expect("open");
    stage.set(Word::Ready, 1);
    std::thread::sleep(Duration::from_millis(3));
    let passed = barrier.wait_deadline(soon());
    stage.set(Word::Others, told(&passed));
    stage.set(Word::Through, 1);
}

struct Meeting<'a> {
    stage: &'a Stage,
    /// This process is the other party.
    party: Option<Barrier>,
}

fn watching(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Meeting { stage, party: None }))
}

fn being_there(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Meeting { stage, party: Some(open(stage)?) }))
}

impl Scene for Meeting<'_> {
    fn afterwards(self: Box<Self>, end: End) -> Result<()> {
        let stage = self.stage;
        let victim = stage.get(Word::Come);
        let other = match &self.party {
            Some(party) => Some(told(&party.wait_deadline(soon()))),
            None if stage.get(Word::Ready) == 1 => {
                stage.until_through()?;
                Some(stage.get(Word::Others))
            }
            None => None,
        };
        if let Some(other) = other {
            let is_known = [PASSED, PASSED + LED, BROKEN].contains(&other);
            stage.is(is_known, || format!("the other party got {other}"))?;
            let both_passed = victim % LED != PASSED || other % LED == PASSED;
            stage.is(both_passed, || "the victim passed, and the other did not".to_owned())?;
            let leaders = victim / LED + other / LED;
            let has_one = leaders == 1 || victim % LED != PASSED;
            stage.is(has_one, || format!("{leaders} led in one round"))?;
            let says_death = other == BROKEN;
            if says_death {
                stage.note_told();
            }
            // At its first instruction it has not arrived.
            let must_say = (end == End::Killed && stage.point() == 0 && victim == 0) || victim == OTHERWISE;
            stage.is(says_death || !must_say, || {
                format!("the other passed ({other}) without one that never arrived ({victim})")
            })?;
        }
        drop(self);
        meet_again(stage)
    }
}

/// Two parties that are new, in the seats of those from before, and one round with both.
fn meet_again(stage: &Stage) -> Result<()> {
    let first = open_in_time(stage).context("a seat of the dead")?;
    let mut other = Child::start(|| {
        let second = open_in_time(stage).expect("the other seat");
        stage.set(Word::First, 1);
        while stage.get(Word::First) == 1 {
            std::thread::sleep(MOMENT);
        }
        let passed = second.wait_deadline(soon());
        stage.set(Word::Second, told(&passed));
    })?;
    until("the other party comes", || stage.get(Word::First) == 1)?;
    first.reset()?;
    stage.set(Word::First, 2);
    let passed = first.wait_deadline(soon());
    match other.ends_within(PATIENCE)? {
        Some(WaitStatus::Exited(_, 0)) => {}
        other => bail!("the other party: {other:?}"),
    }
    let both = [told(&passed), stage.get(Word::Second)];
    let has_one = both[0] / LED + both[1] / LED == 1;
    stage.is(has_one && both.iter().all(|told| told % LED == PASSED), || {
        format!("after a reset both got {both:?}")
    })
}

/// The process beside the victim is about to leave its seat.
fn open_in_time(stage: &Stage) -> Result<Barrier> {
    let mut opened = open(stage);
    until("a seat is free", || {
        if let Err(Error::SeatsTaken { .. }) = opened {
            opened = open(stage);
        }
        !matches!(opened, Err(Error::SeatsTaken { .. }))
    })?;
    Ok(opened?)
}

// ---- latches

fn make_latch(stage: &Stage) -> Result<()> {
    drop(Latch::create(stage.path(), &options(), 1)?);
    Ok(())
}

/// Its party has left before it arrived.
fn make_broken_latch(stage: &Stage) -> Result<()> {
    let latch = Latch::create(stage.path(), &options(), 1)?;
    drop(latch.join()?);
    let told = latch.wait_deadline(soon());
    ensure!(matches!(told, Err(Error::Broken)), "its party has left, and it is not broken: {told:?}");
    Ok(())
}

fn open_latch(stage: &Stage) -> Result<Latch, Error> {
    Latch::open(stage.path())
}

fn arrive_at_latch(stage: &Stage) {
    let party = open_latch(stage).expect("open").join().expect("join");
    mark();
    let opened = party.arrive();
    stage.set(Word::Come, PASSED);
    mark();
    // Who waits may be the one that opens it.
    assert!(opened.is_ok(), "{opened:?}");
    stage.stay();
}

fn leave_latch(stage: &Stage) {
    let party = open_latch(stage).expect("open").join().expect("join");
    mark();
    drop(party);
    stage.set(Word::Come, OTHERWISE);
    mark();
    stage.stay();
}

fn join_latch(stage: &Stage) {
    let latch = open_latch(stage).expect("open");
    mark();
    let party = latch.join();
    mark();
    let party = party.expect("join");
    stage.stay();
    assert!(matches!(party.arrive(), Ok(true)));
    stage.set(Word::Come, PASSED);
}

/// The party of the next round resets it, and arrives.
fn reset_latch(stage: &Stage) {
    let latch = open_latch(stage).expect("open");
    let party = latch.join().expect("join");
    mark();
    let reset = latch.reset();
    let opened = party.arrive();
    if opened.is_ok() {
        stage.set(Word::Come, PASSED);
    }
    mark();
    assert!(reset.is_ok() && opened.is_ok(), "{reset:?}, {opened:?}");
    stage.stay();
}

fn latch_time_out(stage: &Stage) {
    let latch = open_latch(stage).expect("open");
    mark();
    let waited = latch.wait_timeout(SHORT);
    mark();
    assert!(matches!(waited, Err(Error::TimedOut)), "{waited:?}");
    stage.stay();
}

fn wait_for_latch(stage: &Stage) {
    let latch = open_latch(stage).expect("open");
    stage.set(Word::Ready, 1);
    let told = match latch.wait_deadline(soon()) {
        Ok(()) => PASSED,
        Err(Error::Broken) => BROKEN,
        Err(_) => OTHERWISE,
    };
    stage.set(Word::Others, told);
    stage.set(Word::Through, 1);
}

struct Waiting<'a> {
    stage: &'a Stage,
    latch: Latch,
}

fn waiting(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Waiting { stage, latch: open_latch(stage)? }))
}

impl Scene for Waiting<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        let is_open = self.latch.try_wait();
        let must = self.stage.get(Word::Come);
        self.stage.is(must != PASSED || matches!(is_open, Ok(true)), || {
            format!("its party has arrived, and it is {is_open:?}")
        })
    }

    fn afterwards(self: Box<Self>, end: End) -> Result<()> {
        let (stage, come) = (self.stage, self.stage.get(Word::Come));
        if stage.get(Word::Ready) == 1 {
            stage.until_through()?;
            let told = stage.get(Word::Others);
            stage.is([PASSED, BROKEN].contains(&told), || format!("who waits got {told}"))?;
            stage
                .is(told == PASSED || come != PASSED, || "its party arrived, and it is broken".to_owned())?;
            let must_break = come == OTHERWISE || (end == End::Killed && stage.point() == 0 && come == 0);
            stage.is(told == BROKEN || !must_break, || "open without its party".to_owned())?;
            if told == BROKEN {
                stage.note_told();
            }
        }
        if come == PASSED {
            return stage.is(self.latch.try_wait()?, || "what was open is closed".to_owned());
        }
        // A new party, in the seat of the dead.
        let party = self.latch.join().context("the seat of the dead")?;
        let is_open = match self.latch.try_wait() {
            Err(Error::Broken) => false,
            is_open => is_open?,
        };
        if !is_open {
            self.latch.reset()?;
            // A seat that was counted in this round waits for the next.
            match party.arrive() {
                Ok(_) => {}
                Err(Error::Broken) => bail!("broken after a reset"),
                Err(error) => return Err(error.into()),
            }
            self.latch.wait_deadline(soon()).context("a latch whose party has arrived")?;
        }
        Ok(())
    }
}
