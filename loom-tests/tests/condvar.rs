//! A condition variable: nobody sleeps through a change that it is notified of, and who waits is told of a death.
mod common;

use std::time::Duration;

use common::{dies_after, for_each_crash, model};
use quoit::Error;
use quoit::fate::{crash_after, slice_sleeps};
use quoit::sync::{Condvar, Mutex, SyncOptions};

fn pair(handles: u32, first: u64) -> (Mutex<u64>, Condvar) {
    let options = SyncOptions::new().seats(handles);
    (Mutex::local(&options, &first).unwrap(), Condvar::local(&options).unwrap())
}

fn another((mutex, condvar): &(Mutex<u64>, Condvar)) -> (Mutex<u64>, Condvar) {
    (mutex.try_clone().unwrap(), condvar.try_clone().unwrap())
}

/// Waits for something to be there, and takes it.
fn take((mutex, condvar): &mut (Mutex<u64>, Condvar)) {
    let guard = mutex.lock().unwrap();
    let mut guard = condvar.wait_while(guard, |value| *value == 0).unwrap();
    *guard -= 1;
}

/// Sleeps have no end: a change that is slept through is a deadlock.
#[test]
fn who_waits_is_woken() {
    model("condvar_wake", 3, || {
        let mut first = pair(2, 0);
        let mut second = another(&first);
        let other = common::spawn(move || {
            take(&mut second);
            second
        });
        *first.0.lock().unwrap() += 1;
        first.1.notify_all().unwrap();
        let _second = other.join().unwrap();
        assert_eq!(*first.0.lock().unwrap(), 0);
    });
}

/// Each notification is for one, and there are as many as there are things to take.
#[test]
fn each_of_two_is_woken_by_one() {
    model("condvar_one", 2, || {
        let mut first = pair(3, 0);
        let others = [(); 2].map(|()| another(&first)).map(|mut other| {
            common::spawn(move || {
                take(&mut other);
                other
            })
        });
        for _ in 0..2 {
            *first.0.lock().unwrap() += 1;
            first.1.notify_one().unwrap();
        }
        let _others = others.map(|other| other.join().unwrap());
        assert_eq!(*first.0.lock().unwrap(), 0);
    });
}

#[test]
fn both_are_woken_together() {
    model("condvar_all", 1, || {
        let mut first = pair(3, 0);
        let others = [(); 2].map(|()| another(&first)).map(|mut other| {
            common::spawn(move || {
                take(&mut other);
                other
            })
        });
        *first.0.lock().unwrap() += 2;
        first.1.notify_all().unwrap();
        let _others = others.map(|other| other.join().unwrap());
        assert_eq!(*first.0.lock().unwrap(), 0);
    });
}

/// One of two gives up just as it is notified, since it does not get the lock in time: the other one is woken instead.
#[test]
fn who_gives_up_passes_the_notification_on() {
    model("condvar_give_up", 2, || {
        let mut first = pair(3, 0);
        let (mut hasty, mut patient) = (another(&first), another(&first));
        let hasty = common::spawn(move || {
            let (mutex, condvar) = &mut hasty;
            let guard = mutex.lock().unwrap();
            match condvar.wait_while_timeout(guard, Duration::from_nanos(3), |value| *value == 0) {
                Ok(guard) => {
                    drop(guard);
                    condvar.notify_one().unwrap();
                }
                Err(Error::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
            hasty
        });
        let patient = common::spawn(move || {
            let guard = patient.0.lock().unwrap();
            drop(patient.1.wait_while(guard, |value| *value == 0).unwrap());
            patient.1.notify_all().unwrap();
            patient
        });
        // Whoever looks from now on need not wait.
        let mut guard = first.0.lock().unwrap();
        *guard = 1;
        first.1.notify_one().unwrap();
        drop(guard);
        let _others = [hasty, patient].map(|other| other.join().unwrap());
    });
}

/// A holder dies that would have notified. Sleeps end by themselves, and who waits is told whatever it waits for.
#[test]
fn who_waits_is_told_of_a_death() {
    for_each_crash("condvar_crash", 2, |stores| {
        slice_sleeps(true);
        let (mut mutex, condvar) = pair(2, 0);
        let (mut dying, bell) = (mutex.try_clone().unwrap(), condvar.try_clone().unwrap());
        let died = dies_after(stores, move || {
            if let Ok(mut guard) = dying.lock() {
                *guard = 1;
                drop(guard);
            }
            let _ = bell.notify_all();
            drop((dying, bell));
        });
        let lived = died.join().unwrap();
        match mutex.lock() {
            // It had the lock: the word was taken; a word of the value, the version; the word was given back.
            Err(Error::Abandoned) => assert!((1..4).contains(&stores)),
            Ok(guard) if stores >= 4 => assert_eq!(*guard, 1),
            Ok(guard) => assert_eq!((*guard, stores), (0, 0)),
            Err(error) => panic!("{error}"),
        }
        lived
    });
}

/// The same, and one has been waiting for it.
#[test]
fn who_waits_beside_a_death_does_not_wait_on() {
    for stores in 1..4 {
        model("condvar_crash_beside", 2, move || {
            slice_sleeps(true);
            let (mut mutex, condvar) = pair(2, 0);
            let (mut dying, looking) = (mutex.try_clone().unwrap(), condvar.try_clone().unwrap());
            let died = common::spawn(move || {
                while looking.waiting().is_empty() {
                    loom::thread::yield_now();
                }
                crash_after(stores, move || {
                    if let Ok(mut guard) = dying.lock() {
                        *guard = 1;
                        drop(guard);
                    }
                    drop(dying);
                });
            });
            // Nothing that is committed ends the wait.
            let told = mutex.lock().and_then(|guard| condvar.wait_while(guard, |value| *value < 7));
            assert!(matches!(told.map(drop), Err(Error::Abandoned)));
            died.join().unwrap();
        });
    }
}
