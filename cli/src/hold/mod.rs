//! What `lock` and `sem` have in common: the wait for something to hold, and the command that runs meanwhile.

mod command;
mod relay;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use quoit::Error;
use quoit::sync::{Inspector, SyncOptions};

pub(crate) use self::command::Ended;
pub(crate) use self::relay::Relay;
use crate::exit::Exit;
use crate::output::say;
use crate::{object, shown, units};

/// Between two attempts to get a seat.
const AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Wait at most this long
    #[arg(long, short = 'w', value_name = "TIME", value_parser = units::duration, conflicts_with = "no_wait")]
    timeout: Option<Duration>,
    /// Do not wait
    #[arg(long, short = 'n')]
    no_wait: bool,
    /// The exit code if it could not be had in time
    #[arg(long, short = 'E', value_name = "CODE", default_value_t = 1)]
    conflict_exit_code: u8,
    /// Processes that may hold it or wait at a time, 1 to 4096; counts if the file is created
    #[arg(long, value_name = "N", default_value_t = 256)]
    seats: u32,
    /// Permissions of the file if it is created, in octal
    #[arg(long, value_parser = units::mode, default_value = "0600")]
    mode: u32,
    /// Print no warnings
    #[arg(long, short)]
    quiet: bool,
    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(Option<Instant>);

impl Limit {
    /// With a deadline that has passed, the library tries once.
    pub(crate) fn deadline(self) -> Option<Instant> {
        self.0
    }

    fn is_over(self) -> bool {
        self.0.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

impl Args {
    pub(crate) fn options(&self) -> SyncOptions {
        SyncOptions::new().seats(self.seats).mode(self.mode)
    }

    /// Counts from now.
    pub(crate) fn limit(&self) -> Limit {
        let now = Instant::now();
        // One that is out of the clock's range is no limit.
        let timeout = if self.no_wait { Some(Duration::ZERO) } else { self.timeout };
        Limit(timeout.and_then(|timeout| now.checked_add(timeout)))
    }

    /// Opens the object; if all of its seats are taken, as soon as one is free. `None`: none was in time.
    pub(crate) fn open<T>(
        &self,
        limit: Limit,
        mut open: impl FnMut() -> Result<T, Error>,
    ) -> anyhow::Result<Option<T>> {
        let mut told = false;
        loop {
            let error = match open() {
                Ok(opened) => return Ok(Some(opened)),
                Err(error @ Error::SeatsTaken { .. }) => error,
                Err(error) => return Err(error.into()),
            };
            if !told {
                self.warn(format_args!("waiting for a seat: {error}"));
            }
            told = true;
            if limit.is_over() {
                return Ok(None);
            }
            std::thread::sleep(AGAIN);
        }
    }

    pub(crate) fn warn(&self, message: impl std::fmt::Display) {
        if !self.quiet {
            say(message);
        }
    }

    /// It could not be had in time. Tells who has it, if that can be seen.
    pub(crate) fn conflict(&self, path: &Path, what: &str) -> u8 {
        let seen = Inspector::open(path).and_then(|inspector| inspector.snapshot());
        let who: Vec<_> = seen.iter().flat_map(object::holders).map(object::who).collect();
        let who = if who.is_empty() { String::new() } else { format!(", held by {}", who.join("; ")) };
        self.warn(format_args!("{}: did not get {what} in time{who}", shown::path(path)));
        self.conflict_exit_code
    }

    /// Runs the command. `life` keeps what is held for as long as this process or the command lives.
    pub(crate) fn run(&self, relay: &Relay, life: OwnedFd, was_abandoned: bool) -> anyhow::Result<Ended> {
        command::run(&self.command, relay, life, was_abandoned)
    }

    /// Tells what a command that was killed leaves behind.
    pub(crate) fn warn_of_death(&self, signal: i32) {
        self.warn(format_args!(
            "the command was killed by signal {signal} while it held this; whoever comes next is told"
        ));
    }
}

/// Whether the object that has this descriptor is no longer the one at the path: others would use another one.
pub(crate) fn is_replaced(path: &Path, life: &OwnedFd) -> anyhow::Result<bool> {
    let mine = std::fs::File::from(life.try_clone().context("could not duplicate a descriptor")?);
    let mine = mine.metadata().with_context(|| shown::path(path))?;
    let there = std::fs::symlink_metadata(path);
    Ok(!there.is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino())))
}

/// The exit code of the command, as a shell has it.
pub(crate) fn code(ended: Ended) -> u8 {
    match ended {
        Ended::Exited(code) => code,
        // Signals have numbers up to 64.
        Ended::Killed(signal) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(u8::MAX)),
    }
}

/// What `lock` and `sem` end with if they do not run the command.
pub(crate) fn refused(path: &Path, message: &str) -> anyhow::Error {
    crate::exit::Failure::new(Exit::Abandoned, format!("{}: {message}", shown::path(path))).into()
}
