//! Semaphores in files and on the heap: who gets permits, who waits, what is refused.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use quoit::sync::{LatestReader, Mutex, Semaphore, SyncOptions};
use quoit::{Attach, Consumer, Error, ErrorKind, Kind};
use tempfile::TempDir;

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("semaphore")
    }

    fn create(&self, permits: u32) -> Semaphore {
        Semaphore::create(self.path(), &options(), permits).expect("create")
    }

    /// The same instead of the one before.
    fn create_anew(&self, permits: u32) -> Semaphore {
        std::fs::remove_file(self.path()).expect("remove");
        self.create(permits)
    }

    /// How many permits are free.
    fn free(&self) -> u32 {
        Semaphore::open(self.path()).expect("open").available()
    }

    /// Overwrites a word of the data area, as another process could.
    fn poke(&self, byte: u64, word: u64) {
        let file = std::fs::File::options().write(true).open(self.path()).expect("open");
        file.write_all_at(&word.to_le_bytes(), DATA + byte).expect("write");
    }
}

/// Where the data area begins, with the number of seats in `options`.
const DATA: u64 = 8192;
/// Where the permits begin in it.
const PERMITS: u64 = 128;

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

/// The same semaphore in a file and on the heap.
fn on_each(permits: u32, test: impl Fn(Semaphore)) {
    test(Semaphore::local(&options(), permits).expect("on the heap"));
    test(Scene::new().create(permits));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn permits_are_taken_and_given_back() {
    on_each(3, |first| {
        let second = first.try_clone().unwrap();
        assert_eq!((first.permits(), first.available()), (3, 3));
        let one = first.acquire().unwrap();
        let two = second.acquire().unwrap();
        let three = first.acquire().unwrap();
        assert_eq!((second.available(), one.count(), one.is_abandoned()), (0, 1, false));
        assert!(first.try_acquire().unwrap().is_none() && second.try_acquire().unwrap().is_none());
        let holders = second.holders().unwrap();
        assert!(holders.len() == 2 && holders.iter().all(|holder| holder.is_alive), "{holders:?}");
        assert!(holders.iter().all(|holder| holder.pid == std::process::id()));
        drop(two);
        assert_eq!(second.available(), 1);
        let again = second.try_acquire().unwrap();
        assert!(again.is_some());
        drop((one, three, again));
        assert_eq!((second.available(), second.holders().unwrap().len()), (3, 0));
    });
}

#[test]
fn several_are_all_or_none() {
    on_each(4, |first| {
        let second = first.try_clone().unwrap();
        let three = first.acquire_many(3).unwrap();
        assert_eq!((three.count(), second.available()), (3, 1));
        assert!(second.try_acquire_many(2).unwrap().is_none());
        assert_eq!(second.available(), 1, "it kept what it had got");
        let late = second.acquire_many_deadline(2, Instant::now()).unwrap_err();
        assert!(matches!(late, Error::TimedOut), "{late}");
        let late = second.acquire_many_deadline(2, Instant::now() + Duration::from_millis(10)).unwrap_err();
        assert!(matches!(late, Error::TimedOut) && second.available() == 1, "{late}");
        let one = second.acquire_many(1).unwrap();
        drop(three);
        let many = second.acquire_many(3).unwrap();
        assert_eq!(many.count(), 3);
        drop((one, many));
        assert_eq!(first.available(), 4);
        for count in [0, 5] {
            assert!(matches!(first.acquire_many(count), Err(Error::BadOption { .. })));
            assert!(matches!(first.try_acquire_many(count), Err(Error::BadOption { .. })));
        }
    });
}

/// Two threads want all permits at the same moment, and neither waits.
#[test]
fn one_of_two_that_try_for_several_gets_them() {
    on_each(2, |first| {
        const ROUNDS: usize = 2000;
        let second = first.try_clone().unwrap();
        let begin = Barrier::new(2);
        let got = AtomicU32::new(0);
        let rounds = |semaphore: Semaphore| {
            for round in 1..=ROUNDS {
                begin.wait();
                let permit = semaphore.try_acquire_many(2).unwrap();
                got.fetch_add(permit.is_some().into(), Ordering::SeqCst);
                begin.wait();
                assert_eq!(got.load(Ordering::SeqCst), round as u32, "one of the two");
                drop(permit);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| rounds(second));
            rounds(first);
        });
    });
}

#[test]
fn there_are_never_more_holders_than_permits() {
    on_each(3, |semaphore| {
        const TURNS: u32 = 2000;
        static INSIDE: AtomicU32 = AtomicU32::new(0);
        let handles: Vec<_> = (0..5).map(|_| semaphore.try_clone().unwrap()).collect();
        let threads: Vec<_> = (0..)
            .zip(handles)
            .map(|(number, handle)| {
                std::thread::spawn(move || {
                    for turn in 0..TURNS {
                        let count = 1 + (turn + number) % 3;
                        let permit = handle.acquire_many(count).unwrap();
                        let inside = INSIDE.fetch_add(count, Ordering::SeqCst) + count;
                        assert!(inside <= 3, "{inside} inside");
                        INSIDE.fetch_sub(count, Ordering::SeqCst);
                        drop(permit);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn waits_end_in_time() {
    on_each(1, |first| {
        let second = first.try_clone().unwrap();
        let permit = first.acquire().unwrap();
        let begin = Instant::now();
        let late = second.acquire_timeout(Duration::from_millis(30)).unwrap_err();
        assert!(matches!(late, Error::TimedOut) && late.kind() == ErrorKind::TimedOut);
        assert!(begin.elapsed() >= Duration::from_millis(30));
        assert!(matches!(second.acquire_deadline(begin), Err(Error::TimedOut)), "one try");
        drop(permit);
        assert!(second.acquire_deadline(begin).is_ok(), "free, so the time does not matter");
    });
}

#[test]
fn sleepers_are_woken_and_listed() {
    on_each(1, |first| {
        let sleepers: Vec<_> = (0..3).map(|_| first.try_clone().unwrap()).collect();
        let looking = first.try_clone().unwrap();
        let permit = first.acquire().unwrap();
        let threads: Vec<_> = sleepers
            .into_iter()
            .map(|sleeper| std::thread::spawn(move || drop(sleeper.acquire_deadline(soon()).unwrap())))
            .collect();
        // Between two slices it does not sleep.
        while looking.waiting().is_empty() {
            std::thread::yield_now();
        }
        drop(permit);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(looking.waiting(), []);
        assert_eq!(looking.available(), 1);
    });
}

/// Whoever takes a permit again as soon as it has given it back lets a sleeper go first, which would else never get one.
#[test]
fn a_sleeper_gets_its_turn_beside_a_greedy_one() {
    on_each(1, |patient| {
        const WAITS: u32 = 20;
        let turns = &AtomicU32::new(0);
        let greedy = patient.try_clone().unwrap();
        let mut passed = 0;
        std::thread::scope(|scope| {
            // Dropped at the end, however that comes.
            let (_over, is_over) = channel::<()>();
            scope.spawn(move || {
                while is_over.try_recv() == Err(TryRecvError::Empty) {
                    let permit = greedy.acquire().unwrap();
                    turns.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(3));
                    drop(permit);
                }
            });
            for _ in 0..WAITS {
                while patient.available() == 1 {
                    std::thread::yield_now();
                }
                let before = turns.load(Ordering::Relaxed);
                drop(patient.acquire_deadline(soon()).unwrap());
                passed += turns.load(Ordering::Relaxed) - before;
            }
        });
        assert!(passed < 5 * WAITS, "{passed} times another one was faster");
    });
}

#[test]
fn a_handle_that_has_all_would_wait_for_itself() {
    on_each(2, |semaphore| {
        let one = semaphore.acquire().unwrap();
        assert!(matches!(semaphore.acquire_many(2), Err(Error::Deadlock)));
        assert!(semaphore.try_acquire_many(2).unwrap().is_none());
        let two = semaphore.acquire().unwrap();
        let told = semaphore.acquire().unwrap_err();
        assert!(matches!(told, Error::Deadlock) && told.kind() == ErrorKind::Deadlock, "{told}");
        drop(one);
        assert!(semaphore.acquire().is_ok());
        drop(two);
    });
}

#[test]
fn forgotten_permits_come_back_with_their_handle() {
    on_each(2, |first| {
        let second = first.try_clone().unwrap();
        std::mem::forget(first.acquire().unwrap());
        std::mem::forget(first.acquire_many(1).unwrap());
        assert!(second.try_acquire().unwrap().is_none());
        drop(first);
        let both = second.acquire_many_deadline(2, soon()).unwrap();
        assert!(!both.is_abandoned(), "nobody died");
    });
}

#[test]
fn files_are_created_opened_and_waited_for() {
    let scene = Scene::new();
    let path = scene.path();
    assert!(matches!(Semaphore::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Semaphore::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let waits = path.clone();
    let waiting = std::thread::spawn(move || Semaphore::open_wait(&waits, soon()).unwrap().permits());
    let first = Semaphore::open_or_create(&path, &options(), 7).unwrap();
    assert_eq!(waiting.join().unwrap(), 7);
    assert!(matches!(Semaphore::create(&path, &options(), 1).unwrap_err(), Error::Exists { .. }));
    assert_eq!(Semaphore::open_or_create(&path, &options(), 1).unwrap().permits(), 7, "it was there");
    std::fs::remove_file(&path).unwrap();
    let clone = first.try_clone().unwrap();
    let permit = clone.acquire().unwrap();
    assert_eq!(first.available(), 6, "without a name it is the same still");
    drop(permit);
}

#[test]
fn what_is_no_semaphore_is_refused() {
    let scene = Scene::new();
    let path = scene.path();
    let _semaphore = scene.create(1);
    let not_a_ring = Consumer::open(&path, &Attach::lossy()).unwrap_err();
    assert!(not_a_ring.to_string().contains("a semaphore, not a ring"), "{not_a_ring}");
    let not_latest = LatestReader::<u64>::open(&path).unwrap_err();
    assert!(not_latest.to_string().contains("a semaphore, not a latest value"), "{not_latest}");
    let mutex = path.with_file_name("mutex");
    let _mutex = Mutex::create(&mutex, &options(), &()).unwrap();
    for refused in
        [Semaphore::open(&mutex).unwrap_err(), Semaphore::open_or_create(&mutex, &options(), 1).unwrap_err()]
    {
        let is_told = matches!(refused, Error::OtherKind { found: Kind::Mutex, wanted: Kind::Semaphore, .. });
        assert!(is_told, "{refused}");
    }
    for (options, permits) in [
        (options(), 0),
        (options(), 4097),
        (options().seats(0), 1),
        (options().seats(4097), 1),
        (options().mode(0o700), 1),
    ] {
        let refused = Semaphore::local(&options, permits).unwrap_err();
        assert!(matches!(refused, Error::BadOption { .. }), "{options:?}: {refused}");
    }
    assert_eq!(Semaphore::local(&options(), 4096).unwrap().permits(), 4096);
    let one = Semaphore::local(&options().seats(1), 1).unwrap();
    assert!(matches!(one.try_clone().unwrap_err(), Error::SeatsTaken { seats: 1, .. }));
}

#[test]
fn damaged_files_are_refused() {
    let scene = Scene::new();
    drop(scene.create(9));
    let whole = std::fs::read(scene.path()).unwrap();
    let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
    // No permits, too many, others than the size has room for; words that are not used.
    for (at, word) in [(136, 0), (136, 4097), (136, 4096), (144, 1), (152, 1)] {
        let mut bytes = whole[..4096].to_vec();
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
        let crc = crc32c::crc32c(&bytes[32..256]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, 0).unwrap();
        let error = Semaphore::open(scene.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
    }
    file.write_all_at(&whole, 0).unwrap();
    assert!(Semaphore::open(scene.path()).is_ok(), "nothing else was wrong");
}

#[test]
fn damaged_words_are_told() {
    let scene = Scene::new();
    let semaphore = scene.create(2);
    let permit = semaphore.acquire().unwrap();
    // The first handle takes the first permit.
    let free = PERMITS + 8;
    // No such seat; no generation; numbers of more bits than there are.
    for word in [1 << 16 | 16 << 2, 1 << 2, 1 << 62 | 1 << 16, u64::MAX] {
        scene.poke(free, word);
        let told = semaphore.acquire_deadline(soon()).unwrap_err();
        assert!(matches!(told, Error::Garbage { .. }), "{told}");
        assert!(matches!(semaphore.holders(), Err(Error::Garbage { .. })));
    }
    // Bits that are nobody's: somebody's who died.
    scene.poke(free, 3);
    assert!(semaphore.acquire_deadline(soon()).unwrap().is_abandoned());
    // A number that could be somebody's is that of somebody dead.
    scene.poke(free, 77 << 16 | 3 << 2);
    assert!(semaphore.holders().unwrap().iter().any(|holder| !holder.is_alive));
    assert!(semaphore.acquire_deadline(soon()).unwrap().is_abandoned());
    // Somebody dead has the turn, and was impatient; a bell that nobody sleeps on.
    let other = semaphore.try_clone().unwrap();
    for (byte, word) in [(0, 77 << 16 | 3 << 2), (16, 1), (24, 0xffff_ffff)] {
        scene.poke(byte, word);
        drop(other.acquire_deadline(soon()).unwrap());
    }
    scene.poke(0, u64::MAX);
    let all = other.acquire_deadline(soon()).unwrap();
    let told = other.acquire_many_deadline(1, soon()).unwrap_err();
    assert!(matches!(told, Error::Garbage { .. }), "{told}");
    drop((permit, all));
}

/// A permit in use is freed by somebody's garbage, so it is taken twice. Each call ends, and so does each drop.
#[test]
fn a_permit_that_garbage_frees_is_taken_twice() {
    let scene = Scene::new();
    let semaphore = scene.create(4);
    let first = semaphore.acquire_many(2).unwrap();
    for number in 0..4 {
        scene.poke(PERMITS + 8 * number, 0);
    }
    let second = semaphore.acquire_many(2).unwrap();
    assert!(first.count() <= 4 && second.count() <= 4, "{first:?} {second:?}");
    drop(first);
    drop(second);
    // A call that has one permit waits for another, and takes the one that it has.
    drop(scene.create_anew(2));
    let semaphore = Semaphore::open(scene.path()).unwrap();
    let held = semaphore.try_clone().unwrap();
    let held = held.acquire().unwrap();
    std::thread::scope(|scope| {
        let semaphore = semaphore.try_clone().unwrap();
        let waits = scope.spawn(move || {
            let taken = semaphore.acquire_many_deadline(2, soon());
            taken.map(|permit| permit.count())
        });
        let limit = soon();
        while scene.free() > 0 {
            assert!(Instant::now() < limit, "it does not take the permit that is free");
            std::thread::sleep(Duration::from_millis(1));
        }
        for number in 0..2 {
            scene.poke(PERMITS + 8 * number, 0);
        }
        assert!(waits.join().unwrap().is_ok_and(|count| count <= 2));
    });
    drop(held);
}
