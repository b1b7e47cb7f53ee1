//! Every behaviour on every backing, from several origins of the stream: at zero, just before positions and
//! sequences wrap at 2^64, and where a sequence's low half wraps and positions change sign.

mod common;

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};

use common::{Backing, Oracle, Ring, Sent};
use quoit::{Options, Producer};

/// Origins of the stream: position and first sequence.
const ZERO: (u64, u64) = (0, 0);
const BEFORE_WRAP: (u64, u64) = (0u64.wrapping_sub(1024), 0u64.wrapping_sub(5));
const MIDWAY: (u64, u64) = ((1 << 63) - 1024, (1 << 32) - 5);

/// Where a behaviour is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    backing: Backing,
    position: u64,
    first: u64,
}

impl Setup {
    fn new(backing: Backing, (position, first): (u64, u64)) -> Self {
        Self { backing, position, first }
    }

    /// A ring of 4 KiB and four slots, which the stream of most tests laps many times.
    fn options(&self) -> Options {
        self.options_of(4096)
    }

    fn options_of(&self, capacity: u64) -> Options {
        Options::new().capacity(capacity).slots(4).origin(self.position, self.first)
    }

    fn ring(&self) -> Ring {
        self.backing.ring(&self.options())
    }

    fn sent(&self) -> Sent {
        Sent::new(self.first)
    }

    fn oracle(&self) -> Oracle {
        Oracle::new(self.first)
    }

    /// A ring with a producer, and nothing sent yet.
    fn scene(&self) -> Scene {
        let ring = self.ring();
        let producer = ring.producer();
        Scene { ring, sent: self.sent(), oracle: self.oracle(), producer }
    }
}

/// What most tests begin with.
struct Scene {
    ring: Ring,
    sent: Sent,
    oracle: Oracle,
    producer: Producer,
}

/// Sends what there is no room for from a thread of its own, does `work` meanwhile, and returns the producer once it has
/// sent.
fn while_it_waits(mut producer: Producer, payload: &[u8], work: impl FnOnce()) -> Producer {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            producer.send_deadline(payload, common::soon()).expect("there is room in the end");
            producer
        });
        work();
        waiting.join().unwrap()
    })
}

/// Runs a test. If it is not done in time, that ends the whole run: a wait that never ends cannot be got rid of, and
/// would take a core from all the tests that follow, or hang them as well.
fn bounded(test: fn()) {
    let (_called_off, alarm) = channel::<()>();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if alarm.recv_timeout(common::PATIENCE * 4) == Err(RecvTimeoutError::Timeout) {
            // Not through `eprintln`, which the harness keeps to itself.
            let line = format!("behaviour: {name}: hangs; ending the whole run\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            std::process::exit(101);
        }
    });
    test();
}

/// One test for each behaviour in each setup, named after both.
macro_rules! behaviours {
    ($($name:ident,)*) => {
        $crate::setup! { heap, Heap, $crate::ZERO; $($name,)* }
        $crate::setup! { heap_before_wrap, Heap, $crate::BEFORE_WRAP; $($name,)* }
        $crate::setup! { heap_midway, Heap, $crate::MIDWAY; $($name,)* }
        $crate::setup! { tmpfs, Tmpfs, $crate::ZERO; $($name,)* }
        $crate::setup! { tmpfs_before_wrap, Tmpfs, $crate::BEFORE_WRAP; $($name,)* }
        $crate::setup! { disk, Disk, $crate::ZERO; $($name,)* }
        $crate::setup! { disk_before_wrap, Disk, $crate::BEFORE_WRAP; $($name,)* }
    };
}

/// As `behaviours`, for those that a ring on the heap cannot have: paths, and deaths.
macro_rules! behaviours_of_files {
    ($($name:ident,)*) => {
        $crate::setup! { file_on_tmpfs, Tmpfs, $crate::ZERO; $($name,)* }
        $crate::setup! { file_on_tmpfs_before_wrap, Tmpfs, $crate::BEFORE_WRAP; $($name,)* }
        $crate::setup! { file_on_disk, Disk, $crate::ZERO; $($name,)* }
        $crate::setup! { file_on_disk_before_wrap, Disk, $crate::BEFORE_WRAP; $($name,)* }
    };
}

macro_rules! setup {
    ($setup:ident, $backing:ident, $origin:expr; $($name:ident,)*) => {
        mod $setup {
            $(
                #[test]
                fn $name() {
                    $crate::bounded(|| {
                        super::$name($crate::Setup::new($crate::common::Backing::$backing, $origin));
                    });
                }
            )*
        }
    };
}

use {behaviours, behaviours_of_files, setup};

#[path = "behaviour/arrivals.rs"]
mod arrivals;
#[path = "behaviour/attaching.rs"]
mod attaching;
#[path = "behaviour/away.rs"]
mod away;
#[path = "behaviour/batches.rs"]
mod batches;
#[path = "behaviour/blockers.rs"]
mod blockers;
#[path = "behaviour/conflating.rs"]
mod conflating;
#[path = "behaviour/deaths.rs"]
mod deaths;
#[path = "behaviour/ending_stages.rs"]
mod ending_stages;
#[path = "behaviour/endings.rs"]
mod endings;
#[path = "behaviour/evictions.rs"]
mod evictions;
#[path = "behaviour/gating.rs"]
mod gating;
#[path = "behaviour/holds.rs"]
mod holds;
#[path = "behaviour/leftovers.rs"]
mod leftovers;
#[path = "behaviour/names.rs"]
mod names;
#[path = "behaviour/overruns.rs"]
mod overruns;
#[path = "behaviour/receive_deadlines.rs"]
mod receive_deadlines;
#[path = "behaviour/receiving.rs"]
mod receiving;
#[path = "behaviour/requests.rs"]
mod requests;
#[path = "behaviour/returns.rs"]
mod returns;
#[path = "behaviour/send_deadlines.rs"]
mod send_deadlines;
#[path = "behaviour/sending.rs"]
mod sending;
#[path = "behaviour/skipping.rs"]
mod skipping;
#[path = "behaviour/stages.rs"]
mod stages;
#[path = "behaviour/takeover.rs"]
mod takeover;
#[path = "behaviour/times.rs"]
mod times;
#[path = "behaviour/waited_for.rs"]
mod waited_for;
#[path = "behaviour/waiting.rs"]
mod waiting;
