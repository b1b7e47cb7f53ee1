//! Every behaviour on every backing, from several origins of the stream: at zero, just before positions and
//! sequences wrap at 2^64, and where a sequence's low half wraps and positions change sign.

mod common;

#[path = "behaviour/attaching.rs"]
mod attaching;
#[path = "behaviour/batches.rs"]
mod batches;
#[path = "behaviour/gating.rs"]
mod gating;
#[path = "behaviour/names.rs"]
mod names;
#[path = "behaviour/overruns.rs"]
mod overruns;
#[path = "behaviour/receiving.rs"]
mod receiving;
#[path = "behaviour/sending.rs"]
mod sending;
#[path = "behaviour/takeover.rs"]
mod takeover;
#[path = "behaviour/waiting.rs"]
mod waiting;

use common::{Backing, Oracle, Ring, Sent};
use quoit::Options;

/// Where a behaviour is tried.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    backing: Backing,
    position: u64,
    first: u64,
}

impl Setup {
    fn new(backing: Backing, position: u64, first: u64) -> Self {
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

    fn on_file(&self) -> bool {
        self.backing != Backing::Heap
    }
}

/// One test for each behaviour in each setup, named after both.
macro_rules! behaviours {
    ($($name:ident,)*) => {
        behaviours! { @setup heap, Heap, 0, 0; $($name,)* }
        behaviours! { @setup heap_before_wrap, Heap, 0u64.wrapping_sub(1024), 0u64.wrapping_sub(5); $($name,)* }
        behaviours! { @setup heap_midway, Heap, (1 << 63) - 1024, (1 << 32) - 5; $($name,)* }
        behaviours! { @files $($name,)* }
    };
    (files: $($name:ident,)*) => {
        mod files {
            behaviours! { @files $($name,)* }
        }
    };
    (@files $($name:ident,)*) => {
        behaviours! { @setup tmpfs, Tmpfs, 0, 0; $($name,)* }
        behaviours! { @setup tmpfs_before_wrap, Tmpfs, 0u64.wrapping_sub(1024), 0u64.wrapping_sub(5); $($name,)* }
        behaviours! { @setup disk, Disk, 0, 0; $($name,)* }
        behaviours! { @setup disk_before_wrap, Disk, 0u64.wrapping_sub(1024), 0u64.wrapping_sub(5); $($name,)* }
    };
    (@setup $setup:ident, $backing:ident, $position:expr, $first:expr; $($name:ident,)*) => {
        mod $setup {
            $(
                #[test]
                fn $name() {
                    $crate::$setup::run(super::$name, $position, $first);
                }
            )*
        }
    };
}
