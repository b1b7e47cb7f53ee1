//! Condition variables in files and on the heap.

use std::time::{Duration, Instant};

use quoit::sync::{Condvar, Mutex, SyncOptions};
use quoit::{Error, Kind};

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

/// A mutex and a condition variable, in files and on the heap.
fn on_each(test: impl Fn(Mutex<u64>, Condvar)) {
    test(Mutex::local(&options(), &0).unwrap(), Condvar::local(&options()).unwrap());
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let file = |name| directory.path().join(name);
    test(
        Mutex::create(file("mutex"), &options(), &0).unwrap(),
        Condvar::create(file("condvar"), &options()).unwrap(),
    );
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn what_is_changed_is_not_slept_through() {
    on_each(|mut stock, changed| {
        const ITEMS: u64 = 2000;
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                let (mut stock, changed) = (stock.try_clone().unwrap(), changed.try_clone().unwrap());
                std::thread::spawn(move || {
                    let mut taken = 0;
                    loop {
                        let guard = stock.lock().unwrap();
                        let mut guard =
                            changed.wait_while_deadline(guard, soon(), |stock| *stock == 0).unwrap();
                        if *guard == u64::MAX {
                            return taken;
                        }
                        *guard -= 1;
                        taken += 1;
                    }
                })
            })
            .collect();
        for item in 0..ITEMS {
            *stock.lock().unwrap() += 1;
            if item % 2 == 0 { changed.notify_one().unwrap() } else { changed.notify_all().unwrap() }
        }
        while *stock.lock().unwrap() > 0 {
            std::thread::yield_now();
        }
        *stock.lock().unwrap() = u64::MAX;
        changed.notify_all().unwrap();
        let taken: u64 = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
        assert_eq!(taken, ITEMS);
    });
}

#[test]
fn a_wait_ends_in_time_and_commits_before() {
    on_each(|mut mutex, condvar| {
        let mut guard = mutex.lock().unwrap();
        *guard = 5;
        let begin = Instant::now();
        let late = condvar.wait_while_timeout(guard, Duration::from_millis(30), |_| true).unwrap_err();
        assert!(matches!(late, Error::TimedOut) && begin.elapsed() >= Duration::from_millis(30));
        let guard = mutex.try_lock().unwrap().expect("the lock is not held after that");
        assert_eq!(*guard, 5, "what was changed before the wait");
        assert!(matches!(condvar.wait_deadline(guard, begin), Err(Error::TimedOut)));
        let guard = mutex.lock().unwrap();
        let guard = condvar.wait_while_deadline(guard, begin, |value| *value != 5).unwrap();
        assert_eq!(*guard, 5, "there was nothing to wait for");
    });
}

#[test]
fn who_waits_is_told_of_a_panic() {
    on_each(|mut mutex, condvar| {
        let (mut other, waits) = (mutex.try_clone().unwrap(), condvar.try_clone().unwrap());
        let waiting = std::thread::spawn(move || {
            let guard = other.lock().unwrap();
            waits.wait_while_deadline(guard, soon(), |value| *value == 0).map(drop)
        });
        while condvar.waiting().is_empty() {
            std::thread::yield_now();
        }
        let panicked = std::thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _guard = mutex.lock().unwrap();
                std::panic::resume_unwind(Box::new("as planned"));
            });
            panics.join().is_err()
        });
        assert!(panicked);
        // Nobody notifies: it looks for itself.
        assert!(matches!(waiting.join().unwrap(), Err(Error::Abandoned)));
    });
}

#[test]
fn what_is_no_condition_variable_is_refused() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let (mutex, condvar) = (directory.path().join("mutex"), directory.path().join("condvar"));
    assert!(matches!(Condvar::open(&condvar).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Condvar::open_wait(&condvar, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let _mutex = Mutex::create(&mutex, &options(), &0_u64).unwrap();
    let first = Condvar::open_or_create(&condvar, &options()).unwrap();
    assert!(matches!(Condvar::create(&condvar, &options()).unwrap_err(), Error::Exists { .. }));
    assert!(Condvar::open(&condvar).is_ok() && first.try_clone().is_ok());
    let refused = Condvar::open(&mutex).unwrap_err();
    assert!(matches!(refused, Error::OtherKind { found: Kind::Mutex, wanted: Kind::Condvar, .. }));
    let refused = Mutex::<u64>::open(&condvar).unwrap_err();
    assert!(refused.to_string().contains("a condition variable, not a mutex"), "{refused}");
    assert!(matches!(Condvar::local(&options().seats(0)), Err(Error::BadOption { .. })));
}
