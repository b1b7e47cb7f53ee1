//! An event between processes: setters and waiters are killed.

use std::time::{Duration, Instant};

use quoit::sync::{Event, Reset, SyncOptions};

use crate::process::{Part, SOON, Stage, say};

/// Waits for the event, and says so, again and again.
///
/// `ring`.
pub(crate) fn wait(part: &Part) {
    let event = Event::open(part.ring()).expect("open");
    say("waits");
    loop {
        event.wait().expect("wait");
        say("goes on");
    }
}

/// Sets the event, again and again, until it is killed.
///
/// `ring`.
pub(crate) fn set(part: &Part) {
    let event = Event::open(part.ring()).expect("open");
    say("sets");
    loop {
        event.set().expect("set");
    }
}

#[test]
fn setters_and_waiters_are_killed() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("event");
    let event = Event::create(&path, &SyncOptions::new().seats(8), Reset::Auto).expect("create");
    let start = |name| Part::new(name).on(&path).start();
    for kill in 0..20 {
        let mut waiters = [(); 3].map(|()| start("wait for an event"));
        waiters.iter_mut().for_each(|waiter| waiter.says("waits").clear());
        if kill % 2 == 0 {
            waiters[0].falls_asleep();
            waiters[0].kill();
        }
        let mut setter = start("set an event");
        setter.says("sets");
        waiters[2].says("goes on");
        std::thread::sleep(Duration::from_micros(kill * 137));
        setter.kill();
        drop(waiters);
        // Whatever they were at, it is an event still.
        let soon = Instant::now() + SOON;
        event.reset().expect("reset");
        assert!(!event.try_wait().expect("look"));
        event.set().expect("set");
        event.wait_deadline(soon).expect("its signal");
    }
}
