//! `quoit rm`: removes the file of a ring, or of another object, that is not in use.
//!
//! Every participant that is alive holds a lock. So this takes all locks before it removes the name: from then on no
//! process can become producer, attach or take a name; it gets an error. Two cases remain: a process that has opened
//! the file and taken no lock yet, and observers, which never take one. Both keep memory without a name, and can call
//! `is_stale`. If another process puts a different file at the path at that very moment, that file may be removed.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quoit::{Error, Group, Inspector, Kind, Snapshot};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;

use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::ring_file::open_ring;
use crate::standing::{self, Standing};
use crate::{shown, units};

/// Remove a ring or another object; refused while a participant is alive (code 9), and for any other file. With a ring go the
/// files of its groups.
///
/// Observers are not detected: they hold no lock, and keep what they have mapped. Damaged rings, and those left over
/// from before the last reboot, can be removed as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring, or another object
    path: PathBuf,
    /// Remove it even while participants are alive; they continue on memory without a name, and no other process can
    /// join them
    #[arg(long, short)]
    force: bool,
    /// Print nothing on success
    #[arg(long, short)]
    quiet: bool,
}

/// Wait for locks that are held only for a moment, to check or to forget something.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let path = &args.path;
    // Do this before taking the lock: closing any descriptor of a file drops the process's locks on it.
    let file = open(args)?;
    let before = snapshot(path);
    let free = lock(path, &file)?;
    if !free && !args.force {
        return Err(in_use(path).into());
    }
    let (mine, there) = (file.metadata()?, std::fs::symlink_metadata(path));
    if !there.is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino())) {
        let message = format!("{}: replaced by another file just now; check again", shown::path(path));
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
    let groups = remove_groups(path, before.as_ref());
    if !args.quiet {
        let away = before.map_or(0, |ring| ring.consumers.iter().filter(|c| is_away(c)).count());
        let kept = match away {
            0 => String::new(),
            _ => format!(", and with it what it kept for {}", units::counted(away as u64, "name")),
        };
        let kept = match groups {
            0 => kept,
            _ => format!("{kept}, and the {} of its {}", plural(groups, "file"), plural(groups, "group")),
        };
        let under = if free { "" } else { " under those who live on it" };
        say(format_args!("removed {}{under}{kept}", shown::path(path)));
    }
    Ok(Exit::Done)
}

/// Removes the files of the ring's groups, which are of no use without it. Returns how many.
fn remove_groups(path: &Path, ring: Option<&Snapshot>) -> usize {
    let groups = ring.iter().flat_map(|ring| &ring.consumers).filter(|consumer| consumer.is_group);
    let files = groups.filter_map(|group| Some(Group::file(path, group.name.as_deref()?)));
    files
        .filter(|file| match quoit::kind_of(file) {
            Ok(Kind::Group) => rustix::fs::unlink(file).is_ok(),
            _ => false,
        })
        .count()
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

fn is_away(consumer: &quoit::ConsumerInfo) -> bool {
    Standing::of(consumer) == Standing::Away
}

/// Opens with permission to write, which the locks need; without it, only to identify the file.
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

/// Takes every lock on the file. False: another process holds one.
fn lock(path: &Path, file: &File) -> anyhow::Result<bool> {
    for attempt in 0..TRIES {
        match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            // Opened read-only, with --force: no process can be kept out.
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

/// Which participants are alive on the ring.
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
    let object = quoit::sync::Inspector::open(path).and_then(|inspector| inspector.snapshot());
    if let Ok(object) = object {
        who.extend(object.participants.iter().filter(|who| who.is_alive).map(crate::object::who));
    }
    let service = quoit::service::Inspector::open(path).and_then(|inspector| inspector.snapshot());
    if let Ok(service) = service {
        who.extend(crate::service::everybody(&service));
    }
    let who = if who.is_empty() {
        "somebody holds a lock on it who does not take part in it".to_owned()
    } else {
        format!("in use by {}", who.join(", "))
    };
    let path = shown::path(path);
    Failure::new(Exit::InUse, format!("{path}: {who}; end them first, or remove it under them with --force"))
}
