//! Standard descriptors that are closed, or open for something else, and what is shared with others.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl};

use crate::support::{Place, lines};

#[test]
fn closed_descriptors_are_an_error_before_anything_is_touched() {
    let place = Place::with("");
    place.run("pub RING", &lines(0..10)).assert_code(0);
    place.run("sub RING --gated --name x --hold forever --count 0", b"").assert_code(0);
    // All but for how long it has been away.
    let shown = || {
        let mut shown = place.info();
        shown["consumers"][0]["away_ns"].take();
        shown
    };
    let untouched = shown();
    for verb in [
        "sub RING --gated --name x",
        "sub RING --gated --name new",
        "pub RING",
        "pub other --create 64KiB",
        "info RING",
        "info RING --json",
        "create other",
        "forget RING x",
    ] {
        for (closed, says) in [
            ("<&-", "standard input is closed"),
            (">&-", "standard output is closed"),
            ("2>&-", ""),
            ("1< /dev/null", "standard output is not open for writing"),
        ] {
            let ran = place.shell(&format!("exec QUOIT {verb} {closed}")).assert_code(1).assert_says(says);
            assert_eq!(ran.stdout, b"", "{verb} {closed}");
        }
    }
    place.shell("exec QUOIT pub RING 0> /dev/null").assert_code(1).assert_says("not open for reading");
    assert_eq!(shown(), untouched);
    assert!(!place.file("other").exists());
    // nohup gives an input that cannot be read to those that read none.
    place.shell("exec QUOIT sub RING 0> /dev/null").assert_code(0).assert_stdout(lines(0..10));
    // And daemons start with /dev/null, open for both.
    place.shell("exec QUOIT sub RING 0<> /dev/null 1<> /dev/null 2<> /dev/null").assert_code(0);
    place.run("sub RING --gated --name x", b"").assert_code(0).assert_stdout(lines(0..10));
}

#[test]
fn what_is_shared_keeps_its_flags() {
    let place = Place::with("");
    let input = lines(0..50_000);
    let (stdin, mut feed) = std::io::pipe().unwrap();
    let (out, stdout) = std::io::pipe().unwrap();
    let publisher = place.spawn("pub RING --wait", stdin.try_clone().unwrap().into(), Stdio::null());
    let sub = place.spawn("sub RING --gated --follow", Stdio::null(), stdout.try_clone().unwrap().into());
    place.wait_for_consumers(1);
    let feeder = std::thread::spawn(move || feed.write_all(&input).unwrap());
    place.wait_for_records(50_000);
    feeder.join().unwrap();
    publisher.end().assert_code(0);
    for flags in [fcntl_getfl(&stdin).unwrap(), fcntl_getfl(&stdout).unwrap()] {
        assert!(!flags.contains(OFlags::NONBLOCK));
    }
    sub.kill();
    drop((out, stdout));
}

/// What goes into `pub` at one end comes whole out of `sub` at the other.
fn passes_whole(mut feed: impl Write + Send + 'static, stdin: Stdio, stdout: Stdio, mut out: impl Read) {
    let place = Place::with("");
    let input = lines(0..50_000);
    let sub = place.spawn("sub RING --gated --until-closed", Stdio::null(), stdout);
    place.wait_for_consumers(1);
    let publisher = place.spawn("pub RING --wait", stdin, Stdio::null());
    let text = input.clone();
    let feeder = std::thread::spawn(move || feed.write_all(&text).unwrap());
    let mut got = Vec::new();
    out.read_to_end(&mut got).unwrap();
    feeder.join().unwrap();
    assert!(got == input, "{} bytes of {} came out", got.len(), input.len());
    publisher.end().assert_code(0);
    sub.end().assert_code(0);
}

#[test]
fn what_is_non_blocking_already_is_read_and_written_whole() {
    let (stdin, feed) = std::io::pipe().unwrap();
    let (out, stdout) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&stdin, true).unwrap();
    rustix::io::ioctl_fionbio(&stdout, true).unwrap();
    passes_whole(feed, stdin.into(), stdout.into(), out);
}

#[test]
fn sockets_are_read_and_written() {
    let (feed, stdin) = UnixStream::pair().unwrap();
    let (out, stdout) = UnixStream::pair().unwrap();
    passes_whole(feed, OwnedFd::from(stdin).into(), OwnedFd::from(stdout).into(), out);
}

#[test]
fn a_terminal_is_told_nothing_that_it_would_obey() {
    let place = Place::with("");
    let sub = place.spawn("sub RING --gated --name \x1b[31mx --follow", Stdio::null(), Stdio::piped());
    place.wait_for_consumers(1);
    for line in
        ["sub RING --gated --name \x1b[31mx", "forget RING no\x1b]0;x\x07", "info no\x1b[2J\u{9b}31m\u{202e}"]
    {
        let said = place.run(line, b"").stderr;
        assert!(!said.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
        assert!(said.contains("\\u{1b}"), "{said:?}");
    }
    sub.kill();
}
