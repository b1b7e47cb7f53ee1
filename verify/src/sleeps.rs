//! Sleeps and wakes without a time limit, with random delays at every site.
//!
//! A hand-over counts when a process slept in the kernel for it and was woken: a futex wait returned because of a
//! wake. Two more cases are counted: the waker changed the word between the last check and the sleep, so the sleep
//! did not begin; and the check after arming found the condition true. These are the windows in which wakes get lost.
//! No armed sleep has a time limit, so a lost wake shows as a load that makes no progress.

mod board;
mod buffering;
mod loads;
mod objects;
mod peek;
mod storm;
mod watch;
#[path = "../../tests/processes/words.rs"]
mod words;
mod wraps;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use delayed::delays::Sleeps;
use delayed::sync::{Event, Reset, SyncOptions};
use delayed::{Options, WaitMode};

use self::board::Board;
use self::buffering::{Heavy, both_missed};
use self::loads::{Load, Setup};
use self::peek::{Peek, Word};
use self::storm::Storm;
use self::watch::{Limits, Run, Trouble, processors, watch};
use crate::child::Shared;
use crate::outcome::{Form, Outcome, grouped};
use crate::place::Place;

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// Hand-overs in each barrier mode, and by all objects together; 10,000,000 and 3,000,000 in the full form unless given
    #[arg(long)]
    handovers: Option<u64>,
    /// What the delays and the pauses begin with
    #[arg(long)]
    seed: Option<u64>,
    /// One part only
    #[arg(long)]
    part: Option<Part>,
}

/// The parts of this check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Hand-overs in each barrier mode
    Loads,
    /// Hand-overs by locks, values, groups and services
    Objects,
    /// The same with a barrier left out: the loss must be seen
    Controls,
    /// Store buffering, bare
    Buffering,
    /// Signals, stray wakes, flipped bits
    Storm,
    /// 2^32 wakes between a look and a sleep
    Wraps,
}

/// Where each word begins, so that it passes 2^32 after so many wakes.
const WAKES_BEFORE_WRAP: u32 = 1_000;

/// The modes in which sleepers are armed, and nothing but a wake ends their sleep.
const ARMED: [WaitMode; 2] = [WaitMode::Membarrier, WaitMode::Fence];

/// A bench for loads: a directory on tmpfs with two rings.
struct Bench {
    directory: Place,
    seed: u64,
}

impl Bench {
    fn new(seed: u64) -> Result<Self> {
        Ok(Self { directory: Place::new("sleeps")?, seed })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn setup(&mut self, load: Load, mode: WaitMode, weak: Option<(&'static str, usize)>) -> Result<Setup> {
        self.seed = self.seed.wrapping_add(1);
        let rings = ["there", "back"].map(|name| self.path().join(name));
        for ring in &rings {
            if ring.exists() {
                std::fs::remove_file(ring)?;
            }
            Options::new().capacity(load.capacity()).slots(4).wait(mode).create(ring)?;
            let peek = Peek::open(ring)?;
            for word in [Word::Data, Word::Space] {
                // An even number: nobody is armed. Each wake adds 2.
                peek.set_word(word, 0_u32.wrapping_sub(2 * WAKES_BEFORE_WRAP))?;
            }
        }
        let event = self.path().join("event");
        if event.exists() {
            std::fs::remove_file(&event)?;
        }
        Event::create(&event, &SyncOptions::new().seats(2), Reset::Auto)?;
        Ok(Setup { load, mode, seed: self.seed, rings, event, weak })
    }
}

/// What one load came to, and how often a sleep word passed 2^32.
struct Row {
    load: Load,
    mode: WaitMode,
    run: Run,
    wraps: u64,
}

impl Row {
    /// Hand-overs to consumers, and to producers: sleeps that a wake ended.
    fn handovers(&self) -> [u64; 2] {
        let all = self.run.sum(|sleeps| sleeps.woken);
        let producer = if self.load == Load::PingPong { 0 } else { self.run.sleeps[0].woken };
        [all - producer, producer]
    }
}

fn run_load(
    setup: &Setup,
    limits: Limits,
    counted: impl Fn(&Board) -> u64,
    look: impl FnMut(u64),
) -> Result<Row> {
    let board = Shared::<Board>::new()?;
    let play = |number: usize, board: &Board| loads::play(setup, number, board);
    let mut run = watch(setup.load.processes(), &board, limits, counted, play, look)?;
    let mut wraps = 0;
    let mut words = String::new();
    for ring in &setup.rings {
        let peek = Peek::open(ring)?;
        for word in [Word::Data, Word::Space] {
            wraps += u64::from(peek.word(word)? < 1 << 31);
        }
        words += &format!("; {}", peek.dump()?);
    }
    if let Some(Trouble::Hung(state)) = &mut run.trouble {
        state.push_str(&words);
    }
    Ok(Row { load: setup.load, mode: setup.mode, run, wraps })
}

fn woken(board: &Board) -> u64 {
    board.tallies.iter().map(|tally| tally.sleeps().woken).sum()
}

fn steps(board: &Board) -> u64 {
    board.tallies.iter().map(|tally| tally.steps()).sum()
}

/// Of the hand-overs in each mode, how many of a hundred come from each load.
fn share(load: Load) -> u64 {
    match load {
        Load::Handed | Load::Full => 25,
        Load::Three | Load::PingPong => 15,
        Load::Set | Load::Stream => 10,
    }
}

pub(crate) fn run(args: &Args, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("sleeps", form);
    let quick = form == Form::Quick;
    let mut bench = Bench::new(args.seed.unwrap_or(1))?;
    let wanted = |part: Part| args.part.is_none_or(|only| only == part);
    if processors().len() < 2 {
        outcome.note("SKIPPED in part: one processor only, so that no two processes run at a time");
    }
    if wanted(Part::Buffering) {
        store_buffering(quick, &mut outcome)?;
    }
    if wanted(Part::Controls) {
        controls(&mut bench, quick, &mut outcome)?;
    }
    if wanted(Part::Wraps) {
        word_wraps(&bench, quick, &mut outcome)?;
    }
    if wanted(Part::Storm) {
        storms(&bench, quick, &mut outcome)?;
    }
    if wanted(Part::Loads) {
        let handovers = args.handovers.unwrap_or(if quick { 100_000 } else { 10_000_000 });
        hand_over(&mut bench, quick, handovers, &mut outcome)?;
    }
    if wanted(Part::Objects) {
        let handovers = args.handovers.unwrap_or(if quick { 20_000 } else { 3_000_000 });
        objects::hand_over(&mut bench, quick, handovers, &mut outcome)?;
    }
    Ok(outcome)
}

/// Says now and then how far a load is, how fast, and how much longer it takes.
struct Progress {
    what: String,
    enough: u64,
    began: Instant,
    told: Instant,
}

impl Progress {
    fn new(what: String, enough: u64) -> Self {
        Self { what, enough, began: Instant::now(), told: Instant::now() }
    }

    fn tell(&mut self, done: u64) {
        if self.told.elapsed() < Duration::from_secs(10) {
            return;
        }
        self.told = Instant::now();
        let rate = done as f64 / self.began.elapsed().as_secs_f64();
        let left = self.enough.saturating_sub(done) as f64 / rate.max(1.0);
        let (done, enough) = (grouped(done), grouped(self.enough));
        eprintln!("sleeps: {}: {done} of {enough}, {rate:.0} a second, {left:.0} s left", self.what);
    }

    fn end(&self, done: u64) {
        eprintln!("sleeps: {}: {} in {:.1} s", self.what, grouped(done), self.began.elapsed().as_secs_f64());
    }
}

/// The loads in every mode.
fn hand_over(bench: &mut Bench, quick: bool, handovers: u64, outcome: &mut Outcome) -> Result<()> {
    let mut rows = Vec::new();
    for mode in ARMED {
        let mut done = [0; 2];
        for load in Load::ALL {
            let setup = bench.setup(load, mode, None)?;
            let limits = Limits {
                enough: handovers * share(load) / 100,
                longest: if quick { Duration::from_millis(1_200) } else { Duration::from_secs(1 << 20) },
                patience: Duration::from_secs(if quick { 10 } else { 30 }),
            };
            let mut progress = Progress::new(format!("{mode:?}, {}", load.what()), limits.enough);
            let row = run_load(&setup, limits, woken, |woken| progress.tell(woken))?;
            progress.end(row.handovers().iter().sum());
            judge(&row, &setup, outcome);
            done = [0, 1].map(|side: usize| done[side] + row.handovers()[side]);
            rows.push(row);
        }
        outcome.count(
            format!("hand-overs to sleeping consumers, {mode:?}: sleeps without a time limit, woken"),
            done[0],
        );
        outcome.count(format!("hand-overs to sleeping producers, {mode:?}"), done[1]);
        let short = !quick && done[0] + done[1] < handovers;
        if short && outcome.failures.is_empty() {
            outcome.fail(format!("{mode:?}: fewer hand-overs than asked for"));
        }
    }
    for load in [Load::Handed, Load::Full, Load::Stream] {
        let setup = bench.setup(load, WaitMode::Spin, None)?;
        let limits = Limits {
            enough: if quick { 2_000 } else { 200_000 },
            // Nobody is armed and no wake can be lost: each step may take a nap.
            longest: Duration::from_secs(if quick { 1 } else { 20 }),
            patience: Duration::from_secs(if quick { 10 } else { 30 }),
        };
        let mut progress = Progress::new(format!("Spin, {}", load.what()), limits.enough);
        let row = run_load(&setup, limits, steps, |steps| progress.tell(steps))?;
        progress.end(row.run.steps[0]);
        judge(&row, &setup, outcome);
        rows.push(row);
    }
    let sum = |of: fn(&Sleeps) -> u64| rows.iter().map(|row| row.run.sum(of)).sum();
    outcome.count(
        "sleeps caught at the door: the waker came between the last look and the sleep",
        sum(|s| s.changed),
    );
    outcome.count("armings after which it was true already", sum(|s| s.found));
    outcome.count("random delays injected", sum(|s| s.delays));
    outcome.count("timed naps under Spin, where nobody is armed", sum(|s| s.naps));
    outcome.count("sleep words that passed 2^32 meanwhile", rows.iter().map(|row| row.wraps).sum());
    outcome.table = Some(table(&rows));
    Ok(())
}

fn judge(row: &Row, setup: &Setup, outcome: &mut Outcome) {
    let Row { load, mode, run, wraps } = row;
    let place = format!("{mode:?}, {}, seed {}", load.what(), setup.seed);
    match &run.trouble {
        Some(Trouble::Hung(state)) => {
            outcome.fail(format!("{place}: a wake was lost, nothing moves: {state}"));
        }
        Some(Trouble::Broken(what)) => outcome.fail(format!("{place}: {what}")),
        None => {}
    }
    let timed = run.sum(|sleeps| sleeps.timed_out + sleeps.broken + sleeps.naps + sleeps.unbarriered);
    if *mode == WaitMode::Spin {
        if run.sum(|sleeps| sleeps.unbarriered + sleeps.found) > 0 {
            outcome.fail(format!("{place}: somebody armed"));
        }
    } else if timed > 0 {
        outcome.fail(format!("{place}: {timed} sleeps had a time limit, which hides a lost wake"));
    } else if run.trouble.is_none() && *wraps == 0 && run.sum(|s| s.woken) > 40 * u64::from(WAKES_BEFORE_WRAP)
    {
        outcome.fail(format!("{place}: no sleep word passed 2^32"));
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| mode | load | consumers woken | producers woken | caught at the door | found on looking again | naps \
         | delays | s |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let count = |of: fn(&Sleeps) -> u64| grouped(row.run.sum(of));
        let [consumers, producers] = if row.mode == WaitMode::Spin {
            ["–".into(), "–".into()]
        } else {
            row.handovers().map(grouped)
        };
        text += &format!(
            "| {:?} | {} | {consumers} | {producers} | {} | {} | {} | {} | {:.0} |\n",
            row.mode,
            row.load.what(),
            count(|sleeps| sleeps.changed),
            count(|sleeps| sleeps.found),
            count(|sleeps| sleeps.naps),
            count(|sleeps| sleeps.delays),
            row.run.took.as_secs_f64(),
        );
    }
    text
}

/// A barrier left out in one process: somebody sleeps for what is there, and the watchdog must see it.
fn controls(bench: &mut Bench, quick: bool, outcome: &mut Outcome) -> Result<()> {
    let mut seen = 0;
    for (mode, site, weak, load) in [
        (WaitMode::Membarrier, "S2_HEAVY", 1, Load::Handed),
        (WaitMode::Membarrier, "S2_HEAVY", 1, Load::Set),
        (WaitMode::Fence, "S1_FENCE", 0, Load::Handed),
        (WaitMode::Fence, "S1_FENCE", 1, Load::Full),
    ] {
        let setup = bench.setup(load, mode, Some((site, weak)))?;
        let limits = Limits {
            enough: u64::MAX,
            longest: Duration::from_secs(if quick { 3 } else { 300 }),
            patience: Duration::from_secs(if quick { 1 } else { 5 }),
        };
        let row = run_load(&setup, limits, woken, |_| {})?;
        let after = row.run.steps.iter().max().copied().unwrap_or(0);
        match &row.run.trouble {
            // One that sleeps, and one that runs and waits for it.
            Some(Trouble::Hung(state)) if state.contains('S') => {
                seen += 1;
                outcome
                    .count(format!("hand-overs until a wake was lost, {mode:?} without {site}: seen"), after);
            }
            Some(trouble) => outcome.fail(format!("{mode:?} without {site}: not a lost wake: {trouble:?}")),
            None if quick || processors().len() < 2 => {
                outcome.note(format!(
                    "{mode:?} without {site}: no wake was lost in {after} hand-overs, this time"
                ));
            }
            None => outcome.fail(format!("{mode:?} without {site}: no wake was lost in {after} hand-overs")),
        }
    }
    let limits = Limits {
        enough: u64::MAX,
        longest: Duration::from_secs(if quick { 3 } else { 300 }),
        patience: Duration::from_secs(if quick { 1 } else { 5 }),
    };
    let (run, _) = objects::run(bench, &objects::LATEST, limits, Some("S1_FENCE"), |_| {})?;
    let after = run.steps.iter().max().copied().unwrap_or(0);
    match &run.trouble {
        Some(Trouble::Hung(state)) if state.contains('S') => {
            seen += 1;
            outcome.count("hand-overs until a wake was lost, a latest value without S1_FENCE: seen", after);
        }
        Some(trouble) => {
            outcome.fail(format!("a latest value without S1_FENCE: not a lost wake: {trouble:?}"))
        }
        None if quick || processors().len() < 2 => outcome.note(format!(
            "a latest value without S1_FENCE: no wake was lost in {after} hand-overs, this time"
        )),
        None => outcome.fail(format!("a latest value without S1_FENCE: no wake was lost in {after}")),
    }
    outcome.count("barriers left out whose loss was seen, of 5", seen);
    Ok(())
}

fn store_buffering(quick: bool, outcome: &mut Outcome) -> Result<()> {
    let (rounds, longest) =
        if quick { (200_000, Duration::from_secs(1)) } else { (10_000_000, Duration::from_secs(30)) };
    let (light, missed) = both_missed(Heavy::Nothing, rounds, longest)?;
    outcome.count("rounds of store buffering with the light side on both sides", light);
    outcome.count("of them, both sides saw the old value", missed);
    if missed == 0 && processors().len() >= 2 {
        outcome.fail("store buffering: the light side alone was enough, so the heavy one shows nothing here");
    }
    let (heavy, missed) = both_missed(Heavy::Membarrier, rounds, longest)?;
    outcome.count("rounds of store buffering with membarrier on one side", heavy);
    outcome.count("of them, both sides saw the old value, against membarrier", missed);
    if missed > 0 {
        outcome.fail(format!("store buffering: {missed} of {heavy} rounds past membarrier"));
    }
    Ok(())
}

fn word_wraps(bench: &Bench, quick: bool, outcome: &mut Outcome) -> Result<()> {
    let mut came_back = 0;
    for round in 0..if quick { 1 } else { 25 } {
        for mode in [WaitMode::Membarrier, WaitMode::Fence].map(shipped) {
            for (who, good) in [
                ("consumer", wraps::consumer_comes_back(bench.path(), mode)?),
                ("producer", wraps::producer_comes_back(bench.path(), mode)?),
            ] {
                came_back += u64::from(good);
                if !good {
                    outcome.fail(format!("{mode:?}: a {who} slept on after 2^32 wakes, round {round}"));
                }
            }
        }
    }
    outcome.count("sleepers that came back by themselves after 2^32 wakes between look and sleep", came_back);
    Ok(())
}

fn storms(bench: &Bench, quick: bool, outcome: &mut Outcome) -> Result<()> {
    let mut sum = Storm::default();
    for mode in [WaitMode::Membarrier, WaitMode::Fence, WaitMode::Spin] {
        let limits = Limits {
            enough: if quick { 10_000 } else { 1_000_000 },
            longest: Duration::from_secs(if quick { 1 } else { 60 }),
            patience: Duration::from_secs(if quick { 10 } else { 30 }),
        };
        let (storm, trouble) = storm::storm(bench.path(), shipped(mode), bench.seed, limits)?;
        if let Some(trouble) = trouble {
            outcome.fail(format!("{mode:?}, in the storm, seed {}: {trouble:?}", bench.seed));
        }
        if storm.signals == 0 || storm.stray_wakes == 0 || storm.flips == 0 || storm.timed_out == 0 {
            outcome.fail(format!("{mode:?}: no storm: {storm:?}"));
        }
        sum.add(storm);
    }
    outcome.count("waits with a deadline in a storm, none of them early", sum.waits);
    outcome.count("of them, ended by their deadline", sum.timed_out);
    outcome.count("records received in the storm, in order", sum.records);
    outcome.count("signals during these waits", sum.signals);
    outcome.count("stray wakes by a third process", sum.stray_wakes);
    outcome.count("armed bits and counts flipped by a fourth", sum.flips);
    Ok(())
}

/// The same mode of the build as it is shipped.
fn shipped(mode: WaitMode) -> quoit::WaitMode {
    match mode {
        WaitMode::Membarrier => quoit::WaitMode::Membarrier,
        WaitMode::Fence => quoit::WaitMode::Fence,
        WaitMode::Spin => quoit::WaitMode::Spin,
        _ => unreachable!("no other kind is known here"),
    }
}
