//! A command that runs while something is held.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::Context;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::relay::Relay;
use crate::exit::{Exit, Failure};
use crate::shown;
use crate::signals::Woken;

/// Tells the command that whoever held this before it died.
const ABANDONED: &str = "QUOIT_ABANDONED";

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(u8),
    Killed(i32),
}

/// Runs the command, and passes signals on to it. It inherits `life`.
pub(super) fn run(
    words: &[OsString],
    relay: &Relay,
    life: OwnedFd,
    was_abandoned: bool,
) -> anyhow::Result<Ended> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::new(Exit::Usage, "no command is given").into());
    };
    fcntl_setfd(&life, FdFlags::empty()).context("could not let the command inherit a descriptor")?;
    let mut command = Command::new(program);
    command.args(arguments).env_remove(ABANDONED);
    if was_abandoned {
        command.env(ABANDONED, "1");
    }
    let mut child = command.spawn().map_err(|error| {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let exit = if is_missing { Exit::NoCommand } else { Exit::CannotRun };
        let name = shown::path(program.as_ref());
        Failure::new(exit, format!("{name}: could not run it: {error}"))
    })?;
    // From here on the command alone has it.
    drop(life);
    // A descriptor of the process: unlike its number it cannot come to mean another one.
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let process = process.context("could not watch the command")?;
    loop {
        let woken = relay.wait(process.as_fd())?;
        for signal in relay.take() {
            // It may have ended, or changed its user.
            let _ = pidfd_send_signal(&process, signal);
        }
        if woken == Woken::Ready
            && let Some(status) = child.try_wait().context("could not wait for the command")?
        {
            return Ok(match (status.code(), status.signal()) {
                (Some(code), _) => Ended::Exited(code as u8),
                (None, Some(signal)) => Ended::Killed(signal),
                (None, None) => Ended::Exited(Exit::Failed as u8),
            });
        }
    }
}
