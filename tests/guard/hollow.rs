//! Holes punched into the file, on a file system that is full: a touch finds no page to be had.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use quoit::{Attach, Consumer, Error, Inspector, Observer, Options, Producer, RecvError, SendError, Start};
use rustix::fs::{FallocateFlags, fallocate};

use crate::process::{Part, SOON, Stage, note, say};

const PAGE: u64 = 4096;

/// In each role, a hole in each area that the role touches: with the guard it is told, without it is killed by SIGBUS.
#[test]
fn a_hole_that_cannot_be_filled() {
    let stage = Stage::tmpfs(120);
    let cases = [
        ("producer", vec![PAGE, 2 * PAGE, 3 * PAGE]),
        ("consumer", vec![PAGE, 2 * PAGE, 3 * PAGE]),
        ("observer", vec![PAGE, 3 * PAGE]),
        ("inspector", vec![PAGE, 2 * PAGE, 3 * PAGE]),
    ];
    for (role, holes) in cases {
        for hole in holes {
            for guard in [true, false] {
                let directory = stage.path().display();
                let part = Part::new("hollow").with("directory", directory).with("guard", guard);
                let mut child = part.with("role", role).with("hole", hole).start();
                let line = child.line(SOON);
                if line == "skipped" {
                    return note("SKIPPED, no privilege for a mount namespace: holes on a full tmpfs");
                }
                assert_eq!(line, "full");
                if guard {
                    assert_eq!(child.line(SOON), "told", "{role}, hole at {hole}");
                    child.finish();
                } else {
                    let status = child.status_within(SOON);
                    assert_eq!(status.signal(), Some(7), "{role}, hole at {hole}: {status:?}");
                }
            }
        }
    }
}

/// In a mount namespace of its own: a ring, a hole in it, and nothing left on its file system.
pub(crate) fn hollow(part: &Part) {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
        assert_eq!(errno, Errno::EPERM);
        return say("skipped");
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("keep mounts to ourselves");
    let directory: PathBuf = part.get("directory");
    mount(Some("quoit"), &directory, Some("tmpfs"), MsFlags::empty(), Some("size=1m")).expect("mount");
    let ring = directory.join("ring");
    let mut producer = Producer::create(&ring, &Options::new().capacity(1 << 16).slots(4)).expect("create");
    // Too long for an inline copy, too short for an index entry behind it: whoever looks has to look there.
    producer.send(&[1; 200]).expect("send");
    let mut consumer = Consumer::open(&ring, &Attach::gated().start(Start::Oldest)).expect("attach");
    let mut observer = Observer::open(&ring, Start::Oldest).expect("observe");
    let inspector = Inspector::open(&ring).expect("inspect");
    punch(&ring, part.get("hole"));
    fill(&directory);
    say("full");
    let told = match &part.get::<String>("role")[..] {
        "producer" => producer.send(&[1; 2000]) == Err(SendError::Truncated),
        "consumer" => matches!(consumer.recv(), Err(RecvError::Truncated)),
        "observer" => matches!(observer.recv(), Err(RecvError::Truncated)),
        _ => matches!(inspector.snapshot(), Err(Error::Truncated)),
    };
    assert!(told, "neither killed nor told: {part:?}");
    say("told");
}

fn punch(ring: &Path, hole: u64) {
    let file = File::options().write(true).open(ring).expect("open");
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, flags, hole, PAGE).expect("punch a hole");
}

fn fill(directory: &Path) {
    let mut filler = File::create(directory.join("filler")).expect("create");
    while filler.write(&[1; PAGE as usize]).is_ok_and(|written| written > 0) {}
}
