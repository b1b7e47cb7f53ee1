//! What handles may wish for their memory: granted or refused, it is told as it is, and the handle works.
#![allow(unsafe_code, reason = "fork")]

#[path = "memory/nodes.rs"]
mod nodes;
#[path = "processes/process.rs"]
#[allow(dead_code, reason = "shared with the tests of processes")]
mod process;
#[path = "memory/refused.rs"]
mod refused;
#[path = "memory/smaps.rs"]
mod smaps;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use process::{Part, Stage, note};
use quoit::{
    Attach, Consumer, Event, Memory, MemoryOutcome, MemoryReport, Observer, Options, Producer, Start,
};
use smaps::Map;

const HUGE: u64 = 2 << 20;
const GRANTED: MemoryOutcome = MemoryOutcome::Granted;

/// Not a test of its own: the way into the processes that the tests start.
#[test]
fn child() {
    let Some(part) = Part::of_this_process() else { return };
    match part.name() {
        "everywhere" => everywhere(&part),
        "node" => nodes::node(&part),
        "huge" => huge(&part),
        "unlockable" => refused::unlockable(&part),
        "forked" => refused::forked(&part),
        "cut" => refused::cut(&part),
        other => panic!("no such part: {other}"),
    }
    // Before the harness has anything to add on the standard output.
    std::process::exit(0);
}

fn all() -> Memory {
    Memory::new().populate(true).lock(true).huge_pages(true).node(0)
}

/// A record goes through.
fn works(producer: &mut Producer, consumer: &mut Consumer, observer: &mut Observer) {
    let sent = producer.next_sequence();
    producer.send(&sent.to_le_bytes()).expect("send");
    for event in [consumer.recv().expect("receive"), observer.recv().expect("observe")] {
        match event {
            Event::Record(record) => {
                assert_eq!((record.sequence(), record.to_vec()), (sent, sent.to_le_bytes().to_vec()));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn open(ring: &Path) -> (Producer, Consumer, Observer) {
    let producer = Producer::open(ring).expect("open");
    let consumer = Consumer::open(ring, &Attach::gated()).expect("attach");
    let observer = Observer::open(ring, Start::Newest).expect("observe");
    (producer, consumer, observer)
}

/// Every role, one at a time: each page is there and locked afterwards, and neither once the handle has gone.
fn everywhere(part: &Part) {
    let ring = part.ring();
    let wishes = Memory::new().populate(true).lock(true);
    let bytes = std::fs::metadata(&ring).expect("the ring").len();
    let check = |prepare: &dyn Fn(&Memory) -> MemoryReport| {
        assert_eq!(smaps::locked_kib(), 0);
        let before = Map::all(&ring);
        assert!(before.iter().all(|map| !map.locked), "{before:?}");
        let resident: u64 = before.iter().map(|map| map.resident).sum();
        assert!(resident < bytes / 2, "{resident} of {bytes} bytes are there already");
        let unasked = prepare(&Memory::new());
        assert!(unasked.is_granted(), "{unasked}");
        assert_eq!((unasked.bytes, unasked.to_string().as_str()), (bytes, ""));
        assert_eq!((unasked.huge_bytes, unasked.node_bytes), (None, None));
        let populated = prepare(&Memory::new().populate(true));
        assert_eq!(populated.populate, GRANTED, "{populated}");
        let there = Map::all(&ring);
        assert_eq!(there.iter().map(|map| map.resident).sum::<u64>(), bytes, "{there:?}");
        assert!(there.iter().all(|map| !map.locked), "{there:?}");
        let report = prepare(&wishes);
        assert_eq!((report.populate, report.lock), (GRANTED, GRANTED), "{report}");
        let locked = Map::all(&ring);
        assert!(locked.iter().all(|map| map.locked), "{locked:?}");
        assert_eq!(smaps::locked_kib() << 10, bytes);
    };
    let mut producer = Producer::open(&ring).expect("open");
    check(&|memory| producer.prepare(memory));
    producer.send(b"one").expect("send");
    drop(producer);
    let consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    check(&|memory| consumer.prepare(memory));
    drop(consumer);
    let mut observer = Observer::open(&ring, Start::Oldest).expect("observe");
    check(&|memory| observer.prepare(memory));
    assert!(matches!(observer.try_recv(), Ok(Some(Event::Record(_)))));
    drop(observer);
    assert_eq!(smaps::locked_kib(), 0);
    process::say("done");
}

fn everywhere_on(stage: &Stage) {
    let ring = stage.file("ring");
    Options::new().capacity(4 << 20).create(&ring).expect("create");
    let mut child = Part::new("everywhere").on(&ring).start();
    child.says("done");
    child.finish();
}

#[test]
fn faulted_in_and_locked_on_tmpfs() {
    everywhere_on(&Stage::tmpfs(60));
}

#[test]
fn faulted_in_and_locked_on_disk() {
    everywhere_on(&Stage::disk(60));
}

/// Each role's maps begin at multiples of huge pages, and what is said of those is what the kernel shows.
fn huge(part: &Part) {
    let ring = part.ring();
    let (mut producer, mut consumer, mut observer) = open(&ring);
    works(&mut producer, &mut consumer, &mut observer);
    let maps = Map::all(&ring);
    assert!(maps.iter().all(|map| map.start % HUGE == 0 && map.offset % HUGE == 0), "{maps:?}");
    let reports = [producer.prepare(&all()), consumer.prepare(&all()), observer.prepare(&all())];
    let shown: u64 = Map::all(&ring).iter().map(|map| map.huge).sum();
    let told: u64 = reports.iter().map(|report| report.huge_bytes.expect("this kernel shows them")).sum();
    assert_eq!(told, shown, "{reports:?}");
    for report in &reports {
        let all = report.huge_bytes == Some(report.bytes);
        assert_eq!(report.huge_pages == GRANTED, all, "{report}");
        assert_eq!((report.populate, report.lock), (GRANTED, GRANTED), "{report}");
    }
    works(&mut producer, &mut consumer, &mut observer);
    let granted = reports.iter().filter(|report| report.huge_pages == GRANTED).count();
    process::say(format_args!("granted {granted}"));
    if granted < reports.len() {
        note(format_args!("huge pages refused: {reports:#?}"));
    }
}

#[test]
fn huge_pages_on_tmpfs() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(8 << 20).huge_pages(true).create(&ring).expect("create");
    let mut child = Part::new("huge").on(&ring).start();
    let granted = child.says("granted")[0];
    child.finish();
    let policy = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let (major, minor) = smaps::kernel();
    if policy.is_ok_and(|policy| !policy.contains("[deny]")) && (major, minor) >= (6, 1) {
        assert_eq!(granted, 3, "this kernel has them");
    } else {
        note("SKIPPED in part: this kernel gives tmpfs no huge pages; only that it is told was tested");
    }
}

#[test]
fn huge_pages_on_disk_are_no_error() {
    let stage = Stage::disk(60);
    let ring = stage.file("ring");
    Options::new().capacity(4096).huge_pages(true).create(&ring).expect("create");
    // Whether a file system has them differs; that the report says what is so does not.
    let mut child = Part::new("huge").on(&ring).start();
    child.says("granted");
    child.finish();
}

#[test]
fn a_ring_that_is_not_made_for_huge_pages_says_so() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(4 << 20).create(&ring).expect("create");
    let (mut producer, mut consumer, mut observer) = open(&ring);
    let report = producer.prepare(&Memory::new().huge_pages(true));
    let MemoryOutcome::Refused(refusal) = report.huge_pages else { panic!("{report}") };
    assert!(refusal.why.contains("--huge"), "{report}");
    assert!(report.huge_bytes.expect("this kernel shows them") < report.bytes, "{report}");
    assert_eq!((report.populate, report.lock), Default::default());
    works(&mut producer, &mut consumer, &mut observer);
}

#[test]
fn the_file_is_aligned_as_the_format_has_it() {
    let stage = Stage::tmpfs(30);
    let ring = stage.file("ring");
    for (capacity, bytes) in [(4096, 3 * HUGE), (8 << 20, 6 * HUGE)] {
        Options::new().capacity(capacity).huge_pages(true).create(&ring).expect("create");
        let snapshot = quoit::Inspector::open(&ring).expect("open").snapshot().expect("snapshot");
        assert_eq!((snapshot.alignment, snapshot.file_bytes, snapshot.capacity), (HUGE, bytes, capacity));
        assert_eq!(std::fs::metadata(&ring).expect("the ring").len(), bytes);
        std::fs::remove_file(&ring).expect("remove");
    }
}

#[test]
fn records_flow_while_pages_are_joined() {
    const RECORDS: u64 = 60_000;
    let stage = Stage::tmpfs(120);
    let ring = stage.file("ring");
    Options::new().capacity(4 << 20).huge_pages(true).create(&ring).expect("create");
    let (mut producer, mut consumer, observer) = open(&ring);
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for sequence in 0..RECORDS {
                producer.send(&sequence.to_le_bytes().repeat(1 + sequence as usize % 60)).expect("send");
            }
        });
        scope.spawn(move || {
            // A new ring of small pages each time is not to be had; the same one again does no harm either.
            while !done.load(Ordering::Relaxed) {
                let report = observer.prepare(&all());
                assert_eq!(report.lock, GRANTED, "{report}");
            }
        });
        let mut next = 0;
        while next < RECORDS {
            match consumer.recv().expect("receive") {
                Event::Record(record) => {
                    assert_eq!(record.sequence(), next);
                    let whole = next.to_le_bytes().repeat(1 + next as usize % 60);
                    assert!(record.to_vec() == whole, "record {next}");
                }
                other => panic!("{other:?}"),
            }
            next += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
}
