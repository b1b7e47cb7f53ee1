//! Options of `pub` and `sub` for the memory of their handles.

use quoit::{Memory, MemoryReport};

use crate::output::say;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Wishes {
    /// Fault in the ring's memory before the first record
    #[arg(long, help_heading = "Memory")]
    populate: bool,
    /// Lock the ring's memory so that it is never swapped out; needs RLIMIT_MEMLOCK or CAP_IPC_LOCK
    #[arg(long, help_heading = "Memory")]
    lock: bool,
    /// Put the ring's memory in huge pages; needs a ring created with --huge
    #[arg(long, help_heading = "Memory")]
    pub(crate) huge: bool,
    /// Move the ring's memory to this NUMA node, except pages that another handle also maps; lscpu lists the nodes
    #[arg(long, value_name = "N", help_heading = "Memory")]
    numa_node: Option<u32>,
}

impl Wishes {
    /// Applies the requests and prints the result of each. With `quiet`, prints only if one was refused. A refusal is
    /// not a failure.
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
