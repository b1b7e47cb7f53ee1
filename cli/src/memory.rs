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
    /// Move the ring's memory to this NUMA node, as far as no other handle has it; lscpu shows the nodes
    #[arg(long, value_name = "N", help_heading = "Memory")]
    numa_node: Option<u32>,
}

impl Wishes {
    /// Has them seen to, and says what became of each; under `quiet` only if one was refused, which is no failure.
    pub(crate) fn tell(self, quiet: bool, prepare: impl FnOnce(&Memory) -> MemoryReport) {
        let mut wishes = Memory::new().populate(self.populate).lock(self.lock).huge_pages(self.huge);
        if let Some(node) = self.numa_node {
            wishes = wishes.node(node);
        }
        if wishes == Memory::new() {
            return;
        }
        let report = prepare(&wishes);
        if !quiet || !report.is_granted() {
            report.to_string().lines().for_each(say);
        }
    }
}
