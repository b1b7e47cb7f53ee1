//! Wait sets in one process: what makes each thing ready, and who sleeps through nothing.

mod common;
#[path = "waitset/endings.rs"]
mod endings;
#[path = "waitset/events.rs"]
mod events;
#[path = "waitset/many.rs"]
mod many;
#[path = "waitset/merge.rs"]
mod merge;
#[path = "waitset/rounds.rs"]
mod rounds;
#[path = "waitset/space.rs"]
mod space;
#[path = "waitset/ticks.rs"]
mod ticks;
#[path = "waitset/watches.rs"]
mod watches;

use std::thread;
use std::time::Duration;

use common::{Backing, soon};
use quoit::sync::{Latest, LatestOptions};
use quoit::{Attach, Event, Options, Ready, Start, WaitMode, WaitSet, Waitable};

/// On which every test may be tried.
const BACKINGS: [Backing; 2] = [Backing::Heap, Backing::Tmpfs];
const MODES: [WaitMode; 3] = [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin];

fn small() -> Options {
    Options::new().capacity(4096).slots(4)
}

/// A set that sleeps at once.
fn sleeper() -> WaitSet {
    let mut set = WaitSet::new();
    set.set_spins(0);
    set
}

fn now<'a>(set: &'a mut WaitSet, things: &mut [&mut dyn Waitable]) -> Ready<'a> {
    set.wait_timeout(things, Duration::ZERO)
}

fn tokens(ready: Ready<'_>) -> Vec<usize> {
    assert_eq!((ready.len(), ready.is_empty()), (ready.iter().count(), ready.iter().next().is_none()));
    assert!(ready.iter().all(|token| ready.contains(token)));
    ready.into_iter().collect()
}

#[test]
fn what_has_something_is_ready() {
    for backing in BACKINGS {
        let (first, second) = (backing.ring(&small()), backing.ring(&small()));
        let mut producers = [first.producer(), second.producer()];
        let mut consumer = first.consumer(&Attach::gated());
        let mut observer = second.observer(Start::Newest);
        let mut latest = Latest::local(&LatestOptions::new(), &1_u64).unwrap();
        let mut reader = latest.reader().unwrap();
        let mut set = WaitSet::new();
        let ready = now(&mut set, &mut [&mut consumer, &mut observer, &mut reader]);
        assert_eq!(tokens(ready), [2], "the first value was not returned yet");
        assert_eq!(reader.get().unwrap(), 1);
        assert!(now(&mut set, &mut [&mut consumer, &mut observer, &mut reader]).is_empty());
        producers[1].send(b"x").unwrap();
        assert_eq!(tokens(now(&mut set, &mut [&mut consumer, &mut observer, &mut reader])), [1]);
        producers[0].send(b"x").unwrap();
        latest.set(&2).unwrap();
        assert_eq!(tokens(set.wait(&mut [&mut consumer, &mut observer, &mut reader])), [0, 1, 2]);
        assert!(matches!(consumer.try_recv().unwrap(), Some(Event::Record(_))));
        // What is left makes it ready again.
        assert_eq!(tokens(set.wait(&mut [&mut reader, &mut consumer, &mut observer])), [0, 2]);
    }
}

#[test]
fn nothing_is_ever_ready_in_an_empty_list() {
    let mut set = WaitSet::new();
    assert!(set.wait(&mut []).is_empty());
    assert!(set.wait_timeout(&mut [], Duration::from_millis(1)).is_empty());
}

#[test]
fn each_thing_wakes() {
    for backing in BACKINGS {
        for mode in MODES {
            let rings = [backing.ring(&small().wait(mode)), backing.ring(&small().wait(mode))];
            let [mut first, mut second] = rings.each_ref().map(|ring| ring.producer());
            let mut consumer = rings[0].consumer(&Attach::gated());
            let mut observer = rings[1].observer(Start::Newest);
            let mut latest = Latest::local(&LatestOptions::new(), &0_u64).unwrap();
            let mut reader = latest.reader().unwrap();
            reader.get().unwrap();
            let mut set = sleeper();
            for round in 1..30_u64 {
                let expected = (round % 3) as usize;
                thread::scope(|scope| {
                    let waker = scope.spawn(|| {
                        thread::sleep(Duration::from_micros(round * 50));
                        match expected {
                            0 => drop(first.send(b"x").unwrap()),
                            1 => drop(second.send(b"x").unwrap()),
                            _ => drop(latest.set(&round).unwrap()),
                        }
                    });
                    let things: &mut [&mut dyn Waitable] = &mut [&mut consumer, &mut observer, &mut reader];
                    assert_eq!(tokens(set.wait_deadline(things, soon())), [expected]);
                    waker.join().unwrap();
                });
                match expected {
                    0 => assert!(matches!(consumer.try_recv().unwrap(), Some(Event::Record(_)))),
                    1 => assert!(matches!(observer.try_recv().unwrap(), Some(Event::Record(_)))),
                    _ => assert_eq!(reader.get().unwrap(), round),
                }
            }
        }
    }
}

/// A producer waits for the record that the consumer holds, and the consumer, in a set, for the next one.
#[test]
fn a_wait_releases_what_was_received() {
    for backing in BACKINGS {
        let ring = backing.ring(&small());
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::gated());
        // The third does not fit before the end of the ring, and so needs room that the second takes up.
        let half = vec![0; producer.max_len()];
        producer.send(&vec![0; half.len() / 2 - 4]).unwrap();
        producer.send(&half).unwrap();
        let mut set = sleeper();
        for _ in 0..2 {
            assert_eq!(tokens(set.wait(&mut [&mut consumer])), [0]);
            assert!(consumer.try_recv().unwrap().is_some());
        }
        assert!(producer.try_send(&half).is_err());
        thread::scope(|scope| {
            scope.spawn(|| producer.send_deadline(&half, soon()).unwrap());
            assert_eq!(tokens(set.wait_deadline(&mut [&mut consumer], soon())), [0]);
        });
    }
}

#[test]
fn trusted_handles_wait_too() {
    let ring = quoit::Ring::heap(&small().gated_only(true)).unwrap();
    #[allow(unsafe_code, reason = "the promise that is waited with")]
    // SAFETY: on the heap of this process, whose other threads have no handle on it.
    let ring = unsafe { ring.trust_writers() };
    let mut consumer = ring.consumer(&Attach::gated()).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut set = WaitSet::new();
    assert_eq!(tokens(now(&mut set, &mut [&mut consumer, &mut producer.space(8)])), [1]);
    producer.send(b"x").unwrap();
    assert_eq!(tokens(now(&mut set, &mut [&mut consumer])), [0]);
}

#[test]
fn typed_consumers_and_hand_released_ones_wait_too() {
    let ring = quoit::Ring::heap(&small().schema::<u64>()).unwrap();
    let mut typed = ring.typed_consumer::<u64>(&Attach::gated()).unwrap();
    let mut kept = ring.consumer(&Attach::gated()).unwrap();
    kept.keep(true);
    let mut producer = ring.typed_producer::<u64>().unwrap();
    producer.send(&7).unwrap();
    let mut set = WaitSet::new();
    assert_eq!(tokens(set.wait(&mut [&mut typed, &mut kept])), [0, 1]);
    assert_eq!(typed.recv().unwrap().payload(), Some(7));
    assert!(kept.try_recv().unwrap().is_some());
    assert!(now(&mut set, &mut [&mut typed, &mut kept]).is_empty());
    let cursor = |slot: u32| {
        let snapshot = ring.inspector().unwrap().snapshot().unwrap();
        snapshot.consumers.iter().find(|info| info.slot == slot).unwrap().lag_records
    };
    assert_eq!(cursor(kept.slot()), 1, "a wait released what only `release` does");
    kept.release();
    assert_eq!(cursor(kept.slot()), 0);
}
