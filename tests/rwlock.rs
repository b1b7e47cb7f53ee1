//! Reader-writer locks in files and on the heap: who is in together, who waits, what is refused.

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use quoit::sync::{Mutex, RwLock, SyncOptions};
use quoit::{Error, Kind, Typed};
use tempfile::TempDir;

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rwlock")
    }
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

/// The same lock in a file and on the heap.
fn on_each<T: Typed>(first: &T, test: impl Fn(RwLock<T>)) {
    test(RwLock::local(&options(), first).expect("on the heap"));
    let scene = Scene::new();
    test(RwLock::create(scene.path(), &options(), first).expect("create"));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn readers_are_in_together_and_writers_alone() {
    on_each(&1_u64, |mut first| {
        let mut second = first.try_clone().unwrap();
        let mut third = first.try_clone().unwrap();
        let one = first.read().unwrap();
        let two = second.try_read().unwrap().expect("beside the first");
        assert_eq!((*one, *two, one.version().unwrap()), (1, 1, 1));
        assert!(third.try_write().unwrap().is_none());
        assert_eq!(third.readers().unwrap().len(), 2);
        assert!(third.readers().unwrap().iter().all(|reader| reader.is_alive));
        drop((one, two));
        let mut guard = third.write().unwrap();
        assert!(first.try_read().unwrap().is_none() && second.try_write().unwrap().is_none());
        assert_eq!(first.writer().unwrap().expect("it writes").pid, std::process::id());
        *guard = 2;
        assert_eq!(first.get().unwrap(), 1, "not committed");
        guard.save().unwrap();
        assert_eq!(first.get().unwrap(), 2, "without the lock");
        *guard = 3;
        guard.discard();
        assert_eq!(*first.read().unwrap(), 2);
        let mut guard = second.write().unwrap();
        *guard = 4;
        drop(guard);
        assert_eq!(*first.read().unwrap(), 4);
    });
}

#[test]
fn readers_and_writers_under_load() {
    on_each(&[0_u64; 16], |mut lock| {
        const TURNS: u64 = 1000;
        let inside = AtomicI64::new(0);
        let handles: Vec<_> = (0..5).map(|_| lock.try_clone().unwrap()).collect();
        std::thread::scope(|scope| {
            for (number, mut handle) in handles.into_iter().enumerate() {
                let inside = &inside;
                scope.spawn(move || {
                    let mut last = 0;
                    for _ in 0..TURNS {
                        if number < 2 {
                            let mut guard = handle.write().unwrap();
                            assert_eq!(inside.swap(-1, Ordering::SeqCst), 0, "a writer is alone");
                            guard.iter_mut().for_each(|word| *word += 1);
                            inside.store(0, Ordering::SeqCst);
                            continue;
                        }
                        let guard = handle.read().unwrap();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) >= 0, "a writer is there");
                        assert!(guard.iter().all(|word| *word == guard[0]) && guard[0] >= last);
                        last = guard[0];
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(guard);
                        if let Ok(value) = handle.get() {
                            assert!(value.iter().all(|word| *word == value[0]), "half a value");
                        }
                    }
                });
            }
        });
        assert_eq!(lock.read().unwrap()[0], 2 * TURNS);
        assert_eq!(lock.write().unwrap().version().unwrap(), 2 * TURNS + 1);
    });
}

#[test]
fn waits_end_in_time_and_leave_nothing() {
    on_each(&0_u64, |mut first| {
        let mut second = first.try_clone().unwrap();
        let guard = first.read().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let begin = Instant::now();
                let late = second.write_timeout(Duration::from_millis(30)).unwrap_err();
                assert!(matches!(late, Error::TimedOut) && begin.elapsed() >= Duration::from_millis(30));
                assert!(matches!(second.write_deadline(begin), Err(Error::TimedOut)));
                assert!(second.try_read().unwrap().is_some(), "no writer waits any more");
            });
        });
        drop(guard);
        let guard = second.write().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(first.read_timeout(Duration::from_millis(5)), Err(Error::TimedOut)));
                assert!(matches!(first.read_deadline(Instant::now()), Err(Error::TimedOut)));
                assert!(first.readers().unwrap().is_empty());
            });
        });
        drop(guard);
        assert!(first.try_write().unwrap().is_some());
    });
}

/// A reader that comes while a writer waits, waits too.
#[test]
fn writers_go_first() {
    on_each(&0_u64, |mut first| {
        let (mut writer, mut late) = (first.try_clone().unwrap(), first.try_clone().unwrap());
        let reading = first.read().unwrap();
        let writing = std::thread::spawn(move || {
            *writer.write_deadline(soon()).unwrap() = 1;
        });
        while late.writer().unwrap().is_none() {
            std::thread::yield_now();
        }
        assert!(late.try_read().unwrap().is_none());
        let waiting = std::thread::spawn(move || *late.read_deadline(soon()).unwrap());
        drop(reading);
        writing.join().unwrap();
        assert_eq!(waiting.join().unwrap(), 1);
    });
}

#[test]
fn a_writer_that_panics_abandons_and_a_reader_does_not() {
    on_each(&1_u64, |mut lock| {
        let mut other = lock.try_clone().unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.read().unwrap();
            std::panic::resume_unwind(Box::new("as planned"));
        }));
        assert!(panicked.is_err() && other.try_write().unwrap().is_some());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            *lock.write().unwrap() = 9;
            let mut guard = lock.write().unwrap();
            *guard = 10;
            std::panic::resume_unwind(Box::new("as planned"));
        }));
        assert!(panicked.is_err() && other.is_abandoned());
        for _ in 0..2 {
            assert!(matches!(other.read(), Err(Error::Abandoned)));
            assert!(matches!(lock.try_read(), Err(Error::Abandoned)));
            assert!(matches!(other.write(), Err(Error::Abandoned)));
            assert_eq!(other.get().unwrap(), 9, "the value is whole all the same");
            let guard = other.read_anyway().unwrap();
            assert!(guard.is_abandoned() && *guard == 9);
            assert!(lock.read_anyway_deadline(Instant::now()).is_ok(), "beside the other reader");
        }
        let mut guard = other.recover().unwrap();
        assert!(guard.is_abandoned());
        guard.recovered();
        assert!(matches!(lock.read_anyway_deadline(Instant::now()), Err(Error::TimedOut)));
        drop(guard);
        assert!(!lock.read_anyway().unwrap().is_abandoned());
        assert_eq!(*lock.read().unwrap(), 9);
    });
}

#[test]
fn a_thread_that_would_wait_for_itself_is_told() {
    on_each(&(), |mut first| {
        let mut second = first.try_clone().unwrap();
        let guard = first.read().unwrap();
        assert!(matches!(second.write(), Err(Error::Deadlock)));
        assert!(second.try_write().unwrap().is_none() && second.try_read().unwrap().is_some());
        drop(guard);
        let guard = first.write().unwrap();
        assert!(matches!(second.read(), Err(Error::Deadlock)));
        assert!(matches!(second.write(), Err(Error::Deadlock)));
        drop(guard);
        assert!(second.write().is_ok());
    });
}

#[test]
fn forgotten_guards_are_given_back() {
    on_each(&(), |mut first| {
        let mut second = first.try_clone().unwrap();
        std::mem::forget(first.read().unwrap());
        assert!(second.try_write().unwrap().is_none());
        assert!(first.try_write().unwrap().is_some(), "its own handle has what it forgot");
        std::mem::forget(first.read().unwrap());
        drop(first.read().unwrap());
        assert!(second.try_write().unwrap().is_some());
        std::mem::forget(first.write().unwrap());
        assert!(second.try_read().unwrap().is_none());
        assert!(first.try_read().unwrap().is_some() && second.try_write().unwrap().is_some());
        std::mem::forget(first.read().unwrap());
        drop(first);
        assert!(second.try_write().unwrap().is_some());
    });
}

#[test]
fn what_is_no_such_lock_is_refused() {
    let scene = Scene::new();
    let path = scene.path();
    assert!(matches!(RwLock::<u64>::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(RwLock::<u64>::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let lock = RwLock::open_or_create(&path, &options(), &3_u64).unwrap();
    assert!(matches!(RwLock::create(&path, &options(), &3_u64).unwrap_err(), Error::Exists { .. }));
    assert_eq!(RwLock::open_or_create(&path, &options(), &4_u64).unwrap().get().unwrap(), 3);
    assert!(matches!(RwLock::<u32>::open(&path).unwrap_err(), Error::WrongSchema { .. }));
    let refused = Mutex::<u64>::open(&path).unwrap_err();
    assert!(matches!(refused, Error::OtherKind { found: Kind::RwLock, wanted: Kind::Mutex, .. }));
    assert!(refused.to_string().contains("a reader-writer lock, not a mutex"), "{refused}");
    drop(lock);

    // Marks of readers that nobody is, and of one that could have been somebody.
    let mut lock = RwLock::<u64>::open(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&u64::to_le_bytes(1), 4096 + 64 * 5 + 32).unwrap();
    assert!(lock.write_deadline(Instant::now()).is_ok(), "one try asks whether readers live");
    for mark in [1, 77, u64::MAX] {
        file.write_all_at(&u64::to_le_bytes(mark), 4096 + 64 * 5 + 32).unwrap();
        drop(lock.write_deadline(soon()).unwrap());
        assert!(lock.readers().unwrap().is_empty(), "the dead are forgotten");
    }
    file.write_all_at(&u64::to_le_bytes(u64::MAX), 8192).unwrap();
    assert!(matches!(lock.read(), Err(Error::Garbage { .. })));
    assert!(matches!(lock.write(), Err(Error::Garbage { .. })));
    assert_eq!(lock.get().unwrap(), 3);
}
