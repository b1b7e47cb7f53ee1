//! Latest values: the writer is killed and followed by the next, beside readers that are not.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use quoit::sync::{Latest, LatestOptions, LatestReader};

use super::{Life, Play, Site};

pub(super) const PLAYS: &[Play] = &[Play {
    what: "latest values",
    share: 80,
    make: |path| Ok(Latest::create(path, &LatestOptions::new().cells(3), &[0_u64; WORDS]).map(drop)?),
    victims: &[write],
    steady: &[read, follow],
    after: check,
    tells_each: false,
    end: |site| check(site, &[]),
}];

const WORDS: usize = 64;

type Value = [u64; WORDS];

/// Words of the board: the number whose commit has begun, and the one whose commit has returned.
const BEGUN: usize = 0;
const DONE: usize = 1;

fn number_of(value: &Value) -> u64 {
    assert!(value.iter().all(|word| *word == value[0]), "half a value: {value:?}");
    value[0]
}

fn write(life: &Life) {
    let mut latest = Latest::<Value>::open(&life.path).expect("become the writer");
    let mut number = number_of(&latest.get().expect("the last value"));
    assert_eq!(latest.version(), number + 1, "a version was left out");
    life.works();
    while life.goes_on() {
        number += 1;
        life.board.words[BEGUN].store(number, SeqCst);
        life.inside(|| latest.set(&[number; WORDS])).expect("set");
        life.board.words[DONE].store(number, SeqCst);
        life.done();
        life.dawdle();
    }
}

/// What a reader gets: whole, not from before what was done when it began, and never older than before.
fn checked(life: &Life, value: &Value, done: u64, last: u64) -> u64 {
    let number = number_of(value);
    let begun = life.board.words[BEGUN].load(SeqCst);
    assert!(number >= done && number <= begun, "{number}, with {done} done and {begun} begun");
    assert!(number >= last, "{number} after {last}");
    life.done();
    number
}

fn read(life: &Life) {
    let mut reader = LatestReader::<Value>::open(&life.path).expect("open");
    life.works();
    let mut last = 0;
    while life.goes_on() {
        let done = life.board.words[DONE].load(SeqCst);
        match reader.get() {
            Ok(value) => last = checked(life, &value, done, last),
            Err(quoit::Error::Busy) => {}
            Err(error) => panic!("{error}"),
        }
        life.dawdle();
    }
}

fn follow(life: &Life) {
    let mut reader = LatestReader::<Value>::open(&life.path).expect("open");
    life.works();
    let mut last = 0;
    while life.goes_on() {
        let done = life.board.words[DONE].load(SeqCst);
        match reader.next_deadline(Instant::now() + Duration::from_millis(20)) {
            Ok(Some(value)) => last = checked(life, &value, done, last),
            Ok(None) | Err(quoit::Error::Busy) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn check(site: &Site, _: &[usize]) -> Result<()> {
    let mut reader = LatestReader::<Value>::open(&site.path)?;
    let value = reader.get()?;
    ensure!(value.iter().all(|word| *word == value[0]), "half a value: {value:?}");
    let [begun, done] = [BEGUN, DONE].map(|word| site.board.words[word].load(SeqCst));
    ensure!(value[0] >= done, "LOST: {done} was committed, {} is there", value[0]);
    ensure!(value[0] <= begun, "{} is there, {begun} was begun", value[0]);
    ensure!(!reader.writer_alive(), "a dead writer looks alive");
    Ok(())
}
