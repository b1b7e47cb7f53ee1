//! `quoit lock`: runs a command under a lock.

mod held;

use std::path::PathBuf;

use quoit::Error;

use self::held::{Held, Lock, Share};
use crate::hold::{self, Ended, Relay};

/// Run a command while no other process holds the same lock.
///
/// The lock is a file of its own, which is created if it is missing, and stays. The lock lasts as long as the command,
/// also if quoit is killed meanwhile, and as long as quoit, if the command is. The exit code is that of the command, and
/// 128 + N if signal N killed it; 126 if it could not be run, 127 if there is no such command. Signals to quoit go on to
/// the command.
///
/// If a holder died that did not share the lock, what the lock guards may be half done. The command runs all the same,
/// with a warning, and with QUOIT_ABANDONED=1 in its environment. So does each one that follows, until one that does not
/// share it exits with 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The lock
    path: PathBuf,
    /// Hold it together with others that share it, for commands that only read what it guards
    #[arg(long, short)]
    shared: bool,
    #[command(flatten)]
    common: hold::Args,
    /// Do not run the command if what the lock guards may be half done; exit with code 11
    #[arg(long)]
    refuse_abandoned: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let (path, common) = (&args.path, &args.common);
    let share = if args.shared { Share::WithOthers } else { Share::Alone };
    let relay = Relay::install()?;
    let limit = common.limit();
    loop {
        let open = || Lock::open_or_create(path, &common.options(), share);
        let Some(mut lock) = common.open(limit, open)? else {
            return Ok(common.conflict(path, "a seat"));
        };
        let life = lock.proof_of_life()?;
        let mut held = match lock.hold(share, limit) {
            Ok(held) => held,
            Err(Error::TimedOut) => return Ok(common.conflict(path, "the lock")),
            Err(error) => return Err(error.into()),
        };
        relay.begin();
        // Whoever comes now gets another file, and so another lock.
        if hold::is_replaced(path, &life)? {
            relay.end();
            continue;
        }
        let was_abandoned = held.is_abandoned();
        if was_abandoned && args.refuse_abandoned {
            let message = "a holder died while it had the lock alone, and what it guards may be half done; check it, \
                           and run a command without --refuse-abandoned and --shared";
            return Err(hold::refused(path, message));
        }
        if was_abandoned {
            common.warn("a holder died while it had the lock alone; what it guards may be half done");
        }
        let ended = common.run(&relay, life, was_abandoned)?;
        match ended {
            Ended::Exited(code) => {
                if code == 0 && was_abandoned {
                    held.recovered();
                }
            }
            // It had nothing to leave half done.
            Ended::Killed(_) if matches!(held, Held::Shared(_)) => {}
            Ended::Killed(signal) => {
                common.warn_of_death(signal);
                // As if this process had been killed with it: the kernel frees the lock, and the next one is told.
                std::mem::forget(held);
                std::mem::forget(lock);
            }
        }
        return Ok(hold::code(ended));
    }
}
