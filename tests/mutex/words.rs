//! Words of a mutex that another process overwrote.

use std::time::Duration;

use quoit::{Error, ErrorKind};

use super::{Scene, soon};

/// Words that another process overwrote are an error, a wrong value, or a lock of somebody who is dead.
#[test]
fn damaged_words_are_told() {
    let scene = Scene::new();
    let mut mutex = scene.create(&1_u64);
    let is_garbage = |error: Error| {
        assert!(matches!(error, Error::Garbage { .. }) && error.kind() == ErrorKind::Corrupt, "{error}");
    };
    // No such seat; no generation; numbers of more bits than there are.
    for word in [1 << 16 | 16 << 2, 1 << 2, 1 << 62 | 1 << 16, u64::MAX] {
        scene.poke(0, word);
        is_garbage(mutex.lock().unwrap_err());
        is_garbage(mutex.try_lock().unwrap_err());
        is_garbage(mutex.holder().unwrap_err());
    }
    // Bits alone are nobody's.
    for word in [1, 2, 3] {
        scene.poke(0, word);
        assert_eq!(*mutex.lock_deadline(soon()).unwrap(), 1);
        assert!(mutex.holder().unwrap().is_none());
    }
    // A number that could be somebody's is that of somebody dead.
    scene.poke(0, 77 << 16 | 3 << 2);
    assert!(!mutex.holder().unwrap().expect("somebody").is_alive);
    assert!(matches!(mutex.lock(), Err(Error::Abandoned)));
    mutex.recover().unwrap().recovered();
    // A watcher that nobody is.
    for watch in [1, 77 << 16, u64::MAX] {
        scene.poke(8, watch);
        let mut other = mutex.try_clone().unwrap();
        let guard = mutex.lock().unwrap();
        let waiting = std::thread::spawn(move || {
            assert!(matches!(other.lock_timeout(Duration::from_millis(8)), Err(Error::TimedOut)));
        });
        waiting.join().unwrap();
        drop(guard);
    }
    scene.poke(24, 9);
    assert!(matches!(mutex.lock(), Err(Error::Abandoned)));
    mutex.recover().unwrap().recovered();
    scene.poke(16, u64::MAX);
    let mut guard = mutex.lock().unwrap();
    *guard = 4;
    guard.commit().unwrap();
    assert_eq!(*mutex.lock().unwrap(), 4, "versions wrap");
}

/// A holder's word is overwritten: it does not give back what is not its own.
#[test]
fn a_robbed_holder_gives_nothing_back() {
    let scene = Scene::new();
    let mut mutex = scene.create(&1_u64);
    let guard = mutex.lock().unwrap();
    scene.poke(0, 77 << 16 | 3 << 2);
    drop(guard);
    assert!(matches!(mutex.try_lock(), Err(Error::Abandoned)));
}
