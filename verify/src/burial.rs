//! How long a dead consumer blocks its producer, by the consumer's memory size.
//!
//! The victim is the only gated consumer, with a given amount of anonymous memory touched in pages of 4 KiB. The
//! producer has filled the ring and is blocked in `send` when SIGKILL is sent. Three times are measured from just
//! before the `kill`: until the send has returned; until an independent watcher, blocked in `F_OFD_SETLKW`, has got a
//! lock on another file that the victim held; until another watcher sees the victim's pidfd readable. A lock ends
//! with the victim's descriptors, which the kernel closes after it has freed the memory. That time is the kernel's;
//! the difference is the library's. `objects` measures the same for locks, groups and services.
//!
//! The median of the difference must be within what is promised. Only those kills count after which neither the
//! one that waits nor the watcher was kept from running: the kernel says for how long a thread was ready and had no processor
//! (`/proc/PID/task/TID/schedstat`).

#![allow(unsafe_code, reason = "touching memory")]

mod objects;
mod promise;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::pipe;
use quoit::{Attach, Consumer, Inspector, Options, Producer, SendError};

use self::promise::Waiting;
use crate::child::Child;
use crate::outcome::{Form, Outcome, grouped};
use crate::place::Place;

/// Options of this check alone.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(crate) struct Args {
    /// Kills per size, in place of the usual number
    #[arg(long)]
    kills: Option<u32>,
    /// Only rows whose first column contains this
    #[arg(long)]
    only: Option<String>,
}

impl Args {
    fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|part| row.contains(part.as_str()))
    }
}

/// Sizes in MiB, and kills of each.
const FULL: [(u64, u32); 6] = [(1, 100), (16, 100), (64, 100), (256, 50), (1024, 20), (4096, 20)];
const QUICK: [(u64, u32); 2] = [(1, 5), (64, 5)];

/// Times of one kill, from just before it.
#[derive(Clone, Copy, Debug)]
struct Times {
    unblocked: Duration,
    lock_free: Duration,
    pidfd: Duration,
    /// For how long those who waited had no processor when the lock was free.
    kept: Duration,
}

pub(crate) fn run(args: &Args, form: Form) -> Result<Outcome> {
    let mut outcome = Outcome::begin("burial", form);
    let sizes = match form {
        Form::Quick => &QUICK[..],
        Form::Full => &FULL[..],
    };
    let folder = Place::new("burial")?;
    let mut table =
        "| touched | kills | send returns (ms) | lock free (ms) | pidfd readable (ms) | send after the \
                     lock (ms) | counted | promised (ms) |\n|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    let mut killed = 0;
    for &(mib, kills) in sizes.iter().filter(|(mib, _)| args.wants(&format!("{} MiB", grouped(*mib)))) {
        if free_mib()? < mib + mib / 4 + 512 {
            outcome.note(format!(
                "SKIPPED: {} MiB: the machine has not that much memory to spare",
                grouped(mib)
            ));
            continue;
        }
        let kills = args.kills.unwrap_or(kills);
        let round = |times: &Times| (ms_of(times.unblocked) - ms_of(times.lock_free), times.kept);
        let (all, failed) =
            promise::kill_all(kills, promise::WITHIN_MS, |number| bury(folder.path(), mib, number), round);
        if let Some((number, error)) = failed {
            outcome.fail(format!("{mib} MiB, kill {number}: {error:#} [cargo verify burial]"));
        }
        killed += all.len() as u64;
        let column = |what: fn(&Times) -> f64| spread(all.iter().map(what).collect());
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let counted = promise::judge(
            &format!("{} MiB", grouped(mib)),
            all.iter().map(round),
            promise::WITHIN_MS,
            &mut outcome,
        );
        table.push_str(&format!(
            "| {} MiB | {} | {} | {} | {} | {} | {counted} | {} |\n",
            grouped(mib),
            all.len(),
            column(|times| ms_of(times.unblocked)),
            column(|times| ms_of(times.lock_free)),
            column(|times| ms_of(times.pidfd)),
            spread(all.iter().map(|times| round(times).0).collect()),
            promise::WITHIN_MS,
        ));
        if let Some(worst) = all.iter().map(|times| times.unblocked).max() {
            eprintln!("burial: {mib} MiB, {} kills, the longest {:.1} ms", all.len(), ms(worst));
        }
    }
    outcome.count("gated consumers killed while their producer was blocked, which then went on", killed);
    let objects = Place::new("burial")?;
    let kills = args.kills.unwrap_or(if form == Form::Quick { 5 } else { 200 });
    table.push_str(&objects::run(objects.path(), kills, args, &mut outcome)?);
    outcome.note(format!(
        "times are p50 / p99 / max by nearest rank; the median after the lock must be within what is promised, of the kills \
         that count: those in which neither who waited nor who saw the lock free was kept from a processor for more than {} ms after it",
        ms_of(promise::KEPT)
    ));
    outcome.note(format!("memory in pages of 4 KiB, {} processors", std::thread::available_parallelism()?));
    outcome.table = Some(table);
    Ok(outcome)
}

fn ms_of(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Median, 99th percentile and maximum.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (values.len() as f64 * share).ceil() as usize;
        values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    };
    format!("{:.2} / {:.2} / {:.2}", at(0.5), at(0.99), at(1.0))
}

fn free_mib() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).context("no MemAvailable in /proc/meminfo")?;
    Ok(kib.parse::<u64>()? / 1024)
}

/// One victim: brought up, killed, and what came of it.
fn bury(folder: &Path, mib: u64, number: u32) -> Result<Times> {
    let path = folder.join("ring");
    let scratch = folder.join("scratch");
    std::fs::write(&scratch, b"")?;
    Options::new().capacity(64 << 10).create(&path)?;
    let victim = start_victim(&scratch, mib, &|| Ok(keep(Consumer::open(&path, &Attach::gated())?)))?;
    let mut producer = Producer::open(&path)?;
    let payload = [0x5a; 1000];
    let sent = loop {
        match producer.try_send(&payload) {
            Ok(_) => {}
            Err(SendError::Full { .. }) => break producer.next_sequence(),
            Err(error) => bail!("filling the ring: {error}"),
        }
    };
    let inspector = Inspector::open(&path)?;
    let refused = inspector.snapshot()?.full;
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(victim.pid().as_raw()).context("a pid")?,
        rustix::process::PidfdFlags::empty(),
    )?;
    let lock = File::options().read(true).write(true).open(&scratch)?;
    if try_lock(&lock)? {
        bail!("the victim does not hold its lock");
    }
    let (sender, locker) = (&Waiting::default(), &Waiting::default());
    let times = std::thread::scope(|scope| -> Result<Times> {
        let sending = scope.spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(60);
            let sent = sender.run(|| producer.send_deadline(&payload, deadline));
            (sent, producer)
        });
        let locking = scope.spawn(move || (locker.run(|| wait_for_lock(&lock)), sender.kept()));
        let polling = scope.spawn(move || (wait_for_end(&pidfd), Instant::now()));
        // Blocked, and at any point of its sleeps and probes.
        while inspector.snapshot()?.full == refused {
            std::thread::sleep(Duration::from_micros(100));
        }
        std::thread::sleep(Duration::from_micros(5000 + u64::from(number) * 397 % 2000));
        let before = locker.kept();
        let began = Instant::now();
        kill(victim.pid(), Signal::SIGKILL)?;
        let (went, producer) = sending.join().expect("no panic");
        let (locked, sender_then) = locking.join().expect("no panic");
        let kept = went.kept_since(sender_then).max(locked.kept_since(before));
        let (ended, readable) = polling.join().expect("no panic");
        if went.result? != sent || producer.next_sequence() != sent + 1 {
            bail!("the record came to another place");
        }
        locked.result?;
        ended?;
        Ok(Times { unblocked: went.at - began, lock_free: locked.at - began, pidfd: readable - began, kept })
    });
    drop(victim);
    std::fs::remove_file(&path)?;
    times
}

/// What a victim does until its death.
type Stay = Box<dyn FnOnce()>;

/// Takes what a victim is to hold.
type Hold<'a> = &'a dyn Fn() -> Result<Stay>;

/// For a victim that does nothing but to keep a handle.
fn keep<T: 'static>(handle: T) -> Stay {
    Box::new(move || {
        let _kept = handle;
        loop {
            std::thread::sleep(Duration::from_secs(60));
        }
    })
}

/// A child that takes a lock, touches memory, takes what it is to hold, and stays.
fn start_victim(scratch: &Path, mib: u64, hold: Hold<'_>) -> Result<Child> {
    let (ready, says) = pipe()?;
    let victim = Child::start(|| panic!("the victim: {:?}", live(scratch, mib, hold, &says)))?;
    drop(says);
    match File::from(ready).read(&mut [0])? {
        1 => Ok(victim),
        _ => bail!("the victim did not come up"),
    }
}

fn live(scratch: &Path, mib: u64, hold: Hold<'_>, says: &OwnedFd) -> Result<()> {
    let lock = File::options().read(true).write(true).open(scratch)?;
    if !try_lock(&lock)? {
        bail!("somebody else holds the lock");
    }
    let _memory = touch(usize::try_from(mib)? << 20)?;
    let stay = hold()?;
    nix::unistd::write(says, b"r")?;
    stay();
    bail!("it has come to its end")
}

/// Anonymous memory, every page of it touched; never a huge one.
fn touch(bytes: usize) -> Result<&'static [u8]> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    // SAFETY: a new mapping, where nothing is.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
    }?;
    // SAFETY: advice on the mapping just made. A kernel without huge pages refuses it.
    let _ = unsafe { madvise(start, bytes, Advice::LinuxNoHugepage) };
    // SAFETY: the mapping is there, and nobody else's.
    let memory = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), bytes) };
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    Ok(memory)
}

fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn try_lock(file: &File) -> Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn wait_for_lock(file: &File) -> Result<()> {
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&whole(libc::F_WRLCK))) {
            Err(nix::errno::Errno::EINTR) => {}
            result => return result.map(drop).map_err(Into::into),
        }
    }
}

fn wait_for_end(pidfd: &OwnedFd) -> Result<()> {
    let mut polled = libc::pollfd { fd: pidfd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one entry, which is there.
        match unsafe { libc::poll(&raw mut polled, 1, -1) } {
            1 => return Ok(()),
            _ if nix::errno::Errno::last() == nix::errno::Errno::EINTR => {}
            _ => bail!("poll: {}", nix::errno::Errno::last()),
        }
    }
}
