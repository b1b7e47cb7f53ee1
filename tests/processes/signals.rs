//! A storm of signals whose handler does not restart system calls: nothing returns early, nothing drifts.

use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use quoit::{Attach, Consumer, Event, Observer, Options, Producer, RecvError, SendError, Start, WaitMode};
use support::dice::mix;
use support::offsets::CONTROL;

use crate::oracle::Sums;
use crate::process::{Part, Stage, eventually, hear, note, say};
use crate::words::sleep_words;

/// A handler's own: signal handlers can touch little else.
mod count {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static SEEN: AtomicU64 = AtomicU64::new(0);

    pub(super) extern "C" fn handler(_signal: i32) {
        SEEN.fetch_add(1, Relaxed);
    }

    pub(super) fn seen() -> u64 {
        SEEN.load(Relaxed)
    }
}

#[allow(unsafe_code, reason = "installs a signal handler")]
fn install() {
    let action = SigAction::new(SigHandler::Handler(count::handler), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing but count.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("install a handler");
}

/// From now on this thread gets a signal every 100 µs or so, and has had one. A timer would not do: its signals go to
/// the process, which means the main thread, where the harness waits.
fn storm_on_this_thread() {
    install();
    let target = pthread_self();
    std::thread::spawn(move || {
        while pthread_kill(target, Signal::SIGALRM).is_ok() {
            sleep(Duration::from_micros(40));
        }
    });
    eventually("the first signal", || count::seen() > 0);
}

/// How long a wait of `limit` took, and how many signals came during it.
fn timed(limit: Duration, wait: impl FnOnce(Instant)) -> (Duration, u64) {
    let before = count::seen();
    let start = Instant::now();
    wait(start + limit);
    (start.elapsed(), count::seen() - before)
}

/// Never early; late only by what a busy machine adds.
fn check((took, signals): (Duration, u64), limit: Duration) {
    assert!(took >= limit, "{took:?} in place of {limit:?}: early");
    assert!(took < limit + Duration::from_secs(2), "{took:?} in place of {limit:?}: drifts");
    assert!(signals > 0, "no signal in {took:?}");
}

/// Waits with deadlines under signals.
pub(crate) fn storm(part: &Part) {
    storm_on_this_thread();
    let limit = Duration::from_millis(250);
    let directory: std::path::PathBuf = part.get("directory");
    let mut signals = 0;
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        let ring = directory.join(format!("{mode:?}"));
        let options = Options::new().capacity(1 << 20).wait(mode);
        // Creation allocates every block, a call that signals interrupt.
        let mut producer = Producer::create(&ring, &options).expect("create");
        let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
        let mut observer = Observer::open(&ring, Start::Newest).expect("observe");
        assert!(matches!(consumer.try_recv(), Ok(None)));
        for spins in [0, 500] {
            consumer.set_spins(spins);
            observer.set_spins(spins);
            producer.set_spins(spins);
            let nothing = |event: Result<Event<'_>, RecvError>| {
                assert_eq!(event.expect_err("nothing comes"), RecvError::TimedOut);
            };
            check(timed(limit, |until| nothing(consumer.recv_deadline(until))), limit);
            check(timed(limit, |until| nothing(observer.recv_deadline(until))), limit);
            while producer.try_send(&[1; 1000]).is_ok() {}
            let full = |until| {
                assert_eq!(producer.send_deadline(&[1; 1000], until), Err(SendError::TimedOut { slot: 0 }))
            };
            check(timed(limit, full), limit);
            while consumer.try_recv().expect("receive").is_some() {}
            while observer.try_recv().expect("receive").is_some() {}
        }
        // What comes in the middle of a wait is received then.
        let start = Instant::now();
        let sender = std::thread::spawn(move || {
            sleep(limit);
            producer.send(b"at last").expect("send");
            producer
        });
        match consumer.recv_deadline(start + limit * 40) {
            Ok(Event::Record(record)) => assert_eq!(record.to_vec(), b"at last"),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() >= limit && start.elapsed() < limit * 40);
        // And a space that comes free in the middle of a wait is used then.
        let mut producer = sender.join().expect("the sender");
        while producer.try_send(&[2; 1000]).is_ok() {}
        let start = Instant::now();
        let reader = std::thread::spawn(move || {
            sleep(limit);
            while consumer.try_recv().expect("receive").is_some() {}
            consumer
        });
        producer.send_deadline(&[3; 1000], start + limit * 40).expect("space");
        assert!(start.elapsed() >= limit && start.elapsed() < limit * 40);
        drop(reader.join());
        signals = count::seen();
    }
    // A large file takes the kernel longer than the signals leave it.
    let large = directory.join("large");
    Options::new().capacity(256 << 20).create(&large).expect("create in the storm");
    Producer::open(&large).expect("open").send(b"one").expect("send");
    say(format_args!("done {signals}"));
    hear();
}

#[test]
fn deadlines_hold_in_a_storm_of_signals() {
    let stage = Stage::tmpfs(80);
    let mut child = Part::new("signals").with("directory", stage.path().display()).start();
    let signals = child.says_within("done", Duration::from_secs(60))[0];
    assert!(signals >= 300, "only {signals} signals");
    note(format_args!("deadlines held under {signals} signals"));
    child.finish();
}

/// Plays the part of name `play` under signals.
pub(crate) fn in_a_storm(part: &Part) {
    storm_on_this_thread();
    let play: String = part.get("play");
    let part = part.clone().renamed(&play);
    match &play[..] {
        "produce" => crate::load::produce(&part),
        _ => crate::load::consume(&part),
    }
    say(format_args!("signals {}", count::seen()));
}

/// A stranger with write permission: wakes everybody on both sleep words, and flips their armed bits and counts, until
/// it is told to end.
pub(crate) fn tamper(part: &Part) {
    use rustix::thread::futex;

    let words = sleep_words(&part.ring(), CONTROL);
    let flips = part.get::<String>("flips") == "true";
    say("ready");
    let over = std::thread::spawn(hear);
    let (mut wakes, mut dice) = (0, 1);
    while !over.is_finished() {
        for word in words {
            let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
            wakes += 1;
        }
        dice = mix(dice);
        let word = words[(dice >> 8) as usize % 2];
        match dice % 8 {
            _ if !flips => {}
            0 => drop(word.fetch_xor(1, Relaxed)),
            1 => drop(word.fetch_or(1, Relaxed)),
            2 => drop(word.fetch_add((dice >> 32) as u32, Relaxed)),
            _ => drop(word.fetch_add(2, Relaxed)),
        }
        if dice % 64 < 8 {
            sleep(Duration::from_micros(20));
        }
    }
    say(format_args!("tampered {wakes}"));
}

/// A stream whose both sides sleep, under signals, with strangers at the words.
fn a_stream_in_a_storm(mode: WaitMode, flips: bool) {
    let stage = Stage::tmpfs(80);
    let ring = stage.file("ring");
    let count = if flips { 300 } else { 3_000 };
    Options::new().capacity(4096).slots(4).wait(mode).create(&ring).expect("create");
    let part = Part::new("in a storm").on(&ring).with("max", 300);
    let reader = part.clone().with("play", "consume").with("policy", "gated").with("spins", 0);
    let mut consumer = reader.with("nap_every", 50).with("nap_us", 300).start();
    consumer.says("ready");
    let mut intruder = Part::new("tamper").on(&ring).with("flips", flips).start();
    intruder.says("ready");
    let mut producer =
        part.with("play", "produce").with("seed", 9).with("count", count).with("pause_us", 30).start();
    producer.says("ready");
    let limit = Duration::from_secs(60);
    assert_eq!(producer.says_within("done", limit), [count]);
    let mut numbers = consumer.says_within("done", limit);
    numbers.pop();
    let sums = Sums::from(numbers);
    assert_eq!((sums.first, sums.next, sums.delivered, sums.lost), (0, count, count, 0), "{sums:?}");
    let signals = [producer.says("signals")[0], consumer.says("signals")[0]];
    assert!(signals.iter().all(|signals| *signals > 0), "{signals:?}");
    intruder.tell("enough");
    let wakes = intruder.says("tampered")[0];
    note(format_args!("{mode:?}: {count} records under {signals:?} signals and {wakes} stray wakes"));
    for child in [producer, consumer, intruder] {
        child.finish();
    }
}

#[test]
fn stray_wakes_and_signals_are_invisible() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        a_stream_in_a_storm(mode, false);
    }
}

#[test]
fn flipped_armed_bits_and_counts_cost_time_and_nothing_else() {
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        a_stream_in_a_storm(mode, true);
    }
}
