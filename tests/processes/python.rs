//! `examples/observe.py`, a reader in another language that was written from the document, beside producers of this
//! library: whole records, in order, and every loss told to the record and the byte.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quoit::sync::{Latest, LatestOptions};
use quoit::{Inspector, Observer, Options, Producer, Start};

use crate::oracle::Oracle;
use crate::process::{Part, SOON, Stage, note};

const SCRIPT: &str = include_str!("../../examples/observe.py");

/// Is there a Python that can run it? Says so if not.
fn has_python() -> bool {
    let check = "import sys, fcntl, platform; \
                 sys.exit(not (platform.machine() == 'x86_64' and hasattr(fcntl, 'F_OFD_GETLK')))";
    let found = Command::new("python3").args(["-c", check]).status().is_ok_and(|status| status.success());
    if !found {
        note("SKIPPED examples/observe.py: no python3 of 3.9 or later here, or not on x86-64");
    }
    found
}

/// Runs a script that ends at an interrupt also where this test was started with interrupts ignored, as shells start
/// what they put into the background.
const HEARS_INTERRUPTS: &str = "import os, signal, sys; \
                                signal.signal(signal.SIGINT, signal.SIG_DFL); \
                                os.execvp('python3', ['python3'] + sys.argv[1:])";

/// The script at work, and what it has said so far, held against the oracle.
struct Script {
    child: Child,
    lines: Receiver<String>,
    oracle: Oracle,
    first: u64,
    next: u64,
    records: u64,
    gaps: u64,
    lost: u64,
}

/// What it says besides records and losses.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Producer(u64),
    Closed,
    Died,
    Inline(u64),
    Ended(Option<i32>),
}

impl Script {
    fn start(stage: &Stage, ring: &Path, max: usize, args: &[&str]) -> Self {
        let script = stage.file("observe.py");
        std::fs::write(&script, SCRIPT).expect("write the script");
        let mut command = Command::new("python3");
        command.args(["-c", HEARS_INTERRUPTS]).arg(script).arg(ring).arg("--hex").args(args);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start python3");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let oracle = Oracle::new(max);
        let mut script = Self { child, lines, oracle, first: 0, next: 0, records: 0, gaps: 0, lost: 0 };
        let begin = script.line().expect("where it begins");
        script.first = number(&begin, "from sequence ", " on").unwrap_or_else(|| panic!("{begin:?}"));
        script.next = script.first;
        script
    }

    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(SOON) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("observe.py: silent for {SOON:?} at {}", self.next),
        }
    }

    /// Checks one more line. `None`: it was a record, or a loss.
    fn step(&mut self) -> Option<Said> {
        let Some(line) = self.line() else {
            return Some(Said::Ended(self.child.wait().expect("wait for python3").code()));
        };
        if let Some((sequence, payload)) = line.split_once(": ") {
            assert_eq!(sequence.parse(), Ok(self.next), "records come in order, each once: {line}");
            self.oracle.check(self.next, &unhex(payload));
            self.next = self.next.wrapping_add(1);
            self.records += 1;
            return None;
        }
        if let Some(rest) = line.strip_prefix("lost ") {
            let numbers: Vec<u64> = rest.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
            let [records, bytes, first] = numbers[..] else { panic!("{line:?}") };
            assert_eq!(first, self.next, "{line}");
            assert!(records > 0, "{line}");
            assert_eq!(bytes, self.oracle.bytes(first, records), "{line}");
            self.next = self.next.wrapping_add(records);
            self.lost += records;
            self.gaps += 1;
            return None;
        }
        let said = match &line[..] {
            "the producer has closed the ring" => Said::Closed,
            "the producer died" => Said::Died,
            other => number(other, "producer ", " from here on")
                .map(Said::Producer)
                .or_else(|| number(other, "", " records came by their inline copy").map(Said::Inline))
                .unwrap_or_else(|| panic!("observe.py says {other:?}")),
        };
        Some(said)
    }

    /// Goes on to whatever is neither a record nor a loss.
    fn said(&mut self) -> Said {
        loop {
            if let Some(said) = self.step() {
                return said;
            }
        }
    }

    /// Goes on until it has received the record before this one.
    fn reads_up_to(&mut self, next: u64) {
        while self.next != next {
            assert_eq!(self.step(), None, "before {next}, at {}", self.next);
        }
    }

    fn interrupt(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).expect("interrupt python3");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(line: &str, before: &str, behind: &str) -> Option<u64> {
    line.strip_prefix(before)?.strip_suffix(behind)?.parse().ok()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn next_sequence(ring: &Path) -> u64 {
    Inspector::open(ring).expect("inspect").snapshot().expect("snapshot").next_sequence
}

#[test]
fn a_reader_in_python_keeps_its_word_beside_a_producer_at_full_speed() {
    if !has_python() {
        return;
    }
    for (capacity, max, args) in
        [(1 << 16, 20_000, &["--oldest"][..]), (1 << 20, 3_000, &["--last", "100", "--no-inline"])]
    {
        let stage = Stage::tmpfs(240);
        let ring = stage.file("ring");
        Options::new().capacity(capacity).create(&ring).expect("create");
        let part = Part::new("produce").on(&ring).with("max", max);
        let mut producer = part.clone().with("seed", capacity).start();
        producer.says("ready");
        let args = [args, &["--follow"]].concat();
        let mut script = Script::start(&stage, &ring, max, &args);
        // Enough of both that a torn record or a wrong count would show.
        while script.records < 20_000 || script.gaps < 10 {
            assert_eq!(script.step(), None);
        }
        producer.kill();
        assert_eq!(script.said(), Said::Died);
        let end = next_sequence(&ring);
        assert_eq!(script.next, end, "it reads what was published before the death, to the end");
        let mut last = part.with("seed", 2).with("count", 500).start();
        last.says("ready");
        last.says("done");
        last.finish();
        assert_eq!((script.said(), script.next), (Said::Producer(2), end));
        assert_eq!((script.said(), script.next), (Said::Closed, end + 500));
        assert_eq!(script.records + script.lost, end + 500 - script.first);
        let (records, gaps, lost) = (script.records, script.gaps, script.lost);
        note(format_args!("observe.py received {records} records whole; told of {lost} lost in {gaps} gaps"));
    }
}

#[test]
fn a_reader_in_python_begins_at_the_last_records() {
    if !has_python() {
        return;
    }
    let stage = Stage::tmpfs(120);
    let ring = stage.file("ring");
    let oracle = Oracle::new(5_000);
    let mut payload = Vec::new();
    // At rest: across the end of all positions and sequences, after laps, and with padding in between.
    let first = u64::MAX - 300;
    let options = Options::new().capacity(1 << 14).origin(0_u64.wrapping_sub(3 << 13), first);
    let mut producer = Producer::create(&ring, &options).expect("create");
    for sent in [20, 900] {
        while producer.next_sequence() != first.wrapping_add(sent) {
            oracle.fill(producer.next_sequence(), &mut payload);
            producer.send(&payload).expect("send");
        }
        let end = producer.next_sequence();
        let opens = |start| Observer::open(&ring, start).expect("open").next_sequence();
        let oldest = opens(Start::Oldest);
        let held = end.wrapping_sub(oldest);
        for last in [0, 1, 2, 3, 7, held - 1, held, held + 1, 1_000_000] {
            let mut script = Script::start(&stage, &ring, 5_000, &["--last", &last.to_string()]);
            assert_eq!(script.first, opens(Start::Last(last)), "the last {last} of {held}");
            script.reads_up_to(end);
            assert_eq!((script.gaps, script.records), (0, last.min(held)));
        }
        let mut script = Script::start(&stage, &ring, 5_000, &["--oldest"]);
        assert_eq!(script.first, oldest);
        script.reads_up_to(end);
        assert_eq!(script.gaps, 0);
    }
    drop(producer);
    let mut script = Script::start(&stage, &ring, 5_000, &["--last", "5"]);
    assert_eq!((script.said(), script.records), (Said::Closed, 5));
    assert_eq!((script.said(), script.said()), (Said::Inline(0), Said::Ended(Some(0))));
    drop(script);
    std::fs::remove_file(&ring).expect("remove");
    // Beside a producer at full speed: whatever has become of these by then.
    Options::new().capacity(1 << 20).create(&ring).expect("create");
    let mut producer = Part::new("produce").on(&ring).with("max", 5_000).with("seed", 5).start();
    producer.says("ready");
    for round in 0..5 {
        let before = next_sequence(&ring);
        let mut script = Script::start(&stage, &ring, 5_000, &["--last", "40"]);
        assert!(script.first + 40 >= before, "round {round}: not {} when {before} was next", script.first);
        while script.records < 500 {
            assert_eq!(script.step(), None);
        }
    }
    producer.kill();
}

#[test]
fn a_reader_in_python_takes_inline_copies_or_leaves_them() {
    if !has_python() {
        return;
    }
    for (args, takes) in [(&["--follow"][..], true), (&["--follow", "--no-inline"], false)] {
        let stage = Stage::tmpfs(60);
        let ring = stage.file("ring");
        let oracle = Oracle::new(200);
        let mut payload = Vec::new();
        let mut producer = Producer::create(&ring, &Options::new().capacity(4096)).expect("create");
        let mut script = Script::start(&stage, &ring, 200, args);
        let mut short = 0;
        // Each is alone when it is looked for: the one before has been received.
        for sequence in 0..100 {
            oracle.fill(sequence, &mut payload);
            short += u64::from(payload.len() <= 104);
            assert_eq!(producer.send(&payload), Ok(sequence));
            script.reads_up_to(sequence + 1);
        }
        drop(producer);
        assert_eq!(script.said(), Said::Closed);
        let mut producer = Producer::open(&ring).expect("open");
        oracle.fill(100, &mut payload);
        producer.send(&payload).expect("send");
        assert_eq!((script.said(), script.next), (Said::Producer(2), 100));
        short += u64::from(payload.len() <= 104);
        script.reads_up_to(101);
        script.interrupt();
        assert_eq!(script.said(), Said::Inline(if takes { short } else { 0 }));
        assert_eq!((script.said(), script.gaps), (Said::Ended(Some(130)), 0));
    }
}

/// What it says of a file that it does not follow.
fn refusal(stage: &Stage, file: &Path) -> String {
    let script = stage.file("observe.py");
    std::fs::write(&script, SCRIPT).expect("write the script");
    let ran = Command::new("python3").arg(script).arg(file).output().expect("run python3");
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(1), 0), "{ran:?}");
    String::from_utf8(ran.stderr).expect("words")
}

#[test]
fn a_reader_in_python_refuses_what_is_no_ring_of_this_machine() {
    if !has_python() {
        return;
    }
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(4096).create(&ring).expect("create");
    let bytes = std::fs::read(&ring).expect("read");
    let copy = stage.file("copy");
    std::fs::write(&copy, &bytes).expect("copy");
    assert!(refusal(&stage, &copy).contains("a copy of a ring"));
    // One bit of the ring's id.
    let spoilt = |at: usize| [&bytes[..at], &[bytes[at] ^ 1], &bytes[at + 1..]].concat();
    std::fs::write(&copy, spoilt(56)).expect("spoil");
    assert!(refusal(&stage, &copy).contains("damaged"));
    std::fs::write(&copy, spoilt(0)).expect("spoil");
    assert!(refusal(&stage, &copy).contains("not a ring"));
    std::fs::write(&copy, &bytes[..4000]).expect("cut");
    assert!(refusal(&stage, &copy).contains("not a ring"));
    let only = stage.file("gated only");
    Options::new().capacity(4096).gated_only(true).create(&only).expect("create");
    assert!(refusal(&stage, &only).contains("gated consumers only"));
    let value = stage.file("latest value");
    let _writer = Latest::create(&value, &LatestOptions::new(), &7_u64).expect("create");
    assert!(refusal(&stage, &value).contains("another kind"));
    assert!(refusal(&stage, &stage.file("nothing")).contains("No such file"));
    assert!(refusal(&stage, stage.path()).contains("not a regular file"));
}
