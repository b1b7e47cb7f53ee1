//! A worker that does heavy jobs, of which only two run at a time on this machine, however many workers there are.
//!
//!     cargo run --example jobs_run [JOBS]
//!
//! Start it in three terminals or more, and `jobs_watch` in another. `kill -9` one while it works: its permit is free
//! at once, and the next worker is told.

mod jobs;

use std::error::Error;
use std::time::{Duration, Instant};

use jobs::{AT_ONCE, PATH};
use quoit::sync::{Semaphore, SyncOptions};

/// Something that keeps a processor busy.
fn job(time: Duration) -> u64 {
    let began = Instant::now();
    let mut sum = 0_u64;
    while began.elapsed() < time {
        sum = std::hint::black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    sum
}

/// Does so many jobs, each under a permit.
pub fn work(path: &str, jobs: u32, time: Duration) -> Result<(), Box<dyn Error>> {
    let own = std::process::id();
    let permits = Semaphore::open_or_create(path, &SyncOptions::new(), AT_ONCE)?;
    for number in 1..=jobs {
        let asked = Instant::now();
        let permit = permits.acquire()?;
        if permit.is_abandoned() {
            // What it did may be half done. A real worker looks for it here.
            println!("{own}: whoever had this permit before died with it");
        }
        println!("{own}: job {number} of {jobs}, after {:?} of waiting", asked.elapsed());
        job(time);
        // Gives it back.
        drop(permit);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let jobs = std::env::args().nth(1).map_or(Ok(20), |number| number.parse())?;
    work(PATH, jobs, Duration::from_secs(1))?;
    println!("done; the file stays: rm {PATH}");
    Ok(())
}
