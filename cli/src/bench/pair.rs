//! The two processes that measure, seen from the one that asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::figures::Figures;
use super::job::Job;
use super::scene::Side;
use crate::exit::Failure;
use crate::signals::Signals;

/// No measurement takes so long unless one side hangs.
const PATIENCE: Duration = Duration::from_secs(60);

enum Heard {
    Figures(Figures),
    /// It ended, with these last words.
    Ended(String),
}

struct Process {
    child: Child,
    orders: ChildStdin,
}

/// Both are killed when this goes.
pub(crate) struct Pair {
    processes: Vec<Process>,
    heard: Receiver<(usize, Heard)>,
}

impl Pair {
    pub(crate) fn start(directory: &Path, cpus: [usize; 2]) -> Result<Self> {
        let (sender, heard) = mpsc::channel();
        let mut pair = Self { processes: Vec::new(), heard };
        for (number, (side, cpu)) in [Side::Left, Side::Right].into_iter().zip(cpus).enumerate() {
            pair.processes.push(enter(directory, side, cpu, number, &sender)?);
        }
        Ok(pair)
    }

    /// Has both sides do their part, and returns the figures of the two together.
    pub(crate) fn measure(&mut self, job: Job, signals: &Signals) -> Result<Figures> {
        let order = serde_json::to_string(&job)?;
        for process in &mut self.processes {
            // A child that is gone is heard of below.
            let _ = writeln!(process.orders, "{order}");
        }
        let began = Instant::now();
        let mut figures = [None, None];
        loop {
            if signals.caught() {
                return Err(Failure::new(signals.exit(), "interrupted").into());
            }
            match self.heard.recv_timeout(Duration::from_millis(100)) {
                Ok((side, Heard::Figures(told))) => figures[side] = Some(told),
                Ok((_, Heard::Ended(words))) => bail!("a measuring process ended: {}", words.trim()),
                Err(RecvTimeoutError::Timeout) if began.elapsed() < PATIENCE => {}
                Err(_) => bail!("a measurement hangs: {order}"),
            }
            if let [Some(left), Some(right)] = figures {
                return Ok(joined(left, right));
            }
        }
    }
}

/// One side measures the times, the same or the other what was received.
fn joined(left: Figures, right: Figures) -> Figures {
    Figures {
        typical: left.typical.max(right.typical),
        tail: left.tail.or(right.tail),
        share: left.share.or(right.share),
        disturbed: left.disturbed || right.disturbed,
    }
}

fn enter(
    directory: &Path,
    side: Side,
    cpu: usize,
    number: usize,
    sender: &Sender<(usize, Heard)>,
) -> Result<Process> {
    let exe = std::env::current_exe().context("could not find this program's own file")?;
    let name = side.to_possible_value().context("the side has no name")?;
    let mut command = Command::new(exe);
    command.args(["bench-child", name.get_name(), "--cpu", &cpu.to_string(), "--directory"]).arg(directory);
    // A group of its own keeps the terminal's Ctrl-C for the parent.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("could not start a measuring process")?;
    let orders = child.stdin.take().context("a child without stdin")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let sender = sender.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout?).lines().map_while(Result::ok) {
            let figures = serde_json::from_str(&line).ok()?;
            sender.send((number, Heard::Figures(figures))).ok()?;
        }
        let mut words = String::new();
        let _ = stderr?.read_to_string(&mut words);
        sender.send((number, Heard::Ended(words))).ok()
    });
    Ok(Process { child, orders })
}

impl Drop for Pair {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_make_one_figure() {
        let left = Figures { typical: 20.0, ..Figures::default() };
        let right = Figures { share: Some(0.5), disturbed: true, ..Figures::default() };
        let both = Figures { typical: 20.0, tail: None, share: Some(0.5), disturbed: true };
        assert_eq!(joined(left, right), both);
        assert_eq!(joined(right, left), joined(left, right));
    }
}
