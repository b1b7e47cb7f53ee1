//! `quoit event`: sets an event, resets it, and waits for it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::{Event, Reset, SyncOptions};

use crate::exit::{Exit, Failure};
use crate::{shown, units};

/// Set an event, reset it, or wait until it is set.
///
/// The event is a file of its own, which is created if it is missing, and stays. It stays set until it is reset, and
/// lets everybody pass meanwhile. One that was created with --auto is reset by the first that waits: each `set` lets
/// one go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The event
    path: PathBuf,
    /// What to do
    #[arg(value_enum)]
    action: Action,
    /// Wait at most this long; after that exit with code 6
    #[arg(long, short = 'w', value_name = "TIME", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// Create it so that each `set` lets one waiter go on; one that is there has to be such an event
    #[arg(long)]
    auto: bool,
    /// Processes that may use it at a time, 1 to 4096; counts if the file is created
    #[arg(long, value_name = "N", default_value_t = 256)]
    seats: u32,
    /// Permissions of the file if it is created, in octal
    #[arg(long, value_parser = units::mode, default_value = "0600")]
    mode: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    /// Set it, and wake those that wait
    Set,
    /// Reset it: whoever waits from now on waits for the next `set`
    Reset,
    /// Wait until it is set
    Wait,
    /// Exit with 0 if it is set, and with 1 if not; takes no signal
    Test,
}

/// How often a waiter looks whether the file is still there.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.timeout.is_some() && args.action != Action::Wait {
        return Err(Failure::new(Exit::Usage, "only `wait` takes a --timeout").into());
    }
    let event = open(args)?;
    match args.action {
        Action::Set => event.set().map(drop)?,
        Action::Reset => event.reset().map(drop)?,
        Action::Wait => return wait(args, &event),
        Action::Test if event.is_set()? => {}
        Action::Test => return Ok(Exit::Failed),
    }
    Ok(Exit::Done)
}

fn open(args: &Args) -> Result<Event, Error> {
    let options = SyncOptions::new().seats(args.seats).mode(args.mode);
    let open = |reset| Event::open_or_create(&args.path, &options, reset);
    if args.auto {
        return open(Reset::Auto);
    }
    match open(Reset::Manual) {
        // One that is there may be of either sort.
        Err(Error::BadOption { .. }) => open(Reset::Auto),
        opened => opened,
    }
}

fn wait(args: &Args, event: &Event) -> anyhow::Result<Exit> {
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let count = event.count()?;
    loop {
        let look = Instant::now() + LOOK;
        let until = deadline.map_or(look, |deadline| deadline.min(look));
        match event.wait_deadline(until) {
            Ok(()) => return Ok(Exit::Done),
            Err(Error::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        // It may have been set and reset between two waits.
        if event.reset_by() == Reset::Manual && event.count()? != count {
            return Ok(Exit::Done);
        }
        if event.is_stale() {
            let message = "the event's file was removed or replaced; wait for the new one";
            return Err(told(&args.path, Exit::RingGone, message));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(told(&args.path, Exit::Timeout, "it was not set in time"));
        }
    }
}

fn told(path: &Path, exit: Exit, message: &str) -> anyhow::Error {
    Failure::new(exit, format!("{}: {message}", shown::path(path))).into()
}
