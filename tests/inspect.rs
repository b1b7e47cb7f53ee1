//! A read-only look at every kind of object: what it shows, and that nobody notices.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quoit::sync::{
    Event, Inspector, Latest, LatestOptions, Mutex, Participant, Reset, Semaphore, State, SyncOptions,
};
use quoit::{Error, Kind, Options, Producer, kind_of};
use tempfile::TempDir;

fn scene() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("object");
    (directory, path)
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(4)
}

fn look(path: &Path) -> quoit::sync::Snapshot {
    Inspector::open(path).expect("open").snapshot().expect("look")
}

/// Seat, life, waiting, held.
fn people(path: &Path) -> Vec<(u32, bool, bool, u32)> {
    let all = look(path).participants;
    let own = |who: &Participant| who.pid.is_none_or(|pid| pid == std::process::id());
    assert!(all.iter().all(own), "{all:?}");
    all.iter().map(|who| (who.seat, who.is_alive, who.is_waiting, who.holds)).collect()
}

#[test]
fn a_mutex() {
    let (_directory, path) = scene();
    let mut mutex = Mutex::create(&path, &options(), &7_u64).unwrap();
    assert_eq!(kind_of(&path).unwrap(), Kind::Mutex);
    let seen = look(&path);
    assert_eq!((seen.kind, seen.seats, seen.garbage), (Kind::Mutex, 4, None));
    assert_eq!(seen.file_bytes, std::fs::metadata(&path).unwrap().len());
    let State::Mutex { value, version, is_abandoned, .. } = seen.state else { panic!("{:?}", seen.state) };
    assert_eq!((value.size, value.tag, version, is_abandoned), (8, 0, 1, false));
    assert_eq!(people(&path), [(0, true, false, 0)]);

    let mut other = mutex.try_clone().unwrap();
    let guard = mutex.lock().unwrap();
    assert_eq!(people(&path), [(0, true, false, 1), (1, true, false, 0)]);
    let waiting = std::thread::spawn(move || other.lock_timeout(Duration::from_secs(20)).map(drop));
    let began = Instant::now();
    while people(&path)[1] != (1, true, true, 0) {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", people(&path));
    }
    drop(guard);
    waiting.join().unwrap().unwrap();
    assert_eq!(people(&path), [(0, true, false, 0)], "a handle that was dropped has gone");
    drop(mutex);
    assert_eq!(people(&path), []);
}

/// Words of the dead: of the last one on a seat, of one before it, and of nobody.
#[test]
fn the_dead_and_garbage() {
    let (_directory, path) = scene();
    let mutex = Mutex::create(&path, &options(), &()).unwrap();
    let poke = |word: u64| {
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        // The owner of the lock, in the first word of the data.
        file.write_all_at(&word.to_le_bytes(), 8192).unwrap();
    };
    drop(mutex);
    poke(1 << 16);
    assert_eq!(people(&path), [(0, false, false, 1)]);
    let second = Mutex::<()>::open(&path).unwrap();
    let seen = look(&path).participants;
    assert_eq!(people(&path), [(0, true, false, 0), (0, false, false, 1)]);
    assert_eq!((seen[1].pid, seen[1].since_ns), (None, None), "what it stored is gone");
    poke(1 << 16 | 9 << 2);
    let seen = look(&path);
    assert!(seen.garbage.is_some());
    assert_eq!(people(&path), [(0, true, false, 0)]);
    drop(second);
}

#[test]
fn a_semaphore() {
    let (_directory, path) = scene();
    let semaphore = Semaphore::create(&path, &options(), 5).unwrap();
    let other = Semaphore::open(&path).unwrap();
    let one = other.acquire().unwrap();
    let three = semaphore.acquire_many(3).unwrap();
    let State::Semaphore { permits, available, .. } = look(&path).state else { panic!("a semaphore") };
    assert_eq!((permits, available), (5, 1));
    assert_eq!(people(&path), [(0, true, false, 3), (1, true, false, 1)]);
    drop((one, three));
    assert_eq!(people(&path), [(0, true, false, 0), (1, true, false, 0)]);
}

#[test]
fn an_event() {
    let (_directory, path) = scene();
    let event = Event::create(&path, &options(), Reset::Auto).unwrap();
    event.set().unwrap();
    let State::Event { reset, is_set, count, .. } = look(&path).state else { panic!("an event") };
    assert_eq!((reset, is_set, count), (Reset::Auto, true, 1));
    assert!(event.try_wait().unwrap(), "the look has not taken the signal");
    let inspector = Inspector::open(&path).unwrap();
    assert!(!event.is_stale() && !inspector.is_stale());
    std::fs::remove_file(&path).unwrap();
    assert!(event.is_stale() && inspector.is_stale());
}

#[test]
fn a_latest_value() {
    let (_directory, path) = scene();
    let mut latest = Latest::create(&path, &LatestOptions::new().cells(3), &[1_u32; 4]).unwrap();
    latest.set(&[2; 4]).unwrap();
    let seen = look(&path);
    let State::Latest { value, cells, version, writer_pid, .. } = seen.state else {
        panic!("a latest value")
    };
    assert_eq!((value.size, cells, version, writer_pid), (16, 3, 2, std::process::id()));
    assert_eq!((seen.seats, people(&path)), (0, vec![(0, true, false, 1)]));
    drop(latest);
    assert_eq!(people(&path), []);
}

#[test]
fn what_is_no_such_object_is_refused() {
    let (_directory, path) = scene();
    assert!(matches!(kind_of(&path), Err(Error::NotFound { .. })));
    assert!(matches!(Inspector::open(&path), Err(Error::NotFound { .. })));
    std::fs::write(&path, "text").unwrap();
    assert!(matches!(kind_of(&path), Err(Error::TooShort { bytes: 4, .. })));
    std::fs::write(&path, [b'x'; 20_000]).unwrap();
    assert!(matches!(kind_of(&path), Err(Error::NotARing { .. })));
    assert!(matches!(kind_of("/dev/null"), Err(Error::NotRegular { .. })));
    std::fs::remove_file(&path).unwrap();
    drop(Producer::create(&path, &Options::new().capacity(4096)).unwrap());
    assert_eq!(kind_of(&path).unwrap(), Kind::Ring);
    let refused = Inspector::open(&path).unwrap_err();
    assert!(matches!(refused, Error::BadOption { .. }), "{refused}");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 8], 48).unwrap();
    assert!(matches!(kind_of(&path), Err(Error::Damaged { .. })));
    file.set_len(8000).unwrap();
    assert!(matches!(Inspector::open(&path), Err(Error::Damaged { .. })));
}
