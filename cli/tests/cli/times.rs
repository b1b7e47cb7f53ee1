//! Publish times from the shell: what shows them, what starts at one, and rings without.

use std::time::{Duration, SystemTime};

use quoit::Rfc3339;

use crate::support::Place;

/// A ring with times, and so many lines in it.
fn place(lines: u32) -> Place {
    let place = Place::with("--capacity 64KiB --times");
    let text: String = (0..lines).map(|number| format!("line {number}\n")).collect();
    place.run("pub RING --quiet", text.as_bytes()).assert_code(0);
    place
}

#[test]
fn each_record_is_shown_with_its_time() {
    let before = SystemTime::now() - Duration::from_secs(1);
    let place = place(3);
    let after = SystemTime::now() + Duration::from_secs(1);
    let ran = place.run("sub RING --times --quiet", b"").assert_code(0);
    let text = String::from_utf8(ran.stdout.clone()).unwrap();
    for (number, line) in text.lines().enumerate() {
        let (time, payload) = line.split_once(' ').unwrap();
        let Rfc3339(time) = time.parse().unwrap();
        assert!(before < time && time < after, "{line}");
        assert_eq!(payload, format!("line {number}"));
    }
    assert_eq!(text.lines().count(), 3);
    let ran = place.run("sub RING --times --json --quiet", b"").assert_code(0);
    for line in String::from_utf8(ran.stdout.clone()).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let Rfc3339(time) = line["time"].as_str().unwrap().parse().unwrap();
        assert!(before < time && time < after, "{line}");
    }
    place.run("sub RING --times --raw", b"").assert_code(2);
}

#[test]
fn reading_starts_at_a_time() {
    let place = place(2);
    let count = |from: &str| {
        let ran = place.run(&format!("sub RING --quiet --from {from}"), b"").assert_code(0);
        String::from_utf8(ran.stdout.clone()).unwrap().lines().count()
    };
    let tomorrow = Rfc3339(SystemTime::now() + Duration::from_secs(86_400));
    let yesterday = Rfc3339(SystemTime::now() - Duration::from_secs(86_400));
    assert_eq!([count("1h-ago"), count(&yesterday.to_string())], [2, 2]);
    assert_eq!([count("0s-ago"), count(&tomorrow.to_string())], [0, 0]);
    place.run("sub RING --from 5m", b"").assert_code(2);
}

#[test]
fn latencies_are_told_at_the_end() {
    let place = place(5);
    let ran = place.run("sub RING --stats", b"").assert_code(0);
    let said = ran.stderr;
    assert!(said.contains("latency of 5 records: least ") && said.contains(", 99.9 % "), "{said}");
}

#[test]
fn ages_are_shown() {
    let place = place(4);
    let info = place.info();
    assert_eq!(info["options"]["times"], true);
    assert!(info["position"]["newest_age_ns"].as_u64().unwrap() > 0, "{info}");
    place.run("sub RING --lossy --name late --count 1 --quiet", b"").assert_code(0);
    let consumer = &place.info()["consumers"][0];
    assert_eq!(consumer["lag_records"], 3);
    let newest = place.info()["position"]["newest_age_ns"].as_u64().unwrap();
    assert!(consumer["lag_ns"].as_u64().unwrap() > 0 && newest > 0);
    let ran = place.run("info RING", b"");
    let text = String::from_utf8(ran.stdout.clone()).unwrap();
    let has = |words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["options", "times"]) && has(&["newest", "published", "ago"]), "{text}");
    assert!(has(&["lag bytes", "lag time"]) && has(&["late", "away"]), "{text}");
}

#[test]
fn a_ring_without_times_says_what_to_do() {
    let place = Place::with("--capacity 64KiB");
    place.run("pub RING --quiet", b"one\n").assert_code(0);
    for line in
        ["sub RING --times", "sub RING --stats", "sub RING --from 5m-ago", "sub RING --gated --from 5m-ago"]
    {
        let ran = place.run(line, b"").assert_code(if line.contains("--from") { 2 } else { 1 });
        let said = ran.stderr;
        assert!(said.contains("carry no times") && said.contains("create a ring"), "{line}: {said}");
    }
    let info = place.info();
    assert_eq!(info["options"]["times"], false);
    assert!(info["position"].get("newest_age_ns").is_none());
    let ran = place.run("create RING --if-missing --times", b"").assert_code(0);
    let said = ran.stderr;
    assert!(said.contains("not with times where with times was asked for"), "{said}");
    place.run("pub RING --times", b"").assert_code(2);
    let other = Place::new();
    other.run("pub RING --create 64KiB --times --quiet", b"one\n").assert_code(0);
    assert_eq!(other.info()["options"]["times"], true);
}
