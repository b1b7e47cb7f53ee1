//! `event`: set, reset, waited for.

use std::process::Stdio;

use rustix::process::Signal;

use crate::support::Place;

#[test]
fn set_reset_wait_and_test() {
    let place = Place::new();
    place.run("event RING test", b"").assert_code(1).assert_stdout("");
    place
        .run("event RING wait --timeout 20ms", b"")
        .assert_code(6)
        .assert_one_line()
        .assert_says("not set in time");
    let waiting = place.spawn("event RING wait", Stdio::null(), Stdio::piped());
    place.wait_until_asleep(&waiting);
    assert_eq!(place.run("event RING set", b"").assert_code(0).stderr, "");
    waiting.end().assert_code(0).assert_stdout("");
    for _ in 0..2 {
        place.run("event RING wait --timeout 0s", b"").assert_code(0);
        place.run("event RING test", b"").assert_code(0);
    }
    place.run("event RING reset", b"").assert_code(0);
    place.run("event RING test", b"").assert_code(1);
    place.run("event RING set --timeout 1s", b"").assert_code(2).assert_says("only `wait` takes a --timeout");
    place.run("event RING --auto set", b"").assert_code(2).assert_says("is reset in another way");
    place.run("event RING", b"").assert_code(2);
}

#[test]
fn each_signal_of_an_automatic_event_lets_one_go_on() {
    let place = Place::new();
    place.run("event RING set --auto", b"").assert_code(0);
    place.run("event RING test", b"").assert_code(0);
    // One that is there is used as it is.
    place.run("event RING wait -w 0s", b"").assert_code(0);
    place.run("event RING wait -w 20ms", b"").assert_code(6);
    let waiting = [(); 2].map(|()| place.spawn("event RING wait", Stdio::null(), Stdio::null()));
    waiting.iter().for_each(|process| place.wait_until_asleep(process));
    place.run("event RING set", b"").assert_code(0);
    crate::support::eventually("the signal is taken", || {
        place.run("event RING wait -w 0s", b"").stderr.contains("not set in time")
    });
    place.run("event RING set", b"").assert_code(0);
    for process in waiting {
        process.end().assert_code(0);
    }
}

#[test]
fn whoever_waits_can_be_ended_and_is_told_of_a_file_that_goes() {
    let place = Place::new();
    let waiting = place.spawn("event RING wait", Stdio::null(), Stdio::null());
    place.wait_until_asleep(&waiting);
    waiting.signal(Signal::TERM);
    waiting.end().assert_signal(15);
    let waiting = place.spawn("event RING wait", Stdio::null(), Stdio::null());
    place.wait_until_asleep(&waiting);
    std::fs::remove_file(&place.ring).unwrap();
    waiting.end().assert_code(8).assert_one_line().assert_says("removed or replaced");
    let place = Place::with("--capacity 64KiB");
    place
        .run("event RING set", b"")
        .assert_code(3)
        .assert_one_line()
        .assert_says("this is a ring, not an event");
    place.run("event no/such/event set", b"").assert_code(3).assert_one_line();
}
