//! Standing by: signals, closed pipes, producers that come and go.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Place, lines, wait_for_size};

#[test]
fn follow_goes_on_over_producers_until_ctrl_c() {
    for (policy, signal) in [("", Signal::INT), ("--gated", Signal::TERM), ("--lossy", Signal::INT)] {
        let place = Place::with("");
        let out = place.file("out");
        let file = std::fs::File::create(&out).unwrap();
        let sub = place.spawn(&format!("sub RING --follow {policy}"), Stdio::null(), file.into());
        place.run("pub RING", &lines(0..5)).assert_code(0);
        wait_for_size(&out, lines(0..5).len() as u64);
        // A producer that is killed after it has published.
        let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
        let mut stdin = publisher.stdin();
        stdin.write_all(&lines(5..8)).unwrap();
        place.wait_for_records(8);
        publisher.kill();
        place.run("pub RING", &lines(8..10)).assert_code(0);
        wait_for_size(&out, lines(0..10).len() as u64);
        sub.signal(signal);
        let ran = sub.end().assert_code(0).assert_says("another producer has opened the ring (epoch 3)");
        ran.assert_says("received 10 records");
        assert_eq!(std::fs::read(&out).unwrap(), lines(0..10));
    }
}

#[test]
fn ctrl_c_writes_out_what_was_received() {
    let place = Place::with("");
    let out = place.file("out");
    let file = std::fs::File::create(&out).unwrap();
    let sub = place.spawn("sub RING --follow --gated --name x", Stdio::null(), file.into());
    let mut publisher = place.spawn("pub RING --wait", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    let feeder = std::thread::spawn(move || {
        for number in 0..u32::MAX {
            if stdin.write_all(&lines(number..number + 1)).is_err() {
                break;
            }
        }
    });
    wait_for_size(&out, 10_000);
    sub.signal(Signal::INT);
    sub.end().assert_code(0);
    publisher.signal(Signal::INT);
    publisher.end().assert_code(130).assert_says("published ");
    feeder.join().unwrap();
    let mut written = std::fs::read(&out).unwrap();
    let count = written.iter().filter(|byte| **byte == b'\n').count() as u32;
    assert_eq!(written, lines(0..count));
    // Nothing written was kept, nothing kept was written.
    assert_eq!(place.info()["consumers"][0]["next_sequence"], count);
    let total = place.info()["position"]["next_sequence"].as_u64().unwrap() as u32;
    if place.info()["position"]["oldest_sequence"].as_u64() <= Some(count.into()) {
        written.extend(place.run("sub RING --name x", b"").assert_code(0).stdout);
        assert_eq!(written, lines(0..total));
    }
}

#[test]
fn until_closed_ends_with_the_producer() {
    let place = Place::with("");
    let sub = place.spawn("sub RING --until-closed", Stdio::null(), Stdio::piped());
    place.run("pub RING", &lines(0..3)).assert_code(0);
    sub.end().assert_code(0).assert_stdout(lines(0..3));

    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    stdin.write_all(b"x\n").unwrap();
    place.wait_for_records(4);
    let sub = place.spawn("sub RING --until-closed --gated", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    publisher.kill();
    sub.end().assert_code(7).assert_stdout("line 0\nline 1\nline 2\nx\n").assert_says("the producer");
}

#[test]
fn a_signal_before_the_end_is_told() {
    let place = Place::with("");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let sub = place.spawn("sub RING --until-closed --gated", Stdio::null(), Stdio::piped());
        place.wait_for_consumers(1);
        sub.signal(signal);
        sub.end().assert_code(code);
    }
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    stdin.write_all(b"whole\npart").unwrap();
    place.wait_for_records(1);
    publisher.signal(Signal::INT);
    publisher.end().assert_code(130).assert_says("published 1 record,");
    assert_eq!(place.info()["producer"]["state"], "closed");
}

#[test]
fn patience_has_an_end() {
    let place = Place::with("");
    place.run("pub RING", b"x\n").assert_code(0);
    let ran = place.run("sub RING --follow --timeout 100ms", b"").assert_code(6).assert_stdout("x\n");
    ran.assert_says("nothing was received for 100 ms");
    place.run("sub RING --follow --timeout 10s --count 1", b"").assert_code(0).assert_stdout("x\n");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let place = Place::with("");
    place.run("pub RING", &lines(0..100_000)).assert_code(0);
    for policy in ["", "--gated --name x"] {
        let mut sub = place.spawn(&format!("sub RING {policy}"), Stdio::null(), Stdio::piped());
        drop(sub.stdout());
        assert_eq!(sub.end().assert_code(0).stderr, "");
    }
    // What could not be written was not released.
    place.run("sub RING --name x --count 2", b"").assert_code(0).assert_stdout(lines(0..2));
    for line in ["info RING", "info RING --json", "info RING --watch 20ms", "completions bash", "--help"] {
        let mut info = place.spawn(line, Stdio::null(), Stdio::piped());
        drop(info.stdout());
        assert_eq!(info.end().assert_code(0).stderr, "", "{line}");
    }
}

#[test]
fn a_reader_that_goes_ends_an_idle_follower() {
    let place = Place::with("");
    place.run("pub RING", b"x\n").assert_code(0);
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let _stdin = publisher.stdin();
    let mut sub = place.spawn("sub RING --follow", Stdio::null(), Stdio::piped());
    let mut stdout = sub.stdout();
    stdout.read_exact(&mut [0; 2]).unwrap();
    drop(stdout);
    assert!(!sub.end().assert_code(0).stderr.contains("received 1 record,"));
}

#[test]
fn a_line_typed_is_there_at_once() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    let mut sub = place.spawn("sub RING --follow --gated", Stdio::null(), Stdio::piped());
    let mut stdout = sub.stdout();
    place.wait_for_consumers(1);
    for number in 0..20 {
        let line = lines(number..number + 1);
        let started = Instant::now();
        stdin.write_all(&line).unwrap();
        let mut got = vec![0; line.len()];
        stdout.read_exact(&mut got).unwrap();
        assert_eq!(got, line);
        assert!(started.elapsed() < Duration::from_secs(2), "line {number} took {:?}", started.elapsed());
    }
}

#[test]
fn info_can_watch() {
    let place = Place::with("");
    let mut info = place.spawn("info RING --watch 20ms --json", Stdio::null(), Stdio::piped());
    let mut stdout = std::io::BufReader::new(info.stdout());
    place.run("pub RING", &lines(0..10)).assert_code(0);
    let mut line = String::new();
    loop {
        line.clear();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        let document: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(document["rates"]["records_per_second"].is_number());
        if document["counters"]["records"] == 10 {
            break;
        }
    }
    info.signal(Signal::INT);
    info.end().assert_code(0);
    let mut info = place.spawn("info RING --watch 20ms", Stdio::null(), Stdio::piped());
    let mut stdout = std::io::BufReader::new(info.stdout());
    line.clear();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert!(line.starts_with("closed  0 records/s"), "{line}");
    info.signal(Signal::TERM);
    info.end().assert_code(0);
}
