//! Every single bit of what locks keep in their seats and words, flipped one at a time between two calls: each call
//! has an answer in time, or a typed error, and with the bit put back the lock works again.

use std::fmt::Debug;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::{
    Barrier, Condvar, Event, Latch, Mutex, Once, Reset, RwLock, Semaphore, SyncOptions, Table, TableOptions,
    TableReader,
};

const SEATS: u32 = 3;
/// Where their blocks are.
const CONTROL: Range<usize> = 4096..4096 + 64 * SEATS as usize;
/// Where the data area begins.
const DATA: usize = 8192;

fn options() -> SyncOptions {
    SyncOptions::new().seats(SEATS)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// What may be told of a lock with garbage in it.
#[track_caller]
fn answered<T: Debug>(tried: Result<T, Error>) {
    let is_expected = matches!(
        tried,
        Ok(_)
            | Err(Error::Garbage { .. }
                | Error::Abandoned
                | Error::Broken
                | Error::Busy
                | Error::TimedOut
                | Error::Deadlock
                | Error::SeatsTaken { .. })
    );
    assert!(is_expected, "{tried:?}");
}

/// Flips each bit of the seats and of so many bytes of the data area, uses the lock, puts everything back, and uses it
/// again.
fn each_bit<T>(path: &Path, data: usize, mut lock: T, with_garbage: fn(&mut T), afterwards: fn(&mut T)) {
    let file = File::options().write(true).open(path).expect("open");
    let whole = std::fs::read(path).expect("read");
    for byte in CONTROL.chain(DATA..DATA + data) {
        for bit in 0..8 {
            file.write_all_at(&[whole[byte] ^ 1 << bit], byte as u64).expect("write");
            with_garbage(&mut lock);
            file.write_all_at(&whole[CONTROL.start..], CONTROL.start as u64).expect("write");
            afterwards(&mut lock);
        }
    }
}

#[test]
fn mutexes() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("mutex");
    let first = Mutex::create(&path, &options(), &[1_u64; 2]).expect("create");
    let second = first.try_clone().expect("a handle");
    each_bit(
        &path,
        32 + 2 * 16,
        [first, second],
        |[first, second]| {
            answered(first.holder());
            first.waiting();
            first.is_abandoned();
            answered(first.try_lock().map(drop));
            answered(second.lock_deadline(Instant::now()).map(drop));
            answered(second.recover_deadline(Instant::now()).map(|mut guard| guard.recovered()));
            answered(first.try_clone().map(drop));
        },
        |[first, _]| assert_eq!(*first.lock_deadline(soon()).expect("lock"), [1; 2]),
    );
}

#[test]
fn semaphores() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("semaphore");
    let first = Semaphore::create(&path, &options(), 3).expect("create");
    let second = first.try_clone().expect("a handle");
    // One of the permits has a holder.
    std::mem::forget(second.acquire().expect("a permit"));
    each_bit(
        &path,
        128 + 3 * 8,
        [first, second],
        |[first, second]| {
            answered(first.holders());
            first.waiting();
            assert!(first.available() <= first.permits());
            answered(first.try_acquire().map(drop));
            answered(second.acquire_many_deadline(2, Instant::now()).map(drop));
            answered(first.try_clone().map(drop));
        },
        |[first, _]| drop(first.acquire_many_deadline(2, soon()).expect("permits")),
    );
}

#[test]
fn events() {
    for reset in [Reset::Manual, Reset::Auto] {
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let path = directory.path().join("event");
        let first = Event::create(&path, &options(), reset).expect("create");
        let second = first.try_clone().expect("a handle");
        each_bit(
            &path,
            16,
            [first, second],
            |[first, second]| {
                answered(first.count());
                first.waiting();
                answered(second.try_wait());
                answered(second.wait_deadline(Instant::now()));
                answered(first.set());
                answered(first.reset());
                answered(first.try_clone().map(drop));
            },
            |[first, second]| {
                first.set().expect("set");
                second.wait_deadline(soon()).expect("its signal");
            },
        );
    }
}

#[test]
fn barriers() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("barrier");
    let first = Barrier::create(&path, &options(), SEATS).expect("create");
    let [second, third] = [(); 2].map(|()| first.try_clone().expect("a party"));
    // It has arrived, and the next look at the file begins with that.
    let _ = second.wait_timeout(Duration::from_nanos(1));
    first.reset().expect("reset");
    each_bit(
        &path,
        128 + 8 * SEATS as usize,
        [first, second, third],
        |[first, second, third]| {
            assert!(first.missing() <= first.parties());
            first.waiting();
            answered(first.is_broken());
            answered(second.try_wait());
            answered(third.wait_deadline(Instant::now()));
            answered(third.abort());
            answered(first.reset());
            answered(first.try_clone().map(drop));
        },
        |parties| {
            let passed = std::thread::scope(|scope| {
                let waits = parties.iter_mut().map(|party| scope.spawn(move || party.wait_deadline(soon())));
                let waits: Vec<_> = waits.collect();
                waits
                    .into_iter()
                    .map(|wait| wait.join().expect("a thread").expect("all are there").round)
                    .collect()
            });
            let passed: Vec<u64> = passed;
            assert!(passed.iter().all(|round| *round == passed[0]));
        },
    );
}

#[test]
fn latches() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("latch");
    // One party has the first seat, and two wait.
    let first = Latch::create(&path, &SyncOptions::new().seats(SEATS - 1), 1).expect("create");
    let second = first.try_clone().expect("a handle");
    each_bit(
        &path,
        128 + 8,
        [first, second],
        |[first, second]| {
            assert!(first.missing() <= first.parties());
            first.waiting();
            answered(second.try_wait());
            answered(second.wait_deadline(Instant::now()));
            answered(first.join().and_then(|party| party.arrive()));
            answered(first.reset());
        },
        |[first, second]| {
            assert!(!second.try_wait().expect("nobody has arrived"));
            let party = first.join().expect("a seat");
            assert!(party.arrive().expect("the last"));
            second.wait_deadline(soon()).expect("it is open");
        },
    );
}

#[test]
fn onces() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("once");
    let first = Once::create(&path, &options()).expect("create");
    let second = first.try_clone().expect("a handle");
    each_bit(
        &path,
        32,
        [first, second],
        |[first, second]| {
            answered(first.holder());
            first.waiting();
            answered(first.is_done());
            answered(first.try_call(|_| {}));
            answered(second.call_deadline(Instant::now(), |_| {}));
            answered(first.try_clone().map(drop));
        },
        |[first, second]| {
            assert!(first.call_deadline(soon(), |_| {}).expect("call"), "it was not done");
            assert!(!second.call(|_| unreachable!()).expect("call"));
        },
    );
}

#[test]
fn condition_variables() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("condvar");
    let first = Condvar::create(&path, &options()).expect("create");
    let second = first.try_clone().expect("a handle");
    let mutex = Mutex::local(&options(), &0_u64).expect("on the heap");
    let other = mutex.try_clone().expect("a handle");
    each_bit(
        &path,
        16,
        (first, second, mutex, other),
        |(first, second, mutex, _)| {
            first.waiting();
            let guard = mutex.lock().expect("lock");
            let limit = Duration::from_micros(20);
            answered(second.wait_while_timeout(guard, limit, |_| true).map(drop));
            answered(first.notify_one());
            answered(first.notify_all());
            answered(first.try_clone().map(drop));
        },
        |(first, second, mutex, other)| {
            *mutex.lock().expect("lock") = 0;
            std::thread::scope(|scope| {
                let waits = scope.spawn(move || {
                    let guard = other.lock().expect("lock");
                    second.wait_while_deadline(guard, soon(), |value| *value == 0).map(drop)
                });
                *mutex.lock().expect("lock") = 1;
                first.notify_all().expect("notify");
                waits.join().expect("a thread").expect("it is notified");
            });
        },
    );
}

#[test]
fn reader_writer_locks() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("rwlock");
    let first = RwLock::create(&path, &options(), &[1_u64; 2]).expect("create");
    let second = first.try_clone().expect("a handle");
    each_bit(
        &path,
        64 + 2 * 16,
        [first, second],
        |[first, second]| {
            answered(first.writer());
            answered(first.readers());
            first.waiting();
            first.is_abandoned();
            answered(first.get());
            answered(first.try_read().map(drop));
            answered(second.read_deadline(Instant::now()).map(drop));
            answered(second.write_deadline(Instant::now()).map(drop));
            answered(second.recover_deadline(Instant::now()).map(|mut guard| guard.recovered()));
            answered(first.try_clone().map(drop));
        },
        |[first, second]| {
            assert_eq!(*first.read_deadline(soon()).expect("read"), [1; 2]);
            drop(second.write_deadline(soon()).expect("write"));
        },
    );
}

#[test]
fn tables() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("table");
    let first = Table::create(&path, &TableOptions::new(2).seats(SEATS), &[1_u64; 2]).expect("create");
    let second = first.try_clone().expect("a handle");
    let reader = TableReader::<[u64; 2]>::open(&path).expect("open");
    each_bit(
        &path,
        128 + 2 * 64 + 2 * 64,
        (first, second, reader),
        |(first, second, reader)| {
            first.waiting();
            for row in 0..2 {
                answered(first.writer(row));
                answered(reader.writer_alive(row));
                answered(first.get(row));
                answered(reader.get(row));
                answered(reader.next_deadline(Instant::now()));
                answered(first.try_row(row).map(drop));
                answered(second.row_deadline(row, Instant::now()).and_then(|mut row| row.set(&[2; 2])));
            }
            answered(first.try_clone().map(drop));
        },
        |(first, second, reader)| {
            for row in 0..2 {
                assert_eq!(reader.get(row).expect("read"), [1; 2]);
                drop(first.row_deadline(row, soon()).expect("the row"));
                drop(second.row_deadline(row, soon()).expect("the row"));
            }
        },
    );
}
