//! Tables: rows as latest values, each with a writer that others follow.

use anyhow::{Context, Result};
use quoit::Error;
use quoit::sync::{Table, TableOptions, TableReader, TableRow};

use super::stage::{BEGIN, FIRST, SEATS, Stage, Value, whole};
use super::{Case, End, SHORT, Scene, Word, soon};
use crate::tracee::mark;

/// The row that it is about; there is another.
const ROW: u32 = 1;

pub(super) const CASES: &[Case] = &[
    Case::new("table-row-set", make, idle, row_set),
    Case::new("table-set", make, idle, set),
    Case::new("table-set-wake", make, idle, set).asleep(follow),
    Case::new("table-row-wait", make, idle, row_set).beside(hold_a_while),
    Case::new("table-row-time-out", make, holding, time_out),
    Case::new("table-get", make, idle, get),
];

fn make(stage: &Stage) -> Result<()> {
    drop(Table::create(stage.path(), &TableOptions::new(2).seats(SEATS), &BEGIN)?);
    Ok(())
}

fn open(stage: &Stage) -> Result<Table<Value>, Error> {
    Table::open(stage.path())
}

const HAS: u64 = 1;
const GIVES_BACK: u64 = 2;
const GAVE_BACK: u64 = 3;

fn add_one(stage: &Stage, row: &mut TableRow<'_, Value>) {
    let next = row.get().expect("its value")[0] + 1;
    stage.add(Word::Begun, 1);
    let set = row.set(&[next; 8]);
    stage.add(Word::Done, 1);
    set.expect("set");
}

fn row_set(stage: &Stage) {
    let table = open(stage).expect("open");
    mark();
    let mut row = table.row(ROW).expect("the row");
    stage.set(Word::Come, HAS);
    add_one(stage, &mut row);
    add_one(stage, &mut row);
    stage.set(Word::Come, GIVES_BACK);
    drop(row);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    stage.stay();
}

/// The row for one commit.
fn set(stage: &Stage) {
    let table = open(stage).expect("open");
    mark();
    stage.set(Word::Come, GIVES_BACK);
    stage.set(Word::Begun, 1);
    let set = table.set(ROW, &[FIRST + 1; 8]);
    stage.set(Word::Done, 1);
    stage.set(Word::Come, GAVE_BACK);
    mark();
    set.expect("set");
    stage.stay();
}

fn time_out(stage: &Stage) {
    let table = open(stage).expect("open");
    mark();
    let row = table.row_timeout(ROW, SHORT).map(drop);
    mark();
    assert!(matches!(row, Err(Error::TimedOut)), "{row:?}");
    stage.stay();
}

fn get(stage: &Stage) {
    let mut reader = TableReader::<Value>::open(stage.path()).expect("open");
    mark();
    let value = reader.get(ROW);
    mark();
    whole(&value.expect("a value")).expect("whole");
    stage.stay();
}

/// Sleeps until a row changes.
fn follow(stage: &Stage) {
    let mut reader = TableReader::<Value>::open(stage.path()).expect("open");
    for row in 0..2 {
        reader.get(row).expect("its first value");
    }
    stage.set(Word::Ready, 1);
    loop {
        let (row, value) = reader.next_deadline(soon()).expect("read").expect("a change in time");
        let number = whole(&value).expect("whole");
        if row == ROW {
            assert!(number > FIRST, "a change to {number}");
            break;
        }
    }
    stage.set(Word::Through, 1);
}

/// Has the row when the victim comes, and gives it back a moment later.
fn hold_a_while(stage: &Stage) {
    let table = open(stage).expect("open");
    let row = table.row(ROW).expect("the row");
    stage.keep_a_while(row);
}

struct Rows<'a> {
    stage: &'a Stage,
    table: Table<Value>,
    reader: TableReader<Value>,
    /// The row is this process's, which has forgotten it.
    holds: bool,
}

fn idle(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    Ok(Box::new(Rows { stage, table: open(stage)?, reader: TableReader::open(stage.path())?, holds: false }))
}

fn holding(stage: &'static Stage) -> Result<Box<dyn Scene>> {
    let table = open(stage)?;
    std::mem::forget(table.row(ROW)?);
    Ok(Box::new(Rows { stage, table, reader: TableReader::open(stage.path())?, holds: true }))
}

impl Scene for Rows<'_> {
    fn while_stopped(&mut self) -> Result<()> {
        let stage = self.stage;
        let least = FIRST + stage.get(Word::Done);
        let number = whole(&self.reader.get(ROW)?)?;
        stage.is(number >= least && number <= FIRST + stage.get(Word::Begun), || format!("{number}"))?;
        // The other row is nobody's.
        let other = self.table.try_row(0)?.map(|mut row| row.set(&BEGIN)).transpose()?;
        stage.is(other.is_some(), || "a stopped writer keeps another row".to_owned())?;
        if stage.get(Word::Come) == HAS {
            let row = self.table.try_row(ROW)?.is_some();
            stage.is(!row, || "a second writer beside a stopped one".to_owned())?;
        }
        Ok(())
    }

    fn afterwards(self: Box<Self>, end: End) -> Result<()> {
        let Self { stage, mut table, mut reader, holds } = *self;
        let come = stage.get(Word::Come);
        if holds {
            // With the handle goes what it forgot.
            drop(table);
            table = open(stage)?;
        }
        let sleeper = stage.get(Word::Ready) == 1;
        let number = whole(&reader.get(ROW)?)?;
        if sleeper && number > FIRST {
            // Its author may have died before it woke the sleeper.
            stage.until_through()?;
        }
        let others = if stage.point().is_multiple_of(2) {
            stage.take_seats(SEATS - 2, || open(stage))?
        } else {
            vec![open(stage)?]
        };
        let Some(first) = others.first() else { return Ok(()) };
        let mut row = first.row_deadline(ROW, soon()).context("nobody has the row")?;
        let was_abandoned = row.was_abandoned();
        let died = end == End::Killed;
        stage.is(was_abandoned || !(died && come == HAS), || {
            "the death of a writer was not told".to_owned()
        })?;
        let may_tell = died && come != GAVE_BACK;
        stage.is(!was_abandoned || may_tell, || format!("a death is told, and no writer died: {come}"))?;
        if was_abandoned {
            stage.note_told();
        }
        let least = FIRST + stage.get(Word::Done);
        let most = FIRST + stage.get(Word::Begun);
        let number = whole(&row.get()?)?;
        stage.is((least..=most).contains(&number), || format!("{number} instead of {least} to {most}"))?;
        stage.is(row.version() == number - FIRST + 1, || format!("version {} of {number}", row.version()))?;
        row.set(&[number + 1; 8])?;
        drop(row);
        stage.is(whole(&reader.get(ROW)?)? == number + 1, || "a reader sees another value".to_owned())?;
        if sleeper {
            stage.until_through()?;
        }
        let (row, other) = (table.try_row(ROW)?, table.get(0)?);
        stage.is(row.is_some_and(|row| !row.was_abandoned()), || "the row is not free".to_owned())?;
        stage.is(whole(&other)? == FIRST, || "the other row has changed".to_owned())
    }
}
