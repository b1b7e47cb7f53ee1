//! `kill -9` at random moments under load, hundreds of times for each role.
//!
//! Two consumers are never killed. Being gated they must see every record exactly once, in order and whole, across
//! all producers. Everybody else dies again and again and has to find their place again.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{Inspector, Options, WaitMode};

use self::Kind::{Gated, Held, Keeper, Lossy, Named};
use crate::load::Notebook;
use support::dice::Dice;

use crate::oracle::Sums;
use crate::process::{Part, Process, SOON, Stage, kills_wanted, note, numbers};

const MAX: usize = 3_000;

/// Kills of each role, unless other numbers are wanted.
const KILLS: u64 = 400;

/// The consumers that are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Named and held; notes each record.
    Held,
    /// Named and held; releases many records at a time.
    Keeper,
    /// Named and gated, not held.
    Named,
    Gated,
    Lossy,
}

impl Kind {
    fn part(self, stage: &Stage) -> Part {
        let part = reader(stage);
        let notes = |name: &str| stage.file(name).display().to_string();
        match self {
            Held => part.with("held", true).with("name", "held").with("progress", notes("held")),
            Keeper => {
                let part = part.with("held", true).with("name", "keeper").with("progress", notes("keeper"));
                part.with("keep", 30)
            }
            Named => part.with("name", "named").with("progress", notes("named")),
            Gated => part.with("nap_every", 500).with("nap_us", 2_000),
            Lossy => {
                let part = part.with("policy", "lossy").with("start", "oldest");
                part.with("nap_every", 50).with("nap_us", 1_000)
            }
        }
    }

    fn has_name(self) -> bool {
        matches!(self, Held | Keeper | Named)
    }

    fn may_lose(self) -> bool {
        matches!(self, Named | Lossy)
    }
}

fn reader(stage: &Stage) -> Part {
    Part::new("consume").on(&stage.file("ring")).with("max", MAX).with("policy", "gated")
}

/// A role that is killed and played again.
#[derive(Debug)]
struct Victim {
    part: Part,
    process: Process,
    kills: u64,
    /// This life's first word was heard.
    ready: bool,
}

impl Victim {
    fn new(part: Part) -> Self {
        let process = part.start();
        Self { part, process, kills: 0, ready: false }
    }
}

struct Scene<'a> {
    stage: &'a Stage,
    dice: Dice,
    inspector: Inspector,
    producer: Victim,
    consumers: Vec<Victim>,
    kinds: &'a [Kind],
    /// What was published when the last producer had died.
    expected: u64,
    /// Where each epoch began, for all that came to say so.
    epochs: BTreeMap<u64, u64>,
    start: Instant,
}

impl<'a> Scene<'a> {
    fn set(stage: &'a Stage, seed: u64, mode: WaitMode, kinds: &'a [Kind]) -> (Self, [Process; 2]) {
        let ring = stage.file("ring");
        Options::new().capacity(1 << 16).slots(8).wait(mode).create(&ring).expect("create");
        let faithful = reader(stage).with("tell_changes", true);
        let mut faithful = [faithful.start(), faithful.with("spins", 0).start()];
        for consumer in &mut faithful {
            assert_eq!(consumer.says("ready"), [0, 0]);
        }
        let acks = stage.file("acks");
        let producer = Part::new("produce").on(&ring).with("max", MAX).with("acks", acks.display());
        let scene = Self {
            stage,
            dice: Dice(seed),
            inspector: Inspector::open(&ring).expect("inspect"),
            producer: Victim::new(producer.with("seed", seed)),
            consumers: kinds.iter().map(|kind| Victim::new(kind.part(stage))).collect(),
            kinds,
            expected: 0,
            epochs: BTreeMap::new(),
            start: Instant::now(),
        };
        (scene, faithful)
    }

    fn next_sequence(&self) -> u64 {
        self.inspector.snapshot().expect("snapshot").next_sequence
    }

    /// A moment: mostly any time under load, sometimes while the newcomers still attach.
    fn pass_time(&mut self) {
        if self.dice.below(4) > 0 {
            if !self.producer.ready {
                let said = self.producer.process.says("ready");
                self.check_successor(&said);
            }
            for victim in self.consumers.iter_mut().filter(|victim| !victim.ready) {
                victim.process.says("ready");
                victim.ready = true;
            }
        }
        sleep(Duration::from_micros(self.dice.below(10_000)));
    }

    fn check_successor(&mut self, said: &[u64]) {
        assert_eq!(said[0], self.expected, "a successor goes on exactly where the dead producer left off");
        let last = self.epochs.last_key_value().map_or(0, |(epoch, _)| *epoch);
        assert!(said[1] > last, "with an epoch of its own");
        self.epochs.insert(said[1], said[0]);
        self.producer.ready = true;
    }

    /// Kills `consumers` by number, and the producer if told to: all of them struck before any is reaped.
    fn kill(&mut self, producer: bool, consumers: &[usize]) {
        if producer {
            self.producer.process.strike();
        }
        consumers.iter().for_each(|number| self.consumers[*number].process.strike());
        if producer {
            let rest = self.producer.process.reap();
            if let Some(said) = rest.iter().find_map(|line| numbers(line, "ready")) {
                self.check_successor(&said);
            }
            let acknowledged = Notebook::open(self.stage.file("acks")).read();
            let published = self.next_sequence();
            assert!(published >= acknowledged, "{acknowledged} acknowledged, only {published} are there");
            assert!(published >= self.expected, "{published} published after {}", self.expected);
            self.expected = published;
            self.producer.kills += 1;
            self.producer.ready = false;
        }
        for number in consumers {
            let victim = &mut self.consumers[*number];
            victim.process.reap();
            victim.kills += 1;
            victim.ready = false;
        }
    }

    fn restart(&mut self, producer: bool, consumers: &[usize]) {
        for number in consumers {
            let victim = &mut self.consumers[*number];
            victim.process = victim.part.start();
        }
        if producer {
            let part = self.producer.part.clone().with("seed", self.dice.below(u64::MAX));
            self.producer.process = part.start();
        }
    }

    fn round(&mut self, producer: bool, consumers: &[usize]) {
        self.pass_time();
        self.kill(producer, consumers);
        self.restart(producer, consumers);
    }

    /// One or more of the consumers.
    fn some_consumers(&mut self) -> Vec<usize> {
        let all = self.consumers.len() as u64;
        let chosen = self.dice.below((1 << all) - 1) + 1;
        (0..self.consumers.len()).filter(|number| chosen >> number & 1 == 1).collect()
    }

    fn least_kills(&self) -> u64 {
        self.consumers.iter().map(|victim| victim.kills).min().unwrap_or(0)
    }

    /// A last producer closes the ring; everybody accounts for what they saw.
    fn close(mut self, faithful: [Process; 2], what: &str) {
        self.kill(true, &[]);
        let ring = self.stage.file("ring");
        let last = Part::new("produce").on(&ring).with("max", MAX).with("seed", 1).with("count", 2_000);
        let mut last = last.start();
        let said = last.says("ready");
        self.check_successor(&said);
        let end = last.says("done")[0];
        assert_eq!(end, self.expected + 2_000);
        last.finish();
        for mut consumer in faithful {
            let mut line = consumer.line(SOON * 2);
            while let Some(changed) = numbers(&line, "changed") {
                if let Some(began) = self.epochs.get(&changed[0]) {
                    assert_eq!(changed[1], *began, "the place where epoch {} began", changed[0]);
                }
                line = consumer.line(SOON * 2);
            }
            let sums = Sums::from(numbers(&line, "done").expect("done")[..8].to_vec());
            consumer.finish();
            assert_eq!((sums.first, sums.next, sums.delivered, sums.lost), (0, end, end, 0), "{sums:?}");
            assert!(sums.changes > 0, "{sums:?}");
        }
        for (victim, kind) in self.consumers.iter_mut().zip(self.kinds) {
            if !victim.ready {
                victim.process.says("ready");
            }
            let sums = sums(&mut victim.process);
            assert_eq!(sums.next, end, "{kind:?}: {sums:?}");
            assert_eq!(sums.delivered + sums.lost, end - sums.first, "{kind:?}: {sums:?}");
            assert!(sums.lost == 0 || kind.may_lose(), "{kind:?}: {sums:?}");
        }
        let kills: Vec<_> = self.consumers.iter().map(|victim| victim.kills).collect();
        self.consumers.into_iter().for_each(|victim| victim.process.finish());
        let snapshot = self.inspector.snapshot().expect("snapshot");
        let names: Vec<_> =
            snapshot.consumers.iter().filter_map(|consumer| consumer.name.as_deref()).collect();
        assert_eq!(names.len(), snapshot.consumers.len(), "only names keep slots: {:?}", snapshot.consumers);
        assert_eq!(names.len(), self.kinds.iter().filter(|kind| kind.has_name()).count(), "{names:?}");
        assert_eq!(snapshot.records, end, "records are counted right across all deaths");
        let each: Vec<_> =
            self.kinds.iter().zip(&kills).map(|(kind, kills)| format!("{kind:?} {kills}")).collect();
        note(format_args!(
            "{what}: {} kills of producers, {} of consumers ({}); {end} records; {:.1} s",
            self.producer.kills,
            kills.iter().sum::<u64>(),
            each.join(", "),
            self.start.elapsed().as_secs_f64()
        ));
    }
}

fn sums(process: &mut Process) -> Sums {
    let mut numbers = process.says_within("done", SOON * 2);
    numbers.pop();
    numbers.into()
}

#[test]
fn producers_killed_under_load() {
    let wanted = kills_wanted(KILLS);
    let stage = Stage::tmpfs(60 + wanted);
    let (mut scene, faithful) = Scene::set(&stage, 1, WaitMode::Membarrier, &[Keeper, Lossy]);
    while scene.producer.kills < wanted {
        scene.round(true, &[]);
    }
    scene.close(faithful, "producers killed");
}

#[test]
fn consumers_killed_under_load() {
    let wanted = kills_wanted(KILLS);
    let stage = Stage::tmpfs(60 + wanted);
    let kinds = [Held, Keeper, Named, Gated, Lossy];
    let (mut scene, faithful) = Scene::set(&stage, 2, WaitMode::Membarrier, &kinds);
    while scene.least_kills() < wanted.div_ceil(2) {
        let some = scene.some_consumers();
        scene.round(false, &some);
    }
    scene.close(faithful, "consumers killed");
}

#[test]
fn both_killed_at_once_with_fences() {
    let wanted = kills_wanted(KILLS);
    let stage = Stage::tmpfs(60 + wanted);
    let kinds = [Held, Keeper, Gated, Lossy];
    let (mut scene, faithful) = Scene::set(&stage, 3, WaitMode::Fence, &kinds);
    while scene.producer.kills < wanted.div_ceil(4) {
        let some = scene.some_consumers();
        scene.round(true, &some);
    }
    scene.close(faithful, "both killed at once, with fences");
}

#[test]
fn both_killed_at_once_on_disk() {
    let wanted = kills_wanted(KILLS);
    let stage = Stage::disk(60 + wanted);
    let kinds = [Held, Keeper, Named, Gated, Lossy];
    let (mut scene, faithful) = Scene::set(&stage, 4, WaitMode::Membarrier, &kinds);
    while scene.producer.kills < wanted.div_ceil(4) {
        let some = scene.some_consumers();
        scene.round(true, &some);
    }
    scene.close(faithful, "both killed at once, on disk");
}
