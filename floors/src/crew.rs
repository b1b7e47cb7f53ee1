//! The processes that measure, seen from the one that asks and from themselves. Orders go down a child's stdin as lines of
//! JSON, reports come up its stdout. Most measurements take two of them; those with many consumers take more, which are
//! started when they are first wanted.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::scene::Scene;

/// No measurement takes so long unless one side hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What processes can be asked to measure together.
pub trait Job: Copy + Serialize + DeserializeOwned {
    /// How many processes it takes.
    fn members(self) -> usize {
        2
    }
}

/// A job, and which it is of all that its crew was ever asked.
#[derive(Serialize, Deserialize)]
struct Order<J> {
    job: J,
    number: u64,
}

enum Heard {
    Report(Report),
    /// It ended, with these last words.
    Ended(String),
}

struct Process {
    child: Child,
    /// `None`: told to end.
    orders: Option<ChildStdin>,
}

/// All are killed when this goes.
pub struct Crew<'a> {
    /// Adds what makes this program its process of this number, 0 and up.
    arguments: &'a dyn Fn(usize, &mut Command),
    /// Somebody does not want to wait for the rest.
    interrupted: &'a dyn Fn() -> bool,
    processes: Vec<Process>,
    sender: Sender<(usize, Heard)>,
    heard: Receiver<(usize, Heard)>,
    /// Given so far. The places where processes meet outlive them, so numbers never begin anew.
    orders: u64,
}

impl fmt::Debug for Crew<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("processes", &self.processes.len()).finish_non_exhaustive()
    }
}

/// A measurement was broken off because the one who asked for it did not want to wait.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

impl<'a> Crew<'a> {
    /// Its processes run this program with the `arguments` of their number; each of them has to [`serve`].
    pub fn new(arguments: &'a dyn Fn(usize, &mut Command), interrupted: &'a dyn Fn() -> bool) -> Self {
        let (sender, heard) = mpsc::channel();
        Self { arguments, interrupted, processes: Vec::new(), sender, heard, orders: 0 }
    }

    /// Has everybody do their part, and returns what they report together. The error is [`Interrupted`] if it was.
    pub fn measure(&mut self, job: impl Job) -> Result<Report> {
        let members = job.members();
        while self.processes.len() < members {
            self.enter()?;
        }
        self.orders += 1;
        let order = serde_json::to_string(&Order { job, number: self.orders })?;
        for process in &mut self.processes[..members] {
            // A child that is gone is heard of below.
            let _ = process.orders.as_ref().map(|mut orders| writeln!(orders, "{order}"));
        }
        let began = Instant::now();
        let mut reports = Vec::with_capacity(members);
        loop {
            if (self.interrupted)() {
                return Err(Interrupted.into());
            }
            match self.heard.recv_timeout(Duration::from_millis(100)) {
                Ok((_, Heard::Report(report))) => reports.push(report),
                Ok((number, Heard::Ended(words))) => {
                    bail!("{order}: measuring process {number} ended: {}", words.trim())
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() < PATIENCE => {}
                Err(_) => bail!("a measurement hangs: {order}"),
            }
            if reports.len() == members {
                return Ok(reports.into_iter().reduce(Report::joined).unwrap_or_default());
            }
        }
    }

    /// Lets all processes end by themselves: some of what they use keeps files that go with a clean end. The next
    /// measurement begins with new ones.
    pub fn dismiss(&mut self) {
        self.processes.iter_mut().for_each(|process| process.orders = None);
        for mut process in self.processes.drain(..) {
            let _ = process.child.wait();
        }
        // What the dead still had to say is no report of the next ones.
        (self.sender, self.heard) = mpsc::channel();
    }

    fn enter(&mut self) -> Result<()> {
        let number = self.processes.len();
        let exe = std::env::current_exe().context("could not find this program's own file")?;
        let mut command = Command::new(exe);
        (self.arguments)(number, &mut command);
        // A group of its own keeps the terminal's Ctrl-C for the parent.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("could not start a measuring process")?;
        let orders = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout?).lines().map_while(Result::ok) {
                let Ok(report) = serde_json::from_str(&line) else { break };
                sender.send((number, Heard::Report(report))).ok()?;
            }
            let mut words = String::new();
            let _ = stderr?.read_to_string(&mut words);
            sender.send((number, Heard::Ended(words))).ok()
        });
        self.processes.push(Process { child, orders });
        Ok(())
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// Measures what it is told until its stdin closes: `run` is one process's part of a job. It ends with its parent, whatever
/// happens to that one.
pub fn serve<J: Job, R: Into<Report>>(scene: &Scene, run: impl Fn(J) -> Result<R>) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let order: Order<J> = serde_json::from_str(&line?)?;
        // Who was left out of the one before counts on from where the others are.
        scene.begin(order.job.members(), order.number << 32);
        let report: Report = run(order.job)?.into();
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        out.flush()?;
    }
    Ok(())
}
