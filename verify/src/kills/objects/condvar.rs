//! Condition variables: a stock that some fill and others empty, through one mutex.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use anyhow::{Result, ensure};
use quoit::Error;
use quoit::sync::{Condvar, Mutex, MutexGuard, SyncOptions};

use super::{LOOK, Life, Play, Site, soon};
use crate::kills::victims::PATIENCE;

pub(super) const PLAYS: &[Play] = &[Play {
    what: "condition variables",
    share: 90,
    make: |path| {
        drop(Mutex::create(path, &options(), &[0_u64; 2])?);
        Ok(Condvar::create(path.with_extension("condvar"), &options()).map(drop)?)
    },
    victims: &[fill, empty, empty],
    steady: &[fill, empty],
    after: count_the_dead,
    tells_each: false,
    end,
}];

fn options() -> SyncOptions {
    SyncOptions::new().seats(12)
}

/// How often it was filled, and emptied: what is committed.
type Stock = [u64; 2];
const FILLED: usize = 0;
const EMPTIED: usize = 1;

/// Words of the board: as above, by calls that returned; and kills.
const KILLED: usize = 2;
/// The most that is there.
const MOST: u64 = 4;

fn open(life: &Life) -> (Mutex<Stock>, Condvar) {
    let condvar = Condvar::open(life.path.with_extension("condvar")).expect("open");
    (Mutex::open(&life.path).expect("open"), condvar)
}

fn fill(life: &Life) {
    change(life, FILLED, |[filled, emptied]| *filled - *emptied == MOST);
}

fn empty(life: &Life) {
    change(life, EMPTIED, |[filled, emptied]| filled == emptied);
}

fn change(life: &Life, which: usize, is_to_wait: fn(&Stock) -> bool) {
    let (mut mutex, condvar) = open(life);
    life.works();
    let mut last = Instant::now();
    while life.goes_on() {
        // Others go on all the time.
        assert!(last.elapsed() < PATIENCE, "asleep, and others go on");
        let guard = take(life, &mut mutex);
        let limit = Instant::now() + LOOK;
        let waited = life.inside(|| condvar.wait_while_deadline(guard, limit, is_to_wait));
        let mut guard = match waited {
            Ok(guard) => guard,
            // Told of a death while it waited; `take` is told once more, and looks after it.
            Err(Error::Abandoned | Error::TimedOut) => continue,
            Err(error) => panic!("{error}"),
        };
        assert!(!is_to_wait(&guard), "woken for nothing");
        life.board.hold(life.number, 1);
        guard[which] += 1;
        life.inside(|| guard.save()).expect("commit");
        life.board.words[which].fetch_add(1, SeqCst);
        life.board.hold(life.number, 0);
        life.inside(|| drop(guard));
        // One is enough where all of one kind wait for the same; those of the other kind may be woken instead.
        if life.roll(2) == 0 {
            life.inside(|| condvar.notify_one()).expect("notify");
        }
        life.inside(|| condvar.notify_all()).expect("notify");
        life.done();
        last = Instant::now();
        life.dawdle();
    }
}

fn take<'a>(life: &Life, mutex: &'a mut Mutex<Stock>) -> MutexGuard<'a, Stock> {
    let mut guard = life.inside(|| mutex.recover_deadline(soon())).expect("the lock");
    if guard.is_abandoned() {
        life.board.tell();
        guard.recovered();
    }
    let [filled, emptied] = *guard;
    assert!(filled >= emptied && filled - emptied <= MOST, "{filled} filled, {emptied} emptied");
    guard
}

fn count_the_dead(site: &Site, struck: &[usize]) -> Result<()> {
    site.board.words[KILLED].fetch_add(struck.len() as u64, SeqCst);
    Ok(())
}

fn end(site: &Site) -> Result<()> {
    let mut mutex = Mutex::<Stock>::open(&site.path)?;
    let guard = mutex.recover_deadline(soon())?;
    if guard.is_abandoned() {
        site.board.tell();
    }
    let killed = site.board.words[KILLED].load(SeqCst);
    for which in [FILLED, EMPTIED] {
        let (said, there) = (site.board.words[which].load(SeqCst), guard[which]);
        ensure!(said <= there, "LOST: {said} changes returned, {there} are there");
        ensure!(there <= said + killed, "{there} changes are there, {said} returned, {killed} were killed");
    }
    Ok(())
}
