//! Barriers: nobody passes without the others, and a death is told to all that wait.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use anyhow::{Result, ensure};
use quoit::Error;
use quoit::sync::{Barrier, SyncOptions};

use super::{Life, Play, Site};
use crate::kills::victims::PATIENCE;

const PARTIES: u32 = 3;

pub(super) const PLAYS: &[Play] = &[Play {
    what: "barriers",
    share: 100,
    make: |path| Ok(Barrier::create(path, &SyncOptions::new(), PARTIES).map(drop)?),
    victims: &[meet, meet],
    steady: &[meet],
    after: count_the_dead,
    tells_each: false,
    end,
}];

/// Words of the board: rounds that somebody passed, kills, and resets.
const PASSED: usize = 0;
const KILLED: usize = 1;

fn meet(life: &Life) {
    let barrier = loop {
        match Barrier::open(&life.path) {
            Ok(barrier) => break barrier,
            // Whoever was here before is about to leave.
            Err(Error::SeatsTaken { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    life.works();
    let mut last = None;
    let mut moved = Instant::now();
    while life.goes_on() {
        match life.inside(|| barrier.wait_deadline(Instant::now() + PATIENCE)) {
            Ok(pass) => {
                assert!(last.is_none_or(|last| pass.round > last), "round {} after {last:?}", pass.round);
                last = Some(pass.round);
                // In each round so many pass at most, and one of them leads at most.
                let entry = life.board.entry(pass.round);
                let mine = pass.round << 16 | 1 | u64::from(pass.is_leader) << 8;
                let update = |seen: u64| match seen >> 16 == pass.round {
                    true => Some(seen + (mine & 0xffff)),
                    false => Some(mine),
                };
                let before = entry.fetch_update(SeqCst, SeqCst, update).expect("always an update");
                let now = update(before).expect("always an update");
                assert!(now & 0xff <= PARTIES.into(), "more than {PARTIES} passed round {}", pass.round);
                assert!(now >> 8 & 0xff <= 1, "two led in round {}", pass.round);
                life.board.words[PASSED].fetch_max(pass.round, SeqCst);
                life.done();
                moved = Instant::now();
            }
            Err(Error::Broken) => {
                life.board.tell();
                life.inside(|| barrier.reset()).expect("reset");
                life.done();
                std::thread::yield_now();
            }
            Err(Error::TimedOut) if !life.goes_on() => {}
            Err(error) => panic!("{error}: one was waited for that does not come"),
        }
        assert!(moved.elapsed() < PATIENCE, "no round passes any more");
        life.dawdle();
    }
}

fn count_the_dead(site: &Site, struck: &[usize]) -> Result<()> {
    site.board.words[KILLED].fetch_add(struck.len() as u64, SeqCst);
    Ok(())
}

fn end(site: &Site) -> Result<()> {
    let [passed, killed] = [PASSED, KILLED].map(|word| site.board.words[word].load(SeqCst));
    // All that were killed were waited for by somebody who was not.
    ensure!(site.board.told() > 0 || killed == 0, "{killed} parties died, and nobody was told");
    ensure!(passed > 0 || killed < 100, "no round was ever passed");
    let barrier = Barrier::open(&site.path)?;
    barrier.reset()?;
    ensure!(!barrier.is_broken()?, "broken after a reset");
    Ok(())
}
