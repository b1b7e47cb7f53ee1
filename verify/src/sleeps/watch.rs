//! Starts the processes of a load and monitors them: a load that makes no progress has lost a wake.

use std::time::{Duration, Instant};

use anyhow::Result;
use delayed::delays::Sleeps;
use nix::sys::wait::WaitStatus;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::board::Board;
use crate::child::Child;

/// What a child is doing (`R` runs or would like to, `S` sleeps in the kernel), and how much processor time it had.
fn state(child: &Child) -> (char, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit_once(") ").map_or("?", |(_, rest)| rest).split(' ').collect();
    let time = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (fields[0].chars().next().unwrap_or('?'), time(11) + time(12))
}

/// A child that stays on this processor, if it is to.
pub(crate) fn start(cpu: Option<usize>, body: impl FnOnce()) -> Result<Child> {
    Child::start(|| {
        if let Some(cpu) = cpu {
            pin(cpu);
        }
        body();
    })
}

pub(crate) fn was_good(status: WaitStatus) -> bool {
    matches!(status, WaitStatus::Exited(_, 0))
}

/// Processors that this process may use.
pub(crate) fn processors() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return vec![0] };
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    let _ = sched_setaffinity(None, &set);
}

/// When a load is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Enough hand-overs.
    pub(crate) enough: u64,
    /// Or so long.
    pub(crate) longest: Duration,
    /// Without any step for so long it hangs.
    pub(crate) patience: Duration,
}

/// What became of a load.
#[derive(Debug)]
pub(crate) struct Run {
    /// Why it is no good.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) steps: Vec<u64>,
    pub(crate) sleeps: Vec<Sleeps>,
    pub(crate) took: Duration,
}

#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nothing moved. The states of its processes.
    Hung(String),
    /// A process ended early, or badly.
    Broken(String),
}

impl Run {
    pub(crate) fn sum(&self, of: impl Fn(&Sleeps) -> u64) -> u64 {
        self.sleeps.iter().map(of).sum()
    }
}

/// Would one of them run if it were let? Then nothing moves because the machine is busy, and not because a wake was
/// lost: there all sleep, or whoever does not burns its time in vain. `times`: what each had had when first asked.
fn starves(children: &[Child], times: &mut Vec<u64>) -> bool {
    const TICKS: u64 = 20;
    let now: Vec<_> = children.iter().map(state).collect();
    if times.is_empty() {
        *times = now.iter().map(|(_, time)| *time).collect();
    }
    now.iter()
        .zip(times)
        .any(|((state, time), before)| *state != 'S' && *state != 'Z' && *time < *before + TICKS)
}

/// Runs `processes` children that each `play` a number on the board, until `limits`, and then says `stop`.
/// `counted`: how many hand-overs there were so far. `look` is told of them now and then.
pub(crate) fn watch(
    processes: usize,
    board: &Board,
    limits: Limits,
    counted: impl Fn(&Board) -> u64,
    play: impl Fn(usize, &Board),
    mut look: impl FnMut(u64),
) -> Result<Run> {
    let cpus = processors();
    let mut children = Vec::new();
    for number in 0..processes {
        // Each on its own, where there is one for each: what is to be tested happens between processors.
        let cpu = (processes <= cpus.len()).then(|| cpus[number]);
        children.push(start(cpu, || play(number, board))?);
    }
    let steps = || board.tallies.iter().map(|tally| tally.steps());
    let begin = Instant::now();
    let (mut last, mut moved) = (u64::MAX, begin);
    let mut times = Vec::new();
    let trouble = loop {
        std::thread::sleep(Duration::from_millis(5));
        let mut running = 0;
        let mut broken = None;
        for child in &mut children {
            match child.ended()? {
                None => running += 1,
                Some(status) if board.stop.get() == 1 && was_good(status) => {}
                Some(status) => broken = Some(format!("a process ended: {status:?}")),
            }
        }
        if let Some(broken) = broken {
            break Some(Trouble::Broken(broken));
        }
        if running == 0 {
            break None;
        }
        let now = steps().sum::<u64>();
        if now != last {
            (last, moved) = (now, Instant::now());
            times.clear();
        } else if moved.elapsed() >= limits.patience && !starves(&children, &mut times) {
            let states: String = children.iter().map(|child| state(child).0).collect();
            let steps: Vec<_> = steps().take(processes).collect();
            break Some(Trouble::Hung(format!("states {states}, steps {steps:?}")));
        }
        let count = counted(board);
        look(count);
        if count >= limits.enough || begin.elapsed() >= limits.longest {
            board.stop.set_fenced(1);
        }
    };
    Ok(Run {
        trouble,
        steps: steps().take(processes).collect(),
        sleeps: board.tallies.iter().take(processes).map(|tally| tally.sleeps()).collect(),
        took: begin.elapsed(),
    })
}
