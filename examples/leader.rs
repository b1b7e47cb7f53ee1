//! A service of which one process works, and any number stand by.
//!
//!     cargo run --example leader
//!
//! Start it in two terminals or more. The first that comes leads, for life. `kill -9` it, and another one leads, goes on
//! where the dead one stopped, and says how long after the dead one's last commit it was told. That includes the time for which the
//! kernel tears the dead process down; it is told within 2 ms of the kernel releasing the lock. A leader that is only stopped (Ctrl-Z) still leads.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quoit::sync::{Mutex, SyncOptions};
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
use quoit::{Ticker, Typed};

/// Where the office is, unless told otherwise.
const PATH: &str = "/dev/shm/quoit-leader";

/// What the leader hands on to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
struct Office {
    /// How many leaders there were.
    term: u64,
    /// The work that is done: here, milliseconds.
    ticks: u64,
    /// When the leader last committed, wall clock, ns since 1970.
    committed_ns: u64,
}

impl Typed for Office {
    const TAG: u32 = 21;
}

fn now_ns() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64)
}

/// Stands by, then leads until it is killed, or for `ticks` milliseconds.
pub fn serve(path: &str, ticks: u64) -> Result<(), Box<dyn Error>> {
    let own = std::process::id();
    let mut mutex = Mutex::open_or_create(path, &SyncOptions::new(), &Office::default())?;
    println!("{own}: stands by");
    // Sleeps until the leader has ended or died. A watcher among the sleepers asks the kernel every millisecond.
    let mut office = mutex.recover()?;
    if office.is_abandoned() {
        // The office itself is whole, as last committed. What a leader does outside of it is to be checked here.
        let late = Duration::from_nanos(now_ns().saturating_sub(office.committed_ns));
        println!("{own}: told that the leader died, {late:?} after its last commit; leads");
        office.recovered();
    } else {
        println!("{own}: leads");
    }
    office.term += 1;
    office.committed_ns = now_ns();
    // A term that was told counts, also if its leader dies before it has done anything.
    office.save()?;
    println!("{own}: term {}, after {} ticks", office.term, office.ticks);
    let mut ticker = Ticker::every(Duration::from_millis(1));
    for _ in 0..ticks {
        ticker.wait();
        office.ticks += 1;
        office.committed_ns = now_ns();
        // Commits, and keeps the lock: from here on a death leaves this.
        office.save()?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let since = SystemTime::now();
    serve(PATH, u64::MAX)?;
    println!("led for {:?}; the file stays: rm {PATH}", since.elapsed()?);
    Ok(())
}
