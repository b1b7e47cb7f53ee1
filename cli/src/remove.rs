//! `quoit rm`: the file of a ring that nobody uses any more.
//!
//! Who is alive holds a lock, so this takes all the locks there can be before it removes the name: from then on nobody
//! becomes producer, attaches or takes a name, and gets an error if he tries. What is left is who had opened the file and
//! taken no lock yet, for a moment, and observers, who never take one: both keep memory without a name, and can ask
//! whether their handle is stale. Somebody who puts another file in the ring's place at the very moment may see that one go.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quoit::{Error, Inspector, Snapshot};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;

use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::ring_file::open_ring;
use crate::standing::{self, Standing};
use crate::{shown, units};

/// Remove a ring: refused while anybody lives on it (code 9), and for what is no ring.
///
/// Observers are not seen: they hold nothing, and keep what they have mapped. A ring that is damaged, or left over from
/// before the machine was last started, goes as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring
    path: PathBuf,
    /// Also under those who live on it: they go on with memory that has no name, and nobody can join them
    #[arg(long, short)]
    force: bool,
    /// Say nothing on success
    #[arg(long, short)]
    quiet: bool,
}

/// Locks that are held for a moment only, to ask or to forget something, are waited for.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let path = &args.path;
    // Before the lock: closing any descriptor of a file drops the process's locks on it.
    let file = open(args)?;
    let before = snapshot(path);
    let free = lock(path, &file)?;
    if !free && !args.force {
        return Err(in_use(path).into());
    }
    let (mine, there) = (file.metadata()?, std::fs::symlink_metadata(path));
    if !there.is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino())) {
        let message = format!("{}: replaced by another file just now; look again", shown::path(path));
        return Err(Failure::new(Exit::RingGone, message).into());
    }
    match rustix::fs::unlink(path) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Err(Error::NotFound { path: path.clone() }.into()),
        Err(errno) => {
            let message = format!("{}: could not remove it: {errno}", shown::path(path));
            return Err(Failure::new(Exit::Failed, message).into());
        }
    }
    if !args.quiet {
        let away = before.map_or(0, |ring| ring.consumers.iter().filter(|c| is_away(c)).count());
        let kept = match away {
            0 => String::new(),
            _ => format!(", and with it what it kept for {}", units::counted(away as u64, "name")),
        };
        let under = if free { "" } else { " under those who live on it" };
        say(format_args!("removed {}{under}{kept}", shown::path(path)));
    }
    Ok(Exit::Done)
}

fn is_away(consumer: &quoit::ConsumerInfo) -> bool {
    Standing::of(consumer) == Standing::Away
}

/// With the right to write, which the locks take; without it only to see what it is.
fn open(args: &Args) -> anyhow::Result<File> {
    let path = &args.path;
    if let Some(file) = open_ring(path, OFlags::RDWR)? {
        return Ok(file);
    }
    let refused = |why: &str| {
        Err(Failure::new(Exit::Failed, format!("{}: no permission to {why}", shown::path(path))).into())
    };
    match open_ring(path, OFlags::RDONLY)? {
        Some(file) if args.force => Ok(file),
        Some(_) => refused(
            "write to it, which it takes to keep others from attaching meanwhile; --force removes it all the same",
        ),
        None => refused("read it, so it may be no ring; `rm` removes files of every kind"),
    }
}

/// Takes every lock there is on the file. False: somebody has one.
fn lock(path: &Path, file: &File) -> anyhow::Result<bool> {
    for attempt in 0..TRIES {
        match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            // Open for reading alone, by force: nobody can be kept out.
            Err(Errno::BADF) => return Ok(false),
            Err(Errno::AGAIN | Errno::ACCESS) if attempt + 1 < TRIES => std::thread::sleep(PAUSE),
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => {
                let message = format!("{}: could not lock it: {errno}", shown::path(path));
                return Err(Failure::new(Exit::Failed, message).into());
            }
        }
    }
    Ok(false)
}

fn snapshot(path: &Path) -> Option<Snapshot> {
    Inspector::open(path).and_then(|inspector| inspector.snapshot()).ok()
}

/// Who it is that lives on the ring.
fn in_use(path: &Path) -> Failure {
    let mut who = Vec::new();
    if let Some(ring) = snapshot(path) {
        if ring.producer_alive {
            who.push(format!("the producer ({})", standing::process(ring.producer_pid)));
        }
        for consumer in ring.consumers.iter().filter(|consumer| consumer.alive) {
            who.push(crate::evict::who(consumer.slot, Some(consumer)));
        }
    }
    let who = if who.is_empty() {
        "somebody holds a lock on it, and is neither its producer nor one of its consumers".to_owned()
    } else {
        format!("in use by {}", who.join(", "))
    };
    let path = shown::path(path);
    Failure::new(Exit::InUse, format!("{path}: {who}; end them first, or remove it under them with --force"))
}
