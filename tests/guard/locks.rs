//! Files cut short under locks: whoever uses one, or sleeps for it, is told.

use std::fmt::Debug;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use quoit::Error;
use quoit::sync::{
    Barrier, Condvar, Event, Latch, Mutex, Once, Reset, RwLock, Semaphore, SyncOptions, Table, TableOptions,
    TableReader,
};

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

/// As [`lock`], of those by which processes meet.
pub(crate) fn meet(part: &Part) {
    let file = |name: &str| part.ring().join(name);
    let options = SyncOptions::new().seats(16);
    let soon = || Instant::now() + SOON;

    let barrier = Barrier::create(file("barrier"), &options, 6).expect("create");
    let [waits, tries, resets, aborts, sleeps] = [(); 5].map(|()| barrier.try_clone().expect("a party"));
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || sleeps.wait_deadline(soon()));
        eventually("a thread waits", || !barrier.waiting().is_empty());
        cut(&file("barrier"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(waits.wait());
    is_gone(tries.try_wait());
    is_gone(resets.reset());
    is_gone(aborts.abort());
    is_gone(barrier.is_broken());

    let latch = Latch::create(file("latch"), &options, 2).expect("create");
    let [tries, resets, sleeps] = [(); 3].map(|()| latch.try_clone().expect("a handle"));
    let party = latch.join().expect("a party");
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || sleeps.wait_deadline(soon()));
        eventually("a thread waits", || !latch.waiting().is_empty());
        cut(&file("latch"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(tries.try_wait());
    is_gone(resets.reset());
    is_gone(party.arrive());

    let mut once = Once::create(file("once"), &options).expect("create");
    let mut tries = once.try_clone().expect("a handle");
    is_gone(once.call(|_| cut(&file("once"))));
    is_gone(tries.try_call(|_| unreachable!()));
    is_gone(once.is_done());
    is_gone(once.holder());

    let mut mutex = Mutex::local(&options, &0_u64).expect("on the heap");
    let condvar = Condvar::create(file("condvar"), &options).expect("create");
    let [sleeps, notifies] = [(); 2].map(|()| condvar.try_clone().expect("a handle"));
    std::thread::scope(|scope| {
        let mut other = mutex.try_clone().expect("a handle");
        let sleeper = scope.spawn(move || {
            let guard = other.lock().expect("lock");
            sleeps.wait_while_deadline(guard, soon(), |_| true).map(drop)
        });
        eventually("a thread waits", || !condvar.waiting().is_empty());
        cut(&file("condvar"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(notifies.notify_one());
    is_gone(condvar.notify_all());
    assert!(mutex.try_lock().expect("its memory is there").is_some(), "the lock is left to others");
}

/// As [`lock`], of values that are read without a lock.
pub(crate) fn read(part: &Part) {
    let file = |name: &str| part.ring().join(name);
    let options = SyncOptions::new().seats(16);
    let soon = || Instant::now() + SOON;

    let rwlock = RwLock::create(file("rwlock"), &options, &1_u64).expect("create");
    let [mut reads, mut writes, mut tries, mut holds, mut sleeps] =
        [(); 5].map(|()| rwlock.try_clone().expect("a handle"));
    let mut guard = holds.write().expect("write");
    *guard = 2;
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| sleeps.read_deadline(soon()).map(drop));
        eventually("a thread waits", || !rwlock.waiting().is_empty());
        cut(&file("rwlock"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(reads.read().map(drop));
    is_gone(writes.write().map(drop));
    is_gone(tries.try_read().map(drop));
    is_gone(guard.commit());
    is_gone(rwlock.get());
    is_gone(rwlock.readers());

    let table = Table::create(file("table"), &TableOptions::new(2), &1_u64).expect("create");
    let [takes, sets] = [(); 2].map(|()| table.try_clone().expect("a handle"));
    let [mut gets, mut sleeps] = [(); 2].map(|()| TableReader::<u64>::open(file("table")).expect("open"));
    let mut row = table.row(0).expect("the row");
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || {
            while sleeps.next_deadline(soon())?.is_some() {}
            Ok::<_, Error>(())
        });
        cut(&file("table"));
        is_gone(sleeper.join().expect("a thread"));
    });
    is_gone(row.set(&2));
    is_gone(takes.row(1).map(drop));
    is_gone(sets.set(1, &2));
    is_gone(gets.get(0));
    is_gone(table.get(0));
    is_gone(gets.writer_alive(0));
}

#[test]
fn who_uses_a_lock_is_told_that_it_is_gone() {
    let stage = Stage::tmpfs(60);
    Part::new("lock").on(stage.path()).with("guard", true).start().finish();
}

#[test]
fn who_meets_others_is_told_that_the_place_is_gone() {
    let stage = Stage::tmpfs(60);
    Part::new("meet").on(stage.path()).with("guard", true).start().finish();
}

#[test]
fn who_reads_a_value_is_told_that_it_is_gone() {
    let stage = Stage::tmpfs(60);
    Part::new("read").on(stage.path()).with("guard", true).start().finish();
}
