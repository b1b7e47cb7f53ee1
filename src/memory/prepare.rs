//! Requests for a handle's memory: fault pages in before the first record, lock them, use huge pages, place them on
//! one NUMA node, include them in core dumps.
//!
//! Requests are applied after the ring was opened, so they cannot make the open fail. The result of each is reported.
//! The kernel does not say whether it granted huge pages or a node: `pages.rs` measures that.

use std::fmt;
use std::io;

use rustix::io::Errno;

pub(crate) mod pages;

/// Requests for the memory that a handle maps. [`Producer::prepare`](crate::Producer::prepare), and `prepare` of the
/// other handles, apply them. Each process must do that for itself.
///
/// ```no_run
/// use quoit::{Memory, Options, Producer};
///
/// let options = Options::new().capacity(64 << 20).huge_pages(true);
/// let producer = Producer::open_or_create("/dev/shm/prices", &options)?;
/// let report = producer.prepare(&Memory::new().populate(true).lock(true).huge_pages(true));
/// if !report.is_granted() {
///     eprintln!("{report}");
/// }
/// # Ok::<(), quoit::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "requests do nothing until a handle is prepared with them"]
pub struct Memory {
    pub(crate) populate: bool,
    pub(crate) lock: bool,
    pub(crate) huge_pages: bool,
    pub(crate) node: Option<u32>,
    pub(crate) core_dumps: bool,
}

impl Memory {
    /// No requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Faults every page in now, for writing where this handle writes, so that no record of the first lap waits for a
    /// page fault. Linux 5.14 or newer.
    pub fn populate(self, on: bool) -> Self {
        Self { populate: on, ..self }
    }

    /// Keeps every page in memory while the handle lives: none goes to swap, or back to a disk. Also faults them in.
    /// Needs an `RLIMIT_MEMLOCK` of at least what all handles of the process map, or `CAP_IPC_LOCK`.
    pub fn lock(self, on: bool) -> Self {
        Self { lock: on, ..self }
    }

    /// Joins the pages of the ring into huge pages of 2 MiB and faults them in. This needs fewer TLB entries, if the
    /// ring is larger than those cover. For rings created with [`Options::huge_pages`](crate::Options::huge_pages) on
    /// a tmpfs, whatever its mount options; Linux 6.1 or newer. Once one process had the pages joined, every process
    /// that maps the ring gets huge pages.
    pub fn huge_pages(self, on: bool) -> Self {
        Self { huge_pages: on, ..self }
    }

    /// Faults every page in and moves it to this NUMA node. Pages that another handle has faulted in as well stay
    /// where they are, even if that handle is in this process. So the creator of the ring should call this before any
    /// other process opens it. On tmpfs and in a sealed ring, pages that come back from swap later also prefer the
    /// node, whichever process faults them in; the most recent request of any process counts. If the node has no
    /// room, the pages are placed elsewhere.
    ///
    /// The node's number is as in `/sys/devices/system/node`. Numbers above 1023 are refused, as no kernel has such a
    /// node.
    pub fn node(self, node: u32) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Includes this handle's map of the ring in core dumps of the process. By default it is in none: the contents
    /// are large, and other processes wrote them. While the file has a name, the kernel still leaves the map out
    /// unless bit 3 of `/proc/self/coredump_filter` is set. A ring on the heap is ordinary memory, and in every dump.
    pub fn core_dumps(self, on: bool) -> Self {
        Self { core_dumps: on, ..self }
    }
}

/// The results of the requests for a handle's memory. Its `Display` prints one line per request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryReport {
    /// Bytes that the handle maps; 0 on the heap.
    pub bytes: u64,
    /// Whether all of them were faulted in.
    pub populate: MemoryOutcome,
    /// Whether all of them are locked.
    pub lock: MemoryOutcome,
    /// Whether all of them are in huge pages.
    pub huge_pages: MemoryOutcome,
    /// Bytes that are in huge pages, according to `/proc/self/smaps`. `None`: not requested, or the kernel does not
    /// show them.
    pub huge_bytes: Option<u64>,
    /// Whether all of them are on the NUMA node.
    pub node: MemoryOutcome,
    /// Bytes that are on the NUMA node, according to `/proc/self/numa_maps`. `None`: not requested, or the kernel
    /// does not show them.
    pub node_bytes: Option<u64>,
    /// Whether core dumps may show all of them.
    pub core_dumps: MemoryOutcome,
}

/// The result of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryOutcome {
    /// Not requested.
    #[default]
    NotAsked,
    /// Granted for all of the handle's memory.
    Granted,
    /// Refused for some or all of it. Parts that were granted stay granted.
    Refused(MemoryRefusal),
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryRefusal {
    /// The kernel's error; `None`: there is none, as it was not asked, or reported success without doing it.
    pub errno: Option<i32>,
    /// The likely cause, and what to do.
    pub why: &'static str,
}

impl MemoryReport {
    /// No request was refused.
    pub fn is_granted(&self) -> bool {
        let is_refused = |outcome: &MemoryOutcome| matches!(outcome, MemoryOutcome::Refused(_));
        ![self.populate, self.lock, self.huge_pages, self.node, self.core_dumps].iter().any(is_refused)
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_all = |measured| match measured {
            Some(part) => format!(" ({} of {} KiB)", part >> 10, self.bytes >> 10),
            None => String::new(),
        };
        let wishes = [
            ("memory faulted in", self.populate, String::new()),
            ("memory locked", self.lock, String::new()),
            ("memory in huge pages", self.huge_pages, of_all(self.huge_bytes)),
            ("memory on the NUMA node", self.node, of_all(self.node_bytes)),
            ("memory in core dumps", self.core_dumps, String::new()),
        ];
        let asked = wishes.iter().filter(|(_, outcome, _)| *outcome != MemoryOutcome::NotAsked);
        for (number, (wish, outcome, measure)) in asked.enumerate() {
            let between = if number > 0 { "\n" } else { "" };
            write!(f, "{between}{wish}: {outcome}{measure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for MemoryOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked for"),
            Self::Granted => f.write_str("yes"),
            Self::Refused(refusal) => write!(f, "no: {refusal}"),
        }
    }
}

impl fmt::Display for MemoryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)?;
        match self.errno {
            Some(errno) => write!(f, " [{}]", io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

fn refused(errno: Option<Errno>, why: &'static str) -> MemoryOutcome {
    MemoryOutcome::Refused(MemoryRefusal { errno: errno.map(Errno::raw_os_error), why })
}

/// Refuses every request for one reason.
pub(crate) fn refuse_all(wishes: &Memory, why: &'static str) -> MemoryReport {
    let answer = |asked| if asked { refused(None, why) } else { MemoryOutcome::NotAsked };
    MemoryReport {
        populate: answer(wishes.populate),
        lock: answer(wishes.lock),
        huge_pages: answer(wishes.huge_pages),
        node: answer(wishes.node.is_some()),
        core_dumps: answer(wishes.core_dumps),
        ..MemoryReport::default()
    }
}

pub(crate) fn populated(result: Result<(), Errno>) -> MemoryOutcome {
    let Err(errno) = result else { return MemoryOutcome::Granted };
    let why = match errno {
        Errno::INVAL | Errno::NOSYS => {
            "the kernel cannot (Linux 5.14 or newer); lock instead, which faults in as well"
        }
        Errno::NOMEM => "memory has run out, or the control group's limit is reached",
        Errno::FAULT | Errno::HWPOISON => {
            "a page cannot be had: the file was cut short, or its disk or memory failed"
        }
        _ => "the kernel refused; is there a system-call filter?",
    };
    refused(Some(errno), why)
}

pub(crate) fn dumped(result: Result<(), Errno>) -> MemoryOutcome {
    match result {
        Ok(()) => MemoryOutcome::Granted,
        Err(errno) => refused(Some(errno), "the kernel refused; is there a system-call filter?"),
    }
}

pub(crate) fn locked(result: Result<(), Errno>) -> MemoryOutcome {
    let Err(errno) = result else { return MemoryOutcome::Granted };
    let why = match errno {
        Errno::NOMEM | Errno::PERM => {
            "this process may not lock so much: raise RLIMIT_MEMLOCK (LimitMEMLOCK= of a systemd unit, ulimit -l), or \
             give it CAP_IPC_LOCK"
        }
        Errno::AGAIN => "a page cannot be had: memory has run out, or the file was cut short",
        _ => "the kernel refused; is there a system-call filter?",
    };
    refused(Some(errno), why)
}

/// The result for huge pages: the measurement counts, whatever the kernel answered.
pub(crate) fn huge(
    measured: Option<u64>,
    bytes: u64,
    is_aligned: bool,
    answer: Result<(), Errno>,
) -> MemoryOutcome {
    let errno = answer.err();
    let why = match (measured, errno) {
        (Some(huge), _) if huge >= bytes => return MemoryOutcome::Granted,
        (None, None) => "the result is unknown: /proc/self/smaps cannot be read, or does not show huge pages",
        _ if !is_aligned => {
            "the ring was not created for them: create it with Options::huge_pages, quoit create --huge"
        }
        (_, Some(Errno::INVAL | Errno::NOSYS)) => {
            "the kernel cannot (Linux 6.1 or newer), or not for a file there: put the ring on a tmpfs, and see to it \
             that /sys/kernel/mm/transparent_hugepage/shmem_enabled is not \"deny\""
        }
        (_, Some(Errno::NOMEM)) => {
            "no 2 MiB of memory are free in one piece, or the control group's limit is reached"
        }
        (_, Some(Errno::AGAIN | Errno::BUSY)) => {
            "some pages were in use; prepare once more when the ring is quieter"
        }
        (_, Some(_)) => "the kernel refused; is there a system-call filter?",
        (_, None) => "the kernel did so in part; prepare again when the ring is less busy",
    };
    refused(errno, why)
}

/// The result for the NUMA node, measured likewise. `faulted` is the result of faulting the pages in.
pub(crate) fn placed(
    node: u32,
    measured: Option<u64>,
    bytes: u64,
    faulted: MemoryOutcome,
    answer: Result<(), Errno>,
) -> MemoryOutcome {
    let errno = answer.err();
    let why = match (measured, errno) {
        (Some(placed), _) if placed >= bytes => return MemoryOutcome::Granted,
        _ if node > MAX_NODE => "no kernel has a node of such a number: lscpu shows those of this machine",
        (_, Some(Errno::NOSYS)) => {
            "the kernel was built without NUMA, where all memory is equally near; or is there a system-call filter?"
        }
        (_, Some(Errno::INVAL)) => {
            "there is no such node with memory, or the cpuset of this process leaves it out: lscpu and \
             /sys/devices/system/node show the nodes, /proc/self/status the allowed ones (Mems_allowed_list)"
        }
        (_, Some(Errno::NOMEM)) => "memory has run out, or the control group's limit is reached",
        (_, Some(Errno::PERM | Errno::ACCESS)) => {
            "the kernel refused; is there a system-call filter? That of a container lets mbind pass \
             with CAP_SYS_NICE"
        }
        (None, None) => "the result is unknown: /proc/self/numa_maps cannot be read, or does not show nodes",
        (Some(_), None) if faulted != MemoryOutcome::Granted => return faulted,
        (_, None | Some(Errno::IO)) => {
            "some pages stay elsewhere: other handles map them as well, or the node has no room; have the first handle \
             of a new ring prepared before anybody else opens it, or make the ring under numactl"
        }
        (_, Some(_)) => "the kernel refused; is there a system-call filter?",
    };
    refused(errno, why)
}

/// Linux has at most 1024 nodes on any architecture.
pub(crate) const MAX_NODE: u32 = 1023;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_counts() {
        let all = huge(Some(8 << 20), 8 << 20, true, Err(Errno::INVAL));
        assert_eq!(all, MemoryOutcome::Granted);
        for (measured, answer) in
            [(Some(0), Ok(())), (Some(6 << 20), Ok(())), (None, Ok(())), (None, Err(Errno::NOMEM))]
        {
            let outcome = huge(measured, 8 << 20, true, answer);
            let MemoryOutcome::Refused(refusal) = outcome else {
                panic!("{measured:?} {answer:?}: {outcome:?}")
            };
            assert_eq!(refusal.errno, answer.err().map(Errno::raw_os_error));
        }
    }

    #[test]
    fn what_is_measured_counts_for_nodes_too() {
        let granted = MemoryOutcome::Granted;
        assert_eq!(placed(0, Some(4096), 4096, granted, Err(Errno::NOSYS)), granted);
        let full = populated(Err(Errno::NOMEM));
        assert_eq!(placed(0, Some(0), 4096, full, Ok(())), full, "the first cause");
        let refusals = [
            (MAX_NODE + 1, Some(0), Ok(()), "no kernel has a node of such a number"),
            (0, None, Err(Errno::NOSYS), "built without NUMA"),
            (7, Some(0), Err(Errno::INVAL), "/sys/devices/system/node"),
            (1, Some(0), Err(Errno::PERM), "filter"),
            (1, Some(0), Err(Errno::IO), "numactl"),
            (1, Some(2048), Ok(()), "numactl"),
            (1, None, Ok(()), "numa_maps"),
        ];
        for (node, measured, answer, what) in refusals {
            let outcome = placed(node, measured, 4096, granted, answer);
            let MemoryOutcome::Refused(refusal) = outcome else { panic!("{what}: {outcome:?}") };
            assert_eq!(refusal.errno, answer.err().map(Errno::raw_os_error), "{what}");
            assert!(refusal.why.contains(what), "{what}: {refusal}");
        }
    }

    #[test]
    fn a_report_is_a_line_for_each_wish() {
        assert_eq!(MemoryReport::default().to_string(), "");
        let report = MemoryReport {
            bytes: 6 << 20,
            populate: MemoryOutcome::Granted,
            lock: locked(Err(Errno::NOMEM)),
            huge_pages: MemoryOutcome::Granted,
            huge_bytes: Some(6 << 20),
            node: placed(1, Some(2 << 20), 6 << 20, MemoryOutcome::Granted, Ok(())),
            node_bytes: Some(2 << 20),
            core_dumps: MemoryOutcome::NotAsked,
        };
        let text = report.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            (lines[0], lines[2]),
            ("memory faulted in: yes", "memory in huge pages: yes (6144 of 6144 KiB)")
        );
        assert!(lines[1].starts_with("memory locked: no: ") && lines[1].contains("RLIMIT_MEMLOCK"), "{text}");
        assert!(lines[1].contains("os error 12"), "{text}");
        assert!(lines[3].starts_with("memory on the NUMA node: no: "), "{text}");
        assert!(lines[3].ends_with(" (2048 of 6144 KiB)"), "{text}");
        assert!(!report.is_granted());
    }
}
