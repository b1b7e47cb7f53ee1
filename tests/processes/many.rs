//! More handles than any table began with, and what the process hands on of them: to children nothing, to core dumps
//! nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use quoit::{
    Attach, Consumer, Error, Event, Inspector, Observer, Options, Producer, RecvError, Ring, SendError, Start,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::process::{Part, SOON, Stage, note, say};

const MANY: usize = 1500;

#[allow(unsafe_code, reason = "the fork under test")]
fn split() -> ForkResult {
    // SAFETY: the C library makes its allocator usable in the child, and the child uses no other lock that another
    // thread could have held.
    unsafe { fork() }.expect("fork")
}

/// Allows this process more descriptors. False: not as many as that.
fn raise_descriptors() -> bool {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 2 * MANY as u64 + 1000;
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok()
        || limit.maximum.is_some_and(|maximum| {
            maximum >= wanted
                && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).is_ok()
        })
}

fn descriptors_into(directory: &Path) -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").expect("list descriptors");
    let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|link| link.starts_with(directory)).count()
}

/// A child that finds no descriptor of ours, and whose own handles are as good as any.
fn bear(directory: &Path, observers: &mut [Observer]) {
    match split() {
        ForkResult::Child => {
            assert_eq!(descriptors_into(directory), 0, "inherited");
            for observer in observers.iter_mut() {
                assert!(matches!(observer.try_recv(), Err(RecvError::Forked)));
            }
            let own: Vec<_> = (0..50)
                .map(|_| Observer::open(directory.join("0"), Start::Oldest).expect("observe"))
                .collect();
            assert_eq!(descriptors_into(directory), own.len());
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            assert!(matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))), "the child failed");
        }
    }
}

pub(crate) fn many(part: &Part) {
    if !raise_descriptors() {
        say("skipped, too few descriptors");
        return;
    }
    // So that the table of guarded maps grows as well.
    quoit::guard_against_truncation().expect("guard");
    let directory: PathBuf = part.get("directory");
    let options = Options::new().capacity(4096).slots(1);
    let mut observers = Vec::new();
    for number in 0..MANY {
        let path = directory.join(number.to_string());
        options.create(&path).expect("create");
        observers.push(Observer::open(&path, Start::Newest).expect("observe"));
        if number % 500 == 499 {
            bear(&directory, &mut observers);
        }
    }
    // Ring rings take two descriptors each.
    let sealed: Vec<_> = (0..10).map(|_| Ring::sealed(&options).expect("a sealed ring")).collect();
    // Children are born while another thread goes through the places at the end of the table.
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut opened = 0;
            while !stop.load(Ordering::Relaxed) || opened < 100 {
                let some: Vec<_> = (0..600)
                    .map(|number| Inspector::open(directory.join(number.to_string())).expect("inspect"))
                    .collect();
                opened += some.len();
            }
        });
        for _ in 0..30 {
            match split() {
                ForkResult::Child => {
                    let open = Observer::open(directory.join("1"), Start::Oldest);
                    let clean = descriptors_into(&directory) == 1 && open.is_ok();
                    std::process::exit(if clean { 0 } else { 1 });
                }
                ForkResult::Parent { child } => {
                    assert!(matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))), "the child failed");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(sealed);
    // All of them are of use, and guarded.
    for (number, observer) in observers.iter_mut().enumerate() {
        let path = directory.join(number.to_string());
        let mut producer = Producer::open(&path).expect("produce");
        producer.send(&number.to_le_bytes()).expect("send");
        match observer.try_recv().expect("receive") {
            Some(Event::ProducerChanged { .. }) => {
                assert!(matches!(observer.try_recv(), Ok(Some(Event::Record(_)))));
            }
            other => assert!(matches!(other, Some(Event::Record(_))), "{other:?}"),
        }
        std::fs::File::options().write(true).open(&path).expect("open").set_len(0).expect("cut");
        assert_eq!(producer.send(b"x"), Err(SendError::Truncated));
        assert!(matches!(observer.recv(), Err(RecvError::Truncated)));
    }
    // The machine's own limit is what ends it, and it says so.
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).expect("fewer");
    let path = directory.join("last");
    match options.create(&path) {
        Err(Error::Io { source, .. }) => assert_eq!(source.raw_os_error(), Some(nix::libc::EMFILE)),
        other => panic!("{other:?}"),
    }
    say("done");
}

#[test]
fn more_handles_than_a_table_began_with() {
    let stage = Stage::tmpfs(120);
    let mut child = Part::new("many").with("directory", stage.path().display()).start();
    let line = child.line(4 * SOON);
    if line.starts_with("skipped") {
        note(format_args!("SKIPPED, {line}: more than 1024 handles"));
    } else {
        assert_eq!(line, "done");
        note(format_args!("{MANY} rings open at once, children born meanwhile: none inherits a descriptor"));
    }
    child.finish();
}

/// Ends with a core dump of itself, in the directory it is in.
pub(crate) fn dump(part: &Part) {
    let kind: String = part.get("kind");
    let directory: PathBuf = part.get("directory");
    std::env::set_current_dir(&directory).expect("a directory");
    setrlimit(Resource::Core, Rlimit { current: None, maximum: None })
        .or_else(|_| {
            let limit = getrlimit(Resource::Core);
            setrlimit(Resource::Core, Rlimit { current: limit.maximum, ..limit })
        })
        .expect("allow a core");
    let options = Options::new().capacity(1 << 20);
    let ring = directory.join("ring");
    let sealed = (kind == "sealed").then(|| Ring::sealed(&options).expect("create"));
    let (mut producer, ring) = match sealed {
        Some((producer, ring)) => (producer, Some(ring)),
        None => (Producer::create(&ring, &options).expect("create"), None),
    };
    let mut consumer = match &ring {
        Some(ring) => ring.consumer(&Attach::lossy()).expect("attach"),
        None => Consumer::open(directory.join("ring"), &Attach::lossy()).expect("attach"),
    };
    producer.prepare(&quoit::Memory::new().core_dumps(kind == "wished"));
    // The words that stand in the ring, and nowhere else in this process.
    let words: Vec<u8> =
        (0..2048u64).flat_map(|number| (number ^ part.get::<u64>("mark")).to_le_bytes()).collect();
    for _ in 0..8 {
        producer.send(&words).expect("send");
    }
    drop(words);
    assert!(consumer.try_recv().is_ok());
    if kind != "file" {
        let _ = std::fs::remove_file(directory.join("ring"));
    }
    say("up");
    std::process::abort();
}

#[test]
fn ring_memory_stays_out_of_core_dumps() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with('|') || pattern.starts_with('/') {
        note(format_args!("SKIPPED, core dumps go elsewhere ({}): what is in one", pattern.trim()));
        return;
    }
    let mut sizes = Vec::new();
    for kind in ["file", "removed", "sealed", "wished"] {
        let stage = Stage::tmpfs(30);
        let part = Part::new("dump").with("directory", stage.path().display()).with("kind", kind);
        let mut child = part.with("mark", 0x5eed_1e55_c0de_d00d_u64).start();
        child.says("up");
        let status = child.status_within(SOON);
        use std::os::unix::process::ExitStatusExt;
        if !status.core_dumped() {
            note("SKIPPED, this process may not dump core");
            return;
        }
        let mut files = std::fs::read_dir(stage.path()).expect("list").flatten().map(|entry| entry.path());
        let core = files.find(|path| !path.ends_with("ring")).expect("a core");
        sizes.push((kind, std::fs::metadata(core).expect("metadata").len()));
    }
    note(format_args!("sizes of cores: {sizes:?}"));
    let wished = sizes.last().expect("four").1;
    for (kind, bytes) in &sizes[..3] {
        assert!(bytes + (1 << 20) <= wished, "{kind}: {sizes:?}");
    }
}
