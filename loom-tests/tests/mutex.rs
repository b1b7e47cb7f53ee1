//! A mutex: one holder at a time, who sees what the last one did; nobody sleeps through its turn; a dead holder leaves
//! the last committed value, and the next is told.
mod common;

use std::time::Duration;

use common::{Outside, dies_after, for_each_crash, model};
use quoit::Error;
use quoit::fate::{crash_after, slice_sleeps};
use quoit::sync::{Mutex, SyncOptions};

type Value = [u64; 2];

/// Both words tell which commit this is.
fn value(number: u64) -> Value {
    [number, !number]
}

fn number(value: &Value) -> u64 {
    assert_eq!(value[1], !value[0], "half a value");
    value[0]
}

fn mutex<T: quoit::Typed>(handles: u32, first: &T) -> Mutex<T> {
    Mutex::local(&SyncOptions::new().seats(handles), first).unwrap()
}

/// Locks and adds one. Dropping the guard commits.
fn add_one(mutex: &mut Mutex<Value>) {
    let mut guard = mutex.lock().unwrap();
    *guard = value(number(&guard) + 1);
}

/// The same for a thread that is killed meanwhile: nobody is to judge what it finds after that.
fn die_adding_one(mutex: &mut Mutex<Value>) -> Result<(), Error> {
    let mut guard = mutex.lock()?;
    *guard = value(guard[0] + 1);
    guard.commit()
}

/// Sleeps end by themselves, so that nothing but the word orders the two: neither a wake nor a lock of the models.
#[test]
fn one_holds_it_at_a_time() {
    model("mutex_exclusion", 3, || {
        slice_sleeps(true);
        let mut first = mutex(2, &());
        let mut second = first.try_clone().unwrap();
        let outside = Outside::new();
        let there = outside.clone();
        let other = common::spawn(move || {
            let guard = second.lock().unwrap();
            there.touch();
            drop(guard);
            second
        });
        let guard = first.lock().unwrap();
        outside.touch();
        drop(guard);
        let _second = other.join().unwrap();
    });
}

#[test]
fn every_commit_is_seen_by_the_next() {
    model("mutex_commits", 3, || {
        slice_sleeps(true);
        let mut first = mutex(2, &value(1));
        let mut second = first.try_clone().unwrap();
        let other = common::spawn(move || {
            add_one(&mut second);
            second
        });
        add_one(&mut first);
        let _second = other.join().unwrap();
        assert_eq!(number(&first.lock().unwrap()), 3);
    });
}

/// Sleeps have no end: who sleeps through its turn is a deadlock.
fn sleepers(name: &'static str, handles: u32, turns: u64, preemptions: usize) {
    model(name, preemptions, move || {
        let mut first = mutex(handles, &value(1));
        let others: Vec<_> = (1..handles)
            .map(|_| {
                let mut other = first.try_clone().unwrap();
                common::spawn(move || {
                    add_one(&mut other);
                    other
                })
            })
            .collect();
        for _ in 0..turns {
            add_one(&mut first);
        }
        let _others: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
        assert_eq!(number(&first.lock().unwrap()), turns + u64::from(handles));
    });
}

#[test]
fn a_sleeper_is_woken() {
    sleepers("mutex_wake", 2, 2, 3);
}

#[test]
fn both_sleepers_are_woken() {
    sleepers("mutex_wake_both", 3, 1, 2);
}

/// Of two sleepers one is woken when its time is over, and the lock has been taken again meanwhile. The other one must
/// not be forgotten.
#[test]
fn who_gives_up_leaves_the_wake_to_another() {
    model("mutex_give_up", 2, || {
        let mut first = mutex(3, &value(1));
        let (mut hasty, mut patient) = (first.try_clone().unwrap(), first.try_clone().unwrap());
        let held = first.lock().unwrap();
        let hasty = common::spawn(move || {
            let gave_up = matches!(hasty.lock_timeout(Duration::from_nanos(3)), Err(Error::TimedOut));
            (hasty, gave_up)
        });
        let patient = common::spawn(move || {
            add_one(&mut patient);
            patient
        });
        drop(held);
        add_one(&mut first);
        let _hasty = hasty.join().unwrap();
        let _patient = patient.join().unwrap();
        assert_eq!(number(&first.lock().unwrap()), 3);
    });
}

/// Killed before any of its stores: whoever comes next has the last committed value, and is told if the dead one held the
/// lock, until somebody says that all is well.
#[test]
fn a_dead_holder_leaves_the_last_value() {
    // The word is taken; two words of the value, the version; the word is given back.
    for_each_crash("mutex_crash", 2, |stores| {
        let mut first = mutex(2, &value(1));
        let mut second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            let _ = die_adding_one(&mut second);
            drop(second);
        });
        let lived = dying.join().unwrap();
        let left = if stores < 4 { 1 } else { 2 };
        let was_held = (1..5).contains(&stores);
        for _ in 0..2 {
            match first.try_lock() {
                Err(Error::Abandoned) => assert!(was_held),
                Ok(Some(guard)) => assert!(!was_held && number(&guard) == left),
                other => panic!("{other:?}"),
            }
        }
        let mut guard = first.recover().unwrap();
        assert_eq!((number(&guard), guard.is_abandoned()), (left, was_held));
        guard.recovered();
        *guard = value(left + 1);
        guard.commit().unwrap();
        assert_eq!(number(&first.lock().unwrap()), left + 1);
        lived
    });
}

/// The same beside another that wants the lock, and finds a whole value whenever it gets it. Nothing stays locked.
#[test]
fn a_death_beside_a_waiter() {
    for_each_crash("mutex_crash_beside", 2, |stores| {
        slice_sleeps(true);
        let mut first = mutex(2, &value(1));
        let mut second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            let _ = die_adding_one(&mut second);
            drop(second);
        });
        let mut guard = first.recover().unwrap();
        let found = number(&guard);
        assert!((1..=2).contains(&found));
        *guard = value(found + 1);
        guard.commit().unwrap();
        let lived = dying.join().unwrap();
        let guard = first.recover().unwrap();
        assert!((found + 1..=3).contains(&number(&guard)), "a commit was lost");
        lived
    });
}

/// Two find that the holder is dead. One takes the lock from it, and the other one does not take it from that one.
#[test]
fn one_takes_it_from_the_dead() {
    model("mutex_two_heirs", 2, || {
        slice_sleeps(true);
        let mut first = mutex(3, &value(1));
        let (mut second, mut dead) = (first.try_clone().unwrap(), first.try_clone().unwrap());
        // It has the lock, and nothing more.
        crash_after(1, move || {
            let _ = die_adding_one(&mut dead);
            drop(dead);
        });
        let outside = Outside::new();
        let there = outside.clone();
        let other = common::spawn(move || {
            let guard = second.recover().unwrap();
            assert!(guard.is_abandoned());
            there.touch();
            drop(guard);
            second
        });
        let guard = first.recover().unwrap();
        assert!(guard.is_abandoned());
        outside.touch();
        drop(guard);
        let _second = other.join().unwrap();
    });
}
