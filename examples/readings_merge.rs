//! Prints the readings of several rings of `readings_send` as one stream, in the order in which they were published.
//!
//!     cargo run --example readings_merge [SECONDS [PATH...]]
//!
//! Run `cargo run --example readings_send PATH` in other terminals, before or after, each with a path of its own. This program
//! begins with what was published in the last SECONDS (5), and says how long each reading took to get here. It ends when no
//! sender is left.

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Merge, RecvError, Start, Timestamp};

/// A reading waits so long for older ones of other rings. What comes later still is marked.
const LATENESS: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().map_or(Ok(5), |text| text.parse())?;
    let mut paths: Vec<String> = args.collect();
    if paths.is_empty() {
        paths.push("/dev/shm/quoit-readings".into());
    }
    let since = Timestamp::now().saturating_sub(Duration::from_secs(seconds));
    let attach = Attach::lossy().start(Start::Time(since));
    let mut merge = Merge::by_time(LATENESS);
    for path in &paths {
        merge.push(Consumer::open_wait(path, &attach, Instant::now() + Duration::from_secs(60))?);
    }
    loop {
        match merge.recv() {
            Ok(merged) => {
                let (path, late) = (&paths[merged.ring], if merged.late { ", late" } else { "" });
                match merged.event {
                    Ok(Event::Record(reading)) => {
                        let time = reading.time().ok_or("the ring has no times")?;
                        let bytes = reading.bytes();
                        let text = String::from_utf8_lossy(&bytes);
                        println!("{time}  {path}: {text}  ({:?} on the way{late})", time.elapsed());
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
