//! What is done to a ring, and the plain model that it is held against. The fuzz target `ops` uses it as well.

#[path = "readers.rs"]
mod readers;
#[path = "world.rs"]
pub(crate) mod world;

pub(crate) const CAPACITY: u64 = 4096;
pub(crate) const SLOTS: u32 = 4;
/// Readers that the operations speak of; some find no slot.
pub(crate) const READERS: usize = 5;
/// Names that they attach under.
pub(crate) const NAMES: [&str; 3] = ["one", "two", "three"];

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Send(usize),
    Claim { len: usize, publish: bool },
    Batch { lens: Vec<usize>, claims: u8, publish: bool },
    Reopen,
    Attach { who: usize, policy: Policy, start: Where, name: Option<usize>, hold: bool, keep: bool },
    Observe { who: usize, start: Where },
    Receive { who: usize, events: usize },
    Skip { who: usize },
    Release { who: usize },
    Detach { who: usize },
    Forget { name: usize },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Policy {
    Gated,
    /// Gated with a deadline that has passed at the second refusal.
    Brief,
    Lossy,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Where {
    Newest,
    Oldest,
    Last(u64),
    /// A sequence so far back from the next one; negative: ahead.
    Back(i64),
    /// The time at which the record so far back was published; negative: now.
    Time(i64),
}
