//! Semaphores: never more holders than permits, and in the end as many permits as in the beginning.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use quoit::Error;
use quoit::sync::{Semaphore, SyncOptions};

use super::{Life, Play, Site, nothing, soon};

const PERMITS: u32 = 3;

pub(super) const PLAYS: &[Play] = &[Play {
    what: "semaphores",
    share: 140,
    make: |path| Ok(Semaphore::create(path, &SyncOptions::new().seats(10), PERMITS).map(drop)?),
    victims: &[acquire, acquire, acquire],
    steady: &[acquire, acquire],
    after: nothing,
    // Whoever takes two permits of the dead at once is told once.
    tells_each: false,
    end,
}];

fn acquire(life: &Life) {
    let semaphore = Semaphore::open(&life.path).expect("open");
    life.works();
    while life.goes_on() {
        let count = 1 + life.roll(4).saturating_sub(1) as u32;
        let permit = match life.roll(4) {
            0 => life.inside(|| semaphore.try_acquire_many(count)),
            1 => {
                let limit = std::time::Instant::now() + Duration::from_micros(300);
                life.inside(|| semaphore.acquire_many_deadline(count, limit)).map(Some)
            }
            _ => life.inside(|| semaphore.acquire_many_deadline(count, soon())).map(Some),
        };
        let permit = match permit {
            Ok(Some(permit)) => permit,
            Ok(None) => continue,
            Err(Error::TimedOut) => {
                life.done();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(permit.count(), count as usize);
        if permit.is_abandoned() {
            life.board.tell();
        }
        life.board.hold(life.number, u64::from(count));
        let held = life.board.held();
        assert!(held.is_none_or(|held| held <= PERMITS.into()), "{held:?} permits of {PERMITS} are held");
        life.dawdle();
        life.board.hold(life.number, 0);
        life.inside(|| drop(permit));
        life.done();
    }
}

fn end(site: &Site) -> Result<()> {
    let semaphore = Semaphore::open(&site.path)?;
    let all = semaphore.acquire_many_deadline(PERMITS, soon()).context("LOST: a permit")?;
    if all.is_abandoned() {
        site.board.tell();
    }
    drop(all);
    ensure!(semaphore.available() == PERMITS, "{} of {PERMITS} permits are free", semaphore.available());
    ensure!(semaphore.holders()?.is_empty(), "somebody still has a permit");
    Ok(())
}
