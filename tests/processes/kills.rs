//! `kill -9` at random moments under load, hundreds of times for each role.
//!
//! Two consumers are never killed. Being gated they must see every record exactly once, in order and whole, across
//! all producers. Everybody else dies again and again and has to find their place again.

use std::thread::sleep;
use std::time::{Duration, Instant};

use quoit::{Inspector, Options};

use crate::load::Notebook;
use crate::oracle::{Sums, mix};
use crate::process::{Part, Process, SOON, Stage, note, numbers};

const MAX: usize = 3_000;

/// How many kills of each role: `QUOIT_KILLS`, 200 unless set.
fn kills_wanted() -> u64 {
    std::env::var("QUOIT_KILLS").map_or(200, |text| text.parse().expect("QUOIT_KILLS is a number"))
}

#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// Below `limit`.
    fn roll(&mut self, limit: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % limit
    }
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
    /// What was published when the last producer had died, and its epoch.
    expected: u64,
    epoch: u64,
}

impl<'a> Scene<'a> {
    fn set(stage: &'a Stage, seed: u64) -> (Self, [Process; 2]) {
        let ring = stage.file("ring");
        Options::new().capacity(1 << 16).slots(8).create(&ring).expect("create");
        let gated = Part::new("consume").on(&ring).with("max", MAX).with("policy", "gated");
        let mut faithful = [gated.start(), gated.clone().with("spins", 0).start()];
        for consumer in &mut faithful {
            assert_eq!(consumer.says("ready"), [0, 0]);
        }
        let notes = |name: &str| stage.file(name).display().to_string();
        let held = gated.clone().with("held", true);
        let parts = [
            held.clone().with("name", "held").with("progress", notes("held")),
            held.with("name", "keeper").with("progress", notes("keeper")).with("keep", 30),
            gated.clone().with("name", "named").with("progress", notes("named")),
            gated.clone().with("nap_every", 500).with("nap_us", 2_000),
            gated.with("policy", "lossy").with("start", "oldest").with("nap_every", 50).with("nap_us", 1_000),
        ];
        let acks = stage.file("acks");
        let producer = Part::new("produce").on(&ring).with("max", MAX).with("acks", acks.display());
        let scene = Self {
            stage,
            dice: Dice(seed),
            inspector: Inspector::open(&ring).expect("inspect"),
            producer: Victim::new(producer.with("seed", seed)),
            consumers: parts.map(Victim::new).into(),
            expected: 0,
            epoch: 0,
        };
        (scene, faithful)
    }

    fn published(&self) -> u64 {
        self.inspector.snapshot().expect("snapshot").next_sequence
    }

    /// A moment: mostly any time under load, sometimes while the newcomers still attach.
    fn pass_time(&mut self) {
        if self.dice.roll(4) > 0 {
            if !self.producer.ready {
                let said = self.producer.process.says("ready");
                self.check_successor(&said);
            }
            for victim in self.consumers.iter_mut().filter(|victim| !victim.ready) {
                victim.process.says("ready");
                victim.ready = true;
            }
        }
        sleep(Duration::from_micros(self.dice.roll(10_000)));
    }

    fn check_successor(&mut self, said: &[u64]) {
        assert_eq!(said[0], self.expected, "a successor goes on exactly where the dead producer left off");
        assert!(said[1] > self.epoch, "with an epoch of its own");
        self.epoch = said[1];
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
            let published = self.published();
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
            let part = self.producer.part.clone().with("seed", self.dice.roll(u64::MAX));
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
        let chosen = self.dice.roll((1 << all) - 1) + 1;
        (0..self.consumers.len()).filter(|number| chosen >> number & 1 == 1).collect()
    }

    fn least_kills(&self) -> u64 {
        self.consumers.iter().map(|victim| victim.kills).min().unwrap_or(0)
    }

    /// A last producer closes the ring; everybody accounts for what they saw.
    fn close(mut self, faithful: [Process; 2]) -> (u64, [u64; 6]) {
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
            let sums = sums(&mut consumer);
            consumer.finish();
            assert_eq!((sums.first, sums.next, sums.delivered, sums.lost), (0, end, end, 0), "{sums:?}");
            assert!(sums.changes > 0, "{sums:?}");
        }
        for (number, victim) in self.consumers.iter_mut().enumerate() {
            if !victim.ready {
                victim.process.says("ready");
            }
            let sums = sums(&mut victim.process);
            assert_eq!(sums.next, end, "consumer {number}: {sums:?}");
            assert_eq!(sums.delivered + sums.lost, end - sums.first, "consumer {number}: {sums:?}");
            assert!(sums.lost == 0 || number == 2 || number == 4, "consumer {number} was held: {sums:?}");
        }
        let mut kills = [self.producer.kills; 6];
        self.consumers.iter().zip(&mut kills[1..]).for_each(|(victim, kills)| *kills = victim.kills);
        self.consumers.into_iter().for_each(|victim| victim.process.finish());
        let snapshot = self.inspector.snapshot().expect("snapshot");
        let names: Vec<_> =
            snapshot.consumers.iter().filter_map(|consumer| consumer.name.as_deref()).collect();
        assert_eq!(names.len(), snapshot.consumers.len(), "only names keep slots: {:?}", snapshot.consumers);
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(snapshot.records, end, "records are counted right across all deaths");
        (end, kills)
    }
}

fn sums(process: &mut Process) -> Sums {
    let mut numbers = process.says_within("done", SOON * 2);
    numbers.pop();
    numbers.into()
}

fn report(what: &str, start: Instant, (records, kills): (u64, [u64; 6])) {
    let [producer, held, keeper, named, anonymous, lossy] = kills;
    let consumers = held + keeper + named + anonymous + lossy;
    note(format_args!(
        "{what}: {producer} kills of producers, {consumers} of consumers ({held} held, {keeper} held and releasing \
         in batches, {named} named, {anonymous} gated, {lossy} lossy), {records} records, {:.1} s",
        start.elapsed().as_secs_f64()
    ));
}

#[test]
fn producers_killed_under_load() {
    let start = Instant::now();
    let wanted = kills_wanted();
    let stage = Stage::tmpfs(60 + wanted);
    let (mut scene, faithful) = Scene::set(&stage, 1);
    while scene.producer.kills < wanted {
        scene.round(true, &[]);
    }
    report("producers killed", start, scene.close(faithful));
}

#[test]
fn consumers_killed_under_load() {
    let start = Instant::now();
    let wanted = kills_wanted();
    let stage = Stage::tmpfs(60 + wanted);
    let (mut scene, faithful) = Scene::set(&stage, 2);
    // The five kinds of them together.
    while scene.least_kills() < wanted.div_ceil(2) {
        let some = scene.some_consumers();
        scene.round(false, &some);
    }
    report("consumers killed", start, scene.close(faithful));
}

#[test]
fn both_killed_at_once_on_disk() {
    let start = Instant::now();
    let wanted = kills_wanted();
    let stage = Stage::disk(60 + wanted);
    let (mut scene, faithful) = Scene::set(&stage, 3);
    while scene.producer.kills < wanted.div_ceil(4) {
        let some = scene.some_consumers();
        scene.round(true, &some);
    }
    report("both killed at once, on disk", start, scene.close(faithful));
}
