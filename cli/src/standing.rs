//! How producers and consumers stand: one word for each, wherever they are shown.

use quoit::{ConsumerInfo, ConsumerState, Snapshot};

/// How a consumer's slot stands, whatever its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// On its way in.
    Attaching,
    Alive,
    /// Alive, and stopped by a signal or a debugger.
    Stopped,
    /// Its name, its place and its losses are kept.
    Away,
    /// Died without a name, and its gate is still there: the producer takes it when it is in the way.
    Dead,
}

impl Standing {
    pub(crate) fn of(consumer: &ConsumerInfo) -> Self {
        match (consumer.alive, &consumer.name) {
            (true, _) if consumer.state == ConsumerState::Attaching => Self::Attaching,
            (true, _) if is_stopped(consumer.pid) => Self::Stopped,
            (true, _) => Self::Alive,
            (false, Some(_)) => Self::Away,
            (false, None) => Self::Dead,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Alive => "alive",
            Self::Stopped => "stopped",
            Self::Away => "away",
            Self::Dead => "dead",
        }
    }
}

/// One word for the producer, and what more there is to say.
pub(crate) fn producer(snapshot: &Snapshot) -> (&'static str, &'static str) {
    match (snapshot.producer_alive, snapshot.closed, snapshot.epoch) {
        (true, ..) if is_stopped(snapshot.producer_pid) => {
            ("stopped", "a stopped process is alive: nobody takes over")
        }
        (true, ..) => ("alive", ""),
        (false, _, 0) => ("none", "no producer has opened the ring yet"),
        (false, true, _) => ("closed", "ended cleanly: another producer may open the ring"),
        (false, false, _) => {
            ("dead", "died: another producer may open the ring and goes on where it stopped")
        }
    }
}

/// "process 2844", or "process 2844, stopped".
pub(crate) fn process(pid: u32) -> String {
    format!("process {pid}{}", if is_stopped(pid) { ", stopped" } else { "" })
}

/// Whether the process is stopped, as far as can be seen from here. The lock says who is alive; this is a hint.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command in parentheses may hold anything; the state comes after the last one.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}
