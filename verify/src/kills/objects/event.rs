//! Events: each signal is taken once, and nobody sleeps through one.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use anyhow::{Result, ensure};
use quoit::Error;
use quoit::sync::{Event, Reset, SyncOptions};

use super::{LOOK, Life, Play, Site, soon};
use crate::kills::victims::PATIENCE;

pub(super) const PLAYS: &[Play] = &[Play {
    what: "events",
    share: 90,
    make: |path| Ok(Event::create(path, &SyncOptions::new().seats(10), Reset::Auto).map(drop)?),
    victims: &[set, take, take],
    steady: &[set, take],
    after: count_the_dead,
    tells_each: false,
    end,
}];

/// Words of the board: signals that were given, taken, and perhaps given or taken by the dead.
const GIVEN: usize = 0;
const TAKEN: usize = 1;
const KILLED: usize = 2;

fn add(life: &Life, word: usize) {
    life.board.words[word].fetch_add(1, SeqCst);
}

fn set(life: &Life) {
    let event = Event::open(&life.path).expect("open");
    life.works();
    while life.goes_on() {
        if life.inside(|| event.set()).expect("set") {
            add(life, GIVEN);
        }
        life.done();
        life.dawdle();
    }
}

fn take(life: &Life) {
    let event = Event::open(&life.path).expect("open");
    life.works();
    let mut last = Instant::now();
    while life.goes_on() {
        let taken = match life.roll(3) {
            0 => life.inside(|| event.try_wait()),
            _ => match life.inside(|| event.wait_deadline(Instant::now() + LOOK)) {
                Err(Error::TimedOut) => Ok(false),
                waited => waited.map(|()| true),
            },
        };
        if taken.expect("wait") {
            add(life, TAKEN);
            life.done();
            last = Instant::now();
        }
        // Signals are given all the time.
        assert!(last.elapsed() < PATIENCE, "asleep, and signals are given");
    }
}

fn count_the_dead(site: &Site, struck: &[usize]) -> Result<()> {
    site.board.words[KILLED].fetch_add(struck.len() as u64, SeqCst);
    Ok(())
}

/// Each kill may have cost a note, or a signal; nothing else may have.
fn end(site: &Site) -> Result<()> {
    let [given, taken, killed] = [GIVEN, TAKEN, KILLED].map(|word| site.board.words[word].load(SeqCst));
    let event = Event::open(&site.path)?;
    let left = u64::from(event.try_wait()?);
    let count = event.count()?;
    ensure!(given <= count && count <= given + killed, "given {given} times, says the board, and {count}");
    ensure!(taken + left <= count, "{taken} taken of {count}: one was taken twice");
    ensure!(taken + left + killed >= count, "LOST: {taken} taken of {count}, with {killed} kills");
    event.set()?;
    event.wait_deadline(soon())?;
    Ok(())
}
