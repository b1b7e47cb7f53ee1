//! `set` and `get`: a value of which only the latest version matters.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use quoit::Typed;
use quoit::sync::{Bytes, Latest, LatestBytes, LatestOptions, LatestReader};
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
use rustix::process::Signal;
use serde_json::json;

use crate::support::Place;

#[test]
fn what_is_set_is_got() {
    let place = Place::new();
    place.run("get RING", b"").assert_code(3).assert_one_line();
    assert_eq!(place.run("set RING on", b"").assert_code(0).assert_stdout("").stderr, "");
    place.run("get RING", b"").assert_code(0).assert_stdout("on\n");
    place.run("get RING --json", b"").assert_code(0).assert_stdout("{\"version\":1,\"value\":\"on\"}\n");
    place.run("set RING -5", b"").assert_code(0);
    place.run("get RING --raw", b"").assert_code(0).assert_stdout("-5");
    place.run("set RING", b"two\nlines\n").assert_code(0);
    place.run("get RING", b"").assert_code(0).assert_stdout("two\nlines\n\n");
    place.run("set RING", b"\xff\0").assert_code(0);
    place.run("get RING --raw", b"").assert_code(0).assert_stdout(b"\xff\0");
    let got = place.run("get RING --json", b"").assert_code(0).json();
    assert_eq!(got, [json!({ "version": 4, "value": "/wA=", "encoding": "base64" })]);
    place.run("set RING --lines", b"a\nb\n\nc").assert_code(0);
    place.run("get RING --json", b"").assert_stdout("{\"version\":8,\"value\":\"c\"}\n");
    place.run("set RING", b"").assert_code(0);
    place.run("get RING", b"").assert_stdout("\n");
    let info = place.info();
    assert_eq!((&info["kind"], &info["version"]), (&json!("latest value"), &json!(9)));
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(text.contains("a byte string of at most 4 KiB, version 9, 2 cells"), "{text}");
    assert!(text.contains("writer     none; the last one was process "), "{text}");
}

#[test]
fn there_is_so_much_room() {
    let place = Place::new();
    place.run("set RING 12345 --max 4", b"").assert_code(2).assert_one_line().assert_says("--max");
    assert!(!place.ring.exists());
    place.run("set RING 1234 --max 4", b"").assert_code(0);
    let ran = place.run("set RING 12345", b"").assert_code(2).assert_one_line();
    ran.assert_says("5 B, and the value has room for 4 B");
    place.run("get RING", b"").assert_stdout("1234\n");
    place.run("set other x --max 2GiB", b"").assert_code(2).assert_says("1 GiB at most");
    place.run("set other x --cells 1", b"").assert_code(2).assert_says("2 to 16 cells");
    place.run("set other x --lines", b"").assert_code(2);
    let large = vec![b'x'; 100_000];
    place.run("set large --max 100000", &large).assert_code(0);
    place.run("get large --raw", b"").assert_code(0).assert_stdout(&large);
}

#[test]
fn changes_are_seen_as_they_come() {
    let place = Place::new();
    place.run("set RING one", b"").assert_code(0);
    let mut watch = place.spawn("get RING --watch --count 3", Stdio::null(), Stdio::piped());
    let mut lines = BufReader::new(watch.stdout()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    let mut writer = place.spawn("set RING --lines", Stdio::piped(), Stdio::null());
    let mut stdin = writer.stdin();
    for value in ["two", "three"] {
        writeln!(stdin, "{value}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), value);
    }
    watch.end().assert_code(0);
    // One writes at a time. It is killed, and the next one goes on.
    let says = format!("living writer (process {})", writer.pid());
    place.run("set RING four --timeout 50ms", b"").assert_code(9).assert_one_line().assert_says(&says);
    let text = String::from_utf8(place.run("info RING", b"").assert_code(0).stdout).unwrap();
    assert!(text.contains(&format!("writer     process {}\n", writer.pid())), "{text}");
    writer.kill();
    place.run("get RING", b"").assert_stdout("three\n");
    place.run("set RING four", b"").assert_code(0);
    place.run("get RING", b"").assert_stdout("four\n");
}

#[test]
fn whoever_watches_is_ended_or_told() {
    let place = Place::new();
    let watch = || {
        let mut watch = place.spawn("get RING --watch", Stdio::null(), Stdio::piped());
        let mut out = BufReader::new(watch.stdout());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "x\n");
        (watch, out)
    };
    place.run("set RING x", b"").assert_code(0);
    let (process, _out) = watch();
    process.signal(Signal::INT);
    process.end().assert_code(0);
    let (process, out) = watch();
    drop(out);
    process.end().assert_code(0);
    let (process, _out) = watch();
    std::fs::remove_file(&place.ring).unwrap();
    process.end().assert_code(8).assert_one_line().assert_says("removed or replaced");
}

#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
struct Pair([u16; 2]);

impl Typed for Pair {
    const TAG: u32 = 9;
}

/// Programs and shells use the same values.
#[test]
fn programs_and_shells_agree() {
    let place = Place::new();
    place.run("set RING hello --max 100", b"").assert_code(0);
    let mut typed = LatestReader::<Bytes<100>>::open(&place.ring).unwrap();
    assert_eq!(&typed.get().unwrap()[..], b"hello");
    LatestBytes::open(&place.ring).unwrap().set(b"there").unwrap();
    place.run("get RING", b"").assert_stdout("there\n");
    // A value that is no byte string is shown in bytes, and not stored.
    std::fs::remove_file(&place.ring).unwrap();
    drop(Latest::create(&place.ring, &LatestOptions::new(), &Pair([1, 0xabcd])).unwrap());
    place.run("get RING", b"").assert_code(0).assert_stdout("0100cdab\n");
    place.run("get RING --raw", b"").assert_code(0).assert_stdout(b"\x01\0\xcd\xab");
    let got = place.run("get RING --json", b"").json();
    assert_eq!(got, [json!({ "version": 1, "value": "0100cdab", "encoding": "hex" })]);
    place.run("set RING x", b"").assert_code(4).assert_one_line().assert_says("4 bytes with the tag 9");
}

#[test]
fn what_is_no_value_is_refused_by_name() {
    let place = Place::with("--capacity 64KiB");
    place
        .run("get RING", b"")
        .assert_code(3)
        .assert_one_line()
        .assert_says("this is a ring, not a latest value");
    place
        .run("set RING x", b"")
        .assert_code(3)
        .assert_one_line()
        .assert_says("this is a ring, not a latest value");
    place.run("set no/such/value x", b"").assert_code(3).assert_one_line();
    std::fs::remove_file(&place.ring).unwrap();
    place.run("set RING x --mode 0644", b"").assert_code(0);
    // To read it takes permission to read, and to watch it no more than that.
    for (line, code) in [("get RING", 0), ("get RING --watch --count 1", 0), ("set RING y", 1)] {
        let Some(ran) = place.run_as_nobody(line) else { return };
        ran.assert_code(code);
    }
    place.run("get RING", b"").assert_stdout("x\n");
}
