//! The forms of a call: what one object has, those like it have too, and it does the same on the heap and in a file.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use quoit::sync::{
    Condvar, Latch, Latest, LatestBytes, LatestBytesReader, LatestOptions, LatestReader, Mutex, RwLock,
    Semaphore, SyncOptions, Table, TableOptions, TableReader,
};
use quoit::{Error, Typed};
use tempfile::TempDir;

const SHORT: Duration = Duration::from_millis(5);

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(8)
}

fn scene() -> (TempDir, PathBuf) {
    let directory = tempfile::Builder::new().prefix("quoit-test-").tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("object");
    (directory, path)
}

fn is_late<T>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::TimedOut)));
}

/// Runs it while another thread, which would otherwise wait for itself, has what is waited for.
fn elsewhere(work: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(work).join().unwrap());
}

#[test]
fn an_abandoned_mutex_is_recovered_in_every_form() {
    let (_directory, path) = scene();
    for mut first in
        [Mutex::local(&options(), &1_u64).unwrap(), Mutex::create(&path, &options(), &1_u64).unwrap()]
    {
        let mut second = first.try_clone().unwrap();
        let guard = first.lock().unwrap();
        elsewhere(|| {
            assert!(second.try_recover().unwrap().is_none());
            let begin = Instant::now();
            is_late(second.recover_timeout(SHORT));
            assert!(begin.elapsed() >= SHORT);
        });
        guard.abandon();
        assert!(second.try_recover().unwrap().unwrap().is_abandoned());
        assert!(matches!(second.try_lock(), Err(Error::Abandoned)));
        second.recover_timeout(SHORT).unwrap().recovered();
        assert!(first.try_lock().unwrap().is_some());
    }
}

#[test]
fn an_abandoned_lock_is_read_and_recovered_in_every_form() {
    let (_directory, path) = scene();
    for mut first in
        [RwLock::local(&options(), &1_u64).unwrap(), RwLock::create(&path, &options(), &1_u64).unwrap()]
    {
        let mut second = first.try_clone().unwrap();
        let mut guard = first.write().unwrap();
        *guard = 2;
        elsewhere(|| {
            assert!(second.try_recover().unwrap().is_none() && second.try_read_anyway().unwrap().is_none());
            is_late(second.recover_timeout(SHORT));
            is_late(second.read_anyway_timeout(SHORT));
        });
        guard.abandon();
        assert!(matches!(second.try_read(), Err(Error::Abandoned)));
        let reading = second.try_read_anyway().unwrap().unwrap();
        assert_eq!((*reading, reading.is_abandoned()), (1, true), "what was not committed is gone");
        assert!(first.read_anyway_timeout(SHORT).unwrap().is_abandoned());
        drop(reading);
        assert!(second.try_recover().unwrap().unwrap().is_abandoned());
        second.recover_timeout(SHORT).unwrap().recovered();
        assert_eq!(*first.read().unwrap(), 1);
    }
}

#[test]
fn what_was_forgotten_of_a_lock_is_given_back() {
    let (_directory, path) = scene();
    for mut first in
        [RwLock::local(&options(), &1_u64).unwrap(), RwLock::create(&path, &options(), &1_u64).unwrap()]
    {
        let mut second = first.try_clone().unwrap();
        std::mem::forget(first.read().unwrap());
        assert!(second.try_write().unwrap().is_none());
        first.give_back_forgotten();
        assert!(second.try_write().unwrap().is_some());
        let mut guard = first.write().unwrap();
        *guard = 2;
        std::mem::forget(guard);
        assert!(second.try_read().unwrap().is_none() && second.regain_forgotten().unwrap().is_none());
        // Readers that come and go are nothing to it.
        assert_eq!(*first.regain_forgotten().unwrap().unwrap(), 1);
        let mut guard = first.write().unwrap();
        *guard = 2;
        std::mem::forget(guard);
        first.give_back_forgotten();
        assert_eq!(*second.try_read().unwrap().unwrap(), 1);
        assert!(!second.is_abandoned());
        // What it does not hold stays with others.
        let _guard = second.write().unwrap();
        first.give_back_forgotten();
        assert!(first.try_read().unwrap().is_none());
    }
}

#[test]
fn who_has_waited_behind_a_writer_is_impatient() {
    let first = RwLock::local(&options(), &1_u64).unwrap();
    let (mut writer, mut reader) = (first.try_clone().unwrap(), first.try_clone().unwrap());
    assert!(!first.is_somebody_impatient());
    let guard = writer.write().unwrap();
    let waiting = thread::spawn(move || *reader.read_deadline(soon()).unwrap());
    while !first.is_somebody_impatient() {
        thread::yield_now();
    }
    drop(guard);
    assert_eq!(waiting.join().unwrap(), 1);
    assert!(!first.is_somebody_impatient());
}

#[test]
fn waits_for_several_permits_and_for_changes_have_a_limit() {
    let semaphore = Semaphore::local(&options(), 3).unwrap();
    let other = semaphore.try_clone().unwrap();
    let permit = other.acquire_many_timeout(2, SHORT).unwrap();
    let begin = Instant::now();
    is_late(semaphore.acquire_many_timeout(2, SHORT));
    assert!(begin.elapsed() >= SHORT);
    assert_eq!(semaphore.available(), 1);
    drop(permit);
    assert_eq!(semaphore.acquire_many_timeout(3, SHORT).unwrap().count(), 3);

    let condvar = Condvar::local(&options()).unwrap();
    let mut mutex = Mutex::local(&options(), &0_u64).unwrap();
    let mut guard = mutex.lock().unwrap();
    *guard = 3;
    let begin = Instant::now();
    // It may have the lock once more when the time is over.
    match condvar.wait_timeout(guard, SHORT) {
        Ok(guard) => is_late(condvar.wait_timeout(guard, Duration::ZERO)),
        late => is_late(late),
    }
    assert!(begin.elapsed() >= SHORT);
    let (notify, mut store) = (condvar.try_clone().unwrap(), mutex.try_clone().unwrap());
    let guard = mutex.lock().unwrap();
    let other = thread::spawn(move || {
        *store.lock().unwrap() += 1;
        notify.notify_all().unwrap();
    });
    let guard = condvar.wait_timeout(guard, Duration::from_secs(20)).unwrap();
    let guard = condvar.wait_while_deadline(guard, soon(), |value| *value == 3).unwrap();
    assert_eq!(*guard, 4);
    other.join().unwrap();
}

#[test]
fn a_latch_says_that_it_is_broken() {
    let latch = Latch::local(&options(), 1).unwrap();
    assert!(!latch.is_broken().unwrap());
    drop(latch.join().unwrap());
    assert!(matches!(latch.wait(), Err(Error::Broken)));
    assert!(latch.is_broken().unwrap());
    let party = latch.join().unwrap();
    latch.reset().unwrap();
    assert!(!latch.is_broken().unwrap());
    assert!(party.arrive().unwrap());
    assert!(!latch.is_broken().unwrap());
}

#[test]
fn a_row_is_set_in_every_form() {
    let (_directory, path) = scene();
    let options = TableOptions::new(2);
    for table in [Table::local(&options, &0_u64).unwrap(), Table::create(&path, &options, &0_u64).unwrap()] {
        let other = table.try_clone().unwrap();
        let mut row = table.row(0).unwrap();
        assert_eq!(row.set(&1).unwrap(), 2);
        let third = table.try_clone().unwrap();
        elsewhere(move || {
            assert_eq!(third.try_set(0, &9).unwrap(), None);
            is_late(third.set_timeout(0, &9, SHORT));
            is_late(third.set_deadline(0, &9, Instant::now()));
            assert_eq!(third.try_set(1, &9).unwrap(), Some(2));
        });
        assert_eq!(table.try_set(0, &9).unwrap(), None, "this handle has it");
        drop(row);
        assert_eq!(table.get(0).unwrap(), 1);
        assert_eq!(other.try_set(0, &2).unwrap(), Some(3));
        assert_eq!(other.set_timeout(0, &3, SHORT).unwrap(), 4);
        assert_eq!(other.set_deadline(0, &4, soon()).unwrap(), 5);
        assert_eq!(table.get(0).unwrap(), 4);
        assert!(other.try_set(2, &0).is_err() && other.set_timeout(2, &0, SHORT).is_err());
    }
}

#[test]
fn a_reader_asks_for_what_is_new_in_every_form() {
    let mut latest = Latest::local(&LatestOptions::new(), &1_u64).unwrap();
    let mut reader = latest.reader().unwrap();
    assert_eq!([reader.try_next().unwrap(), reader.try_next().unwrap()], [Some(1), None]);
    assert_eq!(reader.next_timeout(SHORT).unwrap(), None);
    latest.set(&2).unwrap();
    assert_eq!(reader.next_timeout(SHORT).unwrap(), Some(2));

    let mut string = LatestBytes::local(&LatestOptions::new(), 8, b"one").unwrap();
    let mut reader = string.reader().unwrap();
    assert_eq!(reader.next().unwrap(), b"one");
    assert_eq!(reader.try_next().unwrap(), None);
    assert_eq!(reader.next_timeout(SHORT).unwrap(), None);
    string.set(b"two").unwrap();
    assert_eq!(reader.try_next().unwrap(), Some(&b"two"[..]));
    let writer = thread::spawn(move || {
        thread::sleep(SHORT);
        string.set(b"three").unwrap();
        assert_eq!(string.get().unwrap(), b"three");
        string
    });
    assert_eq!(reader.next().unwrap(), b"three");
    drop(writer.join().unwrap());

    let table = Table::local(&TableOptions::new(2), &1_u64).unwrap();
    let mut reader = table.reader().unwrap();
    let seen = [reader.try_next().unwrap(), reader.next_timeout(SHORT).unwrap(), reader.try_next().unwrap()];
    assert_eq!(seen, [Some((0, 1)), Some((1, 1)), None]);
    assert_eq!(reader.next_timeout(SHORT).unwrap(), None);
    table.set(1, &2).unwrap();
    assert_eq!(reader.try_next().unwrap(), Some((1, 2)));
}

#[test]
fn a_value_to_write_may_come_later() {
    let (_directory, path) = scene();
    assert!(matches!(Latest::<u64>::open_wait(&path, Instant::now()), Err(Error::NotFound { .. })));
    assert!(matches!(LatestBytes::open_wait(&path, Instant::now()), Err(Error::NotFound { .. })));
    let there = path.clone();
    let waiting = thread::spawn(move || {
        let mut writer = loop {
            // Whoever creates it is its writer for a moment.
            match LatestBytes::open_wait(&there, soon()) {
                Err(Error::WriterAlive { .. }) => thread::yield_now(),
                writer => break writer.unwrap(),
            }
        };
        assert_eq!(writer.get().unwrap(), b"one");
        writer.set(b"two").unwrap()
    });
    thread::sleep(SHORT);
    drop(LatestBytes::create(&path, &LatestOptions::new(), 8, b"one").unwrap());
    assert_eq!(waiting.join().unwrap(), 2);
    std::fs::remove_file(&path).unwrap();
    drop(Latest::create(&path, &LatestOptions::new(), &7_u64).unwrap());
    assert_eq!(Latest::<u64>::open_wait(&path, soon()).unwrap().get().unwrap(), 7);
}

/// The file has no name any more.
#[test]
fn handles_on_latest_values_come_from_handles() {
    let (_directory, path) = scene();
    let options = LatestOptions::new();
    for mut latest in [Latest::local(&options, &1_u64).unwrap(), Latest::create(&path, &options, &1).unwrap()]
    {
        let _ = std::fs::remove_file(&path);
        let mut reader = latest.reader().unwrap();
        let mut other = reader.try_clone().unwrap();
        assert_eq!((reader.next().unwrap(), other.next().unwrap()), (1, 1));
        assert!(matches!(reader.next_writer(), Err(Error::WriterAlive { .. })));
        latest.set(&2).unwrap();
        drop(latest);
        assert!(!reader.writer_alive());
        let mut next = other.next_writer().unwrap();
        assert!(reader.writer_alive() && matches!(reader.next_writer(), Err(Error::WriterAlive { .. })));
        assert_eq!(next.get().unwrap(), 2);
        // It wakes those that the other one woke.
        assert_eq!(reader.next().unwrap(), 2);
        let waiting = thread::spawn(move || reader.next_deadline(soon()).unwrap());
        thread::sleep(SHORT);
        assert_eq!(next.set(&3).unwrap(), 3);
        assert_eq!(waiting.join().unwrap(), Some(3));
    }
}

#[test]
fn handles_on_byte_strings_come_from_handles() {
    let (_directory, path) = scene();
    let options = LatestOptions::new();
    for latest in [
        LatestBytes::local(&options, 8, b"one").unwrap(),
        LatestBytes::create(&path, &options, 8, b"one").unwrap(),
    ] {
        let _ = std::fs::remove_file(&path);
        let reader = latest.reader().unwrap();
        let mut other = reader.try_clone().unwrap();
        assert!(matches!(reader.next_writer(), Err(Error::WriterAlive { .. })));
        drop(latest);
        let mut next = reader.next_writer().unwrap();
        assert_eq!(next.max(), 8);
        assert_eq!(next.get().unwrap(), b"one");
        next.set(b"two").unwrap();
        assert_eq!(other.next().unwrap(), b"two");
    }
    drop(Latest::create(&path, &options, &1_u64).unwrap());
    let number = LatestBytesReader::open(&path).unwrap();
    assert!(matches!(number.next_writer(), Err(Error::WrongSchema { .. })));
}

/// One that may not write the file stays such a one.
#[test]
fn handles_that_only_read_are_cloned() {
    let (_directory, path) = scene();
    let mut latest = Latest::create(&path, &LatestOptions::new(), &1_u64).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let reader = LatestReader::<u64>::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut clone = reader.try_clone().unwrap();
    assert_eq!(clone.next().unwrap(), 1);
    latest.set(&2).unwrap();
    assert_eq!(clone.next_deadline(soon()).unwrap(), Some(2));
    // Root may open it to write all the same.
    drop(latest);
    match reader.next_writer() {
        Ok(next) => assert_eq!(next.get().unwrap(), 2),
        Err(error) => assert!(matches!(error, Error::Permission { .. }), "{error}"),
    }

    fn first<T: Typed>(mut reader: TableReader<T>) -> (u32, T) {
        reader.next().unwrap()
    }
    let table = Table::create(&path, &TableOptions::new(1), &5_u64).unwrap();
    assert_eq!(first(table.reader().unwrap().try_clone().unwrap()), (0, 5));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let reader = TableReader::<u64>::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(first(reader.try_clone().unwrap()), (0, 5));
    assert_eq!(first(Table::local(&TableOptions::new(1), &6_u64).unwrap().reader().unwrap()), (0, 6));
}
