//! Every single bit of what locks keep in their seats and words, flipped one at a time between two calls: each call
//! has an answer in time, or a typed error, and with the bit put back the lock works again.

use std::fmt::Debug;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::{Event, Mutex, Reset, Semaphore, SyncOptions};

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
