//! Files cut short under locks: whoever uses one, or sleeps for it, is told.

use std::fmt::Debug;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use quoit::Error;
use quoit::sync::{Event, Mutex, Reset, Semaphore, SyncOptions};

use crate::process::{Part, SOON, Stage, eventually};

fn cut(object: &Path) {
    File::options().write(true).open(object).expect("open").set_len(0).expect("cut");
}

#[track_caller]
fn is_gone<T: Debug>(tried: Result<T, Error>) {
    assert!(matches!(tried, Err(Error::Truncated)), "{tried:?}");
}

/// In a process that is guarded. `ring`: a directory.
pub(crate) fn lock(part: &Part) {
    let file = |name: &str| part.ring().join(name);
    let options = SyncOptions::new().seats(16);
    let soon = || Instant::now() + SOON;

    let mutex = Mutex::create(file("mutex"), &options, &1_u64).expect("create");
    // The first to touch the memory is each of these, through a handle of its own.
    let [mut locks, mut tries, mut recovers, mut holds, mut sleeps] =
        [(); 5].map(|()| mutex.try_clone().expect("a handle"));
    let mut guard = holds.lock().expect("lock");
    *guard = 2;
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| sleeps.lock_deadline(soon()).map(drop));
        eventually("a thread waits", || !mutex.waiting().is_empty());
        cut(&file("mutex"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(locks.lock().map(drop));
    is_gone(tries.try_lock().map(drop));
    is_gone(recovers.recover().map(drop));
    is_gone(guard.commit());
    is_gone(mutex.holder());

    let semaphore = Semaphore::create(file("semaphore"), &options, 2).expect("create");
    let [waits, tries, takes_both, holds, sleeps] =
        [(); 5].map(|()| semaphore.try_clone().expect("a handle"));
    let both = holds.acquire_many(2).expect("permits");
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || sleeps.acquire_deadline(soon()).map(drop));
        eventually("a thread waits", || !semaphore.waiting().is_empty());
        cut(&file("semaphore"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(waits.acquire().map(drop));
    is_gone(tries.try_acquire().map(drop));
    is_gone(takes_both.acquire_many(2).map(drop));
    is_gone(semaphore.holders());
    drop(both);

    let event = Event::create(file("event"), &options, Reset::Auto).expect("create");
    let [waits, tries, sets, resets, sleeps] = [(); 5].map(|()| event.try_clone().expect("a handle"));
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || sleeps.wait_deadline(soon()));
        eventually("a thread waits", || !event.waiting().is_empty());
        cut(&file("event"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(waits.wait());
    is_gone(tries.try_wait());
    is_gone(sets.set());
    is_gone(resets.reset());
    is_gone(event.count());
}

#[test]
fn who_uses_a_lock_is_told_that_it_is_gone() {
    let stage = Stage::tmpfs(60);
    Part::new("lock").on(stage.path()).with("guard", true).start().finish();
}
