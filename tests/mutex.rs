//! Mutexes in files and on the heap: what the next holder finds, who waits, what is refused.

#[path = "mutex/files.rs"]
mod files;
#[path = "mutex/words.rs"]
mod words;

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use quoit::sync::{Mutex, SyncOptions};
use quoit::{Error, ErrorKind, Typed};
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
    of::<63>();
    of::<64>();
    of::<65>();
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
