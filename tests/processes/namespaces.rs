//! What takes a namespace of its own, and so a privilege: a file system that is full, peers that cannot see each
//! other's process ids. Without the privilege these tests say that they were skipped.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use quoit::{Attach, Consumer, Error, Event, Inspector, Options, Producer};

use crate::oracle::{Oracle, Sums};
use crate::process::{Part, SOON, Stage, eventually, note, say};

/// Goes into a namespace of its own, or says that it may not.
fn enter(namespaces: CloneFlags) -> bool {
    let entered = unshare(namespaces);
    if let Err(errno) = entered {
        assert_eq!(errno, Errno::EPERM, "{errno}");
        say("skipped");
    }
    entered.is_ok()
}

fn skipped(line: &str, what: &str) -> bool {
    let skipped = line == "skipped";
    if skipped {
        note(format_args!("SKIPPED, no privilege for a namespace: {what}"));
    }
    skipped
}

fn mount_tmpfs(directory: &Path, bytes: u64) {
    let options = format!("size={bytes}");
    mount(Some("quoit"), directory, Some("tmpfs"), MsFlags::empty(), Some(&options[..]))
        .expect("mount a tmpfs");
}

fn free_bytes(directory: &Path) -> u64 {
    let stat = rustix::fs::statvfs(directory).expect("ask for free space");
    stat.f_bfree * stat.f_frsize
}

fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("list").count()
}

/// Runs the rest in a mount namespace of its own, on small tmpfs mounts.
pub(crate) fn full_disk(part: &Part) {
    if !enter(CloneFlags::CLONE_NEWNS) {
        return;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("keep mounts to ourselves");
    let directory: std::path::PathBuf = part.get("directory");
    let refused = every_size(&directory);
    beside_a_living_ring(&directory);
    say(format_args!("done {refused}"));
}

/// A disk of every size, from nothing to enough.
fn every_size(directory: &Path) -> u64 {
    let options = Options::new().capacity(1 << 15).slots(4);
    let ring = directory.join("ring");
    mount_tmpfs(directory, 1 << 20);
    options.create(&ring).expect("create where there is room");
    let needed = Inspector::open(&ring).expect("inspect").snapshot().expect("snapshot").file_bytes;
    umount(directory).expect("umount");
    let page = rustix::param::page_size() as u64;
    let mut refused = 0;
    let mut pages = 1;
    loop {
        mount_tmpfs(directory, pages * page);
        let free = free_bytes(directory);
        let created = if pages % 2 == 0 {
            options.create(&ring)
        } else {
            Producer::open_or_create(&ring, &options).map(drop)
        };
        match created {
            Ok(()) => break,
            Err(Error::NoSpace { path, bytes, .. }) => assert_eq!((&path, bytes), (&ring, needed)),
            Err(error) => panic!("{pages} pages: {error}"),
        }
        assert_eq!((files_in(directory), free_bytes(directory)), (0, free), "nothing is left behind");
        refused += 1;
        umount(directory).expect("umount");
        pages += 1;
    }
    assert!(pages * page >= needed && pages * page <= needed + 4 * page, "{pages} pages for {needed} bytes");
    umount(directory).expect("umount");
    refused
}

/// A ring that is there goes on, whatever happens to the disk around it.
fn beside_a_living_ring(directory: &Path) {
    mount_tmpfs(directory, 1 << 20);
    let ring = directory.join("ring");
    let mut producer = Producer::create(&ring, &Options::new().capacity(1 << 16)).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    let free = free_bytes(directory);
    for _ in 0..10 {
        let second = Options::new().capacity(1 << 20).create(directory.join("second"));
        assert!(matches!(second, Err(Error::NoSpace { .. })), "{second:?}");
        assert_eq!((files_in(directory), free_bytes(directory)), (1, free));
    }
    // To the last byte.
    std::fs::write(directory.join("filler"), vec![1; free as usize]).expect("fill the disk");
    assert_eq!(free_bytes(directory), 0);
    assert!(matches!(
        Options::new().capacity(4096).create(directory.join("third")),
        Err(Error::NoSpace { .. })
    ));
    let oracle = Oracle::new(2_000);
    let mut payload = Vec::new();
    for sequence in 0..5_000 {
        oracle.fill(sequence, &mut payload);
        assert_eq!(producer.try_send(&payload), Ok(sequence));
        while let Some(event) = consumer.try_recv().expect("receive") {
            if let Event::Record(record) = event {
                oracle.check(record.sequence(), &record.bytes());
            }
        }
        assert_eq!(consumer.next_sequence(), sequence + 1);
    }
    // Newcomers need no space either.
    drop(producer);
    let producer = Producer::open(&ring).expect("take over on a full disk");
    assert_eq!(producer.next_sequence(), 5_000);
    let named = Consumer::open(&ring, &Attach::gated().name("late")).expect("attach on a full disk");
    assert_eq!(named.next_sequence(), 5_000);
}

#[test]
fn a_full_disk_is_an_error_at_create_and_harms_nobody() {
    let stage = Stage::tmpfs(60);
    let directory = stage.file("mount");
    std::fs::create_dir(&directory).expect("a mount point");
    let mut child = Part::new("full disk").with("directory", directory.display()).start();
    let line = child.line(SOON * 2);
    if !skipped(&line, "a full disk at create") {
        let refused = crate::process::numbers(&line, "done").expect("done")[0];
        assert!(refused >= 8, "{refused}");
        note(format_args!("{refused} disks too small for a ring: refused, nothing left behind"));
    }
    child.finish();
    assert_eq!(files_in(&directory), 0, "the mounts were the child's own");
}

/// Plays the part of name `play` in a PID namespace of its own, where it is process 1 and sees nobody else.
pub(crate) fn apart(part: &Part) {
    if !enter(CloneFlags::CLONE_NEWPID) {
        return;
    }
    // Its parent is out of its sight: number 0.
    let mut command = part.clone().renamed(&part.get::<String>("play")).command(0);
    let status = command.status().expect("start a child in another namespace");
    assert!(status.success(), "{status:?}");
}

#[test]
fn peers_in_other_pid_namespaces_need_nothing_but_the_file() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    let max = 1_000;
    Options::new().capacity(1 << 16).create(&ring).expect("create");
    let apart = Part::new("apart").on(&ring).with("max", max);
    let reader = apart.clone().with("play", "consume").with("policy", "gated").with("spins", 0);
    let mut consumer = reader.clone().start();
    let line = consumer.line(SOON);
    if skipped(&line, "peers in other PID namespaces") {
        return;
    }
    assert_eq!(line, "ready 0 0");
    let mut doomed = reader.with("name", "kin").start();
    doomed.says("ready");
    let mut producer = apart.with("play", "produce").with("seed", 5).start();
    assert_eq!(producer.says("ready"), [0, 1]);
    eventually("records flow", || snapshot(&ring).next_sequence > 1_000);
    let meanwhile = snapshot(&ring);
    assert!(meanwhile.producer_alive && meanwhile.consumers.iter().all(|consumer| consumer.alive));
    let pids: Vec<_> = meanwhile.consumers.iter().map(|consumer| consumer.pid).collect();
    assert_eq!((meanwhile.producer_pid, &pids[..]), (1, &[1, 1][..]), "process ids mean nothing here");
    assert!(matches!(Producer::open(&ring), Err(Error::ProducerAlive { .. })));
    let named = Consumer::open(&ring, &Attach::gated().name("kin"));
    assert!(matches!(named, Err(Error::NameInUse { .. })));
    // Process 1 of a namespace dies with whoever made it: here, and nowhere near its own kind.
    producer.kill();
    doomed.kill();
    let start = Instant::now();
    let mut heir = loop {
        match Producer::open(&ring) {
            Ok(heir) => break heir,
            Err(Error::ProducerAlive { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
        assert!(start.elapsed() < SOON, "its death is never seen");
    };
    let oracle = Oracle::new(max);
    let mut payload = Vec::new();
    for _ in 0..3_000 {
        let next = heir.next_sequence();
        oracle.fill(next, &mut payload);
        assert_eq!(heir.send_deadline(&payload, Instant::now() + SOON), Ok(next));
    }
    let end = heir.next_sequence();
    drop(heir);
    let mut numbers = consumer.says("done");
    numbers.pop();
    let sums = Sums::from(numbers);
    assert_eq!((sums.first, sums.next, sums.delivered, sums.lost), (0, end, end, 0), "{sums:?}");
    consumer.finish();
    let named = Consumer::open(&ring, &Attach::gated().name("kin")).expect("the name is free");
    assert!(named.resumed().is_some());
}

fn snapshot(ring: &Path) -> quoit::Snapshot {
    Inspector::open(ring).expect("inspect").snapshot().expect("snapshot")
}
