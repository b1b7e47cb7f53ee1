//! The exit codes of the command.

use std::io;

use quoit::{CallError, Error, ErrorKind, GroupError, RecvError, SendError};
use signal_hook::consts::{SIGHUP, SIGTERM};

use crate::signals::Signals;

/// Exit codes. They are part of the interface: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done. Also when the reader of the output has gone.
    Done = 0,
    /// Any failure without a code of its own.
    Failed = 1,
    /// The command line is invalid. Clap uses the same code.
    Usage = 2,
    /// The path or the name does not exist, or the file is not of the kind asked for.
    NotFound = 3,
    /// A file that this build or this machine cannot use.
    Mismatch = 4,
    /// Records were lost and `--fail-on-loss` was given.
    Loss = 5,
    /// A time limit passed, or the ring was full and `--wait` was not given. Of a call: it has not run.
    Timeout = 6,
    /// The producer died, and `sub` was asked to read to a clean end; the stage that `sub` follows is gone; or the server died
    /// with a call.
    ProducerGone = 7,
    /// The file was removed, replaced or cut short while it was in use.
    RingGone = 8,
    /// In use by a living process: the place of the one producer or writer, the name, or every slot or seat.
    InUse = 9,
    /// A file exists at the path.
    Exists = 10,
    /// A holder died, and `--refuse-abandoned` was given.
    Abandoned = 11,
    /// A call was taken, and not answered in time.
    Unanswered = 12,
    /// The server answered a call with an error, or dropped it.
    CallFailed = 13,
    /// The command could not be run.
    CannotRun = 126,
    /// There is no such command.
    NoCommand = 127,
    /// Ended by SIGHUP before the work was done.
    HungUp = 129,
    /// Ended by SIGINT (Ctrl-C) before the work was done.
    Interrupted = 130,
    /// Ended by SIGTERM before the work was done.
    Terminated = 143,
}

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done; also when the reader of the output has gone (a closed pipe)
    1  any failure without a code of its own
    2  the command line is invalid
    3  no such file or name, or not of the kind asked for
    4  a file of another version, type, layout, machine or boot, a damaged one, or a copy
    5  records were lost, with --fail-on-loss
    6  a time limit passed, or the ring was full without --wait; a call that has not run
    7  the producer died before a clean end, with sub --until-closed; the stage of sub --after is gone; the server
       died with a call
    8  the file was removed, replaced or cut short while in use
    9  in use: another producer, writer or server is alive, the name is taken, no slot or seat is free
   10  a file exists at the path
   11  a holder of a lock died with it, with lock --refuse-abandoned
   12  a server took a call, and did not answer it in time: it may have run
   13  a server answered a call with an error
  126  the command of lock, sem or serve could not be run
  127  there is no such command, of lock, sem or serve
  129  ended by SIGHUP before the work was done
  130  ended by Ctrl-C before the work was done
  143  ended by SIGTERM before the work was done

Sizes are bytes or 64k, 64MiB, 1GiB; durations 500us, 50ms, 1.5s, 2m.
Standard output carries data only; everything else goes to standard error.";

/// A failure with a message and its own exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Signals {
    /// The exit code for work that a signal cut short.
    pub(crate) fn exit(&self) -> Exit {
        match self.last() {
            SIGTERM => Exit::Terminated,
            SIGHUP => Exit::HungUp,
            _ => Exit::Interrupted,
        }
    }
}

impl Exit {
    /// The code for an error that reached `main`.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(failure) = cause.downcast_ref::<Failure>() {
                return failure.exit;
            }
            if let Some(CallError::Unanswered) = cause.downcast_ref() {
                return Self::Unanswered;
            }
            let kind = cause
                .downcast_ref()
                .map(Error::kind)
                .or_else(|| cause.downcast_ref().map(CallError::kind))
                .or_else(|| cause.downcast_ref().map(SendError::kind))
                .or_else(|| cause.downcast_ref().map(RecvError::kind))
                .or_else(|| cause.downcast_ref().map(GroupError::kind));
            if let Some(kind) = kind {
                return Self::of_kind(kind);
            }
            match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::BrokenPipe) => return Self::Done,
                // A signal came while the reader of the output took nothing.
                Some(io::ErrorKind::Interrupted) => {
                    return Signals::installed().map_or(Self::Failed, Signals::exit);
                }
                _ => {}
            }
        }
        Self::Failed
    }

    /// The code for an error of the library.
    pub(crate) fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound | ErrorKind::NotARing => Self::NotFound,
            ErrorKind::Mismatch => Self::Mismatch,
            ErrorKind::InUse => Self::InUse,
            ErrorKind::Exists => Self::Exists,
            ErrorKind::Truncated => Self::RingGone,
            ErrorKind::Invalid => Self::Usage,
            ErrorKind::Full | ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::ProducerGone | ErrorKind::StageGone | ErrorKind::ServerGone => Self::ProducerGone,
            ErrorKind::CallFailed => Self::CallFailed,
            ErrorKind::Abandoned => Self::Abandoned,
            _ => Self::Failed,
        }
    }
}

/// The text of an error: each of its causes once. Some errors already include the text of their cause.
pub(crate) fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match told.as_str() {
            "" => cause,
            _ if told.ends_with(&cause) => told,
            _ => format!("{told}: {cause}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn every_code_is_in_the_help() {
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Mismatch,
            Exit::Loss,
            Exit::Timeout,
            Exit::ProducerGone,
            Exit::RingGone,
            Exit::InUse,
            Exit::Exists,
            Exit::Abandoned,
            Exit::Unanswered,
            Exit::CallFailed,
            Exit::CannotRun,
            Exit::NoCommand,
            Exit::HungUp,
            Exit::Interrupted,
            Exit::Terminated,
        ] {
            let line = format!("{:>5}  ", exit as u8);
            assert!(HELP.lines().any(|l| l.starts_with(&line)), "{exit:?} is not in the help");
        }
    }

    #[test]
    fn a_cause_is_told_once() {
        let source = || io::Error::from_raw_os_error(36);
        let (path, action) = (PathBuf::from("x"), "open the file");
        let error = Error::Io { path, action, source: source() };
        let error = anyhow::Error::new(error).context("sub");
        assert_eq!(
            told(&error),
            "sub: x: could not open the file (choose a shorter name): File name too long (os error 36)"
        );
        let error = anyhow::Error::new(source()).context("could not write standard output");
        assert_eq!(told(&error), "could not write standard output: File name too long (os error 36)");
    }

    #[test]
    fn errors_are_found_under_their_context() {
        let error = anyhow::Error::new(Error::NotFound { path: PathBuf::from("x") }).context("sub");
        assert_eq!(Exit::of(&error), Exit::NotFound);
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert_eq!(Exit::of(&error), Exit::Done);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything")), Exit::Failed);
        assert_eq!(Exit::of(&anyhow::Error::new(SendError::Full { slot: 0 })), Exit::Timeout);
        assert_eq!(Exit::of(&anyhow::Error::new(RecvError::ProducerGone)), Exit::ProducerGone);
        assert_eq!(Exit::of(&anyhow::Error::new(CallError::NotExecuted)), Exit::Timeout);
        assert_eq!(Exit::of(&anyhow::Error::new(CallError::Unanswered)), Exit::Unanswered);
        assert_eq!(Exit::of(&anyhow::Error::new(CallError::ServerGone)), Exit::ProducerGone);
        assert_eq!(Exit::of(&anyhow::Error::new(CallError::Dropped)), Exit::CallFailed);
        assert_eq!(Exit::of(&anyhow::Error::new(Failure::new(Exit::Loss, "x"))), Exit::Loss);
    }
}
