//! The child processes of a demo, killed on drop: started in roles, ordered by their standard input, heard by their
//! standard output.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use super::wire::Order;

/// Identifies one child: its place in the order of starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ActorId(pub(crate) usize);

/// Output of a child.
#[derive(Debug)]
pub(crate) enum Heard<L> {
    Line(L),
    /// A line of its standard error.
    Complaint(String),
    /// Its output ended: it is gone, or about to end.
    Ended,
}

struct Actor<R> {
    role: R,
    child: Child,
    orders: Option<ChildStdin>,
}

/// Children in roles `R`, which say lines `L`.
pub(crate) struct Troupe<R, L> {
    actors: Vec<Actor<R>>,
    heard: Receiver<(ActorId, Heard<L>)>,
    sender: Sender<(ActorId, Heard<L>)>,
}

impl<R: Copy, L: DeserializeOwned + Send + 'static> Troupe<R, L> {
    pub(crate) fn new() -> Self {
        let (sender, heard) = mpsc::channel();
        Self { actors: Vec::new(), heard, sender }
    }

    /// The number that the next child gets.
    pub(crate) fn next(&self) -> ActorId {
        ActorId(self.actors.len())
    }

    /// Starts a child of this binary in the role: a hidden verb, and words for it.
    pub(crate) fn enter(&mut self, role: R, verb: &str, words: impl FnOnce(&mut Command)) -> Result<ActorId> {
        let id = self.next();
        let exe = std::env::current_exe().context("could not find this program's own file")?;
        let mut command = Command::new(exe);
        command.arg(verb);
        words(&mut command);
        // A group of its own keeps the terminal's Ctrl-C for the parent, which ends the show in order.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("could not start a child process")?;
        let (orders, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        self.actors.push(Actor { role, child, orders });
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
    pub(crate) fn hear(&self, time: Duration) -> Option<(ActorId, Heard<L>)> {
        self.heard.recv_timeout(time).ok()
    }

    pub(crate) fn role(&self, id: ActorId) -> R {
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
}

impl<R, L> Drop for Troupe<R, L> {
    fn drop(&mut self) {
        for actor in &mut self.actors {
            let _ = actor.child.kill();
            let _ = actor.child.wait();
        }
    }
}
