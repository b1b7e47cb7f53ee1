//! The two processes that measure: seen from the one that asks, and from themselves.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use quoit_floors::figures::Figures;
use quoit_floors::scene::Side;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::job::Job;
use crate::scene::{SIDES, Setting, begin};

/// No measurement takes so long unless one side hangs.
const PATIENCE: Duration = Duration::from_secs(60);

enum Heard {
    Figures(Figures),
    /// It ended, with these last words.
    Ended(String),
}

struct Process {
    child: Child,
    /// `None`: told to end.
    orders: Option<ChildStdin>,
}

pub(crate) struct Pair {
    processes: Vec<Process>,
    heard: Receiver<(usize, Heard)>,
}

impl Pair {
    pub(crate) fn start(setting: &Setting) -> Result<Self> {
        let (sender, heard) = mpsc::channel();
        let mut pair = Self { processes: Vec::new(), heard };
        for number in 0..SIDES.len() {
            pair.processes.push(enter(setting, number, &sender)?);
        }
        Ok(pair)
    }

    /// Has both sides do their part, and returns the figures of the two together.
    pub(crate) fn measure(&mut self, job: Job) -> Result<Figures> {
        let order = serde_json::to_string(&job)?;
        for process in &mut self.processes {
            // A child that is gone is heard of below.
            let _ = process.orders.as_ref().map(|mut orders| writeln!(orders, "{order}"));
        }
        let mut figures = [None, None];
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok((side, Heard::Figures(told))) => figures[side] = Some(told),
                Ok((_, Heard::Ended(words))) => bail!("{order}: a side ended: {}", words.trim()),
                Err(_) => bail!("{order}: hangs"),
            }
            if let [Some(left), Some(right)] = figures {
                return Ok(left.joined(right));
            }
        }
    }

    /// Lets both end by themselves: some of what they use keeps files that go with a clean end.
    pub(crate) fn end(mut self) {
        for process in &mut self.processes {
            process.orders = None;
        }
        for process in &mut self.processes {
            let _ = process.child.wait();
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

fn enter(setting: &Setting, number: usize, sender: &Sender<(usize, Heard)>) -> Result<Process> {
    let exe = std::env::current_exe().context("could not find this program's own file")?;
    let (_, name) = SIDES[number];
    let mut command = Command::new(exe);
    let cpus = setting.cpus.map(|cpu| cpu.to_string()).join(",");
    command.args(["--side", name, "--cpus", &cpus, "--directory"]).arg(&setting.directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("could not start a measuring process")?;
    let orders = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let sender = sender.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout?).lines().map_while(Result::ok) {
            let Ok(figures) = serde_json::from_str(&line) else { break };
            sender.send((number, Heard::Figures(figures))).ok()?;
        }
        let mut words = String::new();
        let _ = stderr?.read_to_string(&mut words);
        sender.send((number, Heard::Ended(words))).ok()
    });
    Ok(Process { child, orders })
}

/// Measures what it is told until its stdin closes. It ends with its parent, whatever happens to that one.
pub(crate) fn serve(side: Side, setting: &Setting) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let scene = setting.enter(side)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        begin(&scene);
        let figures = job.run(&scene, setting)?;
        writeln!(out, "{}", serde_json::to_string(&figures)?)?;
        out.flush()?;
    }
    Ok(())
}
