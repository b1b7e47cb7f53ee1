//! Barriers and latches in files and on the heap: who passes, who is told, what is refused.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quoit::sync::{Barrier, BarrierPass, Event, Latch, Mutex, Once, SyncOptions};
use quoit::{Error, ErrorKind, Kind};
use tempfile::TempDir;

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("object")
    }
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

/// The same barrier in a file and on the heap.
fn on_each(parties: u32, test: impl Fn(Barrier)) {
    test(Barrier::local(&options(), parties).expect("on the heap"));
    let scene = Scene::new();
    test(Barrier::create(scene.path(), &options(), parties).expect("create"));
}

/// The same latch in a file and on the heap.
fn on_each_latch(parties: u32, test: impl Fn(Latch)) {
    test(Latch::local(&options(), parties).expect("on the heap"));
    let scene = Scene::new();
    test(Latch::create(scene.path(), &options(), parties).expect("create"));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Has one more party wait.
fn wait(barrier: Barrier) -> std::thread::JoinHandle<(Barrier, Result<BarrierPass, Error>)> {
    std::thread::spawn(move || {
        let end = barrier.wait_deadline(soon());
        (barrier, end)
    })
}

#[test]
fn all_pass_round_after_round() {
    on_each(4, |first| {
        const ROUNDS: u64 = 500;
        let arrived = AtomicU64::new(0);
        let leaders = AtomicU64::new(0);
        let parties: Vec<_> = (0..3).map(|_| first.try_clone().unwrap()).collect();
        assert!(matches!(first.try_clone().unwrap_err(), Error::SeatsTaken { seats: 4, .. }));
        std::thread::scope(|scope| {
            for party in parties.into_iter().chain([first]) {
                let (arrived, leaders) = (&arrived, &leaders);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        arrived.fetch_add(1, Ordering::Relaxed);
                        let passed = party.wait_deadline(soon()).unwrap();
                        assert_eq!(passed.round, round);
                        assert!(arrived.load(Ordering::Relaxed) >= 4 * (round + 1), "not all were there");
                        leaders.fetch_add(u64::from(passed.is_leader), Ordering::Relaxed);
                    }
                    // Nobody leaves before the others have passed.
                    while leaders.load(Ordering::Relaxed) < ROUNDS {
                        std::thread::yield_now();
                    }
                });
            }
        });
        assert_eq!(leaders.into_inner(), ROUNDS);
    });
}

#[test]
fn one_party_is_all() {
    on_each(1, |only| {
        for round in 0..3 {
            let passed = only.wait().unwrap();
            assert_eq!((passed.is_leader, passed.round), (true, round));
            assert_eq!((only.parties(), only.missing()), (1, 1));
        }
        assert!(only.try_wait().unwrap().is_some());
    });
}

#[test]
fn who_tries_passes_only_as_the_last() {
    on_each(2, |first| {
        let second = first.try_clone().unwrap();
        assert!(first.try_wait().unwrap().is_none());
        assert_eq!(first.missing(), 2, "it has not arrived");
        let other = wait(second);
        while first.missing() == 2 {
            std::thread::yield_now();
        }
        assert!(first.try_wait().unwrap().is_some());
        assert!(other.join().unwrap().1.is_ok());
    });
}

#[test]
fn who_has_arrived_waits_for_the_end_of_that_round() {
    on_each(2, |first| {
        let second = first.try_clone().unwrap();
        first.arrive().unwrap();
        first.arrive().unwrap();
        assert_eq!((first.missing(), second.missing()), (1, 1));
        assert!(first.try_wait().unwrap().is_none());
        second.arrive().unwrap();
        // It said so itself, and is told so whenever it asks.
        let pass = second.try_wait().unwrap().unwrap();
        assert!(pass.is_leader && pass.round == 0, "{pass:?}");
        // The next round ends without this party only if it is broken.
        second.arrive().unwrap();
        assert!(second.try_wait().unwrap().is_none());
        let pass = first.wait().unwrap();
        assert!(!pass.is_leader && pass.round == 0, "{pass:?}");
        assert!(first.wait().unwrap().is_leader);
        assert_eq!(second.wait_timeout(Duration::ZERO).unwrap().round, 1);
        first.arrive().unwrap();
        second.reset().unwrap();
        assert!(matches!(first.wait(), Err(Error::Broken)), "it took the reset for a round");
        // A reset of its own is nothing to be told of.
        first.arrive().unwrap();
        first.reset().unwrap();
        assert_eq!((first.try_wait().unwrap(), first.missing()), (None, 2));
        first.arrive().unwrap();
        assert!(matches!(first.wait_timeout(Duration::from_millis(1)), Err(Error::TimedOut)));
        assert!(matches!(second.arrive(), Err(Error::Broken)));
        assert!(matches!(first.arrive(), Err(Error::Broken)), "it has given up");
    });
}

/// Its arrival counts, and the next round is broken without it.
#[test]
fn who_arrives_and_leaves_is_counted_once() {
    on_each(2, |first| {
        let second = first.try_clone().unwrap();
        second.arrive().unwrap();
        drop(second);
        assert!(first.wait().is_ok());
        let third = first.try_clone().unwrap();
        third.arrive().unwrap();
        drop(third);
        // The seat has been counted: its next party arrives in the next round.
        let fourth = first.try_clone().unwrap();
        fourth.arrive().unwrap();
        assert!(fourth.try_wait().unwrap().is_none());
        assert_eq!(first.wait().unwrap().round, 1);
        assert_eq!(first.missing(), 2);
        assert!(fourth.try_wait().unwrap().is_none());
        assert_eq!(first.missing(), 1);
        first.arrive().unwrap();
        assert_eq!((fourth.wait().unwrap().round, first.wait().unwrap().round), (2, 2));
    });
}

#[test]
fn giving_up_breaks_the_round() {
    on_each(2, |first| {
        let second = first.try_clone().unwrap();
        let late = first.wait_timeout(Duration::from_millis(20)).unwrap_err();
        assert!(matches!(late, Error::TimedOut), "{late}");
        assert!(first.is_broken().unwrap());
        let told = second.wait().unwrap_err();
        assert!(matches!(told, Error::Broken) && told.kind() == ErrorKind::Broken, "{told}");
        assert!(matches!(second.try_wait(), Err(Error::Broken)));
        assert!(matches!(first.wait_deadline(soon()), Err(Error::Broken)));
        second.reset().unwrap();
        assert!(!first.is_broken().unwrap());
        let other = wait(second);
        assert_eq!(first.wait_deadline(soon()).unwrap().round, 2);
        let (second, passed) = other.join().unwrap();
        assert_eq!(passed.unwrap().round, 2);
        assert!(matches!(second.wait_deadline(Instant::now()), Err(Error::TimedOut)), "one look");
    });
}

#[test]
fn a_party_that_leaves_breaks_the_round_of_those_that_wait() {
    on_each(3, |first| {
        let second = first.try_clone().unwrap();
        let third = first.try_clone().unwrap();
        let other = wait(second);
        while first.missing() == 3 {
            std::thread::yield_now();
        }
        drop(third);
        let (second, end) = other.join().unwrap();
        assert!(matches!(end, Err(Error::Broken)), "{end:?}");
        // With its replacement they go on.
        let third = first.try_clone().unwrap();
        first.reset().unwrap();
        let others = [second, third].map(wait);
        first.wait_deadline(soon()).unwrap();
        for other in others {
            assert!(other.join().unwrap().1.is_ok());
        }
    });
}

/// A seat whose party has arrived and left is the last that a newcomer takes, and one who has it begins with the next
/// round.
#[test]
fn who_replaces_an_arrived_party_begins_with_the_next_round() {
    on_each(3, |first| {
        let second = first.try_clone().unwrap();
        let (second, end) = {
            let other = std::thread::spawn(move || {
                let end = second.wait_timeout(Duration::from_millis(1));
                (second, end)
            });
            other.join().unwrap()
        };
        assert!(matches!(end, Err(Error::TimedOut)));
        let third = first.try_clone().unwrap();
        first.reset().unwrap();
        // The arrivals from before the reset count for nothing.
        assert_eq!(first.missing(), 3);
        let others = [second, third].map(wait);
        first.wait_deadline(soon()).unwrap();
        for other in others {
            assert!(other.join().unwrap().1.is_ok());
        }
    });
}

#[test]
fn a_barrier_is_aborted_and_reset() {
    on_each(2, |first| {
        let second = first.try_clone().unwrap();
        let other = wait(second);
        while first.waiting().is_empty() {
            std::thread::yield_now();
        }
        first.abort().unwrap();
        first.abort().unwrap();
        let (second, end) = other.join().unwrap();
        assert!(matches!(end, Err(Error::Broken)));
        first.reset().unwrap();
        let other = wait(second);
        while first.waiting().is_empty() {
            std::thread::yield_now();
        }
        first.reset().unwrap();
        assert!(matches!(other.join().unwrap().1, Err(Error::Broken)), "it took the reset for a round");
    });
}

#[test]
fn a_latch_opens_once() {
    on_each_latch(2, |latch| {
        assert_eq!((latch.parties(), latch.missing(), latch.try_wait().unwrap()), (2, 2, false));
        let waiting = latch.try_clone().unwrap();
        let waiting = std::thread::spawn(move || waiting.wait_deadline(soon()));
        let (one, two) = (latch.join().unwrap(), latch.join().unwrap());
        assert!(matches!(latch.join().unwrap_err(), Error::SeatsTaken { seats: 2, .. }));
        assert!(!one.arrive().unwrap());
        assert_eq!((latch.missing(), latch.try_wait().unwrap()), (1, false));
        assert!(matches!(latch.wait_timeout(Duration::from_millis(5)), Err(Error::TimedOut)));
        assert!(two.arrive().unwrap(), "the last");
        waiting.join().unwrap().unwrap();
        latch.wait().unwrap();
        latch.reset().unwrap();
        assert!(latch.try_wait().unwrap() && latch.missing() == 0, "for good");
        assert!(!latch.join().unwrap().arrive().unwrap(), "it was open");
        assert!(latch.try_wait().unwrap());
    });
}

/// One party arrives, and is gone before the next one joins, which must not take its place.
#[test]
fn parties_may_come_one_after_the_other() {
    on_each_latch(3, |latch| {
        for arrived in 0..3 {
            assert_eq!(latch.missing(), 3 - arrived);
            assert_eq!(latch.join().unwrap().arrive().unwrap(), arrived == 2);
        }
        assert!(latch.try_wait().unwrap());
    });
}

/// One arrives and leaves its seat while another looks for one: that must not come to the seat of an arrival.
#[test]
fn parties_may_come_at_the_same_time() {
    for _ in 0..3000 {
        let latch = Latch::local(&options(), 2).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let own = latch.try_clone().unwrap();
                scope.spawn(move || own.join().unwrap().arrive().unwrap());
            }
        });
        assert!(latch.try_wait().unwrap(), "{} of 2 are missing", latch.missing());
    }
}

#[test]
fn a_party_that_is_dropped_breaks_a_latch() {
    on_each_latch(2, |latch| {
        let waiting = latch.try_clone().unwrap();
        let waiting = std::thread::spawn(move || waiting.wait_deadline(soon()));
        drop(latch.join().unwrap());
        assert!(matches!(waiting.join().unwrap(), Err(Error::Broken)));
        assert!(matches!(latch.wait(), Err(Error::Broken)));
        let parties = [latch.join().unwrap(), latch.join().unwrap()];
        latch.reset().unwrap();
        assert!(!latch.try_wait().unwrap());
        for party in parties {
            party.arrive().unwrap();
        }
        assert!(latch.try_wait().unwrap());
        drop(latch.join().unwrap());
        assert!(latch.try_wait().unwrap(), "it is open");
    });
}

#[test]
fn files_are_created_opened_and_waited_for() {
    let scene = Scene::new();
    let path = scene.path();
    assert!(matches!(Barrier::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Barrier::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let waits = path.clone();
    let other = std::thread::spawn(move || Barrier::open_wait(&waits, soon()).unwrap().wait_deadline(soon()));
    let first = Barrier::open_or_create(&path, &options(), 2).unwrap();
    first.wait_deadline(soon()).unwrap();
    other.join().unwrap().unwrap();
    assert!(matches!(Barrier::create(&path, &options(), 2).unwrap_err(), Error::Exists { .. }));
    assert!(Barrier::open_or_create(&path, &options(), 2).is_ok());
    assert!(matches!(Barrier::open_or_create(&path, &options(), 3), Err(Error::BadOption { .. })));

    let path = path.with_file_name("latch");
    assert!(matches!(Latch::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Latch::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let first = Latch::open_or_create(&path, &options(), 1).unwrap();
    assert!(matches!(Latch::create(&path, &options(), 1).unwrap_err(), Error::Exists { .. }));
    Latch::open(&path).unwrap().join().unwrap().arrive().unwrap();
    assert!(first.try_wait().unwrap());
    assert!(matches!(Latch::open_or_create(&path, &options(), 3), Err(Error::BadOption { .. })));
}

#[test]
fn what_is_neither_is_refused() {
    let scene = Scene::new();
    let path = scene.path();
    let _barrier = Barrier::create(&path, &options(), 2).unwrap();
    let refused = Latch::open(&path).unwrap_err();
    assert!(
        matches!(refused, Error::OtherKind { found: Kind::Barrier, wanted: Kind::Latch, .. }),
        "{refused}"
    );
    let once = Once::open(&path).unwrap_err();
    assert!(once.to_string().contains("a barrier, not a once"), "{once}");
    assert!(Event::open(&path).is_err() && Mutex::<()>::open(&path).is_err());
    for parties in [0, 4097] {
        assert!(matches!(Barrier::local(&options(), parties), Err(Error::BadOption { .. })));
        assert!(matches!(Latch::local(&options(), parties), Err(Error::BadOption { .. })));
    }
    for seats in [0, 4096] {
        assert!(matches!(Latch::local(&options().seats(seats), 1), Err(Error::BadOption { .. })));
    }
    assert!(Barrier::local(&options(), 4096).is_ok());
}

#[test]
fn damaged_words_are_rounds_or_refused() {
    let scene = Scene::new();
    let path = scene.path();
    let first = Barrier::create(&path, &options(), 2).unwrap();
    let second = Barrier::open(&path).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let poke = |byte: u64, word: u64| file.write_all_at(&word.to_le_bytes(), 8192 + byte).unwrap();
    // Rounds just before the numbers wrap, watchers that nobody is, arrivals in rounds that never were.
    for (round, watch, arrival) in [(u64::MAX - 1, 0, 0), (4, u64::MAX, 77), (0, 77 << 16, u64::MAX)] {
        poke(0, round);
        poke(8, watch);
        poke(128, arrival);
        poke(136, arrival);
        for _ in 0..2 {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| Barrier::open(&path).map(drop));
                assert!(matches!(other.join().unwrap(), Err(Error::SeatsTaken { .. })));
            });
        }
        assert!(matches!(second.wait_timeout(Duration::from_millis(5)), Err(Error::TimedOut)));
        assert!(matches!(first.wait(), Err(Error::Broken)));
    }
    // Both had arrived, and died before they said so: who tries ends their round, and does not wait in the next one.
    poke(0, 8 << 1);
    poke(128, 9);
    poke(136, 9);
    assert!(first.try_wait().unwrap().is_none() && second.try_wait().unwrap().is_none());
    assert_eq!((first.missing(), first.is_broken().unwrap()), (2, false));
    let whole = {
        drop((first, second));
        std::fs::read(&path).unwrap()
    };
    for (at, word) in [(136, 3), (136, 0), (136, u64::MAX), (144, 1)] {
        let mut bytes = whole[..4096].to_vec();
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
        let crc = crc32c::crc32c(&bytes[32..256]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, 0).unwrap();
        let error = Barrier::open(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{at}, {word}: {error}");
    }
}
