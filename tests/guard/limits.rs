//! The guard under limits on memory: what takes the place of a cut file is memory too.

use std::fs::File;

use nix::libc;
use quoit::{Attach, Consumer, Error, Inspector, Observer, Options, Producer, RecvError, SendError, Start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::process::{Part, SOON, Stage, note, say};

/// More than the test itself allocates on the way, which is less than the slack; and less than what everybody may lock.
const CAPACITY: u64 = 2 << 20;
const SLACK: u64 = 512 << 10;

#[test]
fn every_role_survives_a_cut_under_limits() {
    let stage = Stage::tmpfs(120);
    for limit in ["none", "data", "address space", "locked"] {
        for role in ["producer", "gated", "lossy", "observer", "inspector"] {
            let ring = stage.file(&format!("{limit} {role}"));
            let part = Part::new("limited").with("guard", true).on(&ring);
            let mut child = part.with("limit", limit).with("role", role).start();
            let line = child.line(SOON);
            if line.starts_with("skipped") {
                note(format_args!("SKIPPED, {line}: {limit}"));
            } else {
                assert_eq!(line, "told", "{limit}, {role}");
            }
            child.finish();
            std::fs::remove_file(&ring).expect("remove");
        }
    }
}

/// Kilobytes, as `/proc/self/status` has them; here in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().next().expect("a number").parse::<u64>().expect("a number") << 10
}

fn set(resource: Resource, bytes: u64) {
    setrlimit(resource, Rlimit { current: Some(bytes), ..getrlimit(resource) }).expect("set a limit");
}

/// Locks everything from now on. False: it may not.
fn lock_everything() -> bool {
    let most = getrlimit(Resource::Memlock).maximum;
    // SAFETY: changes no byte.
    most.is_none_or(|most| most > 3 * CAPACITY) && unsafe { libc::mlockall(libc::MCL_FUTURE) } == 0
}

fn forgo_the_right_to_lock() -> bool {
    let mut sets = capabilities(None).expect("ask for capabilities");
    for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
        set.remove(CapabilitySet::IPC_LOCK);
    }
    set_capabilities(None, sets).is_ok()
}

/// One handle whose file is cut under a limit.
pub(crate) fn limited(part: &Part) {
    let (ring, limit, role) = (part.ring(), part.get::<String>("limit"), part.get::<String>("role"));
    let mut first = Producer::create(&ring, &Options::new().capacity(CAPACITY)).expect("create");
    first.send(&[7; 1 << 19]).expect("send");
    drop(first);
    if limit == "locked" && !lock_everything() {
        say("skipped, nothing may be locked");
        return;
    }
    let handle = || -> Box<dyn FnMut() -> bool> {
        match role.as_str() {
            "producer" => {
                let mut producer = Producer::open(&ring).expect("produce");
                // The next is written where there is room already: first the records are missed, then the head.
                producer.send(b"first").expect("send");
                Box::new(move || producer.send(b"second") == Err(SendError::Truncated))
            }
            "inspector" => {
                let inspector = Inspector::open(&ring).expect("inspect");
                Box::new(move || matches!(inspector.snapshot(), Err(Error::Truncated)))
            }
            "observer" => {
                let mut observer = Observer::open(&ring, Start::Oldest).expect("observe");
                Box::new(move || matches!(observer.try_recv(), Err(RecvError::Truncated)))
            }
            policy => {
                let attach = if policy == "gated" { Attach::gated() } else { Attach::lossy() };
                let attach = attach.start(Start::Oldest);
                let mut consumer = Consumer::open(&ring, &attach).expect("attach");
                Box::new(move || matches!(consumer.try_recv(), Err(RecvError::Truncated)))
            }
        }
    };
    let mut is_told = handle();
    match limit.as_str() {
        "data" => set(Resource::Data, status("VmData:") + SLACK),
        "address space" => set(Resource::As, status("VmSize:") + SLACK),
        "locked" => {
            assert!(status("VmLck:") > CAPACITY, "the ring is locked");
            if !forgo_the_right_to_lock() {
                say("skipped, the right to lock stays");
                return;
            }
            set(Resource::Memlock, status("VmLck:") + SLACK);
        }
        _ => {}
    }
    let file = File::options().write(true).open(&ring).expect("open");
    let head_and_control = file.metadata().expect("metadata").len() - CAPACITY;
    // Of readers, what is largest goes. An inspector does not look at that.
    let reads = matches!(role.as_str(), "gated" | "lossy" | "observer");
    file.set_len(if reads { head_and_control } else { 0 }).expect("cut");
    assert!(is_told() && is_told(), "{role}");
    say("told");
}
