//! The wish for a NUMA node: granted where it can be, and where not, the report says why and the handle works.

use std::path::Path;

use nix::errno::Errno;
use quoit::{Attach, Consumer, Memory, MemoryReport, Observer, Options, Producer, Start};

use crate::process::{Part, Stage, note, say};
use crate::refused::refusal;
use crate::{GRANTED, open, smaps, works};

/// Every role, one at a time, as the kernel moves no page that two maps have.
pub(crate) fn node(part: &Part) {
    let ring = part.ring();
    let check = |prepare: &dyn Fn(&Memory) -> MemoryReport| {
        let report = prepare(&Memory::new().node(0));
        assert_eq!((report.populate, report.lock, report.huge_pages), Default::default());
        let Some(maps) = smaps::numa_maps(&ring) else {
            let refusal = refusal(report.node);
            assert_eq!((refusal.errno, report.node_bytes), (Some(Errno::ENOSYS as i32), None), "{report}");
            return;
        };
        // With one node all is on it, whatever was done: this is what the call did.
        assert!(!maps.is_empty() && maps.iter().all(|map| map.contains(" prefer:0 ")), "{maps:#?}");
        let placed = maps.iter().map(|map| smaps::on_node(map, 0)).sum();
        assert_eq!(report.node_bytes, Some(placed), "{report}");
        assert_eq!(report.node == GRANTED, placed == report.bytes, "{report}");
        if has_one_node() {
            assert_eq!(report.node, GRANTED, "{report}");
        }
    };
    let producer = Producer::open(&ring).expect("open");
    check(&|memory| producer.prepare(memory));
    drop(producer);
    let consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    check(&|memory| consumer.prepare(memory));
    drop(consumer);
    let observer = Observer::open(&ring, Start::Oldest).expect("observe");
    check(&|memory| observer.prepare(memory));
    drop(observer);
    let (mut producer, mut consumer, mut observer) = open(&ring);
    works(&mut producer, &mut consumer, &mut observer);
    say("done");
}

fn has_one_node() -> bool {
    std::fs::read_to_string("/sys/devices/system/node/has_memory").is_ok_and(|nodes| nodes.trim() == "0")
}

fn node_on(stage: &Stage) {
    let ring = stage.file("ring");
    Options::new().capacity(4 << 20).create(&ring).expect("create");
    let mut child = Part::new("node").on(&ring).start();
    child.says("done");
    child.finish();
    if !Path::new("/proc/self/numa_maps").exists() {
        note("SKIPPED in part: this kernel knows no nodes; only that it is told was tested");
    }
}

#[test]
fn a_node_on_tmpfs() {
    node_on(&Stage::tmpfs(60));
}

#[test]
fn a_node_on_disk() {
    node_on(&Stage::disk(60));
}

#[test]
fn a_node_that_is_not_there() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 20).create(&ring).expect("create");
    let (mut producer, mut consumer, mut observer) = open(&ring);
    let has_nodes = Path::new("/proc/self/numa_maps").exists();
    let from_the_kernel = Some(if has_nodes { Errno::EINVAL } else { Errno::ENOSYS } as i32);
    for (node, errno) in [(1023, from_the_kernel), (1024, None), (u32::MAX, None)] {
        let wishes = Memory::new().populate(true).node(node);
        for report in [producer.prepare(&wishes), consumer.prepare(&wishes), observer.prepare(&wishes)] {
            assert_eq!((refusal(report.node).errno, report.populate), (errno, GRANTED), "{report}");
            assert_eq!(report.node_bytes, has_nodes.then_some(0), "{report}");
            assert!(!has_nodes || report.to_string().contains("lscpu"), "{report}");
        }
        works(&mut producer, &mut consumer, &mut observer);
    }
}
