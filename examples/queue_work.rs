//! Does the jobs that `queue_submit` submits. Start as many as you like.
//!
//!     cargo run --example queue_work [PATH]
//!
//! A worker that is killed, with Ctrl-C or `kill -9`, while it works leaves its job to another. One job in seven fails the first
//! time, and is given back. One in twenty kills its worker: start another, and after three the job is put aside in `PATH.dead`.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread;
use std::time::{Duration, Instant};

use quoit::{GroupError, GroupMember, Ring};

#[path = "queue/mod.rs"]
mod queue;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| queue::PATH.into());
    Ring::open_wait(&path, Instant::now() + Duration::from_secs(60))?;
    let mut member = GroupMember::join(&path, &queue::workers(&path)?)?;
    println!("worker {}: waits for jobs", std::process::id());
    loop {
        let job = match member.recv_job(|lost| eprintln!("{lost:?}")) {
            Ok(job) => job,
            Err(GroupError::Closed) => break,
            Err(error) => return Err(error.into()),
        };
        let (sequence, deliveries) = (job.sequence(), job.deliveries());
        if deliveries > 1 {
            println!("job {sequence}: handed out for the {deliveries}. time");
        }
        if sequence % 20 == 19 {
            println!("job {sequence}: kills this worker");
            std::process::abort();
        }
        if sequence % 7 == 6 && deliveries == 1 {
            println!("job {sequence}: failed, given back");
            job.nack()?;
            continue;
        }
        let mut hasher = DefaultHasher::new();
        job.record().bytes().hash(&mut hasher);
        thread::sleep(Duration::from_millis(300));
        // The result goes out before the job is acknowledged: a worker that dies in between does it twice.
        println!("job {sequence}: {:016x}", hasher.finish());
        job.ack()?;
    }
    println!("every job is done, and the submitter has closed the queue");
    Ok(())
}
