//! A worker that re-reads its configuration when it changes, without being restarted or signalled, and without looking
//! at it for each job.
//!
//!     cargo run --example settings_follow
//!
//! Run `settings_set rate 50` or `settings_set verbose 1` in another terminal, before or after.

mod settings;

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::sync::{Latest, LatestOptions, LatestReader};
use quoit::{Ticker, WaitSet};
use settings::{PATH, Settings};

/// The time from one job to the next.
fn period(settings: Settings) -> Duration {
    Duration::from_secs(1) / settings.jobs_per_second.max(1)
}

fn main() -> Result<(), Box<dyn Error>> {
    // Whoever comes first makes the defaults. Another one that does so at this moment is fine too.
    match Latest::create(PATH, &LatestOptions::new(), &Settings::default()) {
        Ok(_) | Err(quoit::Error::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut reader = LatestReader::open_wait(PATH, Instant::now() + Duration::from_secs(10))?;
    let mut settings: Settings = reader.get()?;
    println!("{settings:?}");

    const JOBS: usize = 0;
    const SETTINGS: usize = 1;
    let mut set = WaitSet::new();
    let mut jobs = Ticker::every(period(settings));
    let mut done = 0_u64;
    loop {
        // Asleep in between, whatever comes first.
        for token in set.wait(&mut [&mut jobs, &mut reader]) {
            match token {
                JOBS => {
                    done += jobs.take().map_or(0, |tick| tick.count);
                    if settings.verbose != 0 {
                        println!("{done} jobs done");
                    }
                }
                SETTINGS => {
                    settings = reader.get()?;
                    jobs = Ticker::every(period(settings));
                    println!("changed after {done} jobs: {settings:?}");
                }
                _ => unreachable!("two things"),
            }
        }
    }
}
