//! `quoit lock`: runs a command under a lock.

use std::path::PathBuf;

use quoit::Error;
use quoit::sync::{Mutex, MutexGuard};

use crate::hold::{self, Ended, Relay};

/// Run a command while no other process holds the same lock.
///
/// The lock is a mutex in a file of its own, which is created if it is missing, and stays. The lock lasts as long as
/// the command, also if quoit is killed meanwhile, and as long as quoit, if the command is. The exit code is that of
/// the command, and 128 + N if signal N killed it; 126 if it could not be run, 127 if there is no such command. Signals
/// to quoit go on to the command.
///
/// If the last holder died while it held the lock, what the lock guards may be half done. The command runs all the
/// same, with a warning, and with QUOIT_ABANDONED=1 in its environment. So does each one that follows, until one exits
/// with 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The mutex
    path: PathBuf,
    #[command(flatten)]
    common: hold::Args,
    /// Do not run the command if the last holder died while it held the lock; exit with code 11
    #[arg(long)]
    refuse_abandoned: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let (path, common) = (&args.path, &args.common);
    let relay = Relay::install()?;
    let limit = common.limit();
    loop {
        let open = || Mutex::open_or_create(path, &common.options(), &());
        let Some(mut mutex) = common.open(limit, open)? else {
            return Ok(common.conflict(path, "a seat"));
        };
        let life = mutex.proof_of_life()?;
        let mut guard = match wait(&mut mutex, limit) {
            Ok(guard) => guard,
            Err(Error::TimedOut) => return Ok(common.conflict(path, "the lock")),
            Err(error) => return Err(error.into()),
        };
        relay.begin();
        // Whoever comes now gets another file, and so another lock.
        if hold::is_replaced(path, &life)? {
            relay.end();
            continue;
        }
        let was_abandoned = guard.is_abandoned();
        if was_abandoned && args.refuse_abandoned {
            let message = "the last holder died while it held the lock, and what it guards may be half done; check it, \
                           and run a command without --refuse-abandoned";
            return Err(hold::refused(path, message));
        }
        if was_abandoned {
            common.warn("the last holder died while it held the lock; what it guards may be half done");
        }
        let ended = common.run(&relay, life, was_abandoned)?;
        match ended {
            Ended::Exited(code) => {
                if code == 0 && was_abandoned {
                    guard.recovered();
                }
            }
            Ended::Killed(signal) => {
                common.warn_of_death(signal);
                // As if this process had been killed with it: the kernel frees the lock, and the next one is told.
                std::mem::forget(guard);
                std::mem::forget(mutex);
            }
        }
        return Ok(hold::code(ended));
    }
}

fn wait(mutex: &mut Mutex<()>, limit: hold::Limit) -> Result<MutexGuard<'_, ()>, Error> {
    match limit.deadline() {
        None => mutex.recover(),
        Some(deadline) => mutex.recover_deadline(deadline),
    }
}
