//! Something that is done once: everybody sees what was done, and a death leaves it to the next one.
mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{dies_after, for_each_crash, model};
use loom::cell::UnsafeCell;
use quoit::fate::slice_sleeps;
use quoit::sync::{Once, SyncOptions};

fn once(handles: u32) -> Once {
    Once::local(&SyncOptions::new().seats(handles)).unwrap()
}

/// Sleeps end by themselves, so that nothing but the words orders the two. One does not even wait: it looks.
#[test]
fn what_was_done_is_seen() {
    model("once_seen", 3, || {
        slice_sleeps(true);
        let mut first = once(3);
        let (mut second, looking) = (first.try_clone().unwrap(), first.try_clone().unwrap());
        let deeds = Rc::new((UnsafeCell::new(()), Cell::new(0)));
        let (there, seen) = (deeds.clone(), deeds.clone());
        let other = common::spawn(move || {
            second.call(|_| there.0.with_mut(|_| there.1.set(there.1.get() + 1))).unwrap();
            there.0.with(|_| {});
            second
        });
        let look = common::spawn(move || {
            if looking.is_done().unwrap() {
                seen.0.with(|_| {});
            }
            looking
        });
        first.call(|_| deeds.0.with_mut(|_| deeds.1.set(deeds.1.get() + 1))).unwrap();
        deeds.0.with(|_| {});
        let (_second, _looking) = (other.join().unwrap(), look.join().unwrap());
        assert_eq!(deeds.1.get(), 1, "not once");
    });
}

/// Sleeps have no end.
#[test]
fn who_waits_is_woken() {
    model("once_wake", 2, || {
        let mut first = once(3);
        let others = [(); 2].map(|()| first.try_clone().unwrap()).map(|mut other| {
            common::spawn(move || {
                let mine = other.call(|_| loom::thread::yield_now()).unwrap();
                (other, mine)
            })
        });
        let mine = first.call(|_| loom::thread::yield_now()).unwrap();
        let others = others.map(|other| other.join().unwrap().1);
        assert_eq!(others.into_iter().chain([mine]).filter(|mine| *mine).count(), 1);
    });
}

/// Killed before any of its stores: it is done, or it is done again by the next one, who is told.
#[test]
fn a_death_leaves_it_to_the_next() {
    // The word is taken; it is done; the word is given back.
    for_each_crash("once_crash", 2, |stores| {
        slice_sleeps(true);
        let mut first = once(2);
        let mut second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            let _ = second.call(|_| {});
            drop(second);
        });
        let lived = dying.join().unwrap();
        let told = Cell::new(None);
        let mine = first.call(|state| told.set(Some(state.attempts))).unwrap();
        assert_eq!(mine, stores < 2);
        assert_eq!(told.get(), [0, 1].get(stores).copied());
        assert!(!first.call(|_| unreachable!()).unwrap());
        lived
    });
}

/// The same, while another one waits: in the end it is done.
#[test]
fn a_death_beside_a_waiter() {
    for_each_crash("once_crash_beside", 2, |stores| {
        slice_sleeps(true);
        let mut first = once(2);
        let mut second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            let _ = second.call(|_| {});
            drop(second);
        });
        first.call(|_| {}).unwrap();
        assert!(first.is_done().unwrap());
        let lived = dying.join().unwrap();
        assert!(!first.call(|_| unreachable!()).unwrap());
        lived
    });
}
