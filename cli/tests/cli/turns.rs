//! What is not there yet, is somebody else's still, or was there before.

use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Place, lines};

#[test]
fn one_waits_for_the_name_and_for_the_producers_place() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let stdin = publisher.stdin();
    let named = "sub RING --gated --name svc";
    let first = place.spawn(&format!("{named} --follow"), Stdio::null(), Stdio::null());
    place.wait_for_consumers(1);
    let says = "--wait-for-turn TIME waits for it";
    place.run(named, b"").assert_code(9).assert_one_line().assert_says(says);
    place.run("pub RING", b"").assert_code(9).assert_one_line().assert_says(says);
    for line in [format!("{named} --wait-for-turn 50ms"), "pub RING --wait-for-turn 50ms".into()] {
        place
            .run(&format!("{line} --quiet"), b"")
            .assert_code(9)
            .assert_one_line()
            .assert_says("still in use after 50 ms");
    }

    let mut second =
        place.spawn(&format!("{named} --count 1 --follow --wait-for-turn 1m"), Stdio::null(), Stdio::piped());
    let said = second.says();
    assert!(said.contains("waiting for a turn: a living consumer uses the name \"svc\""), "{said}");
    first.signal(Signal::TERM);
    first.end().assert_code(0);
    let mut next = place.spawn("pub RING --wait-for-turn 1m", Stdio::piped(), Stdio::null());
    let mut input = next.stdin();
    input.write_all(b"x\n").unwrap();
    drop(stdin);
    publisher.end().assert_code(0);
    drop(input);
    next.end().assert_code(0).assert_says("published 1 record,");
    second.end().assert_code(0).assert_stdout("x\n");
}

#[test]
fn a_signal_ends_a_wait_for_a_turn() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let _stdin = publisher.stdin();
    place.wait_for("it is there", |info| info["producer"]["alive"] == true);
    for (line, signal, code) in [
        ("pub RING --wait-for-turn 1h", Signal::TERM, 143),
        ("sub nowhere --wait-for-ring", Signal::INT, 130),
        ("sub nowhere --wait-for-ring=1h", Signal::HUP, 129),
    ] {
        let mut waiting = place.spawn(line, Stdio::null(), Stdio::null());
        waiting.says();
        waiting.signal(signal);
        waiting.end().assert_code(code);
    }
    let mut waiting = place.spawn("pub other --create 64KiB --wait-for 1", Stdio::piped(), Stdio::null());
    let _other = waiting.stdin();
    let said = waiting.says();
    assert!(said.contains("waiting for consumers to attach"), "{said}");
    waiting.signal(Signal::TERM);
    waiting.end().assert_code(143);
}

#[test]
fn a_ring_may_come_later() {
    let place = Place::new();
    place.run("sub RING", b"").assert_code(3);
    place.run("sub RING --wait-for-ring=50ms", b"").assert_code(6).assert_says("no ring came within");
    let line = "sub RING --wait-for-ring --gated --count 3 --follow";
    let mut sub = place.spawn(line, Stdio::null(), Stdio::piped());
    sub.says();
    place.run("pub RING --create 64KiB --wait-for 1", &lines(0..3)).assert_code(0);
    sub.end().assert_code(0).assert_stdout(lines(0..3));
}

#[test]
fn a_producer_waits_for_its_readers_and_they_get_all() {
    let place = Place::with("--capacity 4KiB");
    let input = lines(0..5_000);
    let text = input.clone();
    let mut publisher =
        place.spawn("pub RING --wait --wait-for 2 --wait-for-name audit", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    let feeder = std::thread::spawn(move || stdin.write_all(&text).unwrap());
    place.wait_for("it is there", |info| info["producer"]["alive"] == true);
    let first = place.spawn("sub RING --gated --until-closed", Stdio::null(), Stdio::piped()).collect();
    place.wait_for_consumers(1);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(place.info()["counters"]["records"], 0);
    let audit = "sub RING --gated --until-closed --name audit";
    let second = place.spawn(audit, Stdio::null(), Stdio::piped()).collect();
    publisher.end().assert_code(0).assert_says("published 5000 records");
    feeder.join().unwrap();
    for ran in [first.join().unwrap(), second.join().unwrap()] {
        let ran = ran.assert_code(0).assert_stdout(&input);
        assert!(!ran.stderr.contains("what was before is gone"), "{}", ran.stderr);
    }
    // One that comes late is told what it cannot have.
    let ran = place.run("sub RING --gated", b"").assert_code(0);
    let first = String::from_utf8(ran.stdout.clone()).unwrap();
    let first = first.lines().next().unwrap().strip_prefix("line ").unwrap().to_owned();
    ran.assert_says(&format!("starting at sequence {first}: what was before is gone"));
}

#[test]
fn a_second_transfer_over_one_ring() {
    let place = Place::with("");
    for (round, input) in [lines(0..5), lines(100..110), Vec::new(), lines(200..300)].iter().enumerate() {
        let line = "sub RING --gated --raw --until-closed --next";
        let sub = place.spawn(line, Stdio::null(), Stdio::piped());
        let named = place.spawn(&format!("{line} --name x"), Stdio::null(), Stdio::piped());
        place.wait_for_consumers(2);
        place.run("pub RING --chunk 16 --wait", input).assert_code(0);
        for sub in [sub, named] {
            let ran = sub.end().assert_code(0).assert_stdout(input);
            assert_eq!(round > 0, ran.stderr.contains("waiting for the next producer"), "{}", ran.stderr);
        }
    }
    let ran = place.run("sub RING --until-closed --raw", b"").assert_code(0);
    ran.assert_says("closed already: this is what the last producer left; --next waits for the next one");
}

#[test]
fn a_death_is_told_once() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    stdin.write_all(b"x\n").unwrap();
    place.wait_for_records(1);
    let sub = place.spawn("sub RING --until-closed --gated", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    publisher.kill();
    let ran = sub.end().assert_code(7).assert_stdout("x\n");
    assert_eq!(
        ran.stderr.matches("producer").count() - ran.stderr.matches("without a producer").count(),
        1,
        "{}",
        ran.stderr
    );
}

#[test]
fn a_waiting_producer_says_for_whom() {
    let place = Place::with("--capacity 4KiB");
    let slow = place.spawn("sub RING --gated --name slow --follow", Stdio::null(), Stdio::null());
    place.wait_for_consumers(1);
    slow.signal(Signal::STOP);
    let mut publisher = place.spawn("pub RING --wait", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    let feeder = std::thread::spawn(move || stdin.write_all(&lines(0..5_000)).unwrap());
    let said = publisher.says();
    assert!(said.contains("waiting for slot 0 'slow' (process ") && said.contains(", stopped): "), "{said}");
    slow.signal(Signal::CONT);
    publisher.end().assert_code(0);
    feeder.join().unwrap();
    slow.kill();
}

#[test]
fn a_ring_that_is_there_may_be_another_than_was_asked_for() {
    let place = Place::new();
    place.run("pub RING --create 64KiB --mode 640 --quiet", b"").assert_code(0);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&place.ring).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    let ran = place.run("pub RING --create 1MiB", b"x\n").assert_code(0);
    ran.assert_says("the ring that is there holds 64 KiB, not 1 MiB; it is used as it is");
    assert!(!place.run("pub RING --create 64KiB", b"x\n").assert_code(0).stderr.contains("holds"));
}
