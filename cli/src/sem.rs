//! `quoit sem`: runs a command under permits of a semaphore.

use std::path::PathBuf;

use quoit::Error;
use quoit::sync::{Permit, Semaphore};

use crate::hold::{self, Ended, Relay};
use crate::units;

/// Run a command while at most so many others run under the same semaphore.
///
/// The semaphore is a file of its own, which is created if it is missing, and stays. The permits last as long as the
/// command, also if quoit is killed meanwhile, and as long as quoit, if the command is. Those of the dead are free
/// again. The exit code is that of the command, and 128 + N if signal N killed it; 126 if it could not be run, 127 if
/// there is no such command. Signals to quoit go on to the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The semaphore
    path: PathBuf,
    /// Create it with so many permits, 1 to 4096, if it is missing; one that is there is used as it is
    #[arg(long, short, value_name = "N")]
    permits: Option<u32>,
    /// Take so many permits, all or none
    #[arg(long, value_name = "N", default_value_t = 1)]
    take: u32,
    #[command(flatten)]
    common: hold::Args,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let (path, common) = (&args.path, &args.common);
    let relay = Relay::install()?;
    let limit = common.limit();
    let mut told = false;
    loop {
        let open = || match args.permits {
            Some(permits) => Semaphore::open_or_create(path, &common.options(), permits),
            None => Semaphore::open(path),
        };
        let Some(semaphore) = common.open(limit, open)? else {
            return Ok(common.conflict(path, "a seat"));
        };
        if let Some(asked) = args.permits.filter(|asked| *asked != semaphore.permits() && !told) {
            let there = units::counted(semaphore.permits().into(), "permit");
            common.warn(format_args!(
                "the semaphore that is there has {there}, not {asked}; it is used as it is"
            ));
            told = true;
        }
        let life = semaphore.proof_of_life()?;
        let permit = match wait(&semaphore, args.take, limit) {
            Ok(permit) => permit,
            Err(Error::TimedOut) => {
                return Ok(common.conflict(path, &units::counted(args.take.into(), "permit")));
            }
            Err(error) => return Err(error.into()),
        };
        relay.begin();
        // Whoever comes now gets another file, and so other permits.
        if hold::is_replaced(path, &life)? {
            relay.end();
            continue;
        }
        let was_abandoned = permit.is_abandoned();
        if was_abandoned {
            common.warn("whoever had this permit before died with it; what it did may be half done");
        }
        let ended = common.run(&relay, life, was_abandoned)?;
        if let Ended::Killed(signal) = ended {
            common.warn_of_death(signal);
            // As if this process had been killed with it: the kernel frees the permits, and the next one is told.
            std::mem::forget(permit);
            std::mem::forget(semaphore);
        }
        return Ok(hold::code(ended));
    }
}

fn wait(semaphore: &Semaphore, permits: u32, limit: hold::Limit) -> Result<Permit<'_>, Error> {
    match limit.deadline() {
        None => semaphore.acquire_many(permits),
        Some(deadline) => semaphore.acquire_many_deadline(permits, deadline),
    }
}
