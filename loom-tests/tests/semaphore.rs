//! A semaphore: never more holders than permits, who see what those before them did; nobody sleeps through a permit that
//! is given back; what the dead had is there for others, who are told.
mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{Outside, dies_after, for_each_crash, model};
use quoit::Error;
use quoit::fate::{kill, slice_sleeps};
use quoit::sync::{Semaphore, SyncOptions};

fn semaphore(handles: u32, permits: u32) -> Semaphore {
    Semaphore::local(&SyncOptions::new().seats(handles), permits).unwrap()
}

/// How many hold permits.
#[derive(Clone, Default)]
struct Inside(Rc<Cell<u32>>);

impl Inside {
    fn visit(&self, permits: u32, most: u32) {
        self.0.set(self.0.get() + permits);
        assert!(self.0.get() <= most, "more holders than permits");
        loom::thread::yield_now();
        self.0.set(self.0.get() - permits);
    }
}

/// Sleeps end by themselves, so that nothing but the words orders the two.
#[test]
fn one_permit_is_a_lock() {
    model("semaphore_lock", 3, || {
        slice_sleeps(true);
        let first = semaphore(2, 1);
        let second = first.try_clone().unwrap();
        let outside = Outside::new();
        let there = outside.clone();
        let other = common::spawn(move || {
            let permit = second.acquire().unwrap();
            there.touch();
            drop(permit);
            second
        });
        let permit = first.acquire().unwrap();
        outside.touch();
        drop(permit);
        let _second = other.join().unwrap();
    });
}

/// Sleeps have no end: a permit that is slept through is a deadlock.
fn holders(name: &'static str, permits: u32, wanted: &'static [u32], turns: u32, preemptions: usize) {
    model(name, preemptions, move || {
        let first = semaphore(1 + wanted.len() as u32, permits);
        let inside = Inside::default();
        let visits: Vec<_> = wanted
            .iter()
            .map(|count| {
                let (handle, inside) = (first.try_clone().unwrap(), inside.clone());
                move || {
                    for _ in 0..turns {
                        let permit = handle.acquire_many(*count).unwrap();
                        inside.visit(*count, permits);
                        drop(permit);
                    }
                    handle
                }
            })
            .collect();
        let mut visits = visits.into_iter();
        let here = visits.next().unwrap();
        let others: Vec<_> = visits.map(common::spawn).collect();
        let _here = here();
        let _others: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
        assert_eq!(first.available(), permits);
    });
}

#[test]
fn who_waits_is_woken() {
    holders("semaphore_wake", 1, &[1, 1], 2, 2);
}

#[test]
fn both_who_wait_are_woken() {
    holders("semaphore_wake_both", 1, &[1, 1, 1], 1, 1);
}

#[test]
fn there_are_no_more_holders_than_permits() {
    holders("semaphore_two", 2, &[1, 1, 1], 1, 1);
}

#[test]
fn several_are_taken_together() {
    holders("semaphore_several", 2, &[2, 1], 1, 2);
}

#[test]
fn two_who_want_several_do_not_wait_for_each_other() {
    holders("semaphore_both_several", 2, &[2, 2], 1, 2);
}

/// Neither waits, and both want all there is: they do not keep each other from it.
#[test]
fn one_of_two_that_try_for_several_gets_them() {
    model("semaphore_both_try", 3, || {
        let first = semaphore(2, 2);
        let second = first.try_clone().unwrap();
        let other = common::spawn(move || {
            let permit = second.try_acquire_many(2).unwrap();
            let got = permit.is_some();
            std::mem::forget(permit);
            (got, second)
        });
        let permit = first.try_acquire_many(2).unwrap();
        let (other_got, second) = other.join().unwrap();
        assert_ne!(permit.is_some(), other_got, "all or none, for one of the two");
        drop((permit, second));
        assert_eq!(first.available(), 2);
    });
}

/// One of those that wait gives up, whatever it has got until then.
#[test]
fn who_gives_up_keeps_nothing() {
    model("semaphore_give_up", 1, || {
        let first = semaphore(3, 2);
        let (hasty, patient) = (first.try_clone().unwrap(), first.try_clone().unwrap());
        let held = first.acquire().unwrap();
        let hasty = common::spawn(move || {
            let _ = hasty.acquire_many_deadline(2, std::time::Instant::now());
            hasty
        });
        let patient = common::spawn(move || {
            drop(patient.acquire_many(2).unwrap());
            patient
        });
        drop(held);
        let _hasty = hasty.join().unwrap();
        let _patient = patient.join().unwrap();
        assert_eq!(first.available(), 2);
    });
}

/// Killed before any of its stores: all permits can be had, and who takes one that it had is told.
#[test]
fn what_the_dead_had_is_there_for_others() {
    // One permit is taken, and, after a try at the same one, a second one; then both are given back.
    for_each_crash("semaphore_crash", 2, |stores| {
        let first = semaphore(2, 2);
        let second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            let one = second.acquire();
            let other = second.acquire();
            drop((one, other));
            drop(second);
        });
        let lived = dying.join().unwrap();
        let held = [0, 1, 1, 2, 1].get(stores).copied().unwrap_or(0);
        let permits = [first.try_acquire().unwrap(), first.try_acquire().unwrap()];
        let told = permits.iter().flatten().filter(|permit| permit.is_abandoned()).count();
        assert_eq!((permits.iter().flatten().count(), told), (2, held));
        drop(permits);
        let again = first.acquire_many(2).unwrap();
        assert!(!again.is_abandoned(), "told twice");
        lived
    });
}

/// The same beside another that waits, for a permit or for its turn. It gets both in the end.
#[test]
fn a_death_beside_a_waiter() {
    for_each_crash("semaphore_crash_beside", 2, |stores| {
        slice_sleeps(true);
        let first = semaphore(2, 2);
        let second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            drop(second.acquire_many(2));
            drop(second);
        });
        drop(first.acquire_many(2).unwrap());
        let lived = dying.join().unwrap();
        drop(first.acquire_many(2).unwrap());
        lived
    });
}

/// One finds that a holder is dead, and another takes the permit: it sees what the dead one did.
#[test]
fn a_permit_that_another_found() {
    model("semaphore_found", 3, || {
        let first = semaphore(3, 1);
        let (second, dead) = (first.try_clone().unwrap(), first.try_clone().unwrap());
        let outside = Outside::new();
        let (there, dying) = (outside.clone(), outside.clone());
        std::mem::forget(dead.acquire().unwrap());
        let died = common::spawn(move || {
            dying.touch();
            kill(dead);
        });
        let finder = common::spawn(move || {
            if let Some(permit) = second.try_acquire().unwrap() {
                there.touch();
                drop(permit);
            }
            second
        });
        for _ in 0..2 {
            if let Some(permit) = first.try_acquire().unwrap() {
                outside.touch();
                drop(permit);
            }
        }
        died.join().unwrap();
        let _second = finder.join().unwrap();
    });
}

/// A deadline that passes while others take turns.
#[test]
fn a_wait_may_end_without_a_permit() {
    model("semaphore_late", 2, || {
        let first = semaphore(2, 1);
        let second = first.try_clone().unwrap();
        let held = first.acquire().unwrap();
        let late = common::spawn(move || {
            let late = matches!(second.acquire_timeout(Duration::from_nanos(2)), Err(Error::TimedOut));
            (second, late)
        });
        drop(held);
        let (_second, _) = late.join().unwrap();
        assert!(first.try_acquire().unwrap().is_some());
    });
}
