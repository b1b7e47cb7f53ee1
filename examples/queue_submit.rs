//! Submits jobs to a queue: words, whose hash is to be computed slowly.
//!
//!     cargo run --example queue_submit [PATH [COUNT]]
//!
//! Start some `queue_work` in other terminals, before or after, and kill one of them, with Ctrl-C or `kill -9`, while it works:
//! another does its job. While nobody works, the jobs are kept, and this program waits once the queue is full.

use std::error::Error;
use std::thread;
use std::time::Duration;

use quoit::{GroupMember, Options, Producer};

#[path = "queue/mod.rs"]
mod queue;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| queue::PATH.into());
    let count: u64 = args.next().map_or(Ok(50), |text| text.parse())?;

    let mut producer = Producer::open_or_create(&path, &Options::new().capacity(64 << 10))?;
    // The group is there from here on, so no job is submitted before somebody could get it.
    drop(GroupMember::join(&path, &queue::workers(&path)?)?);
    for number in 0..count {
        let sequence = producer.send(format!("word {number}").as_bytes())?;
        println!("job {sequence} submitted");
        thread::sleep(Duration::from_millis(100));
    }
    println!("closed; the queue stays: rm {path} {path}.workers.group {path}.dead");
    Ok(())
}
