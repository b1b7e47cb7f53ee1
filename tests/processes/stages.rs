//! Stages between processes: each is killed anywhere under load, and nobody acts on what the one before has not done.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Options, Producer, RecvError, Start, Status, WaitSet};

use crate::process::{Part, Process, SOON, Stage, hear, kills_wanted, note, say};

/// The most records that are noted together.
const BATCH: usize = 8;

/// A file to which a process adds the sequences of the records that it is done with.
struct Notes(File);

impl Notes {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path).expect("notes");
        // Its predecessor may have been killed in a write.
        let whole = file.metadata().expect("notes").len() / 8 * 8;
        file.set_len(whole).expect("notes");
        Self(file)
    }

    fn add(&mut self, sequences: &[u64]) {
        let bytes: Vec<u8> = sequences.iter().flat_map(|sequence| sequence.to_le_bytes()).collect();
        self.0.write_all(&bytes).expect("notes");
    }

    fn read(path: &Path) -> Vec<u64> {
        let bytes = std::fs::read(path).expect("notes");
        bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }
}

/// What the stage before has noted so far.
struct Before {
    file: File,
    read: u64,
    /// How many of the records from the first on.
    count: u64,
}

impl Before {
    fn open(path: &Path) -> Self {
        Self { file: File::open(path).expect("its notes"), read: 0, count: 0 }
    }

    fn has(&mut self, sequence: u64) -> bool {
        let mut word = [0; 8];
        while self.count <= sequence && self.file.read_exact_at(&mut word, self.read).is_ok() {
            self.read += 8;
            self.count = self.count.max(u64::from_le_bytes(word) + 1);
        }
        self.count > sequence
    }
}

/// Notes the records that it receives, and then releases them, until it is killed or the stream ends. After a stage it
/// first looks into that one's notes.
///
/// `ring`, `name`, `notes`, `after`, `before`.
pub(crate) fn pass_on(part: &Part) {
    let name: String = part.get("name");
    let mut attach = Attach::gated().name(&name).start(Start::Oldest).hold_forever();
    if let Some(stage) = part.find::<String>("after") {
        attach = attach.after(stage);
    }
    let mut consumer = Consumer::open_wait(part.ring(), &attach, Instant::now() + SOON).expect("attach");
    consumer.keep(true);
    let mut notes = Notes::open(&part.get::<PathBuf>("notes"));
    let mut before = part.find::<PathBuf>("before").map(|path| Before::open(&path));
    say("works");
    let mut batch = Vec::new();
    let mut take = |event: Event<'_>, batch: &mut Vec<u64>| {
        let Event::Record(record) = event else {
            say(format_args!("fails: {event}"));
            panic!("{event}");
        };
        let sequence = record.sequence();
        let is_due = before.as_mut().is_none_or(|before| before.has(sequence));
        if !is_due || record.read() != Some(sequence) {
            say(format_args!("fails: {sequence}, {:?}, after its stage: {is_due}", record.read::<u64>()));
            panic!("{sequence}");
        }
        batch.push(sequence);
    };
    loop {
        match consumer.recv() {
            Ok(event) => take(event, &mut batch),
            Err(RecvError::Closed) => break,
            Err(error) => {
                say(format_args!("fails: {error}"));
                panic!("{error}");
            }
        }
        consumer.drain(BATCH - 1, |event| take(event, &mut batch)).expect("drain");
        notes.add(&batch);
        consumer.release();
        batch.clear();
    }
    say("is done");
}

/// Attaches as a stage, receives one record, releases it, and stays.
///
/// `ring`, `held`.
pub(crate) fn stay(part: &Part) {
    let mut attach = Attach::gated().name("journal").start(Start::Oldest);
    if part.get("held") {
        attach = attach.hold_forever();
    }
    let mut consumer = Consumer::open(part.ring(), &attach).expect("attach");
    consumer.recv().expect("a record");
    consumer.release();
    say("stays");
    hear();
}

/// A journal, the logic after it, and who answers after the logic: one after the other is killed, wherever it is, and
/// replaced, while a producer fills the ring as fast as it may.
#[test]
fn stages_are_killed() {
    let scene = Stage::tmpfs(300);
    let path = scene.file("ring");
    let mut producer =
        Producer::open_or_create(&path, &Options::new().capacity(1 << 13)).expect("a producer");
    let names = ["journal", "logic", "answers"];
    let notes = names.map(|name| scene.file(name));
    notes.iter().for_each(|path| drop(Notes::open(path)));
    let start = |at: usize| {
        let part = Part::new("pass on").on(&path).with("name", names[at]).with("notes", notes[at].display());
        match at {
            0 => part.start(),
            at => part.with("after", names[at - 1]).with("before", notes[at - 1].display()).start(),
        }
    };
    let mut processes: Vec<Process> = (0..3)
        .map(|at| {
            let mut process = start(at);
            assert_eq!(process.line(SOON), "works");
            process
        })
        .collect();
    let mut sent = 0_u64;
    let kills = kills_wanted(120);
    for kill in 0..kills {
        let until = Instant::now() + Duration::from_micros(kill * 41 % 3000);
        while Instant::now() < until || sent < 4 * kill {
            producer.send_timeout(&sent.to_le_bytes(), SOON).expect("each has a successor");
            sent += 1;
        }
        let at = (kill % 3) as usize;
        for line in processes[at].kill() {
            assert_eq!(line, "works");
        }
        processes[at] = start(at);
    }
    drop(producer);
    for process in &mut processes {
        loop {
            match process.line(SOON).as_str() {
                "works" => {}
                "is done" => break,
                line => panic!("{line}"),
            }
        }
    }
    processes.into_iter().for_each(Process::finish);
    let mut again = 0;
    for (name, path) in names.iter().zip(&notes) {
        let noted = Notes::read(path);
        let mut count = 0;
        for sequence in &noted {
            // In order, but for what its predecessor had noted and not released.
            assert!(*sequence <= count, "{name} passed over {count}");
            assert!(count - sequence <= BATCH as u64, "{name} received {sequence} again after {count}");
            count = count.max(sequence + 1);
        }
        assert_eq!(count, sent, "{name} has lost records");
        again += noted.len() as u64 - sent;
    }
    note(format_args!("stages: {kills} kills, {sent} records through three stages, {again} received again"));
}

/// Dead and not held: it is told, though no producer looks, in a receive as in a wait set. Stopped, or held: it is waited for.
#[test]
fn a_stage_dies() {
    let scene = Stage::tmpfs(120);
    for (held, in_a_set) in [(false, false), (true, false), (false, true), (true, true)] {
        let path = scene.file(&format!("ring-{held}-{in_a_set}"));
        let mut producer =
            Producer::open_or_create(&path, &Options::new().capacity(4096)).expect("a producer");
        producer.send(&[1; 8]).expect("send");
        producer.send(&[2; 8]).expect("send");
        let mut stage = Part::new("stay a stage").on(&path).with("held", held).start();
        assert_eq!(stage.line(SOON), "stays");
        let attach = Attach::gated().after("journal").start(Start::Oldest);
        let mut follower = Consumer::open(&path, &attach).expect("follow");
        assert!(matches!(follower.recv(), Ok(Event::Record(record)) if record.sequence() == 0));
        stage.stop();
        assert!(matches!(follower.recv_timeout(Duration::from_millis(150)), Err(RecvError::TimedOut)));
        let waiting = std::thread::spawn(move || {
            let limit = if held { Duration::from_millis(300) } else { SOON };
            if in_a_set {
                let mut set = WaitSet::new();
                assert_eq!(set.wait_timeout(&mut [&mut follower], limit).contains(0), !held);
            }
            let end = match held {
                false => follower.recv().map(drop),
                true => follower.recv_timeout(Duration::from_millis(300)).map(drop),
            };
            (end, follower.status())
        });
        stage.kill();
        let expected = match held {
            false => (Err(RecvError::StageGone), Status::StageGone),
            true => (Err(RecvError::TimedOut), Status::Streaming),
        };
        assert_eq!(waiting.join().expect("a follower"), expected);
        // The next one goes on in its place.
        let mut successor = Part::new("stay a stage").on(&path).with("held", held).start();
        let mut follower = Consumer::open_wait(&path, &attach, Instant::now() + SOON).expect("follow");
        while let Ok(Event::Record(record)) = follower.recv_timeout(SOON) {
            if record.sequence() == 1 {
                break;
            }
        }
        assert_eq!(follower.next_sequence(), 2);
        assert_eq!(successor.line(SOON), "stays");
        successor.tell("go on");
        successor.finish();
    }
}
