//! The processes that measure, seen from the one that asks. Most measurements take two of them; those with many
//! consumers take more, which are started when they are first wanted.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::job::{Job, Order};
use super::report::Report;
use crate::exit::Failure;
use crate::signals::Signals;

/// No measurement takes so long unless one side hangs.
const PATIENCE: Duration = Duration::from_secs(60);

enum Heard {
    Report(Report),
    /// It ended, with these last words.
    Ended(String),
}

struct Process {
    child: Child,
    orders: ChildStdin,
}

/// All are killed when this goes.
pub(crate) struct Crew<'a> {
    directory: &'a Path,
    cpus: [usize; 2],
    processes: Vec<Process>,
    sender: Sender<(usize, Heard)>,
    heard: Receiver<(usize, Heard)>,
    /// Given so far. The places where processes meet outlive them, so numbers never begin anew.
    orders: u64,
}

impl<'a> Crew<'a> {
    /// Process 0 has the first CPU to itself, all others share the second.
    pub(crate) fn new(directory: &'a Path, cpus: [usize; 2]) -> Self {
        let (sender, heard) = mpsc::channel();
        Self { directory, cpus, processes: Vec::new(), sender, heard, orders: 0 }
    }

    /// Has everybody do their part, and returns what they report together.
    pub(crate) fn measure(&mut self, job: Job, signals: &Signals) -> Result<Report> {
        let members = job.members();
        while self.processes.len() < members {
            self.enter()?;
        }
        self.orders += 1;
        let order = serde_json::to_string(&Order { job, number: self.orders })?;
        for process in &mut self.processes[..members] {
            // A child that is gone is heard of below.
            let _ = writeln!(process.orders, "{order}");
        }
        let began = Instant::now();
        let mut reports = Vec::with_capacity(members);
        loop {
            if signals.caught() {
                return Err(Failure::new(signals.exit(), "interrupted").into());
            }
            match self.heard.recv_timeout(Duration::from_millis(100)) {
                Ok((_, Heard::Report(report))) => reports.push(report),
                Ok((number, Heard::Ended(words))) => {
                    bail!("measuring process {number} ended: {}", words.trim())
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() < PATIENCE => {}
                Err(_) => bail!("a measurement hangs: {order}"),
            }
            if reports.len() == members {
                return Ok(reports.into_iter().reduce(Report::joined).unwrap_or_default());
            }
        }
    }

    /// Ends all processes; the next measurement begins with new ones.
    pub(crate) fn dismiss(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        // What the dead still had to say is no report of the next ones.
        (self.sender, self.heard) = mpsc::channel();
    }

    fn enter(&mut self) -> Result<()> {
        let number = self.processes.len();
        let cpu = self.cpus[number.min(1)];
        self.processes.push(enter(self.directory, cpu, number, &self.sender)?);
        Ok(())
    }
}

fn enter(directory: &Path, cpu: usize, number: usize, sender: &Sender<(usize, Heard)>) -> Result<Process> {
    let exe = std::env::current_exe().context("could not find this program's own file")?;
    let mut command = Command::new(exe);
    command
        .args(["bench-child", &number.to_string(), "--cpu", &cpu.to_string(), "--directory"])
        .arg(directory);
    // A group of its own keeps the terminal's Ctrl-C for the parent.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("could not start a measuring process")?;
    let orders = child.stdin.take().context("a child without stdin")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let sender = sender.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout?).lines().map_while(Result::ok) {
            let report = serde_json::from_str(&line).ok()?;
            sender.send((number, Heard::Report(report))).ok()?;
        }
        let mut words = String::new();
        let _ = stderr?.read_to_string(&mut words);
        sender.send((number, Heard::Ended(words))).ok()
    });
    Ok(Process { child, orders })
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        self.dismiss();
    }
}
