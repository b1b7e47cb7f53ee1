//! Waits by helper threads: watches and descriptors.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Options, Ring, Ticker, WaitFd, WaitMethod, Waitable, Watch};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::common::{Backing, PATIENCE, soon};
use crate::{BACKINGS, MODES, small, tokens};

fn watch() -> (Watch, Receiver<()>) {
    let (sender, rung) = channel();
    let watch = Watch::new(move || {
        // Nobody may listen any more.
        let _ = sender.send(());
    });
    (watch.unwrap(), rung)
}

/// Arms, and waits to be called, until something is ready.
fn wait(watch: &mut Watch, rung: &Receiver<()>, things: &mut [&mut dyn Waitable]) -> Vec<usize> {
    let end = soon();
    loop {
        let ready = tokens(watch.arm(things).unwrap());
        if !ready.is_empty() {
            return ready;
        }
        rung.recv_timeout(PATIENCE).expect("it is called within a slice");
        assert!(Instant::now() < end, "nothing became ready");
    }
}

fn is_readable(descriptor: &WaitFd, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap();
    poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

#[test]
fn a_watch_is_rung() {
    for backing in BACKINGS {
        for mode in MODES {
            let rings = [backing.ring(&small().wait(mode)), backing.ring(&small().wait(mode))];
            let mut producers = rings.each_ref().map(|ring| ring.producer());
            let mut consumer = rings[0].consumer(&Attach::gated());
            let mut observer = rings[1].observer(quoit::Start::Newest);
            let (mut watch, rung) = watch();
            for turn in 0..20 {
                let which = turn % 2;
                thread::scope(|scope| {
                    scope.spawn(|| {
                        thread::sleep(Duration::from_micros(100 * turn as u64));
                        producers[which].send(b"x").unwrap();
                    });
                    assert_eq!(wait(&mut watch, &rung, &mut [&mut consumer, &mut observer]), [which]);
                });
                let event = if which == 0 { consumer.try_recv() } else { observer.try_recv() };
                assert!(matches!(event.unwrap(), Some(Event::Record(_))));
            }
        }
    }
}

#[test]
fn a_descriptor_is_readable_when_something_may_be_ready() {
    for backing in BACKINGS {
        let ring = backing.ring(&small());
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::gated());
        let mut descriptor = WaitFd::new().unwrap();
        assert!(!is_readable(&descriptor, Duration::ZERO));
        for _ in 0..10 {
            assert!(descriptor.arm(&mut [&mut consumer]).unwrap().is_empty());
            producer.send(b"x").unwrap();
            assert!(is_readable(&descriptor, PATIENCE));
            // It stays so until it is armed again.
            assert!(is_readable(&descriptor, Duration::ZERO));
            assert_eq!(tokens(descriptor.arm(&mut [&mut consumer]).unwrap()), [0]);
            assert!(consumer.try_recv().unwrap().is_some());
        }
        // The end of a slice makes it readable too.
        assert!(descriptor.arm(&mut [&mut consumer]).unwrap().is_empty());
        assert!(is_readable(&descriptor, PATIENCE));
        assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&descriptor), {
            use std::os::fd::AsFd;
            std::os::fd::AsRawFd::as_raw_fd(&descriptor.as_fd())
        });
    }
}

#[test]
fn an_end_a_tick_and_space_ring() {
    let ring = Backing::Heap.ring(&small());
    let producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let (mut watch, rung) = watch();
    let closer = thread::spawn(move || drop(producer));
    assert_eq!(wait(&mut watch, &rung, &mut [&mut consumer]), [0]);
    closer.join().unwrap();
    let mut ticker = Ticker::every(Duration::from_millis(2));
    let mut idle = Backing::Heap.ring(&small()).consumer(&Attach::gated());
    assert_eq!(wait(&mut watch, &rung, &mut [&mut idle, &mut ticker]), [1]);
    let mut ticker = Ticker::every(Duration::from_millis(2));
    assert_eq!(wait(&mut watch, &rung, &mut [&mut ticker]), [0]);

    let mut producer = ring.producer();
    while producer.try_send(&[0; 1000]).is_ok() {}
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(5));
            while consumer.try_recv().unwrap().is_some() {}
        });
        assert_eq!(wait(&mut watch, &rung, &mut [&mut idle, &mut producer.space(1000)]), [1]);
    });
    producer.try_send(&[0; 1000]).unwrap();
}

/// More things than one helper takes, and more watches than one thing each.
#[test]
fn helpers_are_shared_and_enough() {
    let options = Options::new().capacity(4096).slots(2);
    let rings: Vec<_> = (0..200).map(|_| Ring::heap(&options).unwrap()).collect();
    let mut producers: Vec<_> = rings.iter().map(|ring| ring.producer().unwrap()).collect();
    let open = |ring: &Ring| ring.consumer(&Attach::gated()).unwrap();
    let mut together: Vec<Consumer> = rings.iter().map(open).collect();
    let mut apart: Vec<_> = rings.iter().map(|ring| (open(ring), watch())).collect();
    let (mut watch, rung) = watch();
    for turn in [0, 77, 126, 127, 199] {
        for (consumer, (watch, _)) in &mut apart {
            assert!(watch.arm(&mut [consumer]).unwrap().is_empty());
        }
        let mut things: Vec<_> = together.iter_mut().map(|each| each as &mut dyn Waitable).collect();
        assert!(watch.arm(&mut things).unwrap().is_empty());
        producers[turn].send(b"x").unwrap();
        assert_eq!(wait(&mut watch, &rung, &mut things), [turn]);
        let (consumer, (watch, rung)) = &mut apart[turn];
        assert_eq!(wait(watch, rung, &mut [consumer]), [0]);
        assert!(consumer.try_recv().unwrap().is_some());
        assert!(together[turn].try_recv().unwrap().is_some());
    }
    match watch.method() {
        WaitMethod::Futexes => {}
        other => eprintln!("{other}"),
    }
}

/// What was armed may go while a helper sleeps on it, and its file with it.
#[test]
fn what_is_armed_may_be_dropped() {
    for backing in BACKINGS {
        for _ in 0..20 {
            let ring = backing.ring(&small());
            let mut consumer = ring.consumer(&Attach::gated());
            let (mut watch, rung) = watch();
            assert!(watch.arm(&mut [&mut consumer]).unwrap().is_empty());
            drop(consumer);
            drop(ring);
            let other = backing.ring(&small());
            let mut consumer = other.consumer(&Attach::gated());
            let mut producer = other.producer();
            producer.send(b"x").unwrap();
            assert_eq!(wait(&mut watch, &rung, &mut [&mut consumer]), [0]);
            drop(watch);
        }
    }
}

/// It is called for nothing more, and a panic in what it calls concerns nobody else.
#[test]
fn an_empty_list_ends_it() {
    let ring = Backing::Heap.ring(&small());
    let mut consumer = ring.consumer(&Attach::gated());
    let (mut watch, rung) = watch();
    let mut panicking = Watch::new(|| panic!("in a bell, on purpose")).unwrap();
    assert!(panicking.arm(&mut [&mut consumer]).unwrap().is_empty());
    assert!(watch.arm(&mut [&mut consumer]).unwrap().is_empty());
    ring.producer().send(b"x").unwrap();
    assert_eq!(wait(&mut watch, &rung, &mut [&mut consumer]), [0]);
    assert!(consumer.try_recv().unwrap().is_some());
    assert!(watch.arm(&mut []).unwrap().is_empty());
    // It may just be calling.
    let end = soon();
    while rung.recv_timeout(Duration::from_millis(250)).is_ok() {
        assert!(Instant::now() < end, "called for nothing");
    }
    assert!(format!("{watch:?}").contains("Watch"));
}
