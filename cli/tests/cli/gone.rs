//! A ring that was removed, replaced, renamed or cut short is told to whoever uses it, with a code of its own.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Place, lines, wait_for_size};

fn remove(place: &Place) {
    std::fs::remove_file(&place.ring).unwrap();
}

fn replace(place: &Place) {
    remove(place);
    place.run("create RING --quiet", b"").assert_code(0);
}

fn rename(place: &Place) {
    std::fs::rename(&place.ring, place.file("other")).unwrap();
}

const WAYS: [fn(&Place); 3] = [remove, replace, rename];

#[test]
fn a_producer_is_told_while_it_works_and_while_it_waits() {
    for way in WAYS {
        // One that has nothing to do.
        let place = Place::with("");
        let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
        let mut stdin = publisher.stdin();
        stdin.write_all(b"x\npart").unwrap();
        place.wait_for_records(1);
        way(&place);
        let ran = publisher.end().assert_code(8).assert_says("published 1 record,");
        ran.assert_says("removed or replaced").assert_says("4 bytes of a record without its end");

        // One that waits for room.
        let place = Place::with("--capacity 4KiB");
        place.run("sub RING --gated --name slow --hold forever", b"").assert_code(0);
        let mut publisher = place.spawn("pub RING --wait", Stdio::piped(), Stdio::null());
        let mut stdin = publisher.stdin();
        stdin.write_all(&lines(0..1000)).unwrap();
        place.wait_for("it is full", |info| info["counters"]["full"].as_u64() > Some(0));
        way(&place);
        publisher
            .end()
            .assert_code(8)
            .assert_says("removed or replaced")
            .assert_says("read and not published");
    }
    // One whose input ends before it has looked.
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let stdin = publisher.stdin();
    place.wait_for("it is there", |info| info["producer"]["alive"] == true);
    remove(&place);
    drop(stdin);
    publisher.end().assert_code(8).assert_says("removed or replaced");
}

#[test]
fn a_producer_may_go_on_for_those_who_are_attached() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING --keep-going", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    place.wait_for("it is there", |info| info["producer"]["alive"] == true);
    let out = place.file("out");
    let file = File::create(&out).unwrap();
    let sub = place.spawn("sub RING --gated --until-closed", Stdio::null(), file.into());
    place.wait_for_consumers(1);
    remove(&place);
    let said = publisher.says();
    assert!(said.contains("removed or replaced; continuing"), "{said}");
    stdin.write_all(b"after\n").unwrap();
    wait_for_size(&out, 6);
    drop(stdin);
    publisher.end().assert_code(0);
    sub.end().assert_code(0);
    assert_eq!(std::fs::read(&out).unwrap(), b"after\n");
}

#[test]
fn a_follower_is_told() {
    for way in WAYS {
        for policy in ["", "--gated", "--lossy"] {
            // Nobody has ever opened it, or somebody has and is gone.
            let place = Place::with("");
            if policy != "--gated" {
                place.run("pub RING", b"x\n").assert_code(0);
            }
            let sub = place.spawn(&format!("sub RING --follow {policy}"), Stdio::null(), Stdio::piped());
            match policy {
                "" => std::thread::sleep(std::time::Duration::from_millis(200)),
                _ => place.wait_for_consumers(1),
            }
            way(&place);
            sub.end().assert_code(8).assert_says("removed or replaced");
        }
    }
    // A producer has it open, and publishes nothing more.
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING --keep-going", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    stdin.write_all(b"x\n").unwrap();
    place.wait_for_records(1);
    let sub = place.spawn("sub RING --follow --gated", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    remove(&place);
    sub.end().assert_code(8).assert_stdout("x\n").assert_says("removed or replaced");
}

#[test]
fn who_reads_to_the_end_reads_to_the_end_of_the_old_one() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING --keep-going", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    place.wait_for("it is there", |info| info["producer"]["alive"] == true);
    let sub = place.spawn("sub RING --until-closed --gated", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    remove(&place);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    stdin.write_all(b"late\n").unwrap();
    drop(stdin);
    publisher.end().assert_code(0);
    sub.end().assert_code(0).assert_stdout("late\n");
}

#[test]
fn a_name_can_be_followed() {
    let place = Place::with("");
    let out = place.file("out");
    let follow = "sub RING --follow=name --json --gated --name x";
    let sub = place.spawn(follow, Stdio::null(), File::create(&out).unwrap().into());
    place.wait_for_consumers(1);
    place.run("pub RING", b"a\nb\n").assert_code(0);
    let mut size = 2 * "{\"sequence\":0,\"payload\":\"a\"}\n".len() as u64;
    wait_for_size(&out, size);
    for way in [remove, rename, replace] {
        way(&place);
        place.run("pub RING --create 64KiB", b"c\n").assert_code(0);
        size += "{\"ring_changed\":true}\n{\"sequence\":0,\"payload\":\"c\"}\n".len() as u64;
        wait_for_size(&out, size);
    }
    sub.signal(Signal::INT);
    sub.end().assert_code(0).assert_says("received 5 records").assert_says("following the name");
}

#[test]
fn a_ring_that_is_cut_short_is_an_error() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let mut stdin = publisher.stdin();
    stdin.write_all(b"x\n").unwrap();
    place.wait_for_records(1);
    let observer = place.spawn("sub RING --follow", Stdio::null(), Stdio::null());
    let gated = place.spawn("sub RING --until-closed --gated", Stdio::null(), Stdio::null());
    let watch = place.spawn("info RING --watch 20ms", Stdio::null(), Stdio::null());
    place.wait_for_consumers(1);
    std::thread::sleep(std::time::Duration::from_millis(300));
    OpenOptions::new().write(true).truncate(true).open(&place.ring).unwrap();
    let _ = stdin.write_all(b"y\n");
    for process in [publisher, observer, gated, watch] {
        process.end().assert_code(8).assert_says("memory of the handle is gone");
    }
}

#[test]
fn whoever_watches_is_told() {
    for way in WAYS {
        let place = Place::with("");
        let mut watch = place.spawn("info RING --watch 20ms", Stdio::null(), Stdio::piped());
        let mut out = BufReader::new(watch.stdout());
        out.read_line(&mut String::new()).unwrap();
        way(&place);
        let drain = std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        watch.end().assert_code(8).assert_says("removed or replaced");
        drain.join().unwrap().unwrap();
    }
}

/// A ring in the place of the one that was followed has no stage yet: that is waited for, as the ring itself would be.
#[test]
fn whoever_follows_a_name_waits_for_the_stage_as_well() {
    let place = Place::with("--capacity 4KiB");
    place.run("pub RING", &lines(0..2)).assert_code(0);
    let journal = "sub RING --gated --name journal --hold forever";
    place.run(journal, b"").assert_code(0).assert_stdout(lines(0..2));
    let out = place.file("out");
    let file = File::create(&out).unwrap();
    let mut follower = place.spawn("sub RING --after journal --follow=name", Stdio::null(), file.into());
    wait_for_size(&out, lines(0..2).len() as u64);
    replace(&place);
    place.run("pub RING", &lines(2..5)).assert_code(0);
    while !follower.says().contains("following the name") {}
    // It has found the other ring, which has no stage, and looks again.
    place.wait_until_asleep(&follower);
    place.run(journal, b"").assert_code(0).assert_stdout(lines(2..5));
    wait_for_size(&out, lines(0..5).len() as u64);
    assert_eq!(std::fs::read(&out).unwrap(), lines(0..5));
    follower.signal(Signal::INT);
    follower.end().assert_code(0);
}
