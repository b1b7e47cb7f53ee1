//! A barrier and a latch: nobody goes on before all have arrived, and then sees what they did; nobody sleeps through the
//! last arrival; a death breaks a round or counts, and nobody waits for the dead.
mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{dies_after, for_each_crash, model};
use loom::cell::UnsafeCell;
use quoit::Error;
use quoit::fate::{crash_after, slice_sleeps};
use quoit::sync::{Barrier, Latch, SyncOptions};

fn barrier(parties: u32) -> Barrier {
    Barrier::local(&SyncOptions::new(), parties).unwrap()
}

/// What a party does before it arrives, and the others look at when they have passed.
#[derive(Clone)]
struct Works(Rc<Vec<UnsafeCell<()>>>);

impl Works {
    fn new(parties: usize) -> Self {
        Self(Rc::new((0..parties).map(|_| UnsafeCell::new(())).collect()))
    }

    fn work(&self, party: usize) {
        self.0[party].with_mut(|_| {});
    }

    fn look(&self) {
        self.0.iter().for_each(|work| work.with(|_| {}));
    }
}

/// Sleeps have no end, if they do not end by themselves: a round that is slept through is a deadlock.
fn meet(name: &'static str, parties: usize, rounds: u64, preemptions: usize, sliced: bool) {
    model(name, preemptions, move || {
        slice_sleeps(sliced);
        let works: Vec<_> = (0..rounds).map(|_| Works::new(parties)).collect();
        let leaders = Rc::new(Cell::new(0));
        let first = barrier(parties as u32);
        let visit = |number: usize, barrier: Barrier| {
            let (works, leaders) = (works.clone(), leaders.clone());
            move || {
                for round in 0..rounds {
                    works[round as usize].work(number);
                    let passed = barrier.wait().unwrap();
                    assert_eq!(passed.round, round);
                    leaders.set(leaders.get() + u64::from(passed.is_leader));
                    works[round as usize].look();
                }
                barrier
            }
        };
        let others: Vec<_> =
            (1..parties).map(|number| common::spawn(visit(number, first.try_clone().unwrap()))).collect();
        let _first = visit(0, first)();
        let _others: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
        assert_eq!(leaders.get(), rounds, "a round has one leader");
    });
}

/// Nothing but the words orders the parties.
#[test]
fn all_see_what_was_done() {
    meet("barrier_seen", 2, 1, 3, true);
}

#[test]
fn all_are_woken() {
    meet("barrier_wake", 2, 2, 2, false);
}

#[test]
fn three_meet() {
    meet("barrier_three", 3, 1, 1, false);
}

/// One tries until it is the last.
#[test]
fn who_tries_sees_what_was_done() {
    model("barrier_try", 3, || {
        slice_sleeps(true);
        let works = Works::new(2);
        let first = barrier(2);
        let (second, there) = (first.try_clone().unwrap(), works.clone());
        let other = common::spawn(move || {
            there.work(1);
            assert!(second.wait().is_ok());
            there.look();
            second
        });
        works.work(0);
        while first.try_wait().unwrap().is_none() {
            loom::thread::yield_now();
        }
        works.look();
        let _second = other.join().unwrap();
    });
}

/// One gives up just as the other arrives: both pass, or the round is broken for both.
#[test]
fn a_round_is_broken_for_all_or_none() {
    model("barrier_give_up", 3, || {
        slice_sleeps(true);
        let first = barrier(2);
        let second = first.try_clone().unwrap();
        let other = common::spawn(move || {
            let passed = match second.wait_timeout(Duration::from_nanos(1)) {
                Ok(_) => true,
                Err(Error::TimedOut | Error::Broken) => false,
                Err(error) => panic!("{error}"),
            };
            (second, passed)
        });
        let passed = match first.wait() {
            Ok(_) => true,
            Err(Error::Broken) => false,
            Err(error) => panic!("{error}"),
        };
        let (_second, other) = other.join().unwrap();
        assert_eq!(passed, other);
        assert_eq!(first.is_broken().unwrap(), !passed);
    });
}

/// Killed before any of its stores: its arrival counts if it was stored, and otherwise the round is broken. A replacement
/// and a reset make it whole.
#[test]
fn a_death_breaks_the_round_or_counts() {
    for_each_crash("barrier_crash", 2, |stores| {
        slice_sleeps(true);
        let first = barrier(2);
        let second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            let _ = second.wait();
            drop(second);
        });
        let passed = match first.wait() {
            Ok(_) => true,
            Err(Error::Broken) => false,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(passed, stores > 0);
        let lived = dying.join().unwrap();
        let next = first.try_clone().unwrap();
        // It is told of the death in the next round, unless the successor is there before.
        if first.is_broken().unwrap() {
            first.reset().unwrap();
        }
        let other = common::spawn(move || {
            assert!(next.wait().is_ok());
            next
        });
        assert!(first.wait().is_ok());
        let _next = other.join().unwrap();
        lived
    });
}

/// It is reset while one waits, who must not take that for a passed round, nor wait on.
#[test]
fn a_reset_ends_the_round() {
    model("barrier_reset", 3, || {
        let first = barrier(2);
        let second = first.try_clone().unwrap();
        let other = common::spawn(move || {
            let broken = matches!(second.wait(), Err(Error::Broken));
            (second, broken)
        });
        while first.missing() == 2 {
            loom::thread::yield_now();
        }
        first.reset().unwrap();
        let (_second, broken) = other.join().unwrap();
        assert!(broken);
        assert_eq!(first.missing(), 2);
    });
}

#[test]
fn a_latch_opens_with_the_last_arrival() {
    model("latch_open", 2, || {
        let latch = Latch::local(&SyncOptions::new().seats(1), 2).unwrap();
        let parties = [(); 2].map(|()| latch.join().unwrap());
        let works = Works::new(2);
        let mut number = 0;
        let arrivals = parties.map(|party| {
            let (works, mine) = (works.clone(), number);
            number += 1;
            common::spawn(move || {
                works.work(mine);
                party.arrive().unwrap()
            })
        });
        latch.wait().unwrap();
        works.look();
        let opened = arrivals.map(|arrival| arrival.join().unwrap());
        assert!(opened != [true, true] && latch.try_wait().unwrap());
    });
}

/// A party dies as soon as it has arrived. One of those that wait finds that, and the other one finds the latch open: both
/// see what the dead one did. They look once, so no fence of a sleep is in between.
#[test]
fn an_arrival_tells_what_was_done() {
    model("latch_found", 3, || {
        let latch = Latch::local(&SyncOptions::new().seats(2), 1).unwrap();
        let party = latch.join().unwrap();
        let works = Works::new(1);
        let waiting = [latch.try_clone().unwrap(), latch].map(|latch| {
            let works = works.clone();
            common::spawn(move || {
                if latch.try_wait().is_ok_and(|is_open| is_open) {
                    works.look();
                }
                latch
            })
        });
        works.work(0);
        crash_after(1, move || drop(party.arrive()));
        let _latches = waiting.map(|waiting| waiting.join().unwrap());
    });
}

/// A party that is killed breaks the latch, unless it has arrived; the one that waits is told.
#[test]
fn a_latch_does_not_wait_for_the_dead() {
    for_each_crash("latch_crash", 2, |stores| {
        slice_sleeps(true);
        let latch = Latch::local(&SyncOptions::new().seats(1), 2).unwrap();
        let (whole, dying) = (latch.join().unwrap(), latch.join().unwrap());
        let dying = dies_after(stores, move || drop(dying.arrive()));
        let arrived = !matches!(whole.arrive(), Err(Error::Broken));
        let is_open = latch.wait().is_ok();
        assert_eq!(is_open, stores > 0 && arrived);
        dying.join().unwrap()
    });
}
