//! A reader-writer lock: readers together, or one writer; each sees what the last writer did; nobody sleeps through its
//! turn; the dead keep nobody out.
mod common;

use common::{Outside, dies_after, for_each_crash, model};
use quoit::Error;
use quoit::fate::{kill, slice_sleeps};
use quoit::sync::{RwLock, SyncOptions};

type Value = [u64; 2];

/// Both words tell which commit this is.
fn value(number: u64) -> Value {
    [number, !number]
}

fn number(value: &Value) -> u64 {
    assert_eq!(value[1], !value[0], "half a value");
    value[0]
}

fn rwlock(handles: u32) -> RwLock<Value> {
    RwLock::local(&SyncOptions::new().seats(handles), &value(1)).unwrap()
}

fn add_one(lock: &mut RwLock<Value>) {
    let mut guard = lock.write().unwrap();
    *guard = value(number(&guard) + 1);
}

/// Sleeps end by themselves, so that nothing but the words orders the two.
#[test]
fn readers_and_a_writer_are_apart() {
    model("rwlock_apart", 3, || {
        slice_sleeps(true);
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let outside = Outside::new();
        let there = outside.clone();
        let writer = common::spawn(move || {
            let guard = second.write().unwrap();
            there.touch();
            drop(guard);
            second
        });
        let guard = first.read().unwrap();
        outside.look();
        drop(guard);
        let _second = writer.join().unwrap();
    });
}

/// A reader that has waited for a writer goes in before the next one, or waits for that as well.
#[test]
fn a_reader_that_waited_and_the_next_writer_are_apart() {
    model("rwlock_turn", 2, || {
        slice_sleeps(true);
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let outside = Outside::new();
        let there = outside.clone();
        let reader = common::spawn(move || {
            let guard = second.read().unwrap();
            there.look();
            drop(guard);
            second
        });
        for _ in 0..2 {
            let guard = first.write().unwrap();
            outside.touch();
            drop(guard);
        }
        let _second = reader.join().unwrap();
    });
}

/// One reads without waiting, and must see what the writer before it did.
#[test]
fn a_reader_that_does_not_wait_sees_the_last_write() {
    model("rwlock_try", 3, || {
        slice_sleeps(true);
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let outside = Outside::new();
        let there = outside.clone();
        let reader = common::spawn(move || {
            if let Some(guard) = first.try_read().unwrap() {
                there.look();
                assert!((1..=2).contains(&number(&guard)));
            }
            first
        });
        let mut guard = second.write().unwrap();
        outside.touch();
        *guard = value(2);
        drop(guard);
        let mut first = reader.join().unwrap();
        assert_eq!(number(&first.read().unwrap()), 2);
    });
}

#[test]
fn writers_are_apart() {
    model("rwlock_writers", 2, || {
        slice_sleeps(true);
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let other = common::spawn(move || {
            add_one(&mut second);
            second
        });
        add_one(&mut first);
        let _second = other.join().unwrap();
        assert_eq!(number(&first.get().unwrap()), 3);
    });
}

/// Sleeps have no end: who sleeps through its turn is a deadlock.
#[test]
fn a_writer_is_woken_by_readers() {
    model("rwlock_wake_writer", 2, || {
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let reader = common::spawn(move || {
            drop(second.read().unwrap());
            second
        });
        add_one(&mut first);
        let _second = reader.join().unwrap();
    });
}

#[test]
fn readers_are_woken_by_a_writer() {
    model("rwlock_wake_readers", 1, || {
        let mut first = rwlock(3);
        let readers = [(); 2].map(|()| first.try_clone().unwrap()).map(|mut lock| {
            common::spawn(move || {
                assert!((1..=2).contains(&number(&lock.read().unwrap())));
                lock
            })
        });
        add_one(&mut first);
        let _readers = readers.map(|reader| reader.join().unwrap());
    });
}

/// A reader that is killed keeps no writer out, and one that is killed on its way in neither.
#[test]
fn the_dead_keep_nobody_out() {
    for_each_crash("rwlock_crash", 2, |stores| {
        slice_sleeps(true);
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            drop(second.read());
            drop(second);
        });
        let mut guard = first.recover().unwrap();
        *guard = value(number(&guard) + 1);
        guard.commit().unwrap();
        let lived = dying.join().unwrap();
        let mut guard = first.recover().unwrap();
        guard.recovered();
        *guard = value(number(&guard) + 1);
        drop(guard);
        assert_eq!(number(&first.read().unwrap()), 3);
        lived
    });
}

/// A reader dies while it reads, and a writer comes in only after that.
#[test]
fn a_reader_that_dies_reads_until_then() {
    model("rwlock_reader_dies", 3, || {
        slice_sleeps(true);
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let outside = Outside::new();
        let there = outside.clone();
        std::mem::forget(second.read().unwrap());
        let dying = common::spawn(move || {
            there.look();
            kill(second);
        });
        let guard = first.write().unwrap();
        outside.touch();
        drop(guard);
        dying.join().unwrap();
    });
}

/// A writer that is killed leaves the last committed value, and whoever comes next is told.
#[test]
fn a_dead_writer_leaves_the_last_value() {
    // The word is taken; two words of the value, the version; the word is given back.
    for_each_crash("rwlock_writer_dies", 1, |stores| {
        slice_sleeps(true);
        let mut first = rwlock(2);
        let mut second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            if let Ok(mut guard) = second.write() {
                *guard = value(2);
                drop(guard);
            }
            drop(second);
        });
        let lived = dying.join().unwrap();
        let (was_held, left) = ((1..5).contains(&stores), if stores < 4 { 1 } else { 2 });
        assert_eq!(number(&first.get().unwrap()), left);
        match first.read() {
            Err(Error::Abandoned) => assert!(was_held),
            Ok(guard) => assert!(!was_held && number(&guard) == left),
            Err(error) => panic!("{error}"),
        }
        first.recover().unwrap().recovered();
        assert_eq!(number(&first.read().unwrap()), left);
        lived
    });
}
