//! Computes how heat spreads in a rod, step by step, together with other workers: each has a part of the rod.
//!
//!     cargo run --example rod_worker [WORKERS]
//!
//! Start it in as many terminals as there are to be workers, two unless told otherwise, and `rod_show` in another one. Kill a
//! worker, with Ctrl-C or `kill -9`: the others are told, and wait until you start another. It goes on from the step at
//! which the dead one was, and no heat gets lost. The files stay: rm /dev/shm/quoit-rod*

mod rod;

use std::error::Error;
use std::thread;
use std::time::Duration;

use quoit::sync::{Barrier, SyncOptions, Table, TableOptions, TableRow};
use rod::{BARRIER, PARTS, POINTS, Part};

/// How much of a difference in temperature is gone after a step.
const FLOW: f64 = 0.2;

/// Computes the next step of one's own part, if no other part is behind it.
fn step(rod: &Table<Part>, own: &mut TableRow<'_, Part>) -> Result<u64, Box<dyn Error>> {
    let part = own.get()?;
    let others = (0..rod.rows()).map(|row| rod.get(row)).collect::<Result<Vec<_>, _>>()?;
    if others.iter().any(|other| other.steps < part.steps) {
        return Ok(part.steps);
    }
    // At the ends of the rod no heat flows.
    let number = own.number() as usize;
    let beside =
        |other: usize, point: usize| others.get(other)?.after(part.steps).map(|points| points[point]);
    let left = number.checked_sub(1).and_then(|left| beside(left, POINTS - 1)).unwrap_or(part.now[0]);
    let right = beside(number + 1, 0).unwrap_or(part.now[POINTS - 1]);
    let mut next = Part { steps: part.steps + 1, before: part.now, ..part };
    for point in 0..POINTS {
        let left = if point == 0 { left } else { part.now[point - 1] };
        let right = if point == POINTS - 1 { right } else { part.now[point + 1] };
        next.now[point] += FLOW * (left - 2.0 * part.now[point] + right);
    }
    // One commit: killed before it, the part is as it was.
    own.set(&next)?;
    Ok(next.steps)
}

fn main() -> Result<(), Box<dyn Error>> {
    let workers = std::env::args().nth(1).map_or(Ok(2), |text| text.parse())?;
    let warm = Part { steps: 0, now: [50.0; POINTS], before: [50.0; POINTS] };
    let rod = Table::open_or_create(PARTS, &TableOptions::new(workers), &warm)?;
    // Exactly so many may come.
    let barrier = Barrier::open_or_create(BARRIER, &SyncOptions::new(), workers)?;
    let mut free = (0..workers).filter_map(|row| rod.try_row(row).transpose());
    let mut own = free.next().ok_or("all parts have a worker")??;
    drop(free);
    if own.version() == 1 && own.number() == 0 {
        // Before the first step of all, heated at one end.
        let mut hot = warm;
        hot.now[..POINTS / 2].fill(100.0);
        own.set(&hot)?;
    }
    println!("part {} of {workers}, from step {} on", own.number(), own.get()?.steps);
    // The round that broke when somebody died goes on with its successor: this one.
    if barrier.is_broken()? {
        barrier.reset()?;
    }

    loop {
        match barrier.wait() {
            Ok(passed) => {
                let steps = step(&rod, &mut own)?;
                if passed.is_leader && steps % 100 == 0 {
                    println!("step {steps}, said by part {}", own.number());
                }
                thread::sleep(Duration::from_millis(5));
            }
            Err(quoit::Error::Broken) => {
                println!("a worker is gone: start another");
                while barrier.is_broken()? {
                    thread::sleep(Duration::from_millis(20));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
