//! A storm of signals whose handler does not restart system calls: nothing returns early, nothing drifts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use quoit::{Attach, Consumer, Event, Observer, Options, Producer, SendError, Start, WaitMode};

use crate::process::{Part, Stage, hear, say};

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

/// Waits with deadlines while this thread gets a signal every millisecond.
pub(crate) fn storm(part: &Part) {
    install();
    let target = pthread_self();
    std::thread::spawn(move || {
        while pthread_kill(target, Signal::SIGALRM).is_ok() {
            sleep(Duration::from_micros(900));
        }
    });
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
            let nothing = |event: Option<Event<'_>>| assert!(event.is_none(), "{event:?}");
            check(timed(limit, |until| nothing(consumer.recv_deadline(until).expect("receive"))), limit);
            check(timed(limit, |until| nothing(observer.recv_deadline(until).expect("receive"))), limit);
            while producer.try_send(&[1; 1000]).is_ok() {}
            let full =
                |until| assert_eq!(producer.send_deadline(&[1; 1000], until), Err(SendError::TimedOut));
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
            Ok(Some(Event::Record(record))) => assert_eq!(record.to_vec(), b"at last"),
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
    crate::process::note(format_args!("deadlines held under {signals} signals"));
    child.finish();
}
