//! What must hold of a stage and its follower, of which one is the victim, or was.

use anyhow::{Context, Result};
use quoit::{Attach, Consumer, Producer, Status};

use super::{BEGUN, CAPACITY, FREE, RELEASED, SLOTS, TAKEN, journal, logic, open, pass_on, take};
use crate::steps::objects::{End, PATIENCE, Scene, Stage, Word};

/// What this process has open: it produces, and may be the stage, or the follower.
struct Pair<'a> {
    stage: &'a Stage,
    producer: Producer,
    journal: Option<Consumer>,
    logic: Option<Consumer>,
    /// The victim is the follower.
    follows: bool,
}

fn pair(stage: &'static Stage, follows: bool) -> Result<Pair<'static>> {
    Ok(Pair { stage, producer: Producer::open(stage.path())?, journal: None, logic: None, follows })
}

/// The stage is away, or a process beside the victim.
pub(super) fn without_stage(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(pair(stage, true)?))
}

/// The stage has released a record.
pub(super) fn with_stage(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let mut pair = pair(stage, true)?;
    let mut journal = pair.next_stage()?;
    take(&mut journal)?;
    pass_on(stage, &mut journal);
    pair.journal = Some(journal);
    Ok(Box::new(pair))
}

/// The follower is a process beside the victim.
pub(super) fn without_follower(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(pair(stage, false)?))
}

pub(super) fn with_follower(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let mut pair = pair(stage, false)?;
    pair.logic = Some(pair.next_follower()?);
    Ok(Box::new(pair))
}

impl Pair<'_> {
    /// The stage of this process, or the one that comes after the victim.
    fn next_stage(&mut self) -> Result<Consumer> {
        if let Some(journal) = self.journal.take() {
            return Ok(journal);
        }
        let stage = self.stage;
        let mut journal = open(stage, &journal().hold_forever()).context("the next stage")?;
        journal.keep(true);
        let resumed = journal.resumed();
        stage.is(resumed.is_some_and(|resumed| resumed.lost.is_none()), || {
            format!("the name has lost its place: {resumed:?}")
        })?;
        self.is_released(journal.next_sequence()).context("where the next stage goes on")?;
        Ok(journal)
    }

    /// The follower of this process, or the one that comes after the victim.
    fn next_follower(&mut self) -> Result<Consumer> {
        if let Some(logic) = self.logic.take() {
            return Ok(logic);
        }
        let logic = open(self.stage, &logic()).context("the next follower")?;
        let (next, taken) = (logic.next_sequence(), self.stage.get(TAKEN));
        self.stage.is(next <= taken, || format!("it goes on with {next}, and had received {taken}"))?;
        Ok(logic)
    }

    /// Everything before this record is released, as far as is noted.
    fn is_released(&self, next: u64) -> Result<()> {
        let (released, begun) = (self.stage.get(RELEASED), self.stage.get(BEGUN));
        self.stage.is((released..=begun).contains(&next), || {
            format!("{next}: {released} are released, and {begun} at most")
        })
    }

    /// The follower of this process has all that was released, and waits for more.
    fn follower_looks(&mut self) -> Result<()> {
        let Some(logic) = &mut self.logic else { return Ok(()) };
        while take(logic)?.is_some() {}
        let (next, status) = (logic.next_sequence(), logic.status());
        self.is_released(next).context("what a follower receives")?;
        self.stage.is(status == Status::Streaming, || format!("its stage is held: {status}"))
    }

    /// The stage passes on what there is.
    fn work(&self, journal: &mut Consumer, logic: &mut Consumer) -> Result<()> {
        while take(logic)?.is_some() {}
        while let Some(sequence) = take(journal)? {
            let early = take(logic)?;
            self.stage.is(early.is_none(), || format!("{early:?} is not released"))?;
            pass_on(self.stage, journal);
            // A follower that followed nobody for a while may have received it already.
            if logic.next_sequence() <= sequence {
                let taken = take(logic)?;
                self.stage.is(taken == Some(sequence), || format!("{taken:?} and not {sequence}"))?;
            }
        }
        let (next, due) = (logic.next_sequence(), journal.next_sequence());
        self.stage.is(next == due, || format!("a follower came to {next}, and its stage to {due}"))
    }
}

impl Scene for Pair<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        if !self.follows {
            return self.follower_looks();
        }
        // One record more is released: by a successor, where the stage is dead or away.
        let mut journal = self.next_stage()?;
        if take(&mut journal)?.is_some() {
            pass_on(self.stage, &mut journal);
        }
        self.journal = Some(journal);
        Ok(())
    }

    fn afterwards(mut self: Box<Self>, _: End) -> Result<()> {
        let stage = self.stage;
        let (taken, released) = (stage.get(TAKEN), stage.get(RELEASED));
        let is_free = stage.get(FREE) == 1;
        stage.is(taken <= released || is_free, || {
            format!("it has received {taken}, and {released} were released")
        })?;
        self.follower_looks()?;
        let has_other = !self.follows && stage.get(Word::Ready) == 1;
        if has_other && (released > 0 || is_free) {
            // Without another stage.
            stage.until_through()?;
            let is_told = stage.get(Word::Told) == 1;
            stage.is(is_told == is_free, || format!("told that its stage is gone: {is_told}"))?;
        }
        let mut journal = self.next_stage()?;
        let mut logic = self.next_follower()?;
        self.work(&mut journal, &mut logic)?;
        if has_other {
            stage.until_through()?;
        }
        // A lap, and more: nobody who is dead holds the producer up.
        for _ in 0..CAPACITY / 16 + 8 {
            let next = self.producer.next_sequence();
            let sent = self.producer.send_timeout(&next.to_le_bytes(), PATIENCE);
            stage.is(sent == Ok(next), || format!("record {next}: {sent:?}"))?;
            self.work(&mut journal, &mut logic)?;
        }
        // Whatever slot nobody lives in can be had.
        let taken = 2 + u32::from(has_other);
        stage.take_seats(SLOTS - taken, || open(stage, &Attach::lossy())).map(drop)
    }
}
