//! Who owns a ring: one producer at a time, one file behind a path, whatever races or comes back.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Error, Event, Inspector, Observer, Options, Producer, Start};
use support::dice::mix;

use crate::process::{Part, Process, SOON, Stage, hear, monotonic_ns, note, numbers, say};

fn small() -> Options {
    Options::new().capacity(4096).slots(2)
}

/// What a reader finds, as text.
macro_rules! all_of {
    ($reader:expr) => {{
        let mut seen = Vec::new();
        while let Some(event) = $reader.try_recv().expect("receive") {
            if let Event::Record(record) = event {
                seen.push(String::from_utf8_lossy(&record.bytes()).into_owned());
            }
        }
        seen
    }};
}

/// Ring number `number` of a race.
fn lane(part: &Part, number: u64) -> PathBuf {
    part.get::<PathBuf>("directory").join(format!("lane-{number}"))
}

/// What one racer won, and how often it came too late. It keeps what it won until it ends.
#[derive(Debug, Default)]
struct Trophies {
    held: Vec<Producer>,
    refused: u64,
}

impl Trophies {
    /// True: it won.
    fn enter(&mut self, lane: u64, tried: Result<Producer, Error>) -> bool {
        match tried {
            Ok(mut producer) => {
                let first = producer.send(b"mine").expect("room for one record");
                self.held.push(producer);
                say(format_args!("won {lane} {first}"));
                true
            }
            Err(Error::ProducerAlive { .. }) => {
                self.refused += 1;
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn end(self) {
        say(format_args!("over {} {}", self.held.len(), self.refused));
        hear();
    }
}

/// Creates or opens each of `lanes` rings in `directory`: one every `every_us` from the moment it hears, on the
/// monotonic clock. Says `won LANE FIRST` where it becomes the producer.
pub(crate) fn race_to_create(part: &Part) {
    say("ready");
    let begin: u64 = hear().parse().expect("a time");
    let mut trophies = Trophies::default();
    for number in 0..part.get("lanes") {
        let due = begin + number * part.get::<u64>("every_us") * 1_000;
        sleep(Duration::from_nanos(due.saturating_sub(monotonic_ns())));
        trophies.enter(number, Producer::open_or_create(lane(part, number), &small()));
    }
    trophies.end();
}

/// Opens each of `lanes` rings in `directory`, over and over for `for_ms`, whoever holds them. Says as above.
pub(crate) fn race_to_succeed(part: &Part) {
    let limit = Duration::from_millis(part.get("for_ms"));
    say("ready");
    hear();
    let start = Instant::now();
    let mut trophies = Trophies::default();
    let mut open: Vec<u64> = (0..part.get("lanes")).collect();
    while start.elapsed() < limit {
        open.retain(|number| !trophies.enter(*number, Producer::open(lane(part, *number))));
    }
    trophies.end();
}

/// Holds the producer's place of each of `lanes` new rings in `directory`, after one record in each.
pub(crate) fn hold(part: &Part) {
    let lanes: u64 = part.get("lanes");
    let held: Vec<_> = (0..lanes)
        .map(|number| {
            let mut producer = Producer::create(lane(part, number), &small()).expect("create");
            producer.send(b"before").expect("room");
            producer
        })
        .collect();
    say(format_args!("ready {}", held.len()));
    hear();
}

/// Starts racers, lets `begin` happen once all are there, and checks that each lane has one winner.
fn race(part: &Part, racers: usize, lanes: u64, first: u64, begin: impl FnOnce(&mut [Process])) {
    let part = part.clone().with("lanes", lanes);
    let mut racers: Vec<_> = (0..racers).map(|_| part.start()).collect();
    racers.iter_mut().for_each(|racer| drop(racer.says("ready")));
    begin(&mut racers);
    let mut wins = vec![0; lanes as usize];
    let mut winners = 0;
    let mut refused = 0;
    for racer in &mut racers {
        loop {
            let line = racer.line(SOON);
            if let Some(won) = numbers(&line, "won") {
                assert_eq!(won[1], first, "a winner goes on where the ring stands");
                wins[won[0] as usize] += 1;
                continue;
            }
            let over = numbers(&line, "over").expect("won or over");
            winners += u64::from(over[0] > 0);
            refused += over[1];
            break;
        }
    }
    assert!(wins.iter().all(|wins| *wins == 1), "{wins:?}");
    note(format_args!(
        "{}: {} racers, {lanes} rings, one winner each; {winners} racers won something, {refused} refusals",
        part.name(),
        racers.len()
    ));
}

#[test]
fn of_racing_creators_one_wins() {
    let stage = Stage::tmpfs(60);
    let part = Part::new("race to create").with("directory", stage.path().display()).with("every_us", 4_000);
    let lanes = 100;
    race(&part, 16, lanes, 0, |racers| {
        let begin = monotonic_ns() + 50_000_000;
        racers.iter_mut().for_each(|racer| racer.tell(begin));
    });
    let files = std::fs::read_dir(stage.path()).expect("list").count();
    assert_eq!(files as u64, lanes, "nothing but the rings themselves");
}

/// They try before, while and after the producer dies.
#[test]
fn of_racing_successors_one_wins() {
    let stage = Stage::tmpfs(60);
    let lanes = 100;
    let part = Part::new("hold").with("directory", stage.path().display()).with("lanes", lanes);
    let mut holder = part.start();
    holder.says("ready");
    let part = part.renamed("race to succeed").with("for_ms", 700);
    race(&part, 8, lanes, 1, |racers| {
        racers.iter_mut().for_each(|racer| racer.tell("go"));
        sleep(Duration::from_millis(150));
        assert!(racers.iter_mut().all(Process::is_silent), "nobody wins against a living producer");
        holder.kill();
    });
}

/// Creates rings in `directory` for ever.
pub(crate) fn create(part: &Part) {
    say("ready");
    for number in 0.. {
        // Large enough for the kernel to be at it for a while.
        let options = Options::new().capacity(1 << 20);
        match number % 2 {
            0 => options.create(lane(part, number)).expect("create"),
            _ => drop(Producer::create(lane(part, number), &options).expect("create")),
        }
        if number >= 8 {
            std::fs::remove_file(lane(part, number - 8)).expect("remove");
        }
    }
}

/// Nobody ever sees half a ring, nor finds anything else left behind.
#[test]
fn creators_killed_at_any_moment_leave_whole_rings_or_nothing() {
    let stage = Stage::tmpfs(60);
    let part = Part::new("create").with("directory", stage.path().display());
    let mut rings = 0;
    for round in 0..60 {
        let mut creator = part.start();
        creator.says("ready");
        sleep(Duration::from_micros(mix(round) % 6_000));
        creator.kill();
        for entry in std::fs::read_dir(stage.path()).expect("list") {
            let path = entry.expect("an entry").path();
            let mut consumer = Consumer::open(&path, &Attach::gated()).expect("a whole ring");
            let mut producer = Producer::open(&path).expect("a whole ring");
            assert_eq!(producer.send(b"whole"), Ok(0));
            assert_eq!(all_of!(consumer), ["whole"]);
            std::fs::remove_file(path).expect("remove");
            rings += 1;
        }
    }
    note(format_args!("60 kills of creators, {rings} rings found, all whole"));
}

/// A rival's reader spins for ever on a file whose header is not written yet, and panics on one that was cut.
#[test]
fn half_a_file_is_refused_at_once() {
    let stage = Stage::tmpfs(30);
    let ring = stage.file("ring");
    small().create(&ring).expect("create");
    let whole = std::fs::read(&ring).expect("read");
    for len in [0, 1, 8, 100, 4095, 4096, 4097, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        for content in [&whole[..len], &vec![0; len]] {
            let path = stage.file("half");
            std::fs::write(&path, content).expect("write");
            let start = Instant::now();
            let refusals = [
                Producer::open(&path).map(drop),
                Producer::open_or_create(&path, &small()).map(drop),
                Consumer::open(&path, &Attach::lossy()).map(drop),
                Observer::open(&path, Start::Newest).map(drop),
                Inspector::open(&path).map(drop),
            ];
            for refusal in refusals {
                let expected = matches!(
                    refusal,
                    Err(Error::TooShort { .. } | Error::NotARing { .. } | Error::WrongSize { .. })
                );
                assert!(expected, "{len} bytes: {refusal:?}");
            }
            assert!(start.elapsed() < Duration::from_secs(2));
            assert_eq!(std::fs::read(&path).expect("read"), content, "and left as it was");
        }
    }
}

fn refused(path: &Path) -> bool {
    let open = matches!(Producer::open(path), Err(Error::ProducerAlive { .. }));
    let either = matches!(Producer::open_or_create(path, &small()), Err(Error::ProducerAlive { .. }));
    open && either
}

#[test]
fn a_second_producer_is_refused_while_the_first_lives() {
    let stage = Stage::tmpfs(30);
    // In this process.
    let ring = stage.file("here");
    let first = Producer::create(&ring, &small()).expect("create");
    assert!(refused(&ring));
    match Producer::open(&ring) {
        Err(Error::ProducerAlive { pid }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    drop(first);
    let second = Producer::open(&ring).expect("the first closed");
    assert_eq!(second.epoch(), 2);
    // In another one.
    let mut holder = Part::new("hold").with("directory", stage.path().display()).with("lanes", 1).start();
    holder.says("ready");
    let ring = stage.file("lane-0");
    assert!(refused(&ring));
    match Producer::open(&ring) {
        Err(Error::ProducerAlive { pid }) => assert_eq!(pid, holder.pid()),
        other => panic!("{other:?}"),
    }
    holder.kill();
    let mut heir = Producer::open(&ring).expect("the first is dead");
    assert_eq!(heir.send(b"after"), Ok(1));
}

#[test]
fn a_second_create_on_a_live_file_is_refused_and_harms_nothing() {
    let stage = Stage::disk(30);
    let ring = stage.file("ring");
    let mut producer = Producer::create(&ring, &small()).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    producer.send(b"before").expect("send");
    let before = std::fs::metadata(&ring).expect("stat");
    let larger = Options::new().capacity(1 << 20);
    for options in [small(), larger] {
        assert!(matches!(options.create(&ring), Err(Error::Exists { .. })));
        assert!(matches!(Producer::create(&ring, &options), Err(Error::Exists { .. })));
    }
    let after = std::fs::metadata(&ring).expect("stat");
    assert_eq!((before.ino(), before.len(), before.blocks()), (after.ino(), after.len(), after.blocks()));
    producer.send(b"after").expect("send");
    let mut seen = Vec::new();
    while let Some(event) = consumer.try_recv().expect("receive") {
        if let Event::Record(record) = event {
            seen.push(record.to_vec());
        }
    }
    assert_eq!(seen, [&b"before"[..], b"after"]);
    assert_eq!(std::fs::read_dir(stage.path()).expect("list").count(), 1, "and leaves nothing behind");
}

#[test]
fn old_handles_of_a_replaced_file_know_it_and_go_on_among_themselves() {
    let stage = Stage::tmpfs(30);
    let ring = stage.file("ring");
    let mut producer = Producer::create(&ring, &small()).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    let mut observer = Observer::open(&ring, Start::Newest).expect("observe");
    let old = Inspector::open(&ring).expect("inspect").snapshot().expect("snapshot").ring_id;
    assert!(!producer.is_stale() && !consumer.is_stale() && !observer.is_stale());
    std::fs::remove_file(&ring).expect("unlink");
    assert!(producer.is_stale() && consumer.is_stale() && observer.is_stale());
    assert!(matches!(Producer::open(&ring), Err(Error::NotFound { .. })));
    assert!(matches!(Consumer::open(&ring, &Attach::lossy()), Err(Error::NotFound { .. })));
    let mut newer = Producer::create(&ring, &small()).expect("the old producer does not stand in the way");
    let mut newcomer = Consumer::open(&ring, &Attach::gated()).expect("attach to the new ring");
    assert!(producer.is_stale() && consumer.is_stale() && observer.is_stale());
    assert!(!newer.is_stale() && !newcomer.is_stale());
    assert_ne!(old, Inspector::open(&ring).expect("inspect").snapshot().expect("snapshot").ring_id);
    producer.send(b"old").expect("send");
    newer.send(b"new").expect("send");
    assert_eq!(all_of!(consumer), ["old"]);
    assert_eq!(all_of!(observer), ["old"]);
    assert_eq!(all_of!(newcomer), ["new"]);
    // Moved away, the old ring is whole at its new path; only the handles' own path leads elsewhere.
    let moved = stage.file("moved");
    std::fs::rename(&ring, &moved).expect("rename");
    newer.send(b"moved").expect("send");
    assert_eq!(all_of!(newcomer), ["moved"]);
    assert!(matches!(Producer::open(&moved), Err(Error::ProducerAlive { .. })));
}
