//! Every behaviour on every backing, from several origins of the stream: at zero, just before positions and
//! sequences wrap at 2^64, and where a sequence's low half wraps and positions change sign.

mod common;

use common::{Backing, Oracle, Ring, Sent};
use quoit::Options;

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
}

/// Runs a test that fails, instead of hanging, where a wait never ends.
fn bounded(test: fn()) {
    let (done, finished) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    match finished.recv_timeout(common::PATIENCE * 4) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
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

#[path = "behaviour/attaching.rs"]
mod attaching;
#[path = "behaviour/away.rs"]
mod away;
#[path = "behaviour/batches.rs"]
mod batches;
#[path = "behaviour/deaths.rs"]
mod deaths;
#[path = "behaviour/evictions.rs"]
mod evictions;
#[path = "behaviour/gating.rs"]
mod gating;
#[path = "behaviour/leftovers.rs"]
mod leftovers;
#[path = "behaviour/names.rs"]
mod names;
#[path = "behaviour/overruns.rs"]
mod overruns;
#[path = "behaviour/receiving.rs"]
mod receiving;
#[path = "behaviour/returns.rs"]
mod returns;
#[path = "behaviour/sending.rs"]
mod sending;
#[path = "behaviour/takeover.rs"]
mod takeover;
#[path = "behaviour/waiting.rs"]
mod waiting;
