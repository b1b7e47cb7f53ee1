//! The end of a stream, evictions and errors make ready, and the try says what it is.

use std::time::{Duration, Instant};

use quoit::{Attach, Event, RecvError, Start, Status, WaitMode, WaitSet};

use crate::common::{Backing, soon};
use crate::{BACKINGS, now, sleeper, small, tokens};

#[test]
fn a_closed_ring_is_ready_until_its_end_is_told() {
    for backing in BACKINGS {
        let ring = backing.ring(&small());
        let mut consumer = ring.consumer(&Attach::gated());
        let mut observer = ring.observer(Start::Newest);
        let mut set = WaitSet::new();
        assert!(now(&mut set, &mut [&mut consumer]).is_empty(), "no producer has come");
        ring.producer().send(b"last").unwrap();
        assert_eq!(tokens(set.wait(&mut [&mut consumer, &mut observer])), [0, 1]);
        assert!(matches!(consumer.recv_timeout(Duration::ZERO), Ok(Event::Record(_))));
        assert!(matches!(observer.recv_timeout(Duration::ZERO), Ok(Event::Record(_))));
        assert_eq!(tokens(set.wait_deadline(&mut [&mut consumer, &mut observer], soon())), [0, 1]);
        assert_eq!(consumer.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::Closed);
        assert_eq!(observer.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::Closed);
        let short = Duration::from_millis(250);
        assert!(set.wait_timeout(&mut [&mut consumer, &mut observer], short).is_empty(), "told twice");
        ring.producer().send(b"more").unwrap();
        assert_eq!(tokens(set.wait(&mut [&mut consumer, &mut observer])), [0, 1]);
    }
}

/// Whoever never asks how the stream stands is told again, but not at once.
#[test]
fn an_end_that_is_not_asked_for_does_not_spin() {
    let ring = Backing::Heap.ring(&small());
    drop(ring.producer());
    let mut consumer = ring.consumer(&Attach::gated());
    let mut set = sleeper();
    let begin = Instant::now();
    let mut times = 0;
    while begin.elapsed() < Duration::from_millis(350) {
        times += set.wait_timeout(&mut [&mut consumer], Duration::from_millis(10)).len();
        assert!(consumer.try_recv().unwrap().is_none());
    }
    assert!((1..=10).contains(&times), "{times} times");
    assert_eq!(consumer.status(), Status::Closed);
}

#[test]
fn closing_wakes() {
    for backing in BACKINGS {
        for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
            let ring = backing.ring(&small().wait(mode));
            let other = backing.ring(&small());
            let producer = ring.producer();
            let mut consumers = [ring.consumer(&Attach::gated()), other.consumer(&Attach::gated())];
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(2));
                    drop(producer);
                });
                let [first, second] = &mut consumers;
                assert_eq!(tokens(sleeper().wait_deadline(&mut [first, second], soon())), [0]);
            });
            assert_eq!(consumers[0].recv_timeout(Duration::ZERO).unwrap_err(), RecvError::Closed);
        }
    }
}

#[test]
fn a_death_is_noticed_beside_a_busy_ring() {
    let (quiet, busy) = (Backing::Tmpfs.ring(&small()), Backing::Tmpfs.ring(&small()));
    let mut producer = busy.producer();
    let mut consumers = [quiet.consumer(&Attach::gated()), busy.consumer(&Attach::gated())];
    quiet.kill_producer(quiet.producer());
    let mut set = WaitSet::new();
    let end = soon();
    loop {
        producer.send(b"x").unwrap();
        let [first, second] = &mut consumers;
        let ready = tokens(set.wait_deadline(&mut [first, second], end));
        assert!(Instant::now() < end, "never noticed");
        if ready.contains(&0) {
            break;
        }
        while consumers[1].try_recv().unwrap().is_some() {}
    }
    assert_eq!(consumers[0].recv_timeout(Duration::ZERO).unwrap_err(), RecvError::ProducerGone);
}

#[test]
fn an_eviction_makes_ready() {
    for backing in BACKINGS {
        let ring = backing.ring(&small());
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::gated().evictable());
        let mut set = sleeper();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(2));
                producer.evict(0).unwrap();
            });
            assert_eq!(tokens(set.wait_deadline(&mut [&mut consumer], soon())), [0]);
        });
        assert!(matches!(consumer.try_recv().unwrap(), Some(Event::Evicted)));
    }
}

#[test]
fn a_loss_makes_ready() {
    let ring = Backing::Heap.ring(&small());
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::lossy());
    for _ in 0..100 {
        producer.send(&[0; 1000]).unwrap();
    }
    assert_eq!(tokens(WaitSet::new().wait(&mut [&mut consumer])), [0]);
    assert!(matches!(consumer.try_recv().unwrap(), Some(Event::Lost(_))));
}
