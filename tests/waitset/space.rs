//! A producer that waits for space, beside other things.

use std::thread;
use std::time::{Duration, Instant};

use quoit::{Attach, Event, SendError, WaitMode};

use crate::common::{Backing, soon};
use crate::{BACKINGS, MODES, now, sleeper, small, tokens};

const LEN: usize = 1000;

#[test]
fn a_release_wakes_a_producer() {
    for backing in BACKINGS {
        for mode in MODES {
            let ring = backing.ring(&small().wait(mode));
            let other = backing.ring(&small());
            let mut producer = ring.producer();
            let mut consumer = ring.consumer(&Attach::gated());
            let mut idle = other.consumer(&Attach::gated());
            let mut set = sleeper();
            for _ in 0..5 {
                while producer.try_send(&[0; LEN]).is_ok() {}
                assert!(now(&mut set, &mut [&mut idle, &mut producer.space(LEN)]).is_empty());
                thread::scope(|scope| {
                    scope.spawn(|| {
                        thread::sleep(Duration::from_millis(3));
                        while consumer.try_recv().unwrap().is_some() {}
                    });
                    let things: &mut [&mut dyn quoit::Waitable] = &mut [&mut idle, &mut producer.space(LEN)];
                    assert_eq!(tokens(set.wait_deadline(things, soon())), [1]);
                });
                producer.try_send(&[0; LEN]).unwrap();
            }
        }
    }
}

/// Neither leaves a mark, nor counts as a stall.
#[test]
fn a_producer_that_gave_up_waiting_leaves_no_mark() {
    let ring = Backing::Heap.ring(&small());
    let mut producer = ring.producer();
    let _consumer = ring.consumer(&Attach::gated());
    while producer.try_send(&[0; LEN]).is_ok() {}
    let before = ring.snapshot();
    let mut set = sleeper();
    assert!(set.wait_timeout(&mut [&mut producer.space(LEN)], Duration::from_millis(5)).is_empty());
    let after = ring.snapshot();
    assert_eq!((before.full, before.stall), (after.full, after.stall));
    assert_eq!(producer.held_by().map(|blocker| blocker.slot), Some(0));
    assert!(matches!(producer.try_send(&[0; LEN]), Err(SendError::Full { slot: 0 })));
}

#[test]
fn the_dead_and_the_overdue_give_way() {
    let ring = Backing::Tmpfs.ring(&small());
    let mut producer = ring.producer();
    let dead = ring.consumer(&Attach::gated());
    while producer.try_send(&[0; LEN]).is_ok() {}
    ring.kill_consumer(dead);
    let mut set = sleeper();
    assert_eq!(tokens(set.wait_deadline(&mut [&mut producer.space(LEN)], soon())), [0]);
    producer.try_send(&[0; LEN]).unwrap();

    let mut slow = ring.consumer(&Attach::gated_for(Duration::from_millis(20)));
    while producer.try_send(&[0; LEN]).is_ok() {}
    assert_eq!(tokens(set.wait_deadline(&mut [&mut producer.space(LEN)], soon())), [0]);
    producer.try_send(&[0; LEN]).unwrap();
    let mut evicted = false;
    while let Some(event) = slow.try_recv().unwrap() {
        evicted |= matches!(event, Event::Evicted);
    }
    assert!(evicted);
    assert_eq!((ring.snapshot().reclaims, ring.snapshot().evictions), (1, 1));
}

#[test]
fn a_record_that_never_fits_is_ready_and_the_send_says_why() {
    let ring = Backing::Heap.ring(&small());
    let mut producer = ring.producer();
    let len = producer.max_len() + 1;
    assert_eq!(tokens(sleeper().wait(&mut [&mut producer.space(len)])), [0]);
    assert!(matches!(producer.try_send(&vec![0; len]), Err(SendError::TooLarge { .. })));
}

/// The room that a wait found is not taken: what was staged and published stays as it was.
#[test]
fn waiting_sends_nothing() {
    for mode in [WaitMode::Membarrier, WaitMode::Spin] {
        let ring = Backing::Heap.ring(&small().wait(mode));
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::gated());
        for turn in 0..100_u64 {
            let len = (turn as usize * 37) % LEN;
            let end = Instant::now() + Duration::from_secs(20);
            assert_eq!(tokens(sleeper().wait_deadline(&mut [&mut producer.space(len)], end)), [0]);
            assert_eq!(producer.try_send(&vec![turn as u8; len]).unwrap(), turn);
            let record = consumer.recv_record(|_| {}).unwrap();
            assert_eq!((record.sequence(), record.to_vec()), (turn, vec![turn as u8; len]));
        }
    }
}
