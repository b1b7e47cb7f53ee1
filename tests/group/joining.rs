//! What a join leaves that fails.

use std::fs::File;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_WRLCK, SEEK_SET, flock};
use quoit::{Attach, Consumer, Error, GroupMember, Inspector, Start};

use crate::{Scene, nothing, receive, send, workers};

/// Locks the places of all members of groups in a ring's file, as another process could.
fn lock_members(ring: &File) {
    let lock = flock {
        l_type: F_WRLCK as i16,
        l_whence: SEEK_SET as i16,
        l_start: (1 << 62) + (1 << 59),
        l_len: 1 << 59,
        l_pid: 0,
    };
    fcntl(ring.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).expect("nobody has one");
}

fn is_without_a_place(joined: Result<GroupMember, Error>) {
    let is_taken =
        matches!(joined, Err(Error::Garbage { what: "a seat of the group that another member has" }));
    assert!(is_taken, "{joined:?}");
}

#[test]
fn a_group_whose_first_member_has_no_place_is_not_made() {
    let scene = Scene::new();
    let file = File::options().read(true).write(true).open(scene.path()).expect("open");
    lock_members(&file);
    is_without_a_place(GroupMember::join(scene.path(), &workers()));
    assert!(!scene.file().exists(), "it leaves its file");
    let consumers = || {
        let inspector = Inspector::open(scene.path()).expect("open");
        inspector.snapshot().expect("a look").consumers.len()
    };
    assert_eq!(consumers(), 0, "it leaves its name");
    drop(file);
    let _member = scene.join(&workers());
    assert_eq!(consumers(), 1);
}

/// The name was a consumer's, which keeps its place.
#[test]
fn a_name_that_could_not_become_a_group_keeps_its_place() {
    let scene = Scene::new();
    let mut producer = scene.ring().producer().expect("a producer");
    let attach = Attach::gated().name("workers").start(Start::Oldest);
    let open = || Consumer::open(scene.path(), &attach).expect("attach");
    send(&mut producer, 0, 3);
    let mut consumer = open();
    for _ in 0..2 {
        assert!(consumer.try_recv().expect("try").is_some());
    }
    // The second record is still in its hands.
    drop(consumer);
    let file = File::options().read(true).write(true).open(scene.path()).expect("open");
    lock_members(&file);
    is_without_a_place(GroupMember::join(scene.path(), &workers()));
    drop(file);
    let mut consumer = open();
    let event = consumer.try_recv().expect("try").expect("a record");
    assert_eq!(event.record().expect("a record").sequence(), 1);
    drop(consumer);
    let mut member = scene.join(&workers());
    assert_eq!(receive(&mut member).0, 1);
    assert_eq!(receive(&mut member).0, 2);
    nothing(&mut member);
}
