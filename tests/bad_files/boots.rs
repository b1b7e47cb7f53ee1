//! Rings under another boot id: of a container that has one of its own, where somebody holds a lock; else leftovers.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Barrier;

use nix::libc;
use quoit::Event;

use super::*;

const BOOT_ID: u64 = 9;

impl Spoilt {
    /// As made before the machine was last started, or in such a container.
    fn of_another_boot(self) -> Self {
        self.set(BOOT_ID, self.word(BOOT_ID) ^ 1);
        self.sign();
        self
    }
}

/// All but those who make a leftover anew.
fn openers() -> Vec<Role> {
    ROLES.into_iter().filter(|role| *role != Role::ProduceOrCreate).collect()
}

#[test]
fn whoever_holds_a_lock_is_of_this_boot() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = Spoilt::on(backing);
        let mut producer = Producer::open(&ring.path).unwrap();
        producer.send(b"here").unwrap();
        let ring = ring.of_another_boot();
        let mut observer = Observer::open(&ring.path, Start::Oldest).unwrap();
        match observer.try_recv().unwrap() {
            Some(Event::Record(record)) => assert_eq!(record.to_vec(), b"here"),
            other => panic!("{other:?}"),
        }
        let consumer = Consumer::open(&ring.path, &Attach::lossy()).unwrap();
        drop(producer);
        // A consumer's lock alone.
        let producer = Producer::open_or_create(&ring.path, &small()).unwrap();
        assert_eq!((producer.epoch(), producer.next_sequence()), (2, 1), "the ring that was there");
        drop((producer, consumer));
        refused!(&openers(); ring.path, Error::EarlierBoot { .. });
    }
}

/// A lock of everything at once, as whoever removes a leftover takes it, or read locks, are nobody's life.
#[test]
fn other_locks_prove_nothing() {
    let ring = Spoilt::new().of_another_boot();
    let lock = |kind: libc::c_int, bytes: i64| {
        let file = File::options().read(true).write(true).open(&ring.path).unwrap();
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 1 << 62,
            l_len: bytes,
            l_pid: 0,
        };
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        assert!(file.as_raw_fd() > 0);
        file
    };
    for (kind, bytes) in [(libc::F_RDLCK, 0), (libc::F_RDLCK, 1), (libc::F_WRLCK, 0)] {
        let held = lock(kind, bytes);
        refused!(&openers(); ring.path, Error::EarlierBoot { .. });
        let error = Producer::open_or_create(&ring.path, &small()).unwrap_err();
        let expected = match kind {
            libc::F_RDLCK => matches!(error, Error::ReadLocked { .. }),
            _ => matches!(error, Error::EarlierBoot { .. }),
        };
        assert!(expected, "{error:?}");
        is_helpful(&error);
        drop(held);
    }
    // And that of one participant does.
    let held = lock(libc::F_WRLCK, 1);
    assert!(matches!(Producer::open(&ring.path), Err(Error::ProducerAlive { .. })));
    Inspector::open(&ring.path).unwrap();
    drop(held);
}

#[test]
fn a_leftover_is_made_anew_by_who_opens_or_creates() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = Spoilt::on(backing);
        Producer::open(&ring.path).unwrap().send(b"of old").unwrap();
        let ring = ring.of_another_boot();
        let before = (ring.bytes(), std::fs::metadata(&ring.path).unwrap().ino());
        assert!(
            matches!(small().create(&ring.path), Err(Error::Exists { .. })),
            "only where it is asked for"
        );
        refused!(&openers(); ring.path, Error::EarlierBoot { .. });
        assert_eq!((ring.bytes(), std::fs::metadata(&ring.path).unwrap().ino()), before);
        let mut producer = Producer::open_or_create(&ring.path, &small().slots(3)).unwrap();
        assert_eq!((producer.epoch(), producer.send(b"new")), (1, Ok(0)));
        let mut observer = Observer::open(&ring.path, Start::Oldest).unwrap();
        match observer.try_recv().unwrap() {
            Some(Event::Record(record)) => assert_eq!(record.to_vec(), b"new"),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            Inspector::open(&ring.path).unwrap().snapshot().unwrap().slots,
            3,
            "made as asked for now"
        );
        assert_eq!(std::fs::read_dir(ring.directory.path()).unwrap().count(), 1, "something else was left");
    }
}

/// Nothing else that cannot be opened is removed.
#[test]
fn what_is_no_leftover_stays() {
    let ring = Spoilt::new().of_another_boot();
    let honest = ring.bytes();
    let refusals: [(&str, &dyn Fn()); 4] = [
        ("no ring", &|| ring.set(0, 0)),
        ("damaged", &|| ring.set(5, 7)),
        ("of another version", &|| ring.set(1, 2 << 32)),
        ("cut short", &|| ring.file.set_len(FILE_BYTES - 1).unwrap()),
    ];
    for (what, spoil) in refusals {
        spoil();
        let error = Producer::open_or_create(&ring.path, &small()).unwrap_err();
        assert!(!matches!(error, Error::EarlierBoot { .. }), "{what}: {error:?}");
        assert!(ring.path.exists(), "{what}");
        ring.file.set_len(FILE_BYTES).unwrap();
        ring.write(0, &honest);
    }
    Producer::open_or_create(&ring.path, &small()).unwrap();
}

/// Of several who find it at once one wins, and the others are told that it lives: in one and the same ring.
#[test]
fn of_several_starters_one_wins() {
    const STARTERS: usize = 6;
    for round in 0..100 {
        let ring = Spoilt::on(if round % 4 == 0 { Backing::Disk } else { Backing::Tmpfs }).of_another_boot();
        let start = Barrier::new(STARTERS);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let starters: Vec<_> = (0..STARTERS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        Producer::open_or_create(&ring.path, &small())
                    })
                })
                .collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        let (winners, others): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(winners.len(), 1, "round {round}: {others:?}");
        for other in others {
            let error = other.unwrap_err();
            assert!(matches!(error, Error::ProducerAlive { .. }), "round {round}: {error:?}");
        }
        let winner = winners.into_iter().next().unwrap().unwrap();
        assert!(
            winner.epoch() == 1 && !winner.is_stale(),
            "round {round}: the ring at the path is the winner's"
        );
    }
}
