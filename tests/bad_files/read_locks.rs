//! Read locks of whoever may only read the file. They keep newcomers out, who are told so.

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::*;

/// The bytes of the format's sections A3 and B7.
const PRODUCER: i64 = 1 << 62;
const SLOTS: i64 = PRODUCER + 4096;
const NAMES: i64 = PRODUCER + (1 << 61);

/// Holds a read lock through a descriptor that can only read.
fn read_lock(path: &Path, start: i64, bytes: i64) -> File {
    let file = File::open(path).unwrap();
    let lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: bytes,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    file
}

#[track_caller]
fn is_read_locked<T: std::fmt::Debug>(result: Result<T, Error>, what: &str) {
    match result {
        Err(error @ Error::ReadLocked { what: told }) => {
            assert_eq!(told, what);
            is_helpful(&error);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_at_once() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = Spoilt::on(backing);
        drop(Consumer::open(&ring.path, &Attach::gated().name("kept")).unwrap());
        let held = read_lock(&ring.path, PRODUCER, 0);
        is_read_locked(Producer::open(&ring.path), "the producer's place");
        is_read_locked(Producer::open_or_create(&ring.path, &small()), "the producer's place");
        is_read_locked(Consumer::open(&ring.path, &Attach::lossy()), "the free slots");
        is_read_locked(Consumer::open(&ring.path, &Attach::lossy().name("new")), "the name");
        is_read_locked(forget(&ring.path, "kept"), "the name");
        is_read_locked(quoit::forget_slot(&ring.path, 0), "the name");
        // Who only looks does not mind, and sees nobody alive.
        let snapshot = Inspector::open(&ring.path).unwrap().snapshot().unwrap();
        assert!(!snapshot.producer_alive && snapshot.consumers.iter().all(|consumer| !consumer.alive));
        Observer::open(&ring.path, Start::Newest).unwrap();
        drop(held);
        harmless(&ring.path, "after a read lock");
    }
}

#[test]
fn one_at_a_time() {
    let ring = Spoilt::new();
    let mut producer = Producer::open(&ring.path).unwrap();
    let mut kept = Consumer::open(&ring.path, &Attach::gated().name("kept")).unwrap();
    // Those who are there go on.
    let held = read_lock(&ring.path, SLOTS + 1, 1023);
    producer.send(b"on").unwrap();
    assert!(kept.recv().is_ok());
    is_read_locked(Consumer::open(&ring.path, &Attach::lossy()), "the free slots");
    drop(held);
    // A slot that is free is had, though another is read-locked.
    let held = read_lock(&ring.path, SLOTS + 1, 1);
    let second = Consumer::open(&ring.path, &Attach::lossy()).unwrap();
    assert_eq!(second.slot(), 2);
    drop((held, kept));
    // The slot of a name.
    let held = read_lock(&ring.path, SLOTS, 1);
    is_read_locked(Consumer::open(&ring.path, &Attach::gated().name("kept")), "the slot of the name");
    is_read_locked(forget(&ring.path, "kept"), "the slot of the name");
    drop(held);
    // The truth where somebody lives as well.
    let _names = read_lock(&ring.path, NAMES, 1 << 60);
    assert!(matches!(Producer::open(&ring.path), Err(Error::ProducerAlive { .. })));
    let others: Vec<_> =
        (0..3).map(|_| Consumer::open(&ring.path, &Attach::lossy())).take_while(Result::is_ok).collect();
    assert_eq!(others.len(), 2);
    assert!(matches!(Consumer::open(&ring.path, &Attach::lossy()), Err(Error::SlotsTaken { .. })));
}
