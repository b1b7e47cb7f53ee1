//! Kills, and stops, at every instruction of every operation, in a grid of ring states.
//!
//! Each operation is paired with each state in which it can be done. First a victim is stepped through the whole
//! operation, and its instructions are counted and grouped. A new group begins where a byte of the ring file changes,
//! and before and after each system call: within a group no other process can distinguish one instruction from the
//! next. Then, for each point, the state is restored, the processes that live in it attach, and a fresh victim is
//! stepped to the point and killed. A short operation is killed at every instruction, a longer one at the first and
//! the last of each group. In each group one more victim is stopped with SIGSTOP instead of killed.
//!
//! `scene.rs` says what must hold afterwards.

mod births;
mod chain;
mod grid;
mod making;
mod notes;
mod objects;
mod ops;
mod oracle;
mod plan;
mod scene;
mod stage;
mod states;
mod sweep;
mod victim;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use self::ops::{Act, OPS, Role};
use self::stage::Stage;
use self::sweep::{Sweep, Totals};
use crate::outcome::{Form, Outcome};

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// One operation alone, or `operation:state`, or `operation:state:instruction`; `-` stands for all
    #[arg(long, allow_hyphen_values = true)]
    only: Option<String>,
    /// Operations of at most so many instructions are killed at every one of them
    #[arg(long)]
    every: Option<u64>,
    /// Count instructions and groups, and kill nobody
    #[arg(long)]
    count: bool,
    /// One part only
    #[arg(long)]
    part: Option<Part>,
}

impl Args {
    /// The parts that are asked for.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        let named = self.only.as_deref().and_then(|only| only.split(':').next()).filter(|op| *op != "-");
        let of_named = named
            .map(|named| if OPS.iter().any(|op| op.name == named) { Part::Rings } else { Part::Objects });
        let only = self.part.or(of_named);
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
    /// Locks, values, groups, services and stages
    Objects,
}

/// What `--only` asks for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    op: Option<String>,
    state: Option<String>,
    point: Option<u64>,
}

impl Wanted {
    fn parse(text: Option<&str>) -> Result<Self> {
        let mut parts = text.unwrap_or("-").split(':').map(|part| (part != "-").then(|| part.to_owned()));
        let (op, state) = (parts.next().flatten(), parts.next().flatten());
        let point = parts.next().flatten();
        let point = point.map(|point| point.parse().context("the instruction is a number")).transpose()?;
        Ok(Self { op, state, point })
    }
}

/// After so many failures there is no use in going on.
const ENOUGH: usize = 20;

pub(crate) fn run(args: &Args, part: Part, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("steps", form).of_part(&part);
    outcome.whole = args.is_whole();
    let wanted = Wanted::parse(args.only.as_deref())?;
    // On one processor a step needs no word from one to the other.
    stay_here()?;
    let every = args.every.unwrap_or(match form {
        Form::Quick => 0,
        Form::Full => 700,
    });
    let mut totals = Totals::default();
    let points = if args.count { Points::Count } else { points(form, every, wanted.point) };
    match part {
        Part::Rings => rings(args, form, &wanted, points, &mut totals, &mut outcome)?,
        Part::Objects => {
            let cases =
                objects::run(wanted.op.as_deref(), points, &mut totals).context("locks and the like")?;
            outcome.count("operations interrupted", cases);
            totals.count(&mut outcome);
            outcome.count("deaths told to whoever came next to a lock, a group or a service", totals.told);
        }
    }
    if totals.pairs == 0 {
        bail!("no such operation in such a state");
    }
    for failure in std::mem::take(&mut totals.failures) {
        outcome.fail(failure);
    }
    outcome.table = Some(totals.table(every));
    Ok(outcome)
}

/// Operations on rings, in a grid of ring states.
fn rings(
    args: &Args,
    form: Form,
    wanted: &Wanted,
    points: Points,
    totals: &mut Totals,
    outcome: &mut Outcome,
) -> Result<()> {
    let stage = Stage::new()?;
    let states = grid::states();
    let mut seen_states = 0;
    let mut seen_ops = vec![false; OPS.len()];
    let mut pace = Pace::new();
    'states: for (number, state) in states.iter().enumerate() {
        if wanted.state.as_ref().is_some_and(|name| *name != state.name) {
            continue;
        }
        let ring = stage.make(state).with_context(|| format!("the state {}", state.name))?;
        let sent = scene::known(state, &ring.notes);
        let mut seen = false;
        for (at, op) in OPS.iter().enumerate() {
            if wanted.op.as_ref().is_some_and(|name| *name != op.name) {
                continue;
            }
            // In the quick form each operation gets a few states, in the full form a long one a third of them: others
            // from one operation to the next, and always the first that will do.
            let (few, third) = (states.len() / 2, (number + at).is_multiple_of(3));
            let in_turn = match form {
                Form::Quick => (number * 7 + at).is_multiple_of(few),
                Form::Full => !op.is_long() || third,
            };
            // What a dead producer has dirtied comes to light under a short record of its successor, and nowhere else.
            let over_dirt = ring.notes.dirt.is_some() && op.act == Act::SendNext;
            let due = in_turn || over_dirt || wanted.op.is_some() || !seen_ops[at];
            if !due {
                continue;
            }
            let Some(plan) = op.plan(state, &ring.notes, &sent) else { continue };
            seen_ops[at] = true;
            seen = true;
            let sweep = Sweep { stage: &stage, state, ring: &ring, op: *op, plan: &plan };
            let swept = match op.role() {
                Role::Creator => births::sweep(&stage, state, points, totals),
                _ => sweep.run(points, totals),
            };
            if let Err(error) = swept {
                outcome.fail(format!("{}:{}: {error:#}", op.name, state.name));
            }
            totals.pairs += 1;
            pace.tell(number, states.len(), totals);
            if totals.failures.len() + outcome.failures.len() >= ENOUGH {
                outcome.note("stopped early: too many failures");
                break 'states;
            }
        }
        seen_states += u64::from(seen);
    }
    if wanted.op.is_none() && wanted.state.is_none() && !args.count {
        chain::run(&stage, form, totals).context("dying successors")?;
    }
    outcome.count("operations interrupted", seen_ops.iter().filter(|seen| **seen).count() as u64);
    outcome.count("ring states", seen_states);
    totals.count(outcome);
    outcome.count("successors killed in chains of five", totals.successors);
    outcome.count("such chains", totals.chains);
    Ok(())
}

/// Which points of an operation.
#[derive(Clone, Copy, Debug)]
enum Points {
    /// None: only count.
    Count,
    /// The first of each group.
    Groups,
    /// Every one of an operation of at most so many, else the first and last of each group.
    Every(u64),
    One(u64),
}

fn points(form: Form, every: u64, one: Option<u64>) -> Points {
    match (one, form) {
        (Some(point), _) => Points::One(point),
        (None, Form::Quick) => Points::Groups,
        (None, Form::Full) => Points::Every(every),
    }
}

/// Keeps this process and its children on the processor that it runs on.
fn stay_here() -> Result<()> {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let here = rustix::thread::sched_getcpu();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu) == Ok(true)).unwrap_or(0);
    let mut set = CpuSet::new();
    set.set(if allowed.is_set(here)? { here } else { first })?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Says now and then how far it is.
struct Pace {
    began: Instant,
    told: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { began: Instant::now(), told: Instant::now() }
    }

    fn tell(&mut self, state: usize, states: usize, totals: &Totals) {
        let every = Duration::from_secs(10);
        if self.told.elapsed() >= every {
            self.told = Instant::now();
            let Totals { pairs, kills, stops, .. } = totals;
            eprintln!(
                "steps: {:.0?}, state {} of {states}, {pairs} pairs, {kills} kills, {stops} stops, {} failed",
                self.began.elapsed(),
                state + 1,
                totals.failures.len()
            );
        }
    }
}
