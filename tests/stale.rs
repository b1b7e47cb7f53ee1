//! Who waits for an object whose file is replaced goes on to wait with those who have the old file. After each time-out it
//! may ask whether that is so.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::{
    Barrier, Condvar, Event, Latch, Latest, LatestBytes, LatestBytesReader, LatestOptions, LatestReader,
    Mutex, Once, Reset, RwLock, Semaphore, SyncOptions, Table, TableOptions, TableReader,
};

const SHORT: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> SyncOptions {
    SyncOptions::new().seats(4)
}

fn in_a_directory(test: impl FnOnce(&Path)) {
    let directory = tempfile::Builder::new().prefix("quoit-test-").tempdir_in("/dev/shm").unwrap();
    test(&directory.path().join("object"));
}

fn is_late<T>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::TimedOut)));
}

/// Replaces the file while a thread takes turns of a wait with a limit, each of which returns whether the handle is stale.
/// The first that begins after it must.
fn replace<T>(
    path: &Path,
    create: impl FnOnce(&Path) -> Result<T, Error>,
    mut turn: impl FnMut() -> bool + Send,
) {
    let (has_waited, is_replaced) = (AtomicBool::new(false), AtomicBool::new(false));
    let end = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            loop {
                let is_last = is_replaced.load(Ordering::Acquire);
                if turn() {
                    return;
                }
                assert!(!is_last, "it was not noticed");
                assert!(Instant::now() < end, "it was not replaced");
                has_waited.store(true, Ordering::Release);
            }
        });
        while !has_waited.load(Ordering::Acquire) && !waiting.is_finished() {
            thread::yield_now();
        }
        assert!(!waiting.is_finished(), "stale too early");
        let other = path.with_extension("new");
        let created = create(&other).unwrap();
        std::fs::rename(&other, path).unwrap();
        is_replaced.store(true, Ordering::Release);
        waiting.join().unwrap();
        drop(created);
    });
}

#[test]
fn a_lock_that_is_waited_for() {
    in_a_directory(|path| {
        let mut first = Mutex::create(path, &options(), &1_u64).unwrap();
        let mut waiter = first.try_clone().unwrap();
        let mut third = first.try_clone().unwrap();
        let guard = first.lock().unwrap();
        replace(
            path,
            |new| Mutex::create(new, &options(), &2_u64),
            move || {
                is_late(waiter.lock_timeout(SHORT));
                waiter.is_stale()
            },
        );
        drop(guard);
        assert_eq!(*third.lock().unwrap(), 1, "they go on among themselves");
        let mut newcomer = Mutex::<u64>::open(path).unwrap();
        assert!(first.is_stale() && !newcomer.is_stale());
        assert_eq!(*newcomer.lock().unwrap(), 2);
    });
}

#[test]
fn a_lock_that_is_waited_for_to_read() {
    in_a_directory(|path| {
        let mut first = RwLock::create(path, &options(), &1_u64).unwrap();
        let mut waiter = first.try_clone().unwrap();
        let _guard = first.write().unwrap();
        replace(
            path,
            |new| RwLock::create(new, &options(), &2_u64),
            move || {
                is_late(waiter.read_timeout(SHORT));
                waiter.is_stale()
            },
        );
        assert_eq!(RwLock::<u64>::open(path).unwrap().get().unwrap(), 2);
    });
}

#[test]
fn a_permit_and_an_event_that_are_waited_for() {
    in_a_directory(|path| {
        let semaphore = Semaphore::create(path, &options(), 1).unwrap();
        let waiter = semaphore.try_clone().unwrap();
        let _permit = semaphore.acquire().unwrap();
        replace(
            path,
            |new| Semaphore::create(new, &options(), 1),
            move || {
                is_late(waiter.acquire_timeout(SHORT));
                waiter.is_stale()
            },
        );
        assert!(Semaphore::open(path).unwrap().try_acquire().unwrap().is_some());
    });
    in_a_directory(|path| {
        let waiter = Event::create(path, &options(), Reset::Manual).unwrap();
        let create =
            |new: &Path| Event::create(new, &options(), Reset::Manual).inspect(|event| drop(event.set()));
        replace(path, create, move || {
            is_late(waiter.wait_timeout(SHORT));
            waiter.is_stale()
        });
        assert!(Event::open(path).unwrap().try_wait().unwrap());
    });
}

/// A party that gives up a wait breaks the round, and one that has arrived may look for as long as it wants.
#[test]
fn a_round_that_is_waited_for() {
    in_a_directory(|path| {
        let waiter = Barrier::create(path, &options(), 2).unwrap();
        let other = waiter.try_clone().unwrap();
        waiter.arrive().unwrap();
        replace(
            path,
            |new| Barrier::create(new, &options(), 2),
            move || {
                assert!(waiter.try_wait().unwrap().is_none());
                thread::sleep(SHORT);
                waiter.is_stale()
            },
        );
        assert!(other.is_stale() && !Barrier::open(path).unwrap().is_stale());
    });
    in_a_directory(|path| {
        let waiter = Latch::create(path, &options(), 1).unwrap();
        let party = waiter.join().unwrap();
        let other = waiter.try_clone().unwrap();
        replace(
            path,
            |new| Latch::create(new, &options(), 1),
            move || {
                is_late(waiter.wait_timeout(SHORT));
                waiter.is_stale()
            },
        );
        assert!(party.arrive().unwrap() && other.try_wait().unwrap());
        assert!(!Latch::open(path).unwrap().try_wait().unwrap(), "another latch");
    });
}

#[test]
fn what_is_done_by_another() {
    in_a_directory(|path| {
        let mut first = Once::create(path, &options()).unwrap();
        let mut waiter = first.try_clone().unwrap();
        let deed = |_| {
            replace(
                path,
                |new| Once::create(new, &options()),
                move || {
                    is_late(waiter.call_timeout(SHORT, |_| unreachable!()));
                    waiter.is_stale()
                },
            );
        };
        assert!(first.call(deed).unwrap());
        assert!(first.is_stale() && !Once::open(path).unwrap().is_done().unwrap());
    });
}

#[test]
fn a_change_under_a_lock() {
    in_a_directory(|path| {
        let mut mutex = Mutex::local(&options(), &1_u64).unwrap();
        let waiter = Condvar::create(path, &options()).unwrap();
        replace(
            path,
            |new| Condvar::create(new, &options()),
            move || {
                is_late(waiter.wait_while_timeout(mutex.lock().unwrap(), SHORT, |_| true));
                waiter.is_stale()
            },
        );
        assert!(!Condvar::open(path).unwrap().is_stale());
    });
}

#[test]
fn a_value_that_is_waited_for() {
    in_a_directory(|path| {
        let latest = Latest::create(path, &LatestOptions::new(), &1_u64).unwrap();
        let mut waiter = LatestReader::<u64>::open(path).unwrap();
        assert_eq!(waiter.get().unwrap(), 1);
        assert!(!latest.is_stale());
        replace(
            path,
            |new| Latest::create(new, &LatestOptions::new(), &2_u64),
            move || {
                assert_eq!(waiter.next_timeout(SHORT).unwrap(), None);
                waiter.is_stale()
            },
        );
        assert!(latest.is_stale());
        assert_eq!(LatestReader::<u64>::open(path).unwrap().get().unwrap(), 2);
    });
    in_a_directory(|path| {
        let latest = LatestBytes::create(path, &LatestOptions::new(), 8, b"old").unwrap();
        let mut waiter = latest.reader().unwrap();
        assert_eq!(waiter.get().unwrap(), b"old");
        assert!(!latest.is_stale());
        replace(
            path,
            |new| LatestBytes::create(new, &LatestOptions::new(), 8, b"new"),
            move || {
                assert_eq!(waiter.next_timeout(SHORT).unwrap(), None);
                waiter.is_stale()
            },
        );
        assert!(latest.is_stale());
        assert_eq!(LatestBytesReader::open(path).unwrap().get().unwrap(), b"new");
    });
}

#[test]
fn a_row_that_is_waited_for() {
    in_a_directory(|path| {
        let options = TableOptions::new(1);
        let table = Table::create(path, &options, &1_u64).unwrap();
        let (mut reader, writer) = (TableReader::<u64>::open(path).unwrap(), table.try_clone().unwrap());
        assert_eq!(reader.next().unwrap(), (0, 1));
        let _row = table.row(0).unwrap();
        replace(
            path,
            |new| Table::create(new, &options, &2_u64),
            move || {
                assert_eq!(reader.next_timeout(SHORT).unwrap(), None);
                is_late(writer.set_timeout(0, &9, SHORT));
                assert_eq!(reader.is_stale(), writer.is_stale());
                reader.is_stale()
            },
        );
        assert!(table.is_stale());
        assert_eq!(Table::<u64>::open(path).unwrap().get(0).unwrap(), 2);
    });
}

#[test]
fn nothing_on_the_heap_is_ever_stale() {
    let latest = Latest::local(&LatestOptions::new(), &1_u64).unwrap();
    let table = Table::local(&TableOptions::new(1), &1_u64).unwrap();
    assert!(!latest.is_stale() && !latest.reader().unwrap().is_stale());
    assert!(!table.is_stale() && !table.reader().unwrap().is_stale());
    assert!(!Barrier::local(&options(), 1).unwrap().is_stale());
}
