//! Prints the ticks of several rings of `ticks_publish` as one stream, as they come, each with its ring.
//!
//!     cargo run --example ticks_merge [PATH...]
//!
//! Run `cargo run --example ticks_publish PATH` in other terminals, before or after, each with a path of its own; without
//! paths this program follows /dev/shm/quoit-ticks. Kill a publisher: that is told, and the others go on. The program ends
//! when no publisher is left.

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Merge, RecvError, Start};

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push("/dev/shm/quoit-ticks".into());
    }
    let attach = Attach::lossy().start(Start::Oldest);
    let mut merge = Merge::new();
    for path in &paths {
        merge.push(Consumer::open_wait(path, &attach, Instant::now() + Duration::from_secs(60))?);
    }
    loop {
        match merge.recv() {
            Ok(merged) => {
                let path = &paths[merged.ring];
                match merged.event {
                    Ok(Event::Record(tick)) => {
                        println!("{path}: {:6}  {}", tick.sequence(), String::from_utf8_lossy(&tick.bytes()));
                    }
                    Ok(other) => println!("{path}: {other}"),
                    Err(end) => println!("{path}: {end}"),
                }
            }
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
