//! Ticks, alone and beside other things.

use std::time::{Duration, Instant};

use quoit::{Attach, Ticker, WaitSet};

use crate::common::Backing;
use crate::{now, small, tokens};

#[test]
fn ticks_are_counted_from_the_first() {
    let begin = Instant::now();
    let period = Duration::from_millis(1);
    let mut ticker = Ticker::starting(begin + period, period);
    let mut count = 0;
    while count < 20 {
        // Asleep, partly awake, and awake all the time.
        ticker.set_spin(period * (count as u32 % 3) / 2);
        let tick = ticker.wait();
        count += tick.count;
        assert!(tick.count > 0 && tick.late < period);
        // However late a round was, the next tick is due at its own time.
        let due = period * u32::try_from(count).unwrap();
        assert!(begin.elapsed() >= due, "tick {count} came early");
    }
    assert_eq!(ticker.period(), period);
}

/// Late rounds move no tick: as many are counted as periods have passed, however much of one is left over each time.
#[test]
fn ticks_do_not_drift() {
    let period = Duration::from_millis(1);
    let begin = Instant::now();
    let mut ticker = Ticker::starting(begin + period, period);
    // The first tick may be as much later as this took.
    let slack = begin.elapsed();
    let mut count = 0;
    for _ in 0..10 {
        std::thread::sleep(period * 5 / 2);
        let before = begin.elapsed();
        count += ticker.take().map_or(0, |tick| tick.count);
        let due = |time: Duration| u64::try_from(time.as_nanos() / period.as_nanos()).unwrap();
        let (least, most) = (due(before.saturating_sub(slack)), due(begin.elapsed()));
        assert!((least..=most).contains(&count), "{count} ticks, and {least} to {most} were due");
    }
}

#[test]
fn a_tick_ends_a_wait() {
    let ring = Backing::Heap.ring(&small());
    let mut consumer = ring.consumer(&Attach::gated());
    let mut set = WaitSet::new();
    let mut never = Ticker::every(Duration::MAX);
    let mut ticker = Ticker::every(Duration::from_millis(3));
    for _ in 0..5 {
        assert_eq!(tokens(set.wait(&mut [&mut never, &mut consumer, &mut ticker])), [2]);
        assert!(ticker.take().is_some_and(|tick| tick.count > 0));
    }
    // Alone it is waited for without a futex.
    assert_eq!(tokens(set.wait(&mut [&mut ticker])), [0]);
    assert_eq!(tokens(now(&mut set, &mut [&mut ticker])), [0], "it is not taken yet");
}

#[test]
fn ticks_that_were_missed_are_skipped() {
    let mut ticker = Ticker::starting(Instant::now() - Duration::from_secs(1), Duration::from_millis(1));
    let mut kept = ticker.clone();
    ticker.skip();
    let after = ticker.take().map_or(0, |tick| tick.count);
    assert!(kept.take().is_some_and(|tick| tick.count >= after + 1000));
}
