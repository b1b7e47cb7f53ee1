//! Something that is done once, in a file and on the heap.

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::{Inspector, Once, SyncOptions};

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

/// The same in a file and on the heap.
fn on_each(test: impl Fn(Once)) {
    test(Once::local(&options()).expect("on the heap"));
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    test(Once::create(directory.path().join("once"), &options()).expect("create"));
}

#[test]
fn it_is_done_once() {
    on_each(|mut first| {
        let done = AtomicU32::new(0);
        let handles: Vec<_> = (0..4).map(|_| first.try_clone().unwrap()).collect();
        std::thread::scope(|scope| {
            for mut once in handles {
                let done = &done;
                scope.spawn(move || {
                    once.call(|state| {
                        assert_eq!(state.attempts, 0);
                        std::thread::sleep(Duration::from_millis(5));
                        done.fetch_add(1, Ordering::Relaxed);
                    })
                    .unwrap();
                    assert_eq!(done.load(Ordering::Relaxed), 1, "it went on before it was done");
                });
            }
        });
        assert!(first.is_done().unwrap() && !first.call(|_| unreachable!()).unwrap());
        assert_eq!(first.try_call(|_| unreachable!()).unwrap(), Some(false));
        assert!(first.holder().unwrap().is_none() && first.waiting().is_empty());
    });
}

#[test]
fn who_does_not_want_to_wait_is_told() {
    on_each(|mut first| {
        let mut second = first.try_clone().unwrap();
        let mine = first.call(|_| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    assert_eq!(second.try_call(|_| unreachable!()).unwrap(), None);
                    let late = second.call_timeout(Duration::from_millis(5), |_| unreachable!());
                    assert!(matches!(late, Err(Error::TimedOut)));
                    let late = second.call_deadline(Instant::now(), |_| unreachable!());
                    assert!(matches!(late, Err(Error::TimedOut)));
                    let held = second.holder().unwrap().expect("somebody is at it");
                    assert!(held.is_alive && held.pid == std::process::id());
                });
            });
            assert!(matches!(second.call(|_| unreachable!()), Err(Error::Deadlock)));
        });
        assert!(mine.unwrap());
    });
}

#[test]
fn a_panic_leaves_it_to_the_next() {
    on_each(|mut first| {
        let mut second = first.try_clone().unwrap();
        for attempts in 0..3 {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                first.call(|state| {
                    assert_eq!(state.attempts, attempts);
                    std::panic::resume_unwind(Box::new("as planned"));
                })
            }));
            assert!(panicked.is_err() && !second.is_done().unwrap());
        }
        assert!(second.call(|state| assert_eq!(state.attempts, 3)).unwrap());
        assert!(!first.call(|_| unreachable!()).unwrap());
    });
}

/// A process that was killed after the work was done, and before it gave the word back, is not shown as at work.
#[test]
fn nobody_is_at_what_is_done() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("once");
    drop(Once::create(&path, &options()).unwrap());
    let mut once = Once::open(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let poke = |byte: u64, word: u64| file.write_all_at(&word.to_le_bytes(), 8192 + byte).unwrap();
    let holds = || {
        let seen = Inspector::open(&path).unwrap().snapshot().unwrap();
        seen.participants.iter().map(|who| who.holds).sum::<u32>()
    };
    // The first handle on this seat, which is another's by now.
    poke(0, 1 << 16);
    let died = once.holder().unwrap().expect("it died at it");
    assert_eq!((died.is_alive, holds()), (false, 1));
    poke(16, 1);
    assert!(once.holder().unwrap().is_none());
    assert_eq!(holds(), 0);
    assert!(!once.call(|_| unreachable!()).unwrap());
}

#[test]
fn a_file_is_opened_or_created() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("once");
    assert!(matches!(Once::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Once::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let mut first = Once::open_or_create(&path, &options()).unwrap();
    assert!(first.call(|_| {}).unwrap());
    assert!(matches!(Once::create(&path, &options()).unwrap_err(), Error::Exists { .. }));
    assert!(Once::open_or_create(&path, &options()).unwrap().is_done().unwrap());
    drop(first);
    assert!(Once::open(&path).unwrap().is_done().unwrap(), "it stays done");
    assert!(matches!(Once::local(&options().mode(0o700)), Err(Error::BadOption { .. })));
}
