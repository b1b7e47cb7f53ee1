//! An event: its waiters see what was done before it was set, nobody sleeps through it, and each signal of one that
//! resets itself lets one waiter go on.
mod common;

use std::rc::Rc;

use common::{Outside, for_each_crash, model};
use loom::sync::atomic::{AtomicU32, Ordering};
use quoit::fate::{crash_after, slice_sleeps};
use quoit::sync::{Event, Reset, SyncOptions};

fn event(handles: u32, reset: Reset) -> Event {
    Event::local(&SyncOptions::new().seats(handles), reset).unwrap()
}

/// A thread that waits.
fn waiter(event: Event) -> common::Handle<Event> {
    common::spawn(move || {
        event.wait().unwrap();
        event
    })
}

/// Sleeps end by themselves, so that nothing but the word orders the two.
fn is_seen(name: &'static str, reset: Reset) {
    model(name, 3, move || {
        slice_sleeps(true);
        let first = event(2, reset);
        let second = first.try_clone().unwrap();
        let done = Outside::new();
        let doing = done.clone();
        let other = common::spawn(move || {
            doing.touch();
            second.set().unwrap();
            second
        });
        first.wait().unwrap();
        done.look();
        let _other = other.join().unwrap();
    });
}

#[test]
fn waiters_see_what_was_done() {
    is_seen("event_seen", Reset::Manual);
}

#[test]
fn who_takes_the_signal_sees_what_was_done() {
    is_seen("event_taken", Reset::Auto);
}

/// The second setter leaves the word as it is. Who takes the signal after that sees what both did.
#[test]
fn setting_it_twice_tells_of_both() {
    model("event_twice", 3, || {
        slice_sleeps(true);
        let first = event(2, Reset::Auto);
        let second = first.try_clone().unwrap();
        first.set().unwrap();
        let done = Outside::new();
        // What the second setter was told, in a way that orders nothing: 0 is not yet, 1 is that it was set already.
        let told = Rc::new(AtomicU32::new(0));
        let (doing, telling) = (done.clone(), told.clone());
        let other = common::spawn(move || {
            doing.touch();
            let is_new = second.set().unwrap();
            telling.store(1 + u32::from(is_new), Ordering::Relaxed);
            second
        });
        first.wait().unwrap();
        while told.load(Ordering::Relaxed) == 0 {
            loom::thread::yield_now();
        }
        if told.load(Ordering::Relaxed) == 1 {
            done.look();
        }
        let _other = other.join().unwrap();
    });
}

/// Sleeps have no end: a signal that is slept through is a deadlock.
#[test]
fn a_waiter_is_woken() {
    model("event_wake", 3, || {
        let first = event(2, Reset::Manual);
        let other = waiter(first.try_clone().unwrap());
        first.set().unwrap();
        let _other = other.join().unwrap();
    });
}

#[test]
fn both_waiters_are_woken() {
    model("event_wake_both", 2, || {
        let first = event(3, Reset::Manual);
        let others = [(); 2].map(|()| first.try_clone().unwrap()).map(waiter);
        first.set().unwrap();
        let _others = others.map(|other| other.join().unwrap());
    });
}

/// It is set and reset while somebody waits.
#[test]
fn what_is_reset_at_once_is_not_slept_through() {
    model("event_pulse", 3, || {
        let first = event(2, Reset::Manual);
        let other = waiter(first.try_clone().unwrap());
        while first.waiting().is_empty() {
            loom::thread::yield_now();
        }
        first.set().unwrap();
        first.reset().unwrap();
        let _other = other.join().unwrap();
    });
}

#[test]
fn each_signal_is_for_one() {
    model("event_one", 1, || {
        let first = event(3, Reset::Auto);
        let others = [(); 2].map(|()| first.try_clone().unwrap()).map(waiter);
        first.set().unwrap();
        // If the first signal is still there, this adds nothing to it; then one of the two waits for another one.
        if !first.set().unwrap() {
            while first.is_set().unwrap() {
                loom::thread::yield_now();
            }
            first.set().unwrap();
        }
        let _others = others.map(|other| other.join().unwrap());
        assert!(!first.try_wait().unwrap(), "a signal was taken by nobody");
        assert_eq!(first.count().unwrap(), 2);
    });
}

/// Killed before any of its stores, a setter has set the event or not. The setter goes first: loom would not try the other
/// one's look after its store otherwise, since it looks before it stores.
#[test]
fn a_setter_that_dies_has_set_it_or_not() {
    for_each_crash("event_crash", 2, |stores| {
        slice_sleeps(true);
        let first = event(2, Reset::Auto);
        let second = first.try_clone().unwrap();
        let other = common::spawn(move || {
            let was_set = first.try_wait().unwrap();
            (first, was_set)
        });
        let lived = crash_after(stores, move || {
            let _ = second.set();
            drop(second);
        });
        let (first, was_set) = other.join().unwrap();
        assert_eq!(was_set || first.try_wait().unwrap(), stores > 0);
        first.set().unwrap();
        first.wait().unwrap();
        lived.is_some()
    });
}
