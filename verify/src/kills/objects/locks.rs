//! Mutexes, reader-writer locks and the rows of a table: one holder at a time, and no commit lost.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use anyhow::{Context, Result, ensure};
use quoit::Error;
use quoit::sync::{Mutex, RwLock, SyncOptions, Table, TableOptions, TableReader};

use super::board::ALONE;
use super::{LOOK, Life, Play, Site, nothing, soon};

pub(super) const PLAYS: &[Play] = &[
    Play {
        what: "mutexes",
        share: 180,
        make: |path| Ok(Mutex::create(path, &options(), &[0_u64; WORDS]).map(drop)?),
        victims: &[lock, lock, lock],
        steady: &[lock],
        after: nothing,
        tells_each: true,
        end: end_of_mutex,
    },
    Play {
        what: "reader-writer locks",
        share: 180,
        make: |path| Ok(RwLock::create(path, &options(), &[0_u64; WORDS]).map(drop)?),
        victims: &[write, read, write, read],
        steady: &[read, write],
        after: nothing,
        tells_each: true,
        end: end_of_rwlock,
    },
    Play {
        what: "tables",
        share: 80,
        make: |path| Ok(Table::create(path, &TableOptions::new(ROWS).seats(12), &[0_u64; WORDS]).map(drop)?),
        victims: &[set_rows, set_rows, set_rows],
        steady: &[follow_rows, set_rows],
        after: nothing,
        tells_each: true,
        end: end_of_table,
    },
];

/// Large enough that some kills meet a commit that is under way.
const WORDS: usize = 64;

type Value = [u64; WORDS];

const ROWS: u32 = 3;

fn options() -> SyncOptions {
    SyncOptions::new().seats(12)
}

/// Two words of the board that only the holder writes, and that pair up while nobody holds it: the number that is being
/// committed, and the one that was.
const BEFORE: usize = 0;
const AFTER: usize = 1;

fn number_of(value: &Value) -> u64 {
    assert!(value.iter().all(|word| *word == value[0]), "half a value: {value:?}");
    value[0]
}

/// The value is the last one that was committed; `pair` is the row.
fn check(life: &Life, value: &Value, is_abandoned: bool, pair: usize) -> u64 {
    let number = number_of(value);
    let [before, after] = [BEFORE, AFTER].map(|which| life.board.words[2 * pair + which].load(SeqCst));
    if is_abandoned {
        let is_one_step =
            (before == number || before == number + 1) && (after == number || after + 1 == number);
        assert!(is_one_step, "{before}, {number}, {after}: not the steps of one holder");
    } else {
        assert_eq!([before, after], [number; 2], "another one was there");
    }
    number
}

fn note(life: &Life, which: usize, pair: usize, number: u64) {
    life.board.words[2 * pair + which].store(number, SeqCst);
}

/// What was told is noted, and the board put right, before it counts as recovered.
fn recover(life: &Life, pair: usize, number: u64) {
    life.board.tell();
    note(life, BEFORE, pair, number);
    note(life, AFTER, pair, number);
}

/// The one holder commits the next number.
fn alone(life: &Life, next: u64, commit: impl FnOnce()) {
    life.board.hold(life.number, ALONE);
    assert!(life.board.held().is_none_or(|held| held <= ALONE), "somebody beside a holder");
    note(life, BEFORE, 0, next);
    commit();
    note(life, AFTER, 0, next);
    life.board.hold(life.number, 0);
}

fn lock(life: &Life) {
    let mut mutex = Mutex::<Value>::open(&life.path).expect("open");
    life.works();
    while life.goes_on() {
        let guard = match life.roll(4) {
            0 => life.inside(|| mutex.try_lock()),
            1 => life.inside(|| mutex.lock_timeout(std::time::Duration::from_micros(300))).map(Some),
            _ => life.inside(|| mutex.recover_deadline(soon())).map(Some),
        };
        let mut guard = match guard {
            Ok(Some(guard)) => guard,
            Ok(None) | Err(Error::TimedOut | Error::Abandoned) => continue,
            Err(error) => panic!("{error}"),
        };
        let number = check(life, &guard, guard.is_abandoned(), 0);
        if guard.is_abandoned() {
            recover(life, 0, number);
            guard.recovered();
        }
        let next = number + 1;
        alone(life, next, || {
            *guard = [next; WORDS];
            life.inside(|| guard.save()).expect("commit");
        });
        life.inside(|| drop(guard));
        life.done();
        life.dawdle();
    }
}

fn end_of_mutex(site: &Site) -> Result<()> {
    let mut mutex = Mutex::<Value>::open(&site.path)?;
    let mut guard = mutex.recover_deadline(soon()).context("nobody has it")?;
    if guard.is_abandoned() {
        site.board.tell();
        guard.recovered();
    }
    end_of_value(site, number_of(&guard), guard.version()?)
}

/// No commit is missing, and every death was told.
fn end_of_value(site: &Site, number: u64, version: u64) -> Result<()> {
    ensure!(version == number + 1, "{version} commits, and {number} is the last");
    let after = site.board.words[AFTER].load(Relaxed);
    ensure!(number == after || number == after + 1, "LOST: {after} was committed, {number} is there");
    Ok(())
}

fn write(life: &Life) {
    let mut lock = RwLock::<Value>::open(&life.path).expect("open");
    life.works();
    while life.goes_on() {
        let mut guard = life.inside(|| lock.recover_deadline(soon())).expect("the lock to write");
        let number = check(life, &guard, guard.is_abandoned(), 0);
        if guard.is_abandoned() {
            recover(life, 0, number);
            guard.recovered();
        }
        let next = number + 1;
        alone(life, next, || {
            *guard = [next; WORDS];
            life.inside(|| guard.save()).expect("commit");
        });
        life.inside(|| drop(guard));
        life.done();
        life.dawdle();
    }
}

fn read(life: &Life) {
    let mut lock = RwLock::<Value>::open(&life.path).expect("open");
    life.works();
    let mut last = 0;
    while life.goes_on() {
        let seen = number_of(&life.inside(|| lock.get()).expect("a value without the lock"));
        assert!(seen >= last, "{seen} after {last}");
        last = seen;
        match life.inside(|| lock.read_deadline(soon())) {
            Ok(guard) => {
                // That a reader dies is told to nobody, so it holds nothing on the board; but no writer may hold anything.
                let held = life.board.held();
                assert!(held.is_none_or(|held| held == 0), "a writer beside a reader");
                let number = check(life, &guard, false, 0);
                assert!(number >= last, "{number} after {last}");
                last = number;
                life.inside(|| drop(guard));
            }
            // Writers recover it.
            Err(Error::Abandoned) => {}
            Err(error) => panic!("{error}"),
        }
        life.done();
        life.dawdle();
    }
}

fn end_of_rwlock(site: &Site) -> Result<()> {
    let mut lock = RwLock::<Value>::open(&site.path)?;
    let mut guard = lock.recover_deadline(soon()).context("nobody has it")?;
    if guard.is_abandoned() {
        site.board.tell();
        guard.recovered();
    }
    let (number, version) = (number_of(&guard), guard.version()?);
    drop(guard);
    ensure!(lock.readers()?.is_empty(), "dead readers are left");
    end_of_value(site, number, version)
}

fn set_rows(life: &Life) {
    let table = Table::<Value>::open(&life.path).expect("open");
    life.works();
    while life.goes_on() {
        let number = life.roll(ROWS.into()) as u32;
        let row = match life.roll(3) {
            0 => life.inside(|| table.try_row(number)),
            _ => life.inside(|| table.row_deadline(number, soon())).map(Some),
        };
        let Some(mut row) = row.expect("a row") else { continue };
        let pair = number as usize;
        let value = life.inside(|| row.get()).expect("its value");
        let last = check(life, &value, row.was_abandoned(), pair);
        if row.was_abandoned() {
            recover(life, pair, last);
        }
        life.board.hold(life.number, 1);
        for step in 1..=life.roll(3) {
            note(life, BEFORE, pair, last + step);
            let version = life.inside(|| row.set(&[last + step; WORDS])).expect("set");
            assert_eq!(version, last + step + 1, "a version was left out");
            note(life, AFTER, pair, last + step);
        }
        life.board.hold(life.number, 0);
        life.inside(|| drop(row));
        life.done();
        life.dawdle();
    }
}

fn follow_rows(life: &Life) {
    let mut reader = TableReader::<Value>::open(&life.path).expect("open");
    life.works();
    let mut last = [0; ROWS as usize];
    while life.goes_on() {
        let next = life.inside(|| reader.next_deadline(std::time::Instant::now() + LOOK));
        if let Some((row, value)) = next.expect("read") {
            let (number, last) = (number_of(&value), &mut last[row as usize]);
            assert!(number >= *last, "{number} after {last} in row {row}");
            *last = number;
            life.done();
        }
    }
}

fn end_of_table(site: &Site) -> Result<()> {
    let table = Table::<Value>::open(&site.path)?;
    for number in 0..ROWS {
        let row = table.row_deadline(number, soon()).context("nobody has the row")?;
        if row.was_abandoned() {
            site.board.tell();
        }
        let (value, after) =
            (number_of(&row.get()?), site.board.words[2 * number as usize + AFTER].load(Relaxed));
        ensure!(value == after || value == after + 1, "LOST: {after} was committed, {value} is there");
        ensure!(row.version() == value + 1, "{} commits, and {value} is the last", row.version());
    }
    Ok(())
}
