//! Latches and barriers among the things that are waited for.

use std::thread;
use std::time::Duration;

use quoit::sync::{Barrier, Latch, SyncOptions};
use quoit::{Attach, Error, WaitFd, WaitSet};

use crate::common::Backing;
use crate::events::wait;
use crate::{now, sleeper, small, tokens};

const WAYS: [&str; 2] = ["set", "descriptor"];

/// On the heap and in a file.
fn latches(parties: u32) -> [Latch; 2] {
    let directory = Backing::Tmpfs.directory();
    let (path, options) = (directory.path().join("latch"), SyncOptions::new());
    [Latch::local(&options, parties).unwrap(), Latch::create(path, &options, parties).unwrap()]
}

fn barriers(parties: u32) -> [Barrier; 2] {
    let directory = Backing::Tmpfs.directory();
    let (path, options) = (directory.path().join("barrier"), SyncOptions::new());
    [Barrier::local(&options, parties).unwrap(), Barrier::create(path, &options, parties).unwrap()]
}

#[test]
fn a_latch_is_ready_once_it_is_open_or_broken() {
    for mut latch in latches(2) {
        let mut set = WaitSet::new();
        assert!(now(&mut set, &mut [&mut latch]).is_empty());
        assert!(!latch.join().unwrap().arrive().unwrap());
        assert!(now(&mut set, &mut [&mut latch]).is_empty());
        drop(latch.join().unwrap());
        for _ in 0..2 {
            assert_eq!(tokens(set.wait(&mut [&mut latch])), [0]);
            assert!(matches!(latch.try_wait(), Err(Error::Broken)));
        }
        let parties = [latch.join().unwrap(), latch.join().unwrap()];
        latch.reset().unwrap();
        assert!(now(&mut set, &mut [&mut latch]).is_empty());
        assert_eq!(parties.map(|party| party.arrive().unwrap()), [false, true]);
        for _ in 0..2 {
            assert_eq!(tokens(set.wait(&mut [&mut latch])), [0]);
            assert!(latch.try_wait().unwrap());
        }
    }
}

/// The last party arrives, or leaves without that, while the latch stands behind a ring from which nothing comes.
#[test]
fn a_latch_wakes_in_every_way() {
    let ring = Backing::Heap.ring(&small());
    let _producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    for by in WAYS {
        for leaves in [false, true] {
            for mut latch in latches(1) {
                let party = latch.join().unwrap();
                let other = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(2));
                    if leaves {
                        drop(party);
                    } else {
                        party.arrive().unwrap();
                    }
                });
                assert_eq!(wait(by, &mut [&mut consumer, &mut latch]), [1], "{by}, leaves: {leaves}");
                match latch.try_wait() {
                    Err(Error::Broken) => assert!(leaves),
                    is_open => assert!(is_open.unwrap() && !leaves),
                }
                other.join().unwrap();
            }
        }
    }
}

#[test]
fn a_barrier_is_ready_once_the_round_is_over() {
    for mut first in barriers(2) {
        let second = first.try_clone().unwrap();
        let mut set = WaitSet::new();
        for round in 0..3 {
            assert!(now(&mut set, &mut [&mut first]).is_empty());
            first.arrive().unwrap();
            assert!(now(&mut set, &mut [&mut first]).is_empty());
            second.arrive().unwrap();
            // Another round begins before this party looks.
            if round == 1 {
                second.wait().unwrap();
                second.arrive().unwrap();
            }
            for _ in 0..2 {
                assert_eq!(tokens(set.wait(&mut [&mut first])), [0]);
            }
            assert_eq!(first.try_wait().unwrap().unwrap().round, round);
            if round != 1 {
                assert_eq!(second.try_wait().unwrap().unwrap().round, round);
            } else {
                // All others have arrived: what a set finds without being woken.
                assert_eq!(tokens(now(&mut set, &mut [&mut first])), [0]);
                first.reset().unwrap();
                assert!(matches!(second.try_wait(), Err(Error::Broken)));
                break;
            }
        }
        first.arrive().unwrap();
        second.abort().unwrap();
        assert_eq!(tokens(set.wait(&mut [&mut first])), [0]);
        assert!(matches!(first.try_wait(), Err(Error::Broken)));
        assert_eq!(tokens(set.wait(&mut [&mut first])), [0], "nobody can arrive");
    }
}

#[test]
fn a_barrier_wakes_in_every_way() {
    let ring = Backing::Heap.ring(&small());
    let _producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    for by in WAYS {
        for mut first in barriers(2) {
            let mut second = first.try_clone().unwrap();
            for round in 0..20 {
                first.arrive().unwrap();
                let other = thread::spawn(move || {
                    thread::sleep(Duration::from_micros(100 * round));
                    assert_eq!(second.wait().unwrap().round, round);
                    second
                });
                assert_eq!(wait(by, &mut [&mut consumer, &mut first]), [1], "{by}");
                assert_eq!(first.try_wait().unwrap().unwrap().round, round);
                second = other.join().unwrap();
            }
            first.arrive().unwrap();
            let other = thread::spawn(move || {
                thread::sleep(Duration::from_millis(2));
                drop(second);
            });
            assert_eq!(wait(by, &mut [&mut consumer, &mut first]), [1], "{by}");
            assert!(matches!(first.try_wait(), Err(Error::Broken)));
            other.join().unwrap();
        }
    }
}

/// Who waits in a set is among those who wait, and is no more when it has what it waited for.
#[test]
fn who_waits_for_a_round_is_known() {
    for mut latch in latches(1) {
        let (party, other) = (latch.join().unwrap(), latch.try_clone().unwrap());
        let mut descriptor = WaitFd::new().unwrap();
        assert!(descriptor.arm(&mut [&mut latch]).unwrap().is_empty());
        assert_eq!(other.waiting(), [std::process::id()]);
        assert!(party.arrive().unwrap());
        assert_eq!(tokens(descriptor.arm(&mut [&mut latch]).unwrap()), [0]);
        assert!(other.waiting().is_empty());
        assert_eq!(tokens(sleeper().wait(&mut [&mut latch])), [0]);
    }
}
