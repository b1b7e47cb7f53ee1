//! The private directory with the ring in it, and the child processes. Both are removed on drop.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use quoit::{Error, Options};
use tempfile::TempDir;

use super::cast::Role;
use super::ledger::{Journal, Ledger};
use super::wire::{Line, Order};

/// The tmpfs for shared memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// Identifies one child: its place in the order of starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActorId(usize);

/// Output of a child.
#[derive(Debug)]
pub(crate) enum Heard {
    Line(Line),
    /// A line of its standard error.
    Complaint(String),
    /// Its output ended: it is gone, or about to end.
    Ended,
}

struct Actor {
    role: Role,
    child: Child,
    orders: Option<ChildStdin>,
    journal: PathBuf,
}

/// Children first, then the directory.
pub(crate) struct Stage {
    actors: Vec<Actor>,
    directory: TempDir,
    /// Its lock says that the directory is in use.
    _alive: File,
    rate: u64,
    heard: Receiver<(ActorId, Heard)>,
    sender: Sender<(ActorId, Heard)>,
}

impl Stage {
    /// Creates the directory and the ring, and removes what killed demos have left. Uses shared memory if available
    /// and large enough.
    pub(crate) fn new(capacity: u64, rate: u64) -> Result<Self> {
        let mut refusal = anyhow!("there is no directory for temporary files");
        for place in [PathBuf::from(SHARED_MEMORY), std::env::temp_dir()] {
            if !place.is_dir() {
                continue;
            }
            sweep(&place);
            match Self::make(&place, capacity) {
                Ok((directory, alive)) => {
                    let (sender, heard) = mpsc::channel();
                    return Ok(Self { actors: Vec::new(), directory, _alive: alive, rate, heard, sender });
                }
                // A capacity that is invalid here is invalid everywhere.
                Err(error @ (Error::Capacity { .. } | Error::BadOption { .. })) => return Err(error.into()),
                Err(error) => refusal = error.into(),
            }
        }
        Err(refusal.context("could not make the demo's ring"))
    }

    fn make(place: &Path, capacity: u64) -> Result<(TempDir, File), Error> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place).map_err(|source| {
            Error::Io { path: place.to_owned(), action: "make a directory for the demo", source }
        })?;
        let alive = mark(directory.path()).map_err(|source| Error::Io {
            path: directory.path().to_owned(),
            action: "mark the demo's directory",
            source,
        })?;
        Options::new().capacity(capacity).create(directory.path().join(RING))?;
        Ok((directory, alive))
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.directory.path().join(RING)
    }

    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// Starts a child of this binary in the role.
    pub(crate) fn enter(&mut self, role: Role) -> Result<ActorId> {
        let id = ActorId(self.actors.len());
        let journal = self.directory.path().join(format!("journal-{}", id.0));
        let value = role.to_possible_value().context("the role has no name")?;
        let exe = std::env::current_exe().context("could not find this program's own file")?;
        let mut command = Command::new(exe);
        command.args(["demo-child", value.get_name(), "--rate", &self.rate.to_string(), "--ring"]);
        command.arg(self.ring());
        if role == Role::Gated {
            command.arg("--journal").arg(&journal);
        }
        // A group of its own keeps the terminal's Ctrl-C for the parent, which ends the show in order.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("could not start a child process")?;
        let (orders, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        self.actors.push(Actor { role, child, orders, journal });
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            self.listen(id, stdout, stderr);
        }
        Ok(id)
    }

    fn listen(&self, id: ActorId, stdout: impl Read + Send + 'static, stderr: impl Read + Send + 'static) {
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let heard = serde_json::from_str(&line).map_or_else(|_| Heard::Complaint(line), Heard::Line);
                let _ = sender.send((id, heard));
            }
            let _ = sender.send((id, Heard::Ended));
        });
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send((id, Heard::Complaint(line)));
            }
        });
    }

    /// What a child reported within that time, if anything.
    pub(crate) fn hear(&self, time: Duration) -> Option<(ActorId, Heard)> {
        self.heard.recv_timeout(time).ok()
    }

    pub(crate) fn role(&self, id: ActorId) -> Role {
        self.actors[id.0].role
    }

    pub(crate) fn pid(&self, id: ActorId) -> u32 {
        self.actors[id.0].child.id()
    }

    /// Sends an order. Ignores a child that is gone; its end is noticed elsewhere.
    pub(crate) fn order(&mut self, id: ActorId, order: Order) {
        if let Some(orders) = &mut self.actors[id.0].orders {
            let _ = writeln!(orders, "{}", order.text());
        }
    }

    /// `kill -9`, then waits for the process to end.
    pub(crate) fn kill(&mut self, id: ActorId) -> Result<()> {
        let child = &mut self.actors[id.0].child;
        child.kill().context("could not kill a child")?;
        child.wait().context("could not wait for a child")?;
        Ok(())
    }

    /// Waits for a child that has sent its last report. Returns whether it ended well.
    pub(crate) fn farewell(&mut self, id: ActorId) -> bool {
        self.actors[id.0].child.wait().is_ok_and(|status| status.success())
    }

    /// What the child had written into its journal.
    pub(crate) fn journal(&self, id: ActorId) -> Option<Ledger> {
        Journal::read(&self.actors[id.0].journal)
    }
}

const RING: &str = "ticks.ring";
const PREFIX: &str = "quoit-demo-";
const ALIVE: &str = "alive";

/// Creates a locked file in the directory. It is locked before it gets its name: present and unlocked means dead.
fn mark(directory: &Path) -> io::Result<File> {
    let unnamed = directory.join("new");
    let alive = File::create(&unnamed)?;
    alive.lock()?;
    fs::rename(unnamed, directory.join(ALIVE))?;
    Ok(alive)
}

/// Removes the directories of demos that were killed before they could remove them.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let dead = |path: &Path| File::open(path.join(ALIVE)).is_ok_and(|alive| alive.try_lock().is_ok());
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && dead(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for actor in &mut self.actors {
            let _ = actor.child.kill();
            let _ = actor.child.wait();
        }
    }
}
