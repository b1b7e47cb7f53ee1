//! What a process holds of a ring: memory with the least rights, a descriptor, and nothing once it lets go.

use std::path::{Path, PathBuf};

use quoit::{Attach, Consumer, Event, Inspector, Memory, MemoryOutcome, Observer, Options, Producer, Start};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::process::{Part, SOON, Stage, note, say};

/// A stretch of a mapped file: where it begins in the file, its length, rights as in `/proc/self/maps`.
#[derive(Debug)]
struct Map {
    offset: u64,
    bytes: u64,
    rights: String,
}

/// This process's maps of the file, in the file's order.
fn maps_of(ring: &Path) -> Vec<Map> {
    let ring = ring.to_str().expect("a path of text");
    let text = std::fs::read_to_string("/proc/self/maps").expect("list maps");
    let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
    let mut maps: Vec<_> = text
        .lines()
        .filter(|line| line.ends_with(ring))
        .map(|line| {
            let mut words = line.split_whitespace();
            let (start, end) = words.next().and_then(|range| range.split_once('-')).expect("a range");
            let rights = words.next().expect("rights").to_owned();
            let offset = number(words.next().expect("an offset"));
            Map { offset, bytes: number(end) - number(start), rights }
        })
        .collect();
    maps.sort_by_key(|map| map.offset);
    maps
}

/// Whether every map of the ring has the flag in `/proc/self/smaps`: `dc`, children do not get it; `dd`, core dumps do
/// not show it.
fn all_have(flag: &str, ring: &Path) -> bool {
    let ring = ring.to_str().expect("a path of text");
    let text = std::fs::read_to_string("/proc/self/smaps").expect("list maps");
    let mut ours = false;
    let mut seen = 0;
    for line in text.lines() {
        match line.strip_prefix("VmFlags:") {
            Some(flags) if ours => {
                seen += 1;
                if !flags.split_whitespace().any(|found| found == flag) {
                    return false;
                }
            }
            // The line that begins a map begins with its addresses.
            _ if line.split(' ').next().is_some_and(|word| word.contains('-')) => ours = line.ends_with(ring),
            _ => {}
        }
    }
    seen > 0
}

/// The access mode of every descriptor that leads to the file: 0 read, 2 read and write.
fn access_modes(ring: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("list descriptors").flatten();
    let ours = entries.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link == ring));
    ours.map(|entry| {
        let name = entry.file_name().into_string().expect("a number");
        let info =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{name}")).expect("a descriptor's flags");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim();
        let flags = u32::from_str_radix(flags, 8).expect("octal");
        assert!(flags & 0o2_000_000 != 0, "closed on exec: {flags:o}");
        flags & 3
    })
    .collect()
}

/// Head, control and data, each as `rights` say; together they cover the file.
fn check(ring: &Path, snapshot: &quoit::Snapshot, rights: [&str; 3], access: u32) {
    let maps = maps_of(ring);
    let mut end = 0;
    let data = snapshot.file_bytes - snapshot.capacity;
    for map in &maps {
        assert_eq!(map.offset, end, "{maps:?}");
        end += map.bytes;
        // Neighbours of equal rights may be shown as one.
        let first = if map.offset == 0 {
            0
        } else if map.offset < data {
            1
        } else {
            2
        };
        assert_eq!(map.rights, rights[first], "{maps:?}");
    }
    assert_eq!(end, snapshot.file_bytes, "{maps:?}");
    if rights[0] != rights[1] {
        assert_eq!((maps.len(), maps[2].offset), (3, data), "{maps:?}");
    }
    assert_eq!(access_modes(ring), [access]);
    assert!(all_have("dc", ring) && all_have("dd", ring));
}

/// One handle at a time: what the kernel says it may do.
pub(crate) fn show(part: &Part) {
    let ring = part.ring();
    let inspector = Inspector::open(&ring).expect("inspect");
    let snapshot = inspector.snapshot().expect("snapshot");
    let (reading, writing) = ("r--s", "rw-s");
    check(&ring, &snapshot, [reading; 3], 0);
    drop(inspector);
    assert_eq!(maps_of(&ring).len(), 0);
    let observer = Observer::open(&ring, Start::Newest).expect("observe");
    check(&ring, &snapshot, [reading; 3], 0);
    // What is wished for its memory changes none of it.
    let wishes = Memory::new().populate(true).lock(true).huge_pages(true).node(0);
    let _ = observer.prepare(&wishes);
    check(&ring, &snapshot, [reading; 3], 0);
    drop(observer);
    for attach in [Attach::lossy(), Attach::gated(), Attach::gated().name("reader")] {
        let consumer = Consumer::open(&ring, &attach).expect("attach");
        check(&ring, &snapshot, [reading, writing, reading], 2);
        let _ = consumer.prepare(&wishes);
        check(&ring, &snapshot, [reading, writing, reading], 2);
        drop(consumer);
    }
    let producer = Producer::open(&ring).expect("produce");
    check(&ring, &snapshot, [writing; 3], 2);
    let _ = producer.prepare(&wishes);
    check(&ring, &snapshot, [writing; 3], 2);
    assert_eq!(producer.prepare(&Memory::new().core_dumps(true)).core_dumps, MemoryOutcome::Granted);
    assert!(all_have("dc", &ring) && !all_have("dd", &ring));
    drop(producer);
    assert_eq!((maps_of(&ring).len(), access_modes(&ring).len()), (0, 0));
    say("done");
}

#[test]
fn a_reader_can_never_be_a_writer() {
    let stage = Stage::tmpfs(30);
    for huge_pages in [false, true] {
        let ring = stage.file(if huge_pages { "huge" } else { "ring" });
        // A whole number of huge pages, so that the data area ends with them.
        Options::new().capacity(4 << 20).huge_pages(huge_pages).create(&ring).expect("create");
        let mut child = Part::new("rights").on(&ring).start();
        child.says("done");
        child.finish();
    }
}

fn count(path: &str) -> usize {
    std::fs::read_dir(path).expect("list").count()
}

fn map_count() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("list maps").lines().count()
}

/// Opens and closes everything, well and badly, `times` times.
pub(crate) fn leaks(part: &Part) {
    let directory: PathBuf = part.get("directory");
    let ring = directory.join("ring");
    let garbage = directory.join("garbage");
    std::fs::write(&garbage, vec![7; 100_000]).expect("garbage");
    let options = Options::new().capacity(4096).slots(2);
    options.create(&ring).expect("create");
    let all = || {
        let producer = Producer::open(&ring).expect("produce");
        let gated = Consumer::open(&ring, &Attach::gated()).expect("attach");
        let named = Consumer::open(&ring, &Attach::gated().name("kin")).expect("attach");
        let observer = Observer::open(&ring, Start::Oldest).expect("observe");
        let inspector = Inspector::open(&ring).expect("inspect");
        // Refusals at every depth.
        assert!(Producer::open(&ring).is_err(), "alive");
        assert!(Producer::create(&ring, &options).is_err(), "exists");
        assert!(Consumer::open(&ring, &Attach::lossy()).is_err(), "no slot");
        assert!(Consumer::open(&ring, &Attach::gated().name("kin")).is_err(), "in use");
        assert!(Observer::open(&ring, Start::Sequence(99)).is_err(), "not there");
        assert!(Consumer::open(&garbage, &Attach::lossy()).is_err(), "no ring");
        assert!(Inspector::open(directory.join("nothing")).is_err(), "no file");
        drop((producer, gated, named, observer, inspector));
    };
    // Whatever is set up once is set up by then.
    all();
    let before = (count("/proc/self/fd"), map_count(), count("/proc/self/task"));
    for _ in 0..part.get("times") {
        all();
    }
    let after = (count("/proc/self/fd"), map_count(), count("/proc/self/task"));
    assert_eq!((after.0, after.2), (before.0, before.2), "descriptors and threads");
    // The allocator may come and go by a few.
    assert!(after.1 <= before.1 + 4, "{} maps became {}", before.1, after.1);
    assert_eq!((maps_of(&ring).len(), access_modes(&ring).len()), (0, 0));
    say("done");
}

#[test]
fn a_thousand_opens_and_closes_leave_nothing() {
    let stage = Stage::tmpfs(60);
    let mut child = Part::new("leaks").with("directory", stage.path().display()).with("times", 1_000).start();
    child.says_within("done", SOON * 2);
    child.finish();
    assert_eq!(count(stage.path().to_str().expect("a path of text")), 2, "the ring and the garbage");
    note("1000 rounds of five handles and seven refusals: no descriptor, no map, no file left");
}

/// A rival locks its pages, and cannot attach where little may be locked.
pub(crate) fn without_locked_memory(part: &Part) {
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) })
        .expect("give up locked memory");
    let ring = part.ring();
    let mut producer = Producer::create(&ring, &Options::new().capacity(1 << 20)).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    producer.send(b"no lock").expect("send");
    match consumer.recv().expect("receive") {
        Event::Record(record) => assert_eq!(record.to_vec(), b"no lock"),
        other => panic!("{other:?}"),
    }
    say("done");
}

#[test]
fn no_locked_memory_is_needed() {
    let stage = Stage::tmpfs(30);
    let mut child = Part::new("no locked memory").on(&stage.file("ring")).start();
    child.says("done");
    child.finish();
}
