//! Mutexes in files and on the heap: what the next holder finds, who waits, what is refused.

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use quoit::sync::{Latest, LatestOptions, LatestReader, Mutex, SyncOptions};
use quoit::{Attach, Consumer, Error, ErrorKind, Kind, Options, Schema, Typed};
use tempfile::TempDir;

/// A directory for files that go with it.
struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mutex")
    }

    fn create<T: Typed>(&self, first: &T) -> Mutex<T> {
        Mutex::create(self.path(), &options(), first).expect("create")
    }

    /// Overwrites a word of the data area, as another process could.
    fn poke(&self, byte: u64, word: u64) {
        let file = std::fs::File::options().write(true).open(self.path()).expect("open");
        file.write_all_at(&word.to_le_bytes(), DATA + byte).expect("write");
    }
}

/// Where the data area begins, with the number of seats in `options`.
const DATA: u64 = 8192;

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

/// The same mutex in a file and on the heap.
fn on_each<T: Typed>(first: &T, test: impl Fn(Mutex<T>)) {
    test(Mutex::local(&options(), first).expect("on the heap"));
    test(Scene::new().create(first));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Leaves the mutex as a holder does that panics after a change.
fn panic_in<T: Typed>(mutex: &mut Mutex<T>, change: impl FnOnce(&mut T)) {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = mutex.recover().unwrap();
        change(&mut guard);
        std::panic::resume_unwind(Box::new("as planned"));
    }));
    assert!(panicked.is_err());
}

#[test]
fn the_next_holder_has_what_was_committed() {
    on_each(&[7_u64, 8], |mut first| {
        let mut second = first.try_clone().unwrap();
        let mut guard = first.lock().unwrap();
        assert_eq!((*guard, guard.version().unwrap()), ([7, 8], 1));
        guard[0] = 9;
        guard.commit().unwrap();
        let mut guard = second.lock().unwrap();
        assert_eq!((*guard, guard.version().unwrap()), ([9, 8], 2));
        *guard = [1, 2];
        guard.discard();
        let mut guard = first.lock().unwrap();
        assert_eq!(*guard, [9, 8], "a change that was discarded");
        guard[1] = 3;
        drop(guard);
        let guard = second.lock().unwrap();
        assert_eq!((*guard, guard.version().unwrap()), ([9, 3], 3), "dropped, and so committed");
        guard.commit().unwrap();
        assert_eq!(first.lock().unwrap().version().unwrap(), 3, "nothing was changed");
    });
}

#[test]
fn a_saved_value_is_committed_and_the_lock_kept() {
    on_each(&0_u64, |mut first| {
        let mut second = first.try_clone().unwrap();
        let mut guard = first.lock().unwrap();
        *guard = 1;
        guard.save().unwrap();
        assert!(second.try_lock().unwrap().is_none());
        *guard = 2;
        guard.discard();
        assert_eq!(*second.lock().unwrap(), 1);
    });
}

#[test]
fn values_of_every_size_are_whole() {
    fn of<const N: usize>() {
        on_each(&[1_u8; N], |mut mutex| {
            for number in 2..40 {
                let mut guard = mutex.lock().unwrap();
                assert_eq!(*guard, [number - 1; N]);
                *guard = [number; N];
            }
        });
    }
    of::<0>();
    of::<1>();
    of::<7>();
    of::<8>();
    of::<9>();
    of::<127>();
    of::<128>();
    of::<5000>();
}

#[test]
fn one_holds_it_at_a_time() {
    on_each(&[0_u64; 20], |mut mutex| {
        const TURNS: u64 = 3000;
        let handles: Vec<_> = (0..4).map(|_| mutex.try_clone().unwrap()).collect();
        let threads: Vec<_> = handles
            .into_iter()
            .map(|mut handle| {
                std::thread::spawn(move || {
                    for _ in 0..TURNS {
                        let mut guard = handle.lock().unwrap();
                        assert!(guard.iter().all(|word| *word == guard[0]));
                        guard.iter_mut().for_each(|word| *word += 1);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let guard = mutex.lock().unwrap();
        assert_eq!((guard[0], guard.version().unwrap()), (4 * TURNS, 4 * TURNS + 1));
    });
}

#[test]
fn a_lock_that_is_held_is_not_taken() {
    on_each(&(), |mut first| {
        let mut second = first.try_clone().unwrap();
        let guard = first.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(second.try_lock().unwrap().is_none());
                let begin = Instant::now();
                let late = second.lock_timeout(Duration::from_millis(30)).unwrap_err();
                assert!(matches!(late, Error::TimedOut) && late.kind() == ErrorKind::TimedOut);
                assert!(begin.elapsed() >= Duration::from_millis(30));
                assert!(matches!(second.lock_deadline(begin), Err(Error::TimedOut)), "one try");
                assert!(matches!(second.recover_deadline(begin), Err(Error::TimedOut)));
                let held = second.holder().unwrap().expect("it is held");
                assert!(held.is_alive && held.pid == std::process::id());
            });
        });
        drop(guard);
        assert!(second.holder().unwrap().is_none());
        assert!(second.try_lock().unwrap().is_some());
        assert!(second.lock_deadline(Instant::now()).is_ok(), "free, so the time does not matter");
    });
}

#[test]
fn sleepers_are_woken_and_listed() {
    on_each(&0_u64, |mut first| {
        let sleepers: Vec<_> = (0..3).map(|_| first.try_clone().unwrap()).collect();
        let guard = first.lock().unwrap();
        let threads: Vec<_> = sleepers
            .into_iter()
            .map(|mut sleeper| {
                std::thread::spawn(move || {
                    *sleeper.lock_deadline(soon()).unwrap() += 1;
                })
            })
            .collect();
        drop(guard);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut looking = first.try_clone().unwrap();
        let mut last = first.try_clone().unwrap();
        let guard = first.lock().unwrap();
        assert_eq!(*guard, 3);
        let thread = std::thread::spawn(move || drop(last.lock_deadline(soon()).unwrap()));
        // Between two slices it does not sleep.
        while looking.waiting().is_empty() {
            std::thread::yield_now();
        }
        drop(guard);
        thread.join().unwrap();
        assert_eq!(looking.waiting(), []);
        assert!(looking.try_lock().unwrap().is_some());
    });
}

/// Whoever locks again as soon as it has unlocked lets a sleeper go first, which would else never get its turn.
#[test]
fn a_sleeper_gets_its_turn_beside_a_greedy_one() {
    on_each(&(), |mut patient| {
        const WAITS: u64 = 20;
        let turns = &AtomicU64::new(0);
        let mut greedy = patient.try_clone().unwrap();
        let mut passed = 0;
        std::thread::scope(|scope| {
            // Dropped at the end, however that comes.
            let (_over, is_over) = channel::<()>();
            scope.spawn(move || {
                while is_over.try_recv() == Err(TryRecvError::Empty) {
                    let guard = greedy.lock().unwrap();
                    turns.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(3));
                    drop(guard);
                }
            });
            for _ in 0..WAITS {
                while patient.holder().unwrap().is_none() {
                    std::thread::yield_now();
                }
                let before = turns.load(Ordering::Relaxed);
                drop(patient.lock_deadline(soon()).unwrap());
                passed += turns.load(Ordering::Relaxed) - before;
            }
        });
        assert!(passed < 5 * WAITS, "{passed} times another one was faster");
    });
}

#[test]
fn a_panic_abandons() {
    on_each(&[1_u64, 1], |mut first| {
        let mut second = first.try_clone().unwrap();
        panic_in(&mut first, |value| value[0] = 5);
        for _ in 0..2 {
            let told = second.lock().unwrap_err();
            assert!(matches!(told, Error::Abandoned) && told.kind() == ErrorKind::Abandoned, "{told}");
            assert!(matches!(first.try_lock(), Err(Error::Abandoned)));
            assert!(matches!(first.lock_deadline(soon()), Err(Error::Abandoned)));
            assert!(second.is_abandoned());
        }
        // Not said to be recovered: it stays so.
        let guard = second.recover().unwrap();
        assert!(guard.is_abandoned());
        assert_eq!(*guard, [1, 1], "the change is gone");
        drop(guard);
        assert!(matches!(first.lock(), Err(Error::Abandoned)));
        let mut guard = first.recover().unwrap();
        guard.recovered();
        assert!(!guard.is_abandoned());
        *guard = [2, 2];
        drop(guard);
        assert_eq!(*second.lock().unwrap(), [2, 2]);
        assert!(!second.recover().unwrap().is_abandoned(), "nothing to recover from");
    });
}

/// What is saved before a panic stays.
#[test]
fn a_panic_after_a_save() {
    on_each(&1_u64, |mut mutex| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = mutex.lock().unwrap();
            *guard = 2;
            guard.save().unwrap();
            *guard = 3;
            std::panic::resume_unwind(Box::new("as planned"));
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.recover().unwrap(), 2);
    });
}

/// A guard that begins and ends while a thread unwinds has done its work.
#[test]
fn a_guard_within_a_panic_commits() {
    struct Counts(Mutex<u64>);
    impl Drop for Counts {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    on_each(&0_u64, |mut mutex| {
        let counts = Counts(mutex.try_clone().unwrap());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _counts = counts;
            std::panic::resume_unwind(Box::new("as planned"));
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.lock().unwrap(), 1);
    });
}

#[test]
fn a_forgotten_guard_is_given_back() {
    on_each(&1_u64, |mut first| {
        let mut second = first.try_clone().unwrap();
        let mut guard = first.lock().unwrap();
        *guard = 5;
        std::mem::forget(guard);
        assert!(second.try_lock().unwrap().is_none());
        assert_eq!(*first.lock().unwrap(), 1, "its own handle has the lock still, and not the change");
        assert!(second.try_lock().unwrap().is_some());
        std::mem::forget(first.lock().unwrap());
        assert!(second.try_lock().unwrap().is_none());
        drop(first);
        assert_eq!(*second.lock().unwrap(), 1, "nobody died");
    });
}

#[test]
fn a_thread_that_would_wait_for_itself_is_told() {
    on_each(&(), |mut first| {
        let mut second = first.try_clone().unwrap();
        let guard = first.lock().unwrap();
        let told = second.lock().unwrap_err();
        assert!(matches!(told, Error::Deadlock) && told.kind() == ErrorKind::Deadlock, "{told}");
        assert!(matches!(second.lock_deadline(soon()), Err(Error::Deadlock)));
        assert!(second.try_lock().unwrap().is_none());
        drop(guard);
        // Held by another thread, through a handle that this one used before.
        let (locked, is_locked) = channel();
        let (done, is_done) = channel::<()>();
        let other = std::thread::spawn(move || {
            let guard = first.lock().unwrap();
            locked.send(()).unwrap();
            let _ = is_done.recv();
            drop(guard);
        });
        is_locked.recv().unwrap();
        assert!(matches!(second.lock_timeout(Duration::from_millis(5)), Err(Error::TimedOut)));
        drop(done);
        other.join().unwrap();
        assert!(second.lock_deadline(soon()).is_ok());
    });
}

#[test]
fn a_full_table_of_seats_says_who_has_them() {
    let scene = Scene::new();
    let options = SyncOptions::new().seats(2);
    let first = Mutex::create(scene.path(), &options, &1_u64).unwrap();
    let second = Mutex::<u64>::open(scene.path()).unwrap();
    for refused in [Mutex::<u64>::open(scene.path()).unwrap_err(), first.try_clone().unwrap_err()] {
        assert!(
            matches!(&refused, Error::SeatsTaken { seats: 2, pids } if *pids == [std::process::id()]),
            "{refused}"
        );
        assert_eq!(refused.kind(), ErrorKind::InUse);
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    }
    drop(second);
    for _ in 0..5 {
        assert_eq!(*first.try_clone().unwrap().lock().unwrap(), 1);
    }
    let local = Mutex::local(&SyncOptions::new().seats(1), &()).unwrap();
    assert!(matches!(local.try_clone().unwrap_err(), Error::SeatsTaken { seats: 1, .. }));
}

#[test]
fn files_are_created_opened_and_waited_for() {
    let scene = Scene::new();
    let path = scene.path();
    assert!(matches!(Mutex::<u64>::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Mutex::<u64>::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let waits = path.clone();
    let waiting =
        std::thread::spawn(move || *Mutex::<u64>::open_wait(&waits, soon()).unwrap().lock().unwrap());
    let first = Mutex::open_or_create(&path, &options(), &3_u64).unwrap();
    assert_eq!(waiting.join().unwrap(), 3);
    assert!(matches!(Mutex::create(&path, &options(), &4_u64).unwrap_err(), Error::Exists { .. }));
    let mut second = Mutex::open_or_create(&path, &options(), &4_u64).unwrap();
    assert_eq!(*second.lock().unwrap(), 3, "it was there");
    std::fs::remove_file(&path).unwrap();
    let mut clone = first.try_clone().unwrap();
    *clone.lock().unwrap() = 9;
    assert_eq!(*second.lock().unwrap(), 9, "without a name it is the same still");
    // Everybody has gone, and the file stays.
    let mut again = scene.create(&5_u64);
    *again.lock().unwrap() = 6;
    drop(again);
    assert_eq!(*Mutex::<u64>::open(&path).unwrap().lock().unwrap(), 6);
}

#[test]
fn other_types_and_kinds_are_refused_by_name() {
    let scene = Scene::new();
    let path = scene.path();
    let _mutex = scene.create(&[1_u64, 2]);
    let refused = Mutex::<u64>::open(&path).unwrap_err();
    let (wanted, there) = (Schema::of::<u64>(), Schema::of::<[u64; 2]>());
    assert!(
        matches!(refused, Error::WrongSchema { asked, found: Some(found) } if asked == wanted && found == there)
    );
    let refused = Mutex::open_or_create(&path, &options(), &1_u64).unwrap_err();
    assert!(matches!(refused, Error::WrongSchema { .. }), "{refused}");
    let not_a_ring = Consumer::open(&path, &Attach::lossy()).unwrap_err();
    assert!(not_a_ring.to_string().contains("a mutex, not a ring"), "{not_a_ring}");
    let not_latest = LatestReader::<u64>::open(&path).unwrap_err();
    assert!(not_latest.to_string().contains("a mutex, not a latest value"), "{not_latest}");

    let latest = path.with_file_name("latest");
    let _latest = Latest::create(&latest, &LatestOptions::new(), &[1_u64, 2]).unwrap();
    let ring = path.with_file_name("ring");
    Options::new().capacity(4096).create(&ring).unwrap();
    for (path, is) in [(&latest, Kind::Latest), (&ring, Kind::Ring)] {
        for refused in [
            Mutex::<[u64; 2]>::open(path).unwrap_err(),
            Mutex::open_or_create(path, &options(), &[1_u64, 2]).unwrap_err(),
        ] {
            assert!(
                matches!(refused, Error::OtherKind { found, wanted: Kind::Mutex, .. } if found == is),
                "{refused}"
            );
        }
    }
}

#[test]
fn damaged_files_are_refused() {
    let scene = Scene::new();
    drop(scene.create(&1_u64));
    let whole = std::fs::read(scene.path()).unwrap();
    let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
    let refused = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = whole[..4096].to_vec();
        change(&mut bytes);
        let crc = crc32c::crc32c(&bytes[32..256]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, 0).unwrap();
        Mutex::<u64>::open(scene.path()).unwrap_err()
    };
    let put =
        |at: usize, word: u64| move |bytes: &mut [u8]| bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    // No seats, too many, other seats than the size has room for, a value too large, a word that is not used.
    for (at, word) in
        [(128, 0), (128, 4097), (128, 1000), (136, (1 << 30 | 1) << 32), (136, u64::MAX), (152, 1), (248, 1)]
    {
        let error = refused(&put(at, word));
        assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
    }
    file.write_all_at(&whole, 0).unwrap();
    assert!(Mutex::<u64>::open(scene.path()).is_ok(), "nothing else was wrong");
    // The checksum itself.
    file.write_all_at(&[whole[24] ^ 1], 24).unwrap();
    assert!(matches!(Mutex::<u64>::open(scene.path()).unwrap_err(), Error::Damaged { .. }));
}

/// In a directory that everybody may write to, anybody can be there first.
#[test]
fn another_users_file_is_not_opened_or_created() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this takes root");
        return;
    }
    let scene = Scene::new();
    drop(scene.create(&1_u64));
    std::os::unix::fs::chown(scene.path(), Some(12345), None).expect("give it away");
    let refused = Mutex::open_or_create(scene.path(), &options(), &2_u64).unwrap_err();
    assert!(matches!(refused, Error::ForeignOwner { .. }), "{refused}");
    assert_eq!(*Mutex::<u64>::open(scene.path()).expect("asked for by name").lock().unwrap(), 1);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        SyncOptions::new().seats(0),
        SyncOptions::new().seats(4097),
        SyncOptions::new().mode(0o700),
        SyncOptions::new().mode(0o400),
    ] {
        let refused = Mutex::local(&options, &0_u64).unwrap_err();
        assert!(matches!(refused, Error::BadOption { .. }), "{options:?}: {refused}");
    }
    assert!(Mutex::local(&SyncOptions::new().seats(4096), &0_u64).is_ok());
}

/// Words that another process overwrote are an error, a wrong value, or a lock of somebody who is dead.
#[test]
fn damaged_words_are_told() {
    let scene = Scene::new();
    let mut mutex = scene.create(&1_u64);
    let is_garbage = |error: Error| {
        assert!(matches!(error, Error::Garbage { .. }) && error.kind() == ErrorKind::Corrupt, "{error}");
    };
    // No such seat; no generation; numbers of more bits than there are.
    for word in [1 << 16 | 16 << 2, 1 << 2, 1 << 62 | 1 << 16, u64::MAX] {
        scene.poke(0, word);
        is_garbage(mutex.lock().unwrap_err());
        is_garbage(mutex.try_lock().unwrap_err());
        is_garbage(mutex.holder().unwrap_err());
    }
    // Bits alone are nobody's.
    for word in [1, 2, 3] {
        scene.poke(0, word);
        assert_eq!(*mutex.lock_deadline(soon()).unwrap(), 1);
        assert!(mutex.holder().unwrap().is_none());
    }
    // A number that could be somebody's is that of somebody dead.
    scene.poke(0, 77 << 16 | 3 << 2);
    assert!(!mutex.holder().unwrap().expect("somebody").is_alive);
    assert!(matches!(mutex.lock(), Err(Error::Abandoned)));
    mutex.recover().unwrap().recovered();
    // A watcher that nobody is.
    for watch in [1, 77 << 16, u64::MAX] {
        scene.poke(8, watch);
        let mut other = mutex.try_clone().unwrap();
        let guard = mutex.lock().unwrap();
        let waiting = std::thread::spawn(move || {
            assert!(matches!(other.lock_timeout(Duration::from_millis(8)), Err(Error::TimedOut)));
        });
        waiting.join().unwrap();
        drop(guard);
    }
    scene.poke(24, 9);
    assert!(matches!(mutex.lock(), Err(Error::Abandoned)));
    mutex.recover().unwrap().recovered();
    scene.poke(16, u64::MAX);
    let mut guard = mutex.lock().unwrap();
    *guard = 4;
    guard.commit().unwrap();
    assert_eq!(*mutex.lock().unwrap(), 4, "versions wrap");
}

/// A holder's word is overwritten: it does not give back what is not its own.
#[test]
fn a_robbed_holder_gives_nothing_back() {
    let scene = Scene::new();
    let mut mutex = scene.create(&1_u64);
    let guard = mutex.lock().unwrap();
    scene.poke(0, 77 << 16 | 3 << 2);
    drop(guard);
    assert!(matches!(mutex.try_lock(), Err(Error::Abandoned)));
}

fn is_refused(path: &Path) -> bool {
    matches!(Mutex::<u64>::open(path).unwrap_err(), Error::ReadLocked { what: "a seat" })
}

/// Whoever may read the file can take read locks, and keep others from sitting down.
#[test]
fn a_read_lock_on_the_seats_is_told() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scene = Scene::new();
    let mutex = scene.create(&1_u64);
    let reader = std::fs::File::open(scene.path()).unwrap();
    let mut lock = nix::libc::flock {
        l_type: nix::libc::F_RDLCK as i16,
        l_whence: 0,
        l_start: (1 << 62) + 4096 + 1,
        l_len: 15,
        l_pid: 0,
    };
    fcntl(&reader, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    assert!(is_refused(&scene.path()));
    lock.l_type = nix::libc::F_UNLCK as i16;
    fcntl(&reader, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    assert!(Mutex::<u64>::open(scene.path()).is_ok());
    drop(mutex);
}

#[test]
fn a_handle_knows_whether_its_file_has_gone() {
    let scene = Scene::new();
    let mutex = scene.create(&1_u64);
    assert!(!mutex.is_stale());
    assert!(mutex.proof_of_life().is_ok());
    std::fs::remove_file(scene.path()).unwrap();
    assert!(mutex.is_stale());
    let local = Mutex::local(&options(), &1_u64).unwrap();
    assert!(!local.is_stale());
    let refused = local.proof_of_life().unwrap_err();
    assert!(matches!(refused, Error::BadOption { .. }), "{refused}");
}
