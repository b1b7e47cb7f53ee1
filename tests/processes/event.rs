//! An event between processes: setters and waiters are killed.

use std::time::{Duration, Instant};

use quoit::WaitSet;
use quoit::sync::{Event, Reset, SyncOptions};

use crate::process::{Part, SOON, Stage, say};

/// Waits for the event, and says so, again and again.
///
/// `ring`; `by`: whether it waits with a set.
pub(crate) fn wait(part: &Part) {
    let mut event = Event::open(part.ring()).expect("open");
    let mut set = (part.get::<String>("by") == "set").then(WaitSet::new);
    say("waits");
    loop {
        match &mut set {
            None => event.wait().expect("wait"),
            Some(set) => {
                while !(set.wait(&mut [&mut event]).contains(0) && event.try_wait().expect("try")) {}
            }
        }
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
    let start = |name, by| Part::new(name).on(&path).with("by", by).start();
    for kill in 0..20 {
        let by = if kill % 4 < 2 { ["call", "set", "call"] } else { ["set", "call", "set"] };
        let mut waiters = by.map(|by| start("wait for an event", by));
        waiters.iter_mut().for_each(|waiter| waiter.says("waits").clear());
        if kill % 2 == 0 {
            waiters[0].falls_asleep();
            waiters[0].kill();
        }
        let mut setter = start("set an event", "call");
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
