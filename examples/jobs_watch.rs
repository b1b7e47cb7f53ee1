//! Shows who works, who waits, and who died at it, without disturbing them.
//!
//!     cargo run --example jobs_watch
//!
//! Run `jobs_run` in other terminals, before or after. `quoit info /dev/shm/quoit-jobs` shows the same once.

mod jobs;

use std::error::Error;
use std::time::{Duration, Instant};

use jobs::{AT_ONCE, PATH};
use quoit::Ticker;
use quoit::sync::{Inspector, Participant, Semaphore};

fn words(who: &Participant) -> String {
    let pid = who.pid.map_or_else(|| "?".into(), |pid| pid.to_string());
    match who {
        Participant { is_alive: false, .. } => format!("{pid} died"),
        Participant { holds: 1.., .. } => format!("{pid} works"),
        Participant { is_waiting: true, .. } => format!("{pid} waits"),
        _ => format!("{pid} is between two jobs"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Waits until it is there, and takes no seat after that.
    Semaphore::open_wait(PATH, Instant::now() + Duration::from_secs(60))?;
    let inspector = Inspector::open(PATH)?;
    println!("{AT_ONCE} work at a time");
    let mut ticker = Ticker::every(Duration::from_millis(50));
    let mut last = String::new();
    while !inspector.is_stale() {
        let snapshot = inspector.snapshot()?;
        let line = snapshot.participants.iter().map(words).collect::<Vec<_>>().join(", ");
        if line != last {
            println!("{}", if line.is_empty() { "nobody" } else { &line });
            last = line;
        }
        ticker.wait();
    }
    println!("{PATH} was removed");
    Ok(())
}
