//! `quoit demo` as somebody sees it who has just cloned the repository, and what it leaves behind: nothing.

#[path = "cli/ignored.rs"]
mod ignored;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn demo(seconds: u64) -> Child {
    start(&["demo"], seconds)
}

fn start(words: &[&str], seconds: u64) -> Child {
    ignored::reach_commands();
    Command::new(env!("CARGO_BIN_EXE_quoit"))
        .args(words)
        .args(["--plain", "--seconds", &seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The first path in the first line.
fn path(first_line: &str) -> PathBuf {
    let mut words = first_line.split([' ', ',']).map(Path::new);
    words.find(|word| word.is_absolute()).expect("the first line has a path").to_owned()
}

/// The directory of the ring, which the first line names.
fn directory(first_line: &str) -> PathBuf {
    path(first_line).parent().unwrap().to_owned()
}

/// Processes with the directory in their command line.
fn running(directory: &Path) -> usize {
    let needle = directory.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(needle))
        .count()
}

#[track_caller]
fn assert_nothing_left(directory: &Path) {
    assert!(!directory.exists(), "{} is still there", directory.display());
    assert_eq!(running(directory), 0, "processes of {} still run", directory.display());
}

/// Starts a demo, waits until all its children are at work, ends it, and returns its exit code and its directory.
fn interrupted(signal: Signal) -> (Option<i32>, PathBuf) {
    let mut child = demo(60);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let directory = directory(&lines.next().unwrap());
    assert!(lines.any(|line| line.contains("feed") && line.contains("epoch 1")), "the show did not begin");
    assert_eq!(running(&directory), 5);
    kill_process(Pid::from_child(&child), signal).unwrap();
    lines.for_each(drop);
    (child.wait().unwrap().code(), directory)
}

#[test]
fn keeps_its_promises_and_leaves_nothing_behind() {
    let began = Instant::now();
    let child = demo(5);
    let output = child.wait_with_output().unwrap();
    let (page, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{page}\n{errors}");
    assert_eq!(errors, "");
    for line in [
        "kill -9",
        "resumed under its name",
        "a new producer took over: epoch 2",
        "✓ gated: nothing lost",
        "✓ delivered + lost = published",
        "✓ a gate falls at its deadline",
        "✓ nothing torn",
        "✓ takeover",
        "✓ nobody was blocked",
        "✓ all ended",
        "All promises kept.",
    ] {
        assert!(page.contains(line), "{line:?} is missing in:\n{page}");
    }
    assert!(!page.contains('\x1b'), "colours without a terminal:\n{page}");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_nothing_left(&directory(page.lines().next().unwrap()));
}

#[test]
fn the_kit_keeps_its_promises_and_leaves_nothing_behind() {
    let output = start(&["demo", "--kit"], 5).wait_with_output().unwrap();
    let (page, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{page}\n{errors}");
    assert_eq!(errors, "");
    for line in [
        ": the server, in the middle of its work",
        ": worker 2, in the middle of its work",
        ": party 3, in the middle of its work",
        "party 1 is told: its phase is broken",
        "party 2 is told: its phase is broken",
        " answered, ",
        " acknowledged, ",
        " passed, 1 broken",
        "✓ service: every call ended once",
        "✓ service: no call ran twice",
        "✓ group: every record acknowledged once",
        "✓ barrier: nobody passes before all arrived",
        "✓ barrier: a death is told to all others",
        "✓ all ended as the script has it",
        "All promises kept.",
    ] {
        assert!(page.contains(line), "{line:?} is missing in:\n{page}");
    }
    assert!(!page.contains('\x1b'), "colours without a terminal:\n{page}");
    assert_nothing_left(&path(page.lines().next().unwrap()));
}

#[test]
fn the_kit_ends_when_it_is_told_to() {
    let mut child = start(&["demo", "--kit"], 60);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let directory = path(&lines.next().unwrap());
    assert!(lines.any(|line| line.contains("all are there")), "the show did not begin");
    assert_eq!(running(&directory), 10);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_nothing_left(&directory);
}

#[test]
fn signals_clean_up() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (exit, directory) = interrupted(signal);
        assert_eq!(exit, Some(code));
        assert_nothing_left(&directory);
    }
}

#[test]
fn children_end_with_a_killed_parent_and_the_next_demo_tidies_up() {
    let (exit, directory) = interrupted(Signal::KILL);
    assert_eq!(exit, None);
    let killed = Instant::now();
    while running(&directory) > 0 {
        assert!(killed.elapsed() < Duration::from_secs(10), "children outlive their parent");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (_, other) = interrupted(Signal::INT);
    assert_nothing_left(&directory);
    assert_nothing_left(&other);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = demo(60);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let directory = directory(&lines.next().unwrap());
    drop(lines);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
    assert_nothing_left(&directory);
}
