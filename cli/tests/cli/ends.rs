//! However `pub` and `sub` end: what was read is published or counted, and what was not written is not released.

use std::io::{PipeReader, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::Signal;

use crate::support::{Place, Process, Ran, lines};

const SIGNALS: [(Signal, i32); 3] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];

/// How input is cut, and numbered records in that form, 8 bytes each.
type Framing = (&'static str, fn(u32) -> Vec<u8>);

const FRAMINGS: [Framing; 3] = [
    ("", |number| format!("{number:07}\n").into_bytes()),
    ("--chunk 8", |number| format!("{number:08}").into_bytes()),
    ("--length-prefixed", |number| [&4_u32.to_le_bytes()[..], &number.to_le_bytes()].concat()),
];

/// The first number in what is said that stands before these words.
fn number_before(said: &str, words: &str) -> u64 {
    let Some((before, _)) = said.split_once(words) else { return 0 };
    before.rsplit([' ', '\n']).next().unwrap().parse().unwrap()
}

/// What is left in a pipe whose writers have gone.
fn rest(mut pipe: PipeReader) -> Vec<u8> {
    let mut rest = Vec::new();
    pipe.read_to_end(&mut rest).unwrap();
    rest
}

#[test]
fn what_was_read_is_published_or_counted_when_a_signal_ends_a_producer() {
    for (framing, record) in FRAMINGS {
        for (signal, code) in SIGNALS {
            // It stands still with a record that has no end yet.
            let place = Place::with("");
            let mut publisher = place.spawn(&format!("pub RING {framing}"), Stdio::piped(), Stdio::null());
            let mut stdin = publisher.stdin();
            let whole: Vec<u8> = (0..3).flat_map(record).collect();
            stdin.write_all(&[&whole[..], &record(9)[..5]].concat()).unwrap();
            place.wait_for_records(3);
            publisher.signal(signal);
            let ran = publisher.end().assert_code(code).assert_says("published 3 records");
            ran.assert_says("5 bytes of a record without its end were read and not published");
            assert_eq!(place.info()["producer"]["state"], "closed");

            // It waits for room, and more is in its pipe than it has read.
            let place = Place::with("--capacity 4KiB");
            place.run("sub RING --gated --name slow --hold forever", b"").assert_code(0);
            let (reader, mut writer) = std::io::pipe().unwrap();
            let stdin = reader.try_clone().unwrap().into();
            let publisher = place.spawn(&format!("pub RING --wait {framing}"), stdin, Stdio::null());
            writer.write_all(&(0..3000).flat_map(record).collect::<Vec<u8>>()).unwrap();
            place.wait_for("it is full", |info| info["counters"]["full"].as_u64() > Some(0));
            publisher.signal(signal);
            let said = publisher.end().assert_code(code).stderr;
            drop(writer);
            let unread = rest(reader).len() as u64;
            let part = number_before(&said, " bytes of one without its end");
            let (published, counted) =
                (number_before(&said, " records, "), number_before(&said, " records were read"));
            assert_eq!((published + counted) * 8 + part + unread, 24_000, "{framing}: {said}");
            assert_eq!(place.info()["counters"]["records"], published, "{framing}: {said}");
            assert!(counted > 0, "{framing}: {said}");
        }
    }
}

#[test]
fn what_was_read_fits_and_is_published_after_a_signal() {
    let place = Place::with("--capacity 4KiB");
    let name = "sub RING --gated --name slow --hold forever";
    place.run(name, b"").assert_code(0);
    let (reader, mut writer) = std::io::pipe().unwrap();
    // It waits for a record that has no room while shorter ones, behind it, have.
    let publisher = place.spawn("pub RING --wait", reader.into(), Stdio::null());
    writer
        .write_all(&[&[b'x'; 1900][..], b"\n", &[b'y'; 1900], b"\n", &[b'z'; 1900], b"\n"].concat())
        .unwrap();
    place.wait_for("it is full", |info| info["counters"]["full"].as_u64() > Some(0));
    publisher.signal(Signal::TERM);
    let ran = publisher.end().assert_code(143).assert_says("published 2 records");
    ran.assert_says("1 record was read and not published");

    // Room comes together with the signal.
    let place = Place::with("--capacity 4KiB");
    place.run(name, b"").assert_code(0);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let publisher = place.spawn("pub RING --wait", reader.into(), Stdio::null());
    writer.write_all(&(0..3000).flat_map(FRAMINGS[0].1).collect::<Vec<u8>>()).unwrap();
    place.wait_for("it is full", |info| info["counters"]["full"].as_u64() > Some(0));
    publisher.signal(Signal::STOP);
    place.wait_for("it is stopped", |info| info["producer"]["state"] == "stopped");
    let before = place.info()["counters"]["records"].as_u64().unwrap();
    place.run(name, b"").assert_code(0);
    publisher.signal(Signal::TERM);
    publisher.signal(Signal::CONT);
    let ran = publisher.end().assert_code(143);
    let published = place.info()["counters"]["records"].as_u64().unwrap();
    assert!(published > before + 100, "{before} records before and {published} in all: {}", ran.stderr);
}

#[test]
fn what_was_read_is_counted_when_a_producer_fails() {
    let place = Place::with("--capacity 4KiB");
    let mut input = lines(0..10);
    input.extend([b'x'; 5000]);
    input.push(b'\n');
    input.extend(lines(10..50));
    input.extend(b"part");
    let ran = place.run("pub RING --quiet", &input).assert_code(1).assert_one_line();
    // All of it was read at once, or the end of it was not read.
    let counted = number_before(&ran.stderr, " records were read and not published");
    assert!(ran.stderr.contains("line 11 of the input has 5000 bytes"), "{}", ran.stderr);
    assert!(counted == 41 || counted == 42 || ran.stderr.contains("1 record was"), "{}", ran.stderr);
    place.run("sub RING", b"").assert_code(0).assert_stdout(lines(0..10));

    place.run("sub RING --gated --name slow --hold forever", b"").assert_code(0);
    let input: Vec<u8> = (0..3000).flat_map(FRAMINGS[0].1).collect();
    for (wait, says) in [("", "found the ring full; give --wait"), ("--wait=50ms", "waited in vain for room")]
    {
        let file = place.file("input");
        std::fs::write(&file, &input).unwrap();
        let before = place.info()["counters"]["records"].as_u64().unwrap();
        let input = std::fs::File::open(&file).unwrap().into();
        let publisher = place.spawn(&format!("pub RING --quiet {wait}"), input, Stdio::null());
        let ran = publisher.end().assert_code(6).assert_one_line().assert_says(says);
        let published = place.info()["counters"]["records"].as_u64().unwrap() - before;
        assert_eq!(published + number_before(&ran.stderr, " records were read"), 3000, "{}", ran.stderr);
        ran.assert_says("; slot 0 'slow' (process ").assert_says("holds the producer up: ");
    }
}

#[test]
fn lines_too_long_are_what_was_asked_for() {
    let mut input = lines(0..10);
    input.extend([b'x'; 10_000]);
    input.push(b'\n');
    input.extend(lines(10..20));
    for (too_long, records) in [("skip", 20), ("cut", 21), ("split", 22)] {
        let place = Place::with("--capacity 16KiB");
        let ran = place.run(&format!("pub RING --too-long {too_long}"), &input).assert_code(0);
        let ran = ran.assert_says(&format!("published {records} records"));
        ran.assert_says("1 record was too long for the ring, and ");
        let out = place.run("sub RING", b"").assert_code(0).stdout;
        assert!(out.starts_with(&lines(0..10)) && out.ends_with(&lines(10..20)), "{too_long}");
        let kept = out.iter().filter(|byte| **byte == b'x').count();
        assert_eq!(
            kept,
            [("skip", 0), ("cut", 8184), ("split", 10_000)].iter().find(|c| c.0 == too_long).unwrap().1
        );
    }
}

/// Starts a consumer whose reader takes nothing, and waits until its pipe is full.
fn stalled(place: &Place, line: &str) -> (Process, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let sub = place.spawn(line, Stdio::null(), writer.into());
    let (started, mut grown, mut bytes) = (Instant::now(), Instant::now(), 0);
    while bytes < 40_000 || grown.elapsed() < Duration::from_millis(300) {
        assert!(started.elapsed() < Duration::from_secs(30), "the pipe does not fill");
        std::thread::sleep(Duration::from_millis(5));
        let now = ioctl_fionread(&reader).unwrap();
        if std::mem::replace(&mut bytes, now) != now {
            grown = Instant::now();
        }
    }
    (sub, reader)
}

/// Whole records at the beginning of what a consumer wrote, each of 8 bytes and what stands around it.
fn whole(out: &[u8], format: &str) -> u64 {
    match format {
        "--json" => out.iter().filter(|byte| **byte == b'\n').count() as u64,
        "--raw" => out.len() as u64 / 8,
        "--length-prefixed" => out.len() as u64 / 12,
        _ => out.len() as u64 / 9,
    }
}

fn assert_nothing_unwritten_is_released(place: &Place, ran: &Ran, written: u64) {
    let next = place.info()["consumers"][0]["next_sequence"].as_u64().unwrap();
    assert!(next <= written, "released up to {next}, written {written}: {}", ran.stderr);
    let first = place.run("sub RING --name x --count 1", b"").assert_code(0).stdout;
    assert_eq!(first, format!("{next:08}\n").into_bytes());
}

#[test]
fn one_signal_ends_a_consumer_whose_reader_takes_nothing() {
    let input: Vec<u8> = (0..60_000).flat_map(FRAMINGS[1].1).collect();
    for format in ["", "--raw", "--json", "--length-prefixed"] {
        for (signal, code) in SIGNALS {
            let place = Place::with("");
            place.run("pub RING --chunk 8", &input).assert_code(0);
            let line = format!("sub RING --until-closed --gated --name x --hold forever {format}");
            let (sub, reader) = stalled(&place, &line);
            sub.signal(signal);
            let ran = sub.end().assert_code(code).assert_says("received ");
            let ran = ran.assert_says("records were received and not written, and are not released");
            let written = whole(&rest(reader), format);
            assert_eq!(number_before(&ran.stderr, " records, "), written, "{}", ran.stderr);
            assert_nothing_unwritten_is_released(&place, &ran, written);
        }
    }
    for (policy, onward, signal, code) in [
        ("", "", Signal::TERM, 143),
        ("--observe", "--follow", Signal::HUP, 0),
        ("--gated", "--follow", Signal::TERM, 0),
        ("--gated-for 1h", "--until-closed", Signal::HUP, 129),
        ("--lossy", "--follow", Signal::INT, 0),
    ] {
        let place = Place::with("");
        place.run("pub RING --chunk 8", &input).assert_code(0);
        let (sub, _reader) = stalled(&place, &format!("sub RING {policy} {onward}"));
        sub.signal(signal);
        sub.end().assert_code(code).assert_says("records were received and not written");
    }
}

#[test]
fn a_reader_that_is_only_slow_gets_whole_records_after_a_signal() {
    let place = Place::with("");
    let input: Vec<u8> = (0..60_000).flat_map(FRAMINGS[1].1).collect();
    place.run("pub RING --chunk 8", &input).assert_code(0);
    let (sub, reader) = stalled(&place, "sub RING --gated --name x");
    sub.signal(Signal::TERM);
    // It goes on within the time that it is given; a machine may be too busy for that, and then it was cut.
    let out = std::thread::spawn(|| rest(reader));
    let ran = sub.end().assert_code(143);
    let written = out.join().unwrap();
    if !ran.stderr.contains("not written") {
        assert_eq!(written.len() % 9, 0, "{}", ran.stderr);
        assert_eq!(place.info()["consumers"][0]["next_sequence"], whole(&written, ""));
    }
    assert_nothing_unwritten_is_released(&place, &ran, whole(&written, ""));
}

#[test]
fn what_has_no_room_is_not_released() {
    let input: Vec<u8> = (0..60_000).flat_map(FRAMINGS[1].1).collect();
    for (script, says) in [
        ("exec QUOIT sub RING --gated --name x --quiet > /dev/full", "No space left"),
        ("ulimit -f 64; exec QUOIT sub RING --gated --name x --quiet > out", "File too large"),
        ("trap '' XFSZ; ulimit -f 64; exec QUOIT sub RING --lossy --name x --quiet > out", "File too large"),
    ] {
        let place = Place::with("");
        place.run("pub RING --chunk 8", &input).assert_code(0);
        let ran = place.shell(script).assert_code(1).assert_one_line().assert_says(says);
        let ran = ran.assert_says("could not write standard output").assert_says("and are not released");
        let written = std::fs::metadata(place.file("out")).map_or(0, |meta| meta.len());
        assert_nothing_unwritten_is_released(&place, &ran, written / 9);
    }
}

#[test]
fn a_file_size_limit_is_an_error_that_leaves_nothing() {
    let place = Place::new();
    let ran = place.shell("ulimit -f 1024; exec QUOIT create RING --capacity 16MiB");
    ran.assert_code(1).assert_one_line();
    let ran = place.shell("ulimit -f 1024; exec QUOIT pub RING --create 16MiB");
    ran.assert_code(1).assert_one_line();
    assert!(!place.ring.exists());
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_so() {
    let place = Place::with("");
    // Two shells: one waits, and says how the other ended.
    let script = "trap '' HUP; QUOIT sub RING --gated --until-closed & sub=$!
        until QUOIT info RING | grep -q gated; do sleep .05; done
        kill -HUP $sub; sleep .3; echo x | QUOIT pub RING --quiet; wait $sub; echo $?";
    place.shell(script).assert_code(0).assert_stdout("x\n0\n");
}

#[test]
fn a_stalled_standard_error_holds_no_end_up() {
    let place = Place::with("");
    let mut publisher = place.spawn("pub RING", Stdio::piped(), Stdio::null());
    let _stdin = publisher.stdin();
    place.wait_for("it is there", |info| info["producer"]["alive"] == true);
    // The test's end of the pipe takes nothing, and somebody else has filled it.
    let stderr = publisher.stderr();
    let own = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stderr)))
        .unwrap();
    rustix::io::ioctl_fionbio(&own, true).unwrap();
    while (&own).write(&[b'x'; 4096]).is_ok() {}
    while (&own).write(b"x").is_ok() {}
    publisher.signal(Signal::TERM);
    publisher.end().assert_code(143);
    assert_eq!(place.info()["producer"]["state"], "closed");
}

#[test]
fn one_signal_ends_a_watcher_whose_reader_takes_nothing() {
    let place = Place::with("");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (watch, _reader) = stalled(&place, "info RING --watch 10ms --json");
        watch.signal(signal);
        let ran = watch.end().assert_code(0);
        assert_eq!(ran.stderr, "");
    }
}
