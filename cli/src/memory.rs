//! What `pub` and `sub` may wish for their memory.

use quoit::{Memory, MemoryReport};

use crate::output::say;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Wishes {
    /// Fault the ring's memory in before the first record
    #[arg(long, help_heading = "Memory")]
    populate: bool,
    /// Keep the ring's memory from being swapped out, which takes RLIMIT_MEMLOCK or CAP_IPC_LOCK
    #[arg(long, help_heading = "Memory")]
    lock: bool,
    /// Put the ring's memory in huge pages, if it was made with create --huge
    #[arg(long, help_heading = "Memory")]
    pub(crate) huge: bool,
}

impl Wishes {
    /// Has them seen to, and says what became of each; under `quiet` only if one was refused, which is no failure.
    pub(crate) fn tell(self, quiet: bool, prepare: impl FnOnce(&Memory) -> MemoryReport) {
        if !(self.populate || self.lock || self.huge) {
            return;
        }
        let wishes = Memory::new().populate(self.populate).lock(self.lock).huge_pages(self.huge);
        let report = prepare(&wishes);
        if !quiet || !report.is_granted() {
            report.to_string().lines().for_each(say);
        }
    }
}
