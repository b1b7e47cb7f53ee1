//! Who waits for whom, and what is lost when nobody does.

use std::io::Write as _;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Place, lines};

#[test]
fn a_full_ring_fails_unless_told_to_wait() {
    let place = Place::with("--capacity 4KiB");
    place.run("sub RING --gated --name slow --hold forever", b"").assert_code(0);
    let ran = place.run("pub RING", &lines(0..10_000)).assert_code(6);
    let ran = ran.assert_says("found the ring full; give --wait");
    let published = place.info()["counters"]["records"].as_u64().unwrap() as u32;
    assert!(published > 100, "only {published} records before the ring was full");
    ran.assert_says(&format!("record {} of the input", published + 1));
    place.run("pub RING --wait=100ms", &lines(0..10)).assert_code(6).assert_says("waited in vain");
    // What was published before the failure is there.
    place
        .run("sub RING --gated --name slow --hold forever", b"")
        .assert_code(0)
        .assert_stdout(lines(0..published));
    place.run("pub RING", &lines(0..10)).assert_code(0);
    place.run("forget RING slow", b"").assert_code(0);
    place.run("pub RING", &lines(0..10_000)).assert_code(0);
}

#[test]
fn waiting_goes_on_when_the_consumer_does() {
    let place = Place::with("--capacity 4KiB");
    let input = lines(0..5_000);
    let sub = place.spawn("sub RING --gated --until-closed", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    place.run("pub RING --wait", &input).assert_code(0).assert_says("published 5000 records");
    sub.end().assert_code(0).assert_stdout(&input);
}

#[test]
fn a_held_name_holds_until_it_is_forgotten() {
    let place = Place::with("--capacity 4KiB");
    place.run("sub RING --gated --name slow --hold forever", b"").assert_code(0);
    let mut publisher = place.spawn("pub RING --wait", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &lines(0..5_000)));
    place.wait_for("the producer is held up", |info| info["counters"]["full"].as_u64() > Some(0));
    place.run("forget RING slow", b"").assert_code(0);
    publisher.end().assert_code(0).assert_says("published 5000 records");
}

#[test]
fn what_was_missed_while_away_is_told() {
    let place = Place::with("--capacity 4KiB");
    place.run("pub RING", &lines(0..5)).assert_code(0);
    place.run("sub RING --name x --count 2", b"").assert_code(0).assert_stdout(lines(0..2));
    place.run("pub RING", &lines(5..2_000)).assert_code(0);
    let ran = place.run("sub RING --name x --json", b"").assert_code(0).assert_says("away");
    let json = ran.json();
    let lost = json.iter().find_map(|line| line.get("lost")).unwrap();
    assert_eq!(lost["cause"], "away");
    assert_eq!(lost["first"], 2);
    let next = lost["next"].as_u64().unwrap();
    assert_eq!(lost["records"].as_u64(), Some(next - 2));
    let skipped: usize = (2..next).map(|number| format!("line {number}").len()).sum();
    assert_eq!(lost["bytes"], skipped);
    let sequences: Vec<u64> = json.iter().filter_map(|line| line["sequence"].as_u64()).collect();
    assert_eq!(sequences, (next..2_000).collect::<Vec<_>>());
    assert_eq!(place.info()["consumers"][0]["lost"]["away"].as_u64(), Some(next - 2));
}

#[test]
fn loss_can_be_a_failure() {
    let place = Place::with("--capacity 4KiB");
    place.run("sub RING --name x", b"").assert_code(0);
    place.run("pub RING", &lines(0..2_000)).assert_code(0);
    let ran = place.run("sub RING --name x --fail-on-loss --quiet", b"").assert_code(5);
    ran.assert_stdout("").assert_says("lost ").assert_says("--fail-on-loss");
    place.run("sub RING --name x --fail-on-loss", b"").assert_code(0);
}

#[test]
fn who_holds_the_producer_up_for_too_long_is_told() {
    let place = Place::with("--capacity 4KiB");
    let sub = place.spawn("sub RING --gated-for 50ms --until-closed --json", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    sub.signal(Signal::STOP);
    place.run("pub RING --wait", &lines(0..2_000)).assert_code(0);
    assert_eq!(place.info()["counters"]["evictions"], 1);
    sub.signal(Signal::CONT);
    let ran = sub.end().assert_code(0).assert_says("held the producer up for too long");
    let json = ran.json();
    assert!(json.iter().any(|line| line["evicted"] == true));
    let lost: u64 = json.iter().filter_map(|line| line["lost"]["records"].as_u64()).sum();
    let records = json.iter().filter(|line| line.get("sequence").is_some()).count() as u64;
    assert!(lost > 0);
    assert_eq!(records + lost, 2_000);
}

#[test]
fn a_slow_lossy_reader_is_told_every_loss() {
    let place = Place::with("--capacity 4KiB");
    let sub = place.spawn("sub RING --lossy --until-closed --json", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    sub.signal(Signal::STOP);
    place.run("pub RING", &lines(0..2_000)).assert_code(0);
    sub.signal(Signal::CONT);
    let json = sub.end().assert_code(0).json();
    let lost: u64 = json.iter().filter_map(|line| line["lost"]["records"].as_u64()).sum();
    let records = json.iter().filter(|line| line.get("sequence").is_some()).count() as u64;
    assert_eq!(records + lost, 2_000);
}

#[test]
fn a_follower_receives_what_its_stage_has_released() {
    let place = Place::with("--capacity 4KiB");
    place.run("sub RING --after journal", b"").assert_code(3).assert_says("no stage has the name");
    place
        .run("sub RING --after journal --wait-for-ring=50ms", b"")
        .assert_code(6)
        .assert_says("no stage came");
    place.run("pub RING", &lines(0..5)).assert_code(0);
    let journal = "sub RING --gated --name journal --hold forever";
    place.run(&format!("{journal} --count 2"), b"").assert_code(0).assert_stdout(lines(0..2));
    place.run("sub RING --after journal", b"").assert_code(0).assert_stdout(lines(0..2));
    let logic = place.spawn("sub RING --after journal --until-closed", Stdio::null(), Stdio::piped());
    place.wait_for("it follows", |info| {
        let consumers = info["consumers"].as_array().unwrap();
        consumers.iter().any(|consumer| consumer["after"]["name"] == "journal" && consumer["alive"] == true)
    });
    let shown = place.run("info RING", b"").assert_code(0).stdout;
    assert!(String::from_utf8_lossy(&shown).contains("lossy, after journal"));
    place.run("forget RING journal", b"").assert_code(9).assert_says("is followed by");
    place.run(journal, b"").assert_code(0).assert_stdout(lines(2..5));
    logic.end().assert_code(0).assert_stdout(lines(0..5));
    place.run("forget RING journal", b"").assert_code(0);
}

#[test]
fn a_follower_ends_with_a_stage_that_nobody_holds() {
    let place = Place::with("--capacity 4KiB");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    // Open until the end: the ring is not closed.
    let mut stdin = publisher.stdin();
    stdin.write_all(&lines(0..2)).unwrap();
    let journal = place.spawn("sub RING --gated --name journal --follow", Stdio::null(), Stdio::null());
    let follower = "sub RING --after journal --follow --wait-for-ring";
    let follower = place.spawn(follower, Stdio::null(), Stdio::piped());
    place.wait_for("it has everything", |info| {
        let consumers = info["consumers"].as_array().unwrap();
        consumers.iter().any(|consumer| consumer.get("after").is_some() && consumer["next_sequence"] == 2)
    });
    journal.kill();
    follower
        .end()
        .assert_code(7)
        .assert_stdout(lines(0..2))
        .assert_says("the consumer that this one follows is gone");
}
