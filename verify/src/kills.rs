//! Kills at random moments under load.
//!
//! A kill counts if its victim was in its loop. An earlier kill is counted separately: the victim was opening the
//! ring (which `steps` kills at every instruction), or had not begun. After each kill this must hold:
//!
//! * no record is lost whose `send` had returned, and none exists whose `send` had not begun;
//! * the next producer continues exactly there;
//! * readers that are never killed, and held names that are killed, receive every record whole, in order, with no
//!   gap;
//! * a name comes back to a place not before what it had released and not after what it had processed, with an
//!   account that contains exactly the losses before that place;
//! * losses of the others are reported exactly, in records and in bytes;
//! * a creator leaves nothing, or a complete ring;
//! * no process waits forever.
//!
//! `objects` does the same with locks and values, and with groups and services: each of these three is a part, with kills
//! of its own.

#![allow(unsafe_code, reason = "fork, a page shared with children")]

mod objects;
mod page;
mod scene;
mod troupe;
mod victims;

/// The oracle of the process tests, and how they send by it.
#[path = "../../tests/processes/oracle.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod oracle;
#[path = "../../tests/processes/ways.rs"]
mod ways;

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use quoit::WaitMode;

use self::objects::{Play, Sum};
use self::page::NAMES;
use self::scene::{Goal, Kills, Part as Role, Plan, Scene};
use self::victims::Kind;
use crate::outcome::{Form, Outcome, grouped, root};
use crate::place::Place;

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// Kills in each part [default: a million; quick: as many as half a minute has room for]
    #[arg(long)]
    count: Option<u64>,
    /// Where the dice begin
    #[arg(long)]
    seed: Option<u64>,
    /// Only the scenes with this in their name
    #[arg(long)]
    only: Option<String>,
    /// One part only; `--count` is for each
    #[arg(long)]
    part: Option<Part>,
}

impl Args {
    /// The parts that are asked for.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        let only = self.part;
        Part::value_variants().iter().copied().filter(move |part| only.is_none_or(|only| only == *part))
    }

    /// Whether nothing of a part is left out.
    fn is_whole(&self) -> bool {
        Self { part: None, ..self.clone() } == Self::default()
    }
}

/// The parts of this check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Rings
    Rings,
    /// Locks and values
    Objects,
    /// Groups and services
    Groups,
}

/// Kills in each part.
const FULL: u64 = 1_000_000;
const QUICK: Duration = Duration::from_secs(16);
const QUICK_OBJECTS: Duration = Duration::from_secs(8);
const QUICK_GROUPS: Duration = Duration::from_secs(6);

const READER: Role = Role::Consume(Kind::Gated);
const EVERY_READER: &[Role] = &[
    READER,
    Role::Consume(Kind::Held),
    Role::Consume(Kind::Keeper),
    Role::Consume(Kind::Named),
    Role::Consume(Kind::Lossy),
    Role::Consume(Kind::NamedLossy),
    READER,
];
const EVERYBODY: &[Role] = &[
    Role::Produce,
    Role::Consume(Kind::Held),
    Role::Consume(Kind::Keeper),
    READER,
    Role::Consume(Kind::NamedLossy),
    Role::Visit,
];
/// The visitor looks at what is about to be overwritten, again and again.
const READERS: &[Role] = &[READER, Role::Consume(Kind::Lossy), Role::Visit];
const WRITER_AND_READER: &[Role] = &[READER, Role::Produce];
const TMPFS: Plan = Plan {
    what: "",
    disk: false,
    mode: WaitMode::Membarrier,
    victims: &[Role::Produce],
    steady: READERS,
    at_once: false,
    share: 0,
};

const PLANS: &[Plan] = &[
    Plan { what: "producers", share: 250, ..TMPFS },
    Plan { what: "producers, with fences", mode: WaitMode::Fence, share: 50, ..TMPFS },
    Plan { what: "producers on disk", disk: true, share: 50, ..TMPFS },
    Plan { what: "consumers", victims: EVERY_READER, steady: WRITER_AND_READER, share: 280, ..TMPFS },
    Plan {
        what: "consumers on disk",
        disk: true,
        victims: EVERY_READER,
        steady: WRITER_AND_READER,
        share: 50,
        ..TMPFS
    },
    Plan {
        what: "visitors",
        victims: &[Role::Visit, Role::Visit, Role::Visit],
        steady: WRITER_AND_READER,
        share: 90,
        ..TMPFS
    },
    Plan { what: "creators", victims: &[Role::Create, Role::Create], steady: &[], share: 40, ..TMPFS },
    Plan {
        what: "creators on disk",
        disk: true,
        victims: &[Role::Create, Role::Create],
        steady: &[],
        share: 10,
        ..TMPFS
    },
    Plan { what: "everybody at once", victims: EVERYBODY, steady: &[], at_once: true, share: 150, ..TMPFS },
    Plan {
        what: "everybody at once on disk",
        disk: true,
        victims: EVERYBODY,
        steady: &[],
        at_once: true,
        share: 30,
        ..TMPFS
    },
];

pub(crate) fn run(args: &Args, part: Part, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("kills", form).of_part(&part);
    outcome.whole = args.is_whole();
    let seed = args.seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        now.map_or(0, |now| now.as_nanos() as u64)
    });
    outcome.note(format!("dice begin at {seed}"));
    let count = args.count.or((form == Form::Full).then_some(FULL));
    let mut progress = Progress::new(count);
    let mut table = String::new();
    let mut check = Check { args, count, seed, progress: &mut progress, table: &mut table };
    match part {
        Part::Rings => check.rings(&mut outcome)?,
        Part::Objects => check.plays(objects::plays(), QUICK_OBJECTS, "locks or values", &mut outcome)?,
        Part::Groups => {
            check.plays(objects::group_plays(), QUICK_GROUPS, "groups or services", &mut outcome)?
        }
    }
    progress.bar.finish_and_clear();
    outcome.table = Some(table);
    Ok(outcome)
}

struct Check<'a> {
    args: &'a Args,
    count: Option<u64>,
    seed: u64,
    progress: &'a mut Progress,
    table: &'a mut String,
}

impl Check<'_> {
    fn is_wanted(&self, what: &str) -> bool {
        self.args.only.as_ref().is_none_or(|only| what.contains(only.as_str()))
    }

    /// How long a scene with this share goes on.
    fn goal(&self, share: u64, shares: u64, quick: Duration) -> Goal {
        match self.count {
            Some(count) => Goal::Kills((count * share).div_ceil(shares)),
            // Short scenes need a moment too.
            None => Goal::Time((quick * share as u32 / shares as u32).max(Duration::from_millis(800))),
        }
    }

    fn again(&self, what: &str) -> String {
        format!("cargo verify kills --only '{what}' --seed {}", self.seed)
    }

    fn rings(&mut self, outcome: &mut Outcome) -> Result<()> {
        let plans: Vec<_> = PLANS.iter().filter(|plan| self.is_wanted(plan.what)).collect();
        if plans.is_empty() {
            return Ok(());
        }
        let shares: u64 = plans.iter().map(|plan| plan.share).sum();
        let mut total = Kills::default();
        self.table.push_str(
            "| scene | kills | of these inside a call | before its loop | records | kills/s |\n|---|---|---|---|---|---|\n",
        );
        for plan in plans {
            let goal = self.goal(plan.share, shares, QUICK);
            let began = Instant::now();
            match perform(plan, goal, self.seed, self.progress, total.working) {
                Ok(kills) => {
                    let inside = kills.working - kills.inside[0];
                    let rate = kills.working as f64 / began.elapsed().as_secs_f64();
                    writeln!(
                        self.table,
                        "| {} | {} | {} | {} | {} | {rate:.0} |",
                        plan.what,
                        grouped(kills.working),
                        grouped(inside),
                        grouped(kills.opening + kills.unborn),
                        grouped(kills.records)
                    )?;
                    total.add(&kills);
                }
                Err(error) => {
                    outcome.fail(format!(
                        "{}: {error:#}; see it again: {}",
                        plan.what,
                        self.again(plan.what)
                    ));
                }
            }
        }
        for (name, count) in [
            ("kills of a process in its loop", total.working),
            ("of these, of producers", total.producers),
            ("of these, of consumers", total.consumers),
            ("of these, of processes that attach and detach", total.visitors),
            ("of these, of processes that create rings", total.creators),
            ("of these, inside a call", total.working - total.inside[0]),
        ] {
            outcome.count(name, count);
        }
        for (name, count) in NAMES.iter().zip(total.inside).skip(1) {
            outcome.count(format!("inside {name}"), count);
        }
        outcome.count("more kills, while opening the ring", total.opening);
        outcome.count("more kills, before that", total.unborn);
        outcome.count("records published", total.records);
        outcome.count("events received and checked", total.events);
        outcome.count("losses told and checked, to readers that may lose", total.gaps);
        outcome.count("names resumed", total.resumed);
        outcome.count("of these with the account checked to the record", total.accounts);
        Ok(())
    }

    /// The plays of one part, with a table and counts of their own. `things`: what their processes work with.
    fn plays(
        &mut self,
        plays: impl Iterator<Item = &'static Play>,
        quick: Duration,
        things: &str,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let plays: Vec<_> = plays.filter(|play| self.is_wanted(play.what)).collect();
        if plays.is_empty() {
            return Ok(());
        }
        let shares: u64 = plays.iter().map(|play| play.share).sum();
        let mut total = Sum::default();
        self.table.push_str(
            "\n| scene | kills | of these inside a call | before its loop | operations checked | deaths told | of these certain | kills/s |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for play in plays {
            let goal = self.goal(play.share, shares, quick);
            let began = Instant::now();
            let directory = Place::new("kills")?;
            let before = total.working;
            let progress = &mut *self.progress;
            let show = |kills| progress.show(play.what, before + kills);
            match objects::perform(play, directory.path(), goal, self.seed, show) {
                Ok(sum) => {
                    let rate = sum.working as f64 / began.elapsed().as_secs_f64();
                    let [kills, inside, earlier, done, told, to_tell] =
                        [sum.working, sum.inside, sum.earlier, sum.done, sum.told, sum.to_tell].map(grouped);
                    writeln!(
                        self.table,
                        "| {} | {kills} | {inside} | {earlier} | {done} | {told} | {to_tell} | {rate:.0} |",
                        play.what
                    )?;
                    total.add(&sum);
                }
                Err(error) => {
                    outcome.fail(format!(
                        "{}: {error:#}; see it again: {}",
                        play.what,
                        self.again(play.what)
                    ));
                }
            }
            directory.close()?;
        }
        for (name, count) in [
            (format!("kills of a process that worked with {things}"), total.working),
            ("of these, inside a call of those".to_owned(), total.inside),
            (format!("more kills, before its loop with {things}"), total.earlier),
            (format!("operations on {things} that ended and were checked"), total.done),
            (format!("deaths told by {things}"), total.told),
            (format!("deaths of processes that held something of {things} for certain"), total.to_tell),
        ] {
            outcome.count(name, count);
        }
        Ok(())
    }
}

/// One scene in a directory of its own.
fn perform(plan: &Plan, goal: Goal, seed: u64, progress: &mut Progress, before: u64) -> Result<Kills> {
    let disk = root().join("target/verify");
    let directory = if plan.disk { Place::below(&disk, "kills")? } else { Place::new("kills")? };
    let scene = Scene::set(*plan, directory.path(), seed)?;
    let kills = scene.run(goal, |kills| progress.show(plan.what, before + kills))?;
    directory.close()?;
    Ok(kills)
}

/// A bar on a terminal; a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    of: Option<u64>,
    told: Instant,
}

impl Progress {
    fn new(of: Option<u64>) -> Self {
        let bar = of.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let style = ProgressStyle::with_template("{msg}: {human_pos} of {human_len} kills, {per_sec}, {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, of, told: Instant::now() }
    }

    fn show(&mut self, what: &'static str, kills: u64) {
        if self.bar.is_hidden() {
            if self.told.elapsed() >= Duration::from_secs(10) {
                self.told = Instant::now();
                let of = self.of.map(|of| format!(" of {}", grouped(of))).unwrap_or_default();
                eprintln!("kills: {what}: {}{of}", grouped(kills));
            }
        } else if kills.is_multiple_of(64) {
            self.bar.set_message(what);
            self.bar.set_position(kills);
        }
    }
}
