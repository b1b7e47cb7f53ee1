//! Kills, and stops, at every instruction of what processes do with locks, values, groups, services and stages.
//!
//! A case is one operation in one situation. As with rings, a first victim is stepped through the operation; then,
//! for each point, the objects are restored from their image, the processes beside the victim begin, and a fresh
//! victim is stepped to the point and killed, or stopped for a while. What must hold then is asked of notes outside
//! the objects, on the board: how far the victim had come, what it was told, what others did.

mod board;
mod condvar;
mod event;
mod group;
mod latest;
mod mutex;
mod once;
mod rounds;
mod rwlock;
mod semaphore;
mod service;
mod stage;
mod stages;
mod table;
mod waitset;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::WaitStatus;

pub(crate) use self::board::Word;
pub(crate) use self::stage::Stage;
use super::stage::{PATIENCE, until};
use super::sweep::{Totals, Track};
use super::{ENOUGH, Points};
use crate::child::Child;
use crate::tracee::{Stop, Tracee};

/// One operation in one situation.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Makes the objects. What it makes is restored before each run.
    make: fn(&Stage) -> Result<()>,
    /// The part of the check itself: what it has open and holds while the victim is at it.
    set: fn(&'static Stage) -> Result<Box<dyn Scene>>,
    /// A process beside the victim. It notes on the board when the victim may begin.
    beside: Option<fn(&Stage)>,
    /// That process is to be asleep by then.
    sleeps: bool,
    /// The operation makes a file.
    makes_file: bool,
    /// The victim: two marks, with the operation in between, and then [`Stage::stay`].
    play: fn(&Stage),
}

impl Case {
    const fn new(
        name: &'static str,
        make: fn(&Stage) -> Result<()>,
        set: fn(&'static Stage) -> Result<Box<dyn Scene>>,
        play: fn(&Stage),
    ) -> Self {
        Self { name, make, set, beside: None, sleeps: false, makes_file: false, play }
    }

    /// Beside a process that works.
    const fn beside(self, process: fn(&Stage)) -> Self {
        Self { beside: Some(process), ..self }
    }

    /// The operation makes a file.
    const fn makes_file(self) -> Self {
        Self { makes_file: true, ..self }
    }

    /// Beside a process that sleeps.
    const fn asleep(self, process: fn(&Stage)) -> Self {
        Self { beside: Some(process), sleeps: true, ..self }
    }
}

/// What must hold.
trait Scene {
    /// While the victim is stopped. It is alive, keeps what it has, and is in nobody's way otherwise.
    fn while_stopped(&mut self) -> Result<()> {
        Ok(())
    }

    /// When it is dead, or, if it was only stopped, has ended its operation and left.
    fn afterwards(self: Box<Self>, end: End) -> Result<()>;
}

/// What became of a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    /// It was stopped, has continued, and has ended well.
    Left,
}

/// Every case.
fn cases() -> impl Iterator<Item = &'static Case> {
    [
        mutex::CASES,
        semaphore::CASES,
        event::CASES,
        rounds::CASES,
        once::CASES,
        condvar::CASES,
        rwlock::CASES,
        latest::CASES,
        table::CASES,
        group::CASES,
        group::making::CASES,
        group::leases::CASES,
        group::aside::CASES,
        group::losing::CASES,
        service::CASES,
        service::clients::CASES,
        service::again::CASES,
        service::deadlines::CASES,
        stages::CASES,
        waitset::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Time that nothing takes which happens at all.
fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// The time limit of operations that are to run into one.
const SHORT: Duration = Duration::from_micros(60);

/// Between two looks at what another process does.
const MOMENT: Duration = Duration::from_micros(50);

/// All of them, or the one of this name. Returns how many there were.
pub(crate) fn run(only: Option<&str>, points: Points, totals: &mut Totals) -> Result<u64> {
    let stage = Stage::new()?;
    let mut seen = 0;
    for case in cases().filter(|case| only.is_none_or(|only| only == case.name)) {
        seen += 1;
        if let Err(error) = sweep(stage, case, points, totals) {
            totals.failures.push(format!("{}: {error:#}", case.name));
        }
        totals.pairs += 1;
        if totals.failures.len() >= ENOUGH {
            break;
        }
    }
    totals.told += stage.told();
    totals.checks += stage.checks();
    stage.close()?;
    Ok(seen)
}

fn sweep(stage: &'static Stage, case: &'static Case, points: Points, totals: &mut Totals) -> Result<()> {
    stage.clear()?;
    (case.make)(stage).context("make the objects")?;
    stage.take_image(case.makes_file)?;
    let track = follow(stage, case).context("uninterrupted")?;
    totals.swept(case.name, track.instructions, track.groups.len() as u64);
    totals.steps += track.instructions;
    let todo = spread(track.points(points), points);
    if todo.len() as u64 > track.instructions {
        totals.complete += 1;
        totals.complete_instructions += track.instructions;
    }
    let again = |point: u64| format!("cargo verify steps --only {}:-:{point}", case.name);
    for point in &todo {
        if let Err(error) = kill(stage, case, &track, *point, totals) {
            totals.failures.push(format!("killed: {error:#}; {}", again(*point)));
        }
        totals.killed(case.name);
        if totals.failures.len() >= ENOUGH {
            return Ok(());
        }
    }
    let stops = match points {
        Points::Every(_) => &track.groups,
        Points::Groups | Points::Count | Points::One(_) => &todo,
    };
    for point in stops {
        if let Err(error) = stop(stage, case, &track, *point, totals) {
            totals.failures.push(format!("stopped: {error:#}; {}", again(*point)));
        }
        totals.stopped(case.name);
        if totals.failures.len() >= ENOUGH {
            break;
        }
    }
    Ok(())
}

/// In the quick form a long operation is interrupted in some of its groups only, from the first to the last.
fn spread(todo: Vec<u64>, points: Points) -> Vec<u64> {
    const MANY: usize = 48;
    match points {
        Points::Groups => todo.iter().copied().step_by(todo.len().div_ceil(MANY).max(1)).collect(),
        _ => todo,
    }
}

/// A scene, the process beside the victim, and the victim at its first mark.
struct Run {
    scene: Box<dyn Scene>,
    beside: Option<Child>,
    child: Tracee,
}

impl Run {
    fn begin(stage: &'static Stage, case: &Case, point: u64) -> Result<Self> {
        stage.restore(point)?;
        let scene = (case.set)(stage).context("the check's own handles")?;
        let mut beside = case.beside.map(|process| Child::start(|| process(stage))).transpose()?;
        if let Some(process) = &mut beside {
            let pid = process.pid();
            until("the process beside it is ready", || {
                stage.get(Word::Ready) == 1 && (!case.sleeps || stage::sleeps(pid))
                    || !matches!(process.ended(), Ok(None))
            })?;
            // One that keeps what it has for a while may be through by now, on a busy machine. One that is to sleep may not.
            let is_ready = stage.get(Word::Ready) == 1 && (!case.sleeps || process.ended()?.is_none());
            ensure!(is_ready, "the process beside it ended: {:?}", process.ended());
        }
        let play = case.play;
        let child = Tracee::start(move || play(stage))?;
        Ok(Self { scene, beside, child })
    }

    /// The victim is gone: what must hold then, and the end of the process beside it.
    fn end(scene: Box<dyn Scene>, beside: Option<Child>, end: End) -> Result<()> {
        scene.afterwards(end)?;
        if let Some(mut process) = beside {
            match process.ends_within(PATIENCE)? {
                Some(WaitStatus::Exited(_, 0)) => {}
                other => bail!("the process beside it did not end well: {other:?}"),
            }
        }
        Ok(())
    }
}

/// The whole operation, looked at after each step. The victim is killed when it is over.
fn follow(stage: &'static Stage, case: &Case) -> Result<Track> {
    let Run { scene, beside, mut child } = Run::begin(stage, case, 0)?;
    let mut before = stage.bytes(case.makes_file)?;
    let track = Track::follow(&mut child, || {
        let now = stage.bytes(case.makes_file)?;
        let has_changed = now != before;
        before = now;
        Ok(has_changed)
    })?;
    ensure!(child.resume()? == Stop::Mark, "the second mark");
    ensure!(child.resume()? == Stop::Mark, "the operation did not end as it should");
    child.kill()?;
    Run::end(scene, beside, End::Killed)?;
    Ok(track)
}

fn kill(stage: &'static Stage, case: &Case, track: &Track, point: u64, totals: &mut Totals) -> Result<()> {
    let Run { scene, beside, mut child } = Run::begin(stage, case, point)?;
    totals.steps += track.advance(&mut child, point)?;
    child.kill()?;
    Run::end(scene, beside, End::Killed)
}

fn stop(stage: &'static Stage, case: &Case, track: &Track, point: u64, totals: &mut Totals) -> Result<()> {
    let Run { mut scene, beside, mut child } = Run::begin(stage, case, point)?;
    totals.steps += track.advance(&mut child, point)?;
    stage.set(Word::LetGo, 1);
    let child = child.leave_stopped()?;
    scene.while_stopped()?;
    child.go_on()?;
    child.finish()?;
    Run::end(scene, beside, End::Left)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::cases;

    #[test]
    fn each_case_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        assert!(cases().all(|case| names.insert(case.name)));
    }
}
