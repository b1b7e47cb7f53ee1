//! More things than one system call can sleep on, and every way to sleep.

use std::thread;
use std::time::Duration;

use quoit::{Attach, Consumer, Options, Ring, Start, Ticker, WaitMethod, WaitMode, WaitSet, Waitable, Watch};

use crate::common::soon;
use crate::{sleeper, tokens};

/// One of `count` rings is sent something, each in turn.
fn one_of(count: usize, method: WaitMethod) {
    let options = Options::new().capacity(4096).slots(1);
    let rings: Vec<_> = (0..count).map(|_| Ring::heap(&options).unwrap()).collect();
    let mut producers: Vec<_> = rings.iter().map(|ring| ring.producer().unwrap()).collect();
    let mut consumers: Vec<Consumer> =
        rings.iter().map(|ring| ring.consumer(&Attach::gated()).unwrap()).collect();
    let mut set = sleeper();
    for turn in [0, count / 2, count - 1] {
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                producers[turn].send(b"x").unwrap();
            });
            let mut things: Vec<_> = consumers.iter_mut().map(|each| each as &mut dyn Waitable).collect();
            assert_eq!(tokens(set.wait_deadline(&mut things, soon())), [turn], "of {count}");
        });
        assert!(consumers[turn].try_recv().unwrap().is_some());
    }
    match set.method() {
        WaitMethod::Refused(errno) => eprintln!("futex_waitv is refused here: {errno}"),
        used => assert_eq!(used, method, "{used}"),
    }
}

#[test]
fn any_number_of_things_is_waited_for() {
    one_of(1, WaitMethod::Futex);
    one_of(2, WaitMethod::Futexes);
    one_of(128, WaitMethod::Futexes);
    one_of(129, WaitMethod::TooMany);
    one_of(300, WaitMethod::TooMany);
}

#[test]
fn a_set_says_how_it_sleeps() {
    assert_eq!(WaitSet::new().method(), WaitMethod::None);
    let texts = [WaitMethod::None, WaitMethod::Futex, WaitMethod::Futexes, WaitMethod::TooMany];
    let refused = WaitMethod::Refused(38).to_string();
    assert!(refused.contains("futex_waitv") && refused.contains("5.16"), "{refused}");
    assert!(texts.iter().all(|text| !text.to_string().is_empty()));
    let texts =
        [WaitMethod::NoFutex(1), WaitMethod::NoBarrier, WaitMethod::Naps].map(|text| text.to_string());
    for (text, part) in texts.iter().zip(["futex is refused", "membarrier is refused", "nobody wakes it"]) {
        assert!(text.contains(part) && text.contains("ms at a time"), "{text}");
    }
}

/// Nobody wakes an observer, nor anybody on a ring that waits by spinning.
#[test]
fn a_set_says_that_nobody_wakes_it() {
    let ring = Ring::heap(&Options::new().capacity(4096)).unwrap();
    let _producer = ring.producer().unwrap();
    let spins = Ring::heap(&Options::new().capacity(4096).wait(WaitMode::Spin)).unwrap();
    let _spinner = spins.producer().unwrap();
    let (mut consumer, mut other) =
        (ring.consumer(&Attach::gated()).unwrap(), ring.consumer(&Attach::gated()).unwrap());
    let mut observer = ring.observer(Start::Newest).unwrap();
    let mut spinning = spins.consumer(&Attach::gated()).unwrap();
    let mut ticker = Ticker::every(Duration::from_secs(1000));
    let method = |things: &mut [&mut dyn Waitable]| {
        let mut set = WaitSet::new();
        // On a busy machine the time may be over before it sleeps.
        while set.method() == WaitMethod::None {
            assert!(set.wait_timeout(things, Duration::from_millis(1)).is_empty());
        }
        let mut watch = Watch::new(|| {}).unwrap();
        assert!(watch.arm(things).unwrap().is_empty());
        assert_eq!(set.method(), watch.method());
        set.method()
    };
    assert_eq!(method(&mut [&mut observer]), WaitMethod::Naps);
    assert_eq!(method(&mut [&mut consumer, &mut observer]), WaitMethod::Naps);
    assert_eq!(method(&mut [&mut consumer, &mut other, &mut observer]), WaitMethod::Naps);
    assert_eq!(method(&mut [&mut spinning]), WaitMethod::Naps);
    assert_eq!(method(&mut [&mut ticker]), WaitMethod::Futex);
}

/// A set may move to another thread, together with what it waits for.
#[test]
fn a_set_moves_between_threads() {
    let ring = Ring::heap(&Options::new().capacity(4096)).unwrap();
    let mut consumer = ring.consumer(&Attach::gated()).unwrap();
    let mut set = WaitSet::new();
    let waiter = thread::spawn(move || tokens(set.wait_deadline(&mut [&mut consumer], soon())));
    ring.producer().unwrap().send(b"x").unwrap();
    assert_eq!(waiter.join().unwrap(), [0]);
}
