//! Events among the things that are waited for.

use std::thread;
use std::time::Duration;

use quoit::sync::{Event, Reset, SyncOptions};
use quoit::{Attach, WaitFd, WaitSet, Waitable};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::common::{Backing, PATIENCE, soon};
use crate::{now, sleeper, small, tokens};

const RESETS: [Reset; 2] = [Reset::Manual, Reset::Auto];

/// Two handles on an event, on the heap and in a file.
fn events(reset: Reset) -> Vec<[Event; 2]> {
    let directory = tempfile::Builder::new().prefix("quoit-test-").tempdir_in("/dev/shm").unwrap();
    let options = SyncOptions::new().seats(4);
    let events =
        [Event::local(&options, reset), Event::create(directory.path().join("event"), &options, reset)];
    events.map(|event| event.unwrap()).map(|event| [event.try_clone().unwrap(), event]).into()
}

#[test]
fn an_event_is_ready_while_it_is_set() {
    for [mut event, other] in events(Reset::Manual) {
        let mut set = WaitSet::new();
        assert!(now(&mut set, &mut [&mut event]).is_empty());
        other.set().unwrap();
        for _ in 0..3 {
            assert_eq!(tokens(set.wait(&mut [&mut event])), [0]);
            assert!(event.try_wait().unwrap());
        }
        other.reset().unwrap();
        assert!(now(&mut set, &mut [&mut event]).is_empty());
    }
}

#[test]
fn what_was_set_and_reset_is_told_once() {
    for [mut event, other] in events(Reset::Manual) {
        let mut set = WaitSet::new();
        for count in 1..4 {
            other.set().unwrap();
            other.reset().unwrap();
            assert_eq!(tokens(set.wait(&mut [&mut event])), [0]);
            assert_eq!((event.try_wait().unwrap(), event.count().unwrap()), (false, count));
            assert!(now(&mut set, &mut [&mut event]).is_empty());
        }
    }
}

#[test]
fn a_signal_that_another_took_is_not_told() {
    for [mut event, mut other] in events(Reset::Auto) {
        let (mut set, mut second) = (WaitSet::new(), WaitSet::new());
        other.set().unwrap();
        assert_eq!(tokens(set.wait(&mut [&mut event])), [0]);
        assert_eq!(tokens(second.wait(&mut [&mut other])), [0]);
        assert!(other.try_wait().unwrap());
        assert!(!event.try_wait().unwrap());
        assert!(now(&mut set, &mut [&mut event]).is_empty());
        other.set().unwrap();
        assert!(other.try_wait().unwrap());
        assert!(now(&mut set, &mut [&mut event]).is_empty());
    }
}

/// Waits in one of the ways until something is ready.
pub(crate) fn wait(by: &str, things: &mut [&mut dyn Waitable]) -> Vec<usize> {
    if by == "set" {
        return tokens(sleeper().wait_deadline(things, soon()));
    }
    let mut descriptor = WaitFd::new().unwrap();
    loop {
        let ready = tokens(descriptor.arm(things).unwrap());
        if !ready.is_empty() {
            return ready;
        }
        let limit = Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit)), Ok(1));
    }
}

#[test]
fn an_event_wakes_in_every_way() {
    let ring = Backing::Heap.ring(&small());
    let _producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    for reset in RESETS {
        for [mut event, mut other] in events(reset) {
            for turn in 0..20 {
                let by = ["set", "descriptor"][turn % 2];
                let other = &mut other;
                thread::scope(|scope| {
                    scope.spawn(move || {
                        thread::sleep(Duration::from_micros(100 * turn as u64));
                        assert!(other.set().unwrap());
                        // Too short for a look between the two, most of the time.
                        if reset == Reset::Manual && turn % 4 < 2 {
                            other.reset().unwrap();
                        }
                    });
                    assert_eq!(wait(by, &mut [&mut consumer, &mut event]), [1], "{reset:?}, {by}");
                });
                match reset {
                    Reset::Auto => assert!(event.try_wait().unwrap()),
                    _ => {
                        event.reset().unwrap();
                    }
                }
                // Told already, or told now.
                let _ = now(&mut WaitSet::new(), &mut [&mut event]);
            }
        }
    }
}

/// Who waits for an event in a set is among those who wait for it, and is no more when it has what it waited for.
#[test]
fn who_waits_is_known() {
    for [mut event, other] in events(Reset::Auto) {
        let me = [std::process::id()];
        let mut descriptor = WaitFd::new().unwrap();
        assert!(descriptor.arm(&mut [&mut event]).unwrap().is_empty());
        assert_eq!(other.waiting(), me);
        other.set().unwrap();
        assert_eq!(wait("descriptor", &mut [&mut event]), [0]);
        assert!(other.waiting().is_empty());
        assert!(event.try_wait().unwrap());
        thread::scope(|scope| {
            let waiter = scope.spawn(|| tokens(sleeper().wait_deadline(&mut [&mut event], soon())));
            while other.waiting() != me {
                assert!(!waiter.is_finished(), "it does not wait");
                thread::yield_now();
            }
            other.set().unwrap();
            assert_eq!(waiter.join().unwrap(), [0]);
        });
        assert!(other.waiting().is_empty());
    }
}
