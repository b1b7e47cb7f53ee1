//! Events in files and on the heap: who goes on, who waits, what is refused.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::sync::{Event, Mutex, Reset, SyncOptions};
use quoit::{Attach, Consumer, Error, Kind};
use tempfile::TempDir;

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("event")
    }

    fn create(&self, reset: Reset) -> Event {
        Event::create(self.path(), &options(), reset).expect("create")
    }
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(16)
}

/// The same event in a file and on the heap.
fn on_each(reset: Reset, test: impl Fn(Event)) {
    test(Event::local(&options(), reset).expect("on the heap"));
    test(Scene::new().create(reset));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn a_set_event_lets_everybody_pass_until_it_is_reset() {
    on_each(Reset::Manual, |first| {
        let second = first.try_clone().unwrap();
        assert_eq!((second.reset_by(), second.is_set().unwrap()), (Reset::Manual, false));
        assert!(!second.try_wait().unwrap());
        assert!(first.set().unwrap() && !second.set().unwrap(), "once");
        for event in [&first, &second] {
            assert!(event.try_wait().unwrap() && event.is_set().unwrap());
            event.wait().unwrap();
            event.wait_deadline(Instant::now()).unwrap();
        }
        assert!(second.reset().unwrap() && !first.reset().unwrap(), "once");
        assert!(!first.try_wait().unwrap());
        assert_eq!(first.count().unwrap(), 1);
        first.set().unwrap();
        assert_eq!(second.count().unwrap(), 2);
    });
}

#[test]
fn a_signal_lets_one_pass() {
    on_each(Reset::Auto, |first| {
        let second = first.try_clone().unwrap();
        first.set().unwrap();
        assert!(second.is_set().unwrap(), "a look takes nothing");
        second.wait().unwrap();
        assert!(!first.try_wait().unwrap() && !first.is_set().unwrap());
        first.set().unwrap();
        second.set().unwrap();
        assert!(first.try_wait().unwrap() && !second.try_wait().unwrap(), "two signals were one");
        first.set().unwrap();
        assert!(second.reset().unwrap() && !second.try_wait().unwrap());
        assert_eq!(second.count().unwrap(), 3);
    });
}

#[test]
fn waits_end_in_time() {
    on_each(Reset::Auto, |event| {
        let begin = Instant::now();
        let late = event.wait_timeout(Duration::from_millis(30)).unwrap_err();
        assert!(matches!(late, Error::TimedOut) && begin.elapsed() >= Duration::from_millis(30));
        assert!(matches!(event.wait_deadline(begin), Err(Error::TimedOut)), "one look");
    });
}

#[test]
fn sleepers_are_woken_and_listed() {
    on_each(Reset::Manual, |event| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let sleeper = event.try_clone().unwrap();
                std::thread::spawn(move || sleeper.wait_deadline(soon()).unwrap())
            })
            .collect();
        while event.waiting().len() < 3 {
            std::thread::yield_now();
        }
        event.set().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(event.waiting(), []);
    });
}

/// It is set and reset faster than anybody wakes.
#[test]
fn what_is_reset_at_once_is_not_slept_through() {
    on_each(Reset::Manual, |event| {
        for _ in 0..50 {
            let sleeper = event.try_clone().unwrap();
            let thread = std::thread::spawn(move || sleeper.wait_deadline(soon()).unwrap());
            while event.waiting().is_empty() {
                std::thread::yield_now();
            }
            event.set().unwrap();
            event.reset().unwrap();
            thread.join().unwrap();
        }
    });
}

#[test]
fn every_signal_is_taken_once() {
    on_each(Reset::Auto, |event| {
        let taken = event.try_clone().unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (event, taken) = (event.try_clone().unwrap(), taken.try_clone().unwrap());
                std::thread::spawn(move || {
                    let mut signals = 0;
                    while event.wait_timeout(Duration::from_millis(200)).is_ok() {
                        signals += 1;
                        let _ = taken.is_set().unwrap();
                    }
                    signals
                })
            })
            .collect();
        for _ in 0..300 {
            while !event.set().unwrap() {
                std::thread::yield_now();
            }
        }
        let signals: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!((signals, event.count().unwrap()), (300, 300));
    });
}

#[test]
fn files_are_created_opened_and_waited_for() {
    let scene = Scene::new();
    let path = scene.path();
    assert!(matches!(Event::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Event::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let waits = path.clone();
    let waiting = std::thread::spawn(move || {
        Event::open_wait(&waits, soon()).unwrap().wait_deadline(soon()).unwrap();
    });
    let first = Event::open_or_create(&path, &options(), Reset::Manual).unwrap();
    first.set().unwrap();
    waiting.join().unwrap();
    assert!(matches!(Event::create(&path, &options(), Reset::Manual).unwrap_err(), Error::Exists { .. }));
    assert!(Event::open_or_create(&path, &options(), Reset::Manual).unwrap().is_set().unwrap());
    let other = Event::open_or_create(&path, &options(), Reset::Auto).unwrap_err();
    assert!(matches!(other, Error::BadOption { .. }), "{other}");
    std::fs::remove_file(&path).unwrap();
    assert!(first.try_clone().unwrap().is_set().unwrap());
}

#[test]
fn what_is_no_event_is_refused() {
    let scene = Scene::new();
    let path = scene.path();
    drop(scene.create(Reset::Auto));
    let not_a_ring = Consumer::open(&path, &Attach::lossy()).unwrap_err();
    assert!(not_a_ring.to_string().contains("an event, not a ring"), "{not_a_ring}");
    let mutex = path.with_file_name("mutex");
    let _mutex = Mutex::create(&mutex, &options(), &()).unwrap();
    let refused = Event::open(&mutex).unwrap_err();
    assert!(matches!(refused, Error::OtherKind { found: Kind::Mutex, wanted: Kind::Event, .. }), "{refused}");
    assert!(matches!(Event::local(&options().seats(0), Reset::Auto), Err(Error::BadOption { .. })));
    let one = Event::local(&options().seats(1), Reset::Auto).unwrap();
    assert!(matches!(one.try_clone().unwrap_err(), Error::SeatsTaken { seats: 1, .. }));

    // A way to be reset that there is not; words that are not used.
    let whole = std::fs::read(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for (at, word) in [(136, 2), (144, 1), (152, 1)] {
        let mut bytes = whole[..4096].to_vec();
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
        let crc = crc32c::crc32c(&bytes[32..256]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, 0).unwrap();
        let error = Event::open(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
    }
    file.write_all_at(&whole, 0).unwrap();
    // Every state of the words is one of an event.
    let event = Event::open(&path).unwrap();
    for (state, bell) in [(u64::MAX, 0), (u64::MAX - 1, 1), (7, u64::MAX)] {
        file.write_all_at(&u64::to_le_bytes(state), 8192).unwrap();
        file.write_all_at(&u64::to_le_bytes(bell), 8200).unwrap();
        assert_eq!(event.try_wait().unwrap(), state & 1 == 1);
        event.set().unwrap();
        assert!(event.try_wait().unwrap());
    }
}
