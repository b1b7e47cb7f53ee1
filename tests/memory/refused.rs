//! Wishes that are refused: the report has the reason, and the handle is as good as before.

use std::fs::File;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use quoit::{
    Attach, Consumer, Event, Memory, MemoryOutcome, MemoryRefusal, MemoryReport, Options, Producer, Ring,
    Start,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::process::{Part, Stage, note, say};
use crate::{GRANTED, all, open, smaps, works};

#[track_caller]
pub(crate) fn refusal(outcome: MemoryOutcome) -> MemoryRefusal {
    match outcome {
        MemoryOutcome::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn plays(name: &str) -> String {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 20).create(&ring).expect("create");
    let mut child = Part::new(name).on(&ring).start();
    let line = child.line(crate::process::SOON);
    child.finish();
    line
}

/// Gives up the right to lock, as far as this process has it.
pub(crate) fn unlockable(part: &Part) {
    let mut sets = capabilities(None).expect("ask for capabilities");
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    sets.permitted.remove(CapabilitySet::IPC_LOCK);
    sets.inheritable.remove(CapabilitySet::IPC_LOCK);
    if let Err(errno) = set_capabilities(None, sets) {
        say(format_args!("skipped {errno}"));
        return;
    }
    let ring = part.ring();
    let limit = |bytes| {
        let limit = Rlimit { current: Some(bytes), ..getrlimit(Resource::Memlock) };
        setrlimit(Resource::Memlock, limit).expect("limit locked memory");
    };
    let (mut producer, mut consumer, mut observer) = open(&ring);
    let bytes = producer.prepare(&Memory::new()).bytes;
    for (allowed, errno) in [(0, Errno::EPERM), (bytes / 2, Errno::ENOMEM)] {
        limit(allowed);
        let wishes = Memory::new().populate(true).lock(true);
        for report in [producer.prepare(&wishes), consumer.prepare(&wishes), observer.prepare(&wishes)] {
            let refusal = refusal(report.lock);
            assert_eq!((refusal.errno, report.populate), (Some(errno as i32), GRANTED), "{report}");
            assert!(report.to_string().contains("RLIMIT_MEMLOCK"), "{report}");
            assert!(!report.is_granted() && smaps::locked_kib() << 10 <= allowed.max(bytes / 2));
        }
        works(&mut producer, &mut consumer, &mut observer);
    }
    drop((consumer, observer));
    // Enough for one.
    limit(bytes);
    let report = producer.prepare(&Memory::new().lock(true));
    assert_eq!((report.lock, smaps::locked_kib() << 10), (GRANTED, bytes), "{report}");
    say("done");
}

#[test]
fn a_lock_that_is_not_allowed() {
    match plays("unlockable").as_str() {
        "done" => {}
        other => note(format_args!("SKIPPED, the right to lock cannot be given up: {other}")),
    }
}

/// A child's copy of a handle touches nothing of its own process.
pub(crate) fn forked(part: &Part) {
    let (mut producer, mut consumer, mut observer) = open(&part.ring());
    // SAFETY: the child calls nothing that another thread of the parent may hold a lock of for good.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let report = producer.prepare(&all());
            let why = |outcome| matches!(outcome, MemoryOutcome::Refused(refusal) if refusal.why.contains("parent"));
            let outcomes = [report.populate, report.lock, report.huge_pages, report.node];
            let refused = outcomes.into_iter().all(why) && report.bytes == 0;
            // SAFETY: always allowed.
            unsafe { nix::libc::_exit(if refused { 7 } else { 1 }) };
        }
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None).expect("wait");
            assert!(matches!(ended, WaitStatus::Exited(_, 7)), "{ended:?}");
        }
    }
    assert_eq!(producer.prepare(&Memory::new().populate(true)).populate, GRANTED);
    works(&mut producer, &mut consumer, &mut observer);
    say("done");
}

#[test]
fn a_handle_of_the_parent() {
    assert_eq!(plays("forked"), "done");
}

/// No signal: what is gone cannot be faulted in, and that is told.
pub(crate) fn cut(part: &Part) {
    let ring = part.ring();
    let producer = Producer::open(&ring).expect("open");
    File::options().write(true).open(&ring).expect("open").set_len(8192).expect("cut");
    let report = producer.prepare(&Memory::new().populate(true).lock(true));
    assert!(refusal(report.populate).why.contains("cut short"), "{report}");
    assert!(refusal(report.lock).errno.is_some(), "{report}");
    say("done");
    // The handle's end would touch what is gone.
    std::process::exit(0);
}

#[test]
fn a_file_that_was_cut_short() {
    assert_eq!(plays("cut"), "done");
}

#[test]
fn a_ring_on_the_heap() {
    let ring = Ring::heap(&Options::new().capacity(1 << 16).huge_pages(true)).expect("a ring");
    let mut producer = ring.producer().expect("produce");
    let mut consumer = ring.consumer(&Attach::gated()).expect("attach");
    let mut observer = ring.observer(Start::Newest).expect("observe");
    for report in [producer.prepare(&all()), consumer.prepare(&all()), observer.prepare(&all())] {
        for outcome in [report.populate, report.lock, report.huge_pages, report.node] {
            let refusal = refusal(outcome);
            assert!(refusal.errno.is_none() && refusal.why.contains("heap"), "{report}");
        }
        assert_eq!((report.bytes, report.huge_bytes, report.node_bytes), (0, None, None));
    }
    assert!(producer.prepare(&Memory::new()).is_granted());
    works(&mut producer, &mut consumer, &mut observer);
}

#[test]
fn a_sealed_ring_is_prepared_like_any() {
    let options = Options::new().capacity(2 << 20).huge_pages(true).hard_limit(crate::process::SOON);
    let (mut producer, ring) = Ring::sealed(&options).expect("seal");
    let mut consumer = ring.consumer(&Attach::gated()).expect("attach");
    let wishes = Memory::new().populate(true).huge_pages(true).node(0);
    let reports: [MemoryReport; 2] = [producer.prepare(&wishes), consumer.prepare(&wishes)];
    for report in &reports {
        assert_eq!(report.populate, GRANTED, "{report}");
        let is_huge = report.huge_bytes == Some(report.bytes);
        assert_eq!(report.huge_pages == GRANTED, is_huge, "{report}");
        assert_eq!(report.node == GRANTED, report.node_bytes == Some(report.bytes), "{report}");
    }
    note(format_args!("a sealed ring: {}", reports[0]));
    producer.send(b"sealed").expect("send");
    let consumer: &mut Consumer = &mut consumer;
    assert!(matches!(consumer.recv(), Ok(Event::Record(_))));
}
