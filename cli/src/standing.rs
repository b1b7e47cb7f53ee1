//! The state of producers and consumers in one word, the same wherever it is shown.

use quoit::{ConsumerInfo, ConsumerState, Snapshot};

/// The state of a consumer's slot, whatever its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Attaching now.
    Attaching,
    Alive,
    /// Alive, and stopped by a signal or a debugger.
    Stopped,
    /// Away: its name, its place and its losses are kept.
    Away,
    /// Died without a name, and its gate is still open: the producer takes it when the gate blocks it.
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

/// The producer's state in one word, and further detail.
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

/// "process 2844", or "process 2844, stopped", of a handle that is alive.
pub(crate) fn process(pid: u32) -> String {
    if is_unseen(pid) {
        return format!(
            "process {pid}, which is not there: it has ended and a child keeps its place, or it is in another PID namespace"
        );
    }
    format!("process {pid}{}", if is_stopped(pid) { ", stopped" } else { "" })
}

/// Is there no process with this id here? A handle that is alive all the same is kept by a child that has its proof of life; or
/// its process is in another PID namespace. A hint, as `is_stopped`.
pub(crate) fn is_unseen(pid: u32) -> bool {
    // The kernel is asked: `/proc` may hide the processes of other users.
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// Is the process stopped? A hint, read from /proc. The lock decides who is alive.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command in parentheses may contain anything. The state follows the last parenthesis.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}
