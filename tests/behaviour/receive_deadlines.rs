//! Deadlines of receiving, to the microsecond and across sleeps; and how soon a sleeper is told.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use quoit::{Attach, Event, Receive, RecvError, SendError, Start, WaitMode};

use crate::common::{Ring, payload, soon, until};
use crate::{Scene, Setup};

crate::behaviours! {
    time_outs_are_not_cut_short,
    a_sleep_ends_at_its_deadline,
    padding_that_comes_while_waiting_ends_no_deadline,
    an_eviction_is_told_to_a_sleeper,
    the_end_is_told_to_a_sleeper,
    a_record_is_told_to_a_sleeper,
    an_idle_observer_hardly_wakes,
}

/// Less than this is at once: a sleeper that nobody woke would sleep for a tenth of a second.
const AT_ONCE: Duration = Duration::from_millis(40);

type Receiver = Box<dyn Receive + Send>;

/// One of each kind, at the newest place, to go to sleep at once.
fn receivers(ring: &Ring) -> [(&'static str, Receiver); 3] {
    let mut receivers = [
        ("gated", Box::new(ring.consumer(&Attach::gated())) as Receiver),
        ("lossy", Box::new(ring.consumer(&Attach::lossy()))),
        ("observer", Box::new(ring.observer(Start::Newest))),
    ];
    receivers.iter_mut().for_each(|(_, receiver)| receiver.set_spins(0));
    receivers
}

/// A ring in each wait mode.
fn rings(setup: Setup) -> impl Iterator<Item = (WaitMode, Ring)> {
    [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin]
        .into_iter()
        .map(move |mode| (mode, setup.backing.ring(&setup.options().wait(mode))))
}

/// A fraction of a millisecond, also the last one, is waited for.
fn time_outs_are_not_cut_short(setup: Setup) {
    for (mode, ring) in rings(setup) {
        let _producer = ring.producer();
        for (who, mut receiver) in receivers(&ring) {
            for spins in [0, 2000] {
                receiver.set_spins(spins);
                for micros in [1, 300, 300, 999, 1900, 1900, 1900, 15_900] {
                    let timeout = Duration::from_micros(micros);
                    let begin = Instant::now();
                    assert_eq!(receiver.recv_timeout(timeout).unwrap_err(), RecvError::TimedOut);
                    assert!(
                        begin.elapsed() >= timeout,
                        "{who}, {mode:?}: {:?} of {timeout:?}",
                        begin.elapsed()
                    );
                    let deadline = Instant::now() + timeout;
                    assert_eq!(receiver.recv_deadline(deadline).unwrap_err(), RecvError::TimedOut);
                    let now = Instant::now();
                    assert!(now >= deadline, "{who}, {mode:?}: {:?} early", deadline - now);
                }
            }
        }
    }
}

/// Sleeps come in slices of a tenth of a second, and naps in up to 20 ms; the last one is as long as is left.
fn a_sleep_ends_at_its_deadline(setup: Setup) {
    const MOST: Duration = Duration::from_millis(10);
    // After that much a nap would last longer than the shortest time-out, and than `MOST` beside it.
    const SILENCE: Duration = Duration::from_millis(240);
    for (mode, ring) in rings(setup) {
        let _producer = ring.producer();
        for (who, mut receiver) in receivers(&ring) {
            assert_eq!(receiver.recv_timeout(SILENCE).unwrap_err(), RecvError::TimedOut);
            let longer_than_a_slice = if mode == WaitMode::Membarrier { 130 } else { 13 };
            for timeout in [1, 3, longer_than_a_slice].map(Duration::from_millis) {
                let late = |_| {
                    let deadline = Instant::now() + timeout;
                    assert_eq!(receiver.recv_deadline(deadline).unwrap_err(), RecvError::TimedOut);
                    deadline.elapsed()
                };
                let is_late = (0..20).map(late).all(|late| late >= MOST);
                assert!(!is_late, "{who}, {mode:?}: later than {MOST:?} in each of 20 times {timeout:?}");
            }
        }
    }
}

/// The producer comes to the end of the ring, and publishes padding; for the record that was to follow another gate
/// leaves no room.
fn padding_that_comes_while_waiting_ends_no_deadline(setup: Setup) {
    for (who, slow) in [("gated", false), ("lossy", false), ("observer", false), ("gated", true)] {
        let Scene { ring, mut sent, mut producer, .. } = setup.scene();
        let mut blocking = ring.consumer(&Attach::gated());
        let mut receiver = receivers(&ring).into_iter().find(|(name, _)| *name == who).unwrap().1;
        if slow {
            receiver.set_spins(2000);
        }
        let mut oracle = setup.oracle();
        // From the beginning of the ring to 48 bytes before its end.
        let first = setup.position.wrapping_neg() % 4096 / 64;
        for round in [vec![56; first as usize], vec![56; 63], vec![8]] {
            for len in round {
                sent.send(&mut producer, len);
                oracle.feed(&sent, receiver.recv_deadline(soon()).expect("it was sent"));
            }
            if sent.next() == setup.first.wrapping_add(first) {
                while blocking.try_recv().unwrap().is_some() {}
                blocking.release();
            }
        }
        let timeout = Duration::from_millis(60);
        let waiting = std::thread::spawn(move || {
            let begin = Instant::now();
            assert_eq!(receiver.recv_timeout(timeout).unwrap_err(), RecvError::TimedOut);
            begin.elapsed()
        });
        std::thread::sleep(timeout / 3);
        assert_eq!(producer.try_send(&payload(sent.next(), 56)), Err(SendError::Full { slot: 0 }));
        // As long as the producer lives: its end would be told.
        let waited = waiting.join().unwrap();
        assert!(waited >= timeout, "{who}: {waited:?} of {timeout:?}");
        drop(producer);
    }
}

/// Tries until a sleeper was told at once. `sleep` sleeps until it is told, and `tell` does what it is to be told of, and
/// returns when that was.
fn told_at_once<R: Send + 'static>(
    what: &str,
    mut scene: impl FnMut() -> R,
    sleep: impl Fn(&mut R) + Send + Copy + 'static,
    mut tell: impl FnMut() -> Instant,
) {
    let is_late = (0..20).all(|_| {
        let mut receiver = scene();
        let (asleep, begin) = channel();
        let told = std::thread::spawn(move || {
            asleep.send(()).unwrap();
            sleep(&mut receiver);
            Instant::now()
        });
        begin.recv().unwrap();
        std::thread::sleep(Duration::from_millis(10));
        let happened = tell();
        told.join().unwrap().saturating_duration_since(happened) >= AT_ONCE
    });
    assert!(!is_late, "{what}: later than {AT_ONCE:?} each time");
}

/// Nothing can be published meanwhile: another gate is in the way.
fn an_eviction_is_told_to_a_sleeper(setup: Setup) {
    for mode in [WaitMode::Membarrier, WaitMode::Fence] {
        let stage = RefCell::new(None);
        told_at_once(
            "an eviction",
            || {
                let ring = setup.backing.ring(&setup.options().wait(mode));
                let mut producer = ring.producer();
                let blocking = ring.consumer(&Attach::gated());
                let mut consumer = ring.consumer(&Attach::gated_for(Duration::from_millis(1)));
                consumer.set_spins(0);
                consumer.keep(true);
                while producer.try_send(&[7; 56]).is_ok() {}
                while !matches!(consumer.try_recv(), Ok(None)) {}
                stage.replace(Some((ring, producer, blocking)));
                consumer
            },
            |consumer| {
                let event = consumer.recv_deadline(soon()).unwrap();
                assert!(matches!(event, Event::Evicted));
            },
            || {
                let mut stage = stage.borrow_mut();
                let (ring, producer, _) = stage.as_mut().unwrap();
                until("it is evicted", || {
                    assert_eq!(producer.try_send(&[7; 56]), Err(SendError::Full { slot: 0 }));
                    ring.snapshot().evictions == 1
                });
                Instant::now()
            },
        );
    }
}

fn the_end_is_told_to_a_sleeper(setup: Setup) {
    for (mode, ring) in rings(setup) {
        for kind in 0..3 {
            let producer = Cell::new(None);
            told_at_once(
                &format!("the end, {mode:?}, {kind}"),
                || {
                    producer.set(Some(ring.producer()));
                    receivers(&ring).into_iter().nth(kind).unwrap().1
                },
                |receiver| assert_eq!(receiver.recv_deadline(soon()).unwrap_err(), RecvError::Closed),
                || {
                    drop(producer.take());
                    Instant::now()
                },
            );
        }
    }
}

/// After a short silence and a long one.
fn a_record_is_told_to_a_sleeper(setup: Setup) {
    for (mode, ring) in rings(setup) {
        let producer = RefCell::new(ring.producer());
        for kind in 0..3 {
            // Naps are as long as they get by then; who is woken is so at any time.
            let silences: &[u64] = if kind == 2 { &[0, 200] } else { &[0] };
            for silence in silences.iter().copied().map(Duration::from_millis) {
                told_at_once(
                    &format!("a record, {mode:?}, {kind}"),
                    || {
                        let mut receiver = receivers(&ring).into_iter().nth(kind).unwrap().1;
                        assert_eq!(receiver.recv_timeout(silence).unwrap_err(), RecvError::TimedOut);
                        receiver
                    },
                    |receiver| {
                        let event = receiver.recv_deadline(soon()).unwrap();
                        assert!(matches!(event, Event::Record(_)));
                    },
                    || {
                        producer.borrow_mut().send_deadline(&[1; 8], soon()).unwrap();
                        Instant::now()
                    },
                );
            }
        }
    }
}

/// How often this thread has gone to sleep, and for how long it has run.
fn own_use() -> (u64, Duration) {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    // Empty where the kernel keeps no such account.
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran = schedule.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
    (line.trim().parse().unwrap(), Duration::from_nanos(ran))
}

/// Whoever finds nothing for long naps for long, and looks once after each nap: in one long wait, and in many short ones.
fn an_idle_observer_hardly_wakes(setup: Setup) {
    const IDLE: Duration = Duration::from_millis(300);
    for slices in [1, 5] {
        let ring = setup.ring();
        let _producer = ring.producer();
        let mut observer = ring.observer(Start::Newest);
        assert_eq!(observer.recv_timeout(IDLE / 2).unwrap_err(), RecvError::TimedOut);
        // One spell of looking is some thousandths of the time; one for each nap, or each call, would be seen.
        observer.set_spins(20_000);
        let (naps, ran) = own_use();
        let begin = Instant::now();
        for _ in 0..slices {
            assert_eq!(observer.recv_timeout(IDLE / slices).unwrap_err(), RecvError::TimedOut);
        }
        let (naps_now, ran_now) = own_use();
        // One in 10 ms is what is to be expected, and one in 1 ms is too many. A busy machine makes the time longer, not the naps more.
        let most = begin.elapsed().as_millis() as u64 / 5;
        assert!(naps_now - naps <= most, "{} naps in {:?}", naps_now - naps, begin.elapsed());
        let share = (ran_now - ran).as_secs_f64() / begin.elapsed().as_secs_f64();
        assert!(share < 0.03, "{:.1} % of a core", 100.0 * share);
        // However long a nap may be by now, the last one ends with the wait.
        let late = |_| {
            let deadline = Instant::now() + Duration::from_millis(1);
            assert_eq!(observer.recv_deadline(deadline).unwrap_err(), RecvError::TimedOut);
            deadline.elapsed()
        };
        assert!((0..20).map(late).any(|late| late < Duration::from_millis(5)), "it naps past its deadline");
    }
}
