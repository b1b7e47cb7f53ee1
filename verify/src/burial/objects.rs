//! How long the dead keep what they held: from the kernel's release of their lock to the next holder, or to the
//! moment at which those that wait are told.
//!
//! Every other kill is of a bare process that holds a lock on a file and nothing else, and whose death another process
//! notices by asking the kernel without a pause (`F_OFD_GETLK`). That is the floor: nobody who asks can be faster.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use quoit::service::{CallOptions, Client, Inspector, Outcome as Ended, Server, ServiceOptions};
use quoit::sync::{
    Barrier, Condvar, Latch, Mutex, Once, RwLock, Semaphore, SyncOptions, Table, TableOptions,
};
use quoit::{Error, Group, GroupEvent, GroupMember, Options, Producer, Start};

use super::promise::{self, WITHIN_MS, Waiting};
use super::{Args, Stay, keep, ms_of, spread, start_victim, try_lock, wait_for_lock, whole};
use crate::outcome::Outcome;

/// What somebody holds, and what another waits for.
struct Case {
    what: &'static str,
    make: fn(&Path) -> Result<()>,
    /// In the victim: takes it, and returns what keeps it.
    hold: fn(&Path) -> Result<Stay>,
    /// Whether the victim has what it is to hold. Asked where it takes that only once somebody waits.
    is_held: Option<fn(&Path) -> Result<bool>>,
    /// Waits until it can be had, or until the death is told.
    wait: fn(&Path) -> Result<()>,
    /// Within how many ms of the kernel's release of the lock.
    promised_ms: f64,
}

const CASES: [Case; 11] = [
    Case {
        what: "mutex, the next holder",
        make: |path| Ok(Mutex::create(path, &options(), &0_u64).map(drop)?),
        hold: |path| {
            let mut mutex = Mutex::<u64>::open(path)?;
            std::mem::forget(mutex.lock()?);
            Ok(keep(mutex))
        },
        is_held: None,
        wait: |path| {
            let mut mutex = Mutex::<u64>::open(path)?;
            let guard = mutex.recover_deadline(soon())?;
            ensure!(guard.is_abandoned(), "nobody says that its holder died");
            Ok(())
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "semaphore, the next holder",
        make: |path| Ok(Semaphore::create(path, &options(), 1).map(drop)?),
        hold: |path| {
            let semaphore = Semaphore::open(path)?;
            std::mem::forget(semaphore.acquire()?);
            Ok(keep(semaphore))
        },
        is_held: None,
        wait: |path| {
            let semaphore = Semaphore::open(path)?;
            let permit = semaphore.acquire_deadline(soon())?;
            ensure!(permit.is_abandoned(), "nobody says that its holder died");
            Ok(())
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "reader-writer lock, a writer after a writer",
        make: |path| Ok(RwLock::create(path, &options(), &0_u64).map(drop)?),
        hold: |path| {
            let mut lock = RwLock::<u64>::open(path)?;
            std::mem::forget(lock.write()?);
            Ok(keep(lock))
        },
        is_held: None,
        wait: write,
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "reader-writer lock, a writer after a reader",
        make: |path| Ok(RwLock::create(path, &options(), &0_u64).map(drop)?),
        hold: |path| {
            let mut lock = RwLock::<u64>::open(path)?;
            std::mem::forget(lock.read()?);
            Ok(keep(lock))
        },
        is_held: None,
        wait: write,
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "row of a table, the next writer",
        make: |path| Ok(Table::create(path, &TableOptions::new(1).seats(4), &0_u64).map(drop)?),
        hold: |path| {
            let table = Table::<u64>::open(path)?;
            std::mem::forget(table.row(0)?);
            Ok(keep(table))
        },
        is_held: None,
        wait: |path| {
            let table = Table::<u64>::open(path)?;
            let row = table.row_deadline(0, soon())?;
            ensure!(row.was_abandoned(), "nobody says that its writer died");
            Ok(())
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "barrier, told that it is broken",
        make: |path| Ok(Barrier::create(path, &options(), 2).map(drop)?),
        hold: |path| Ok(keep(Barrier::open(path)?)),
        is_held: None,
        wait: |path| {
            let barrier = Barrier::open(path)?;
            match barrier.wait_deadline(soon()) {
                Err(Error::Broken) => Ok(()),
                other => bail!("a party has died: {other:?}"),
            }
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "latch, told that it is broken",
        make: |path| Ok(Latch::create(path, &options(), 1).map(drop)?),
        hold: |path| Ok(keep(Latch::open(path)?.join()?)),
        is_held: None,
        wait: |path| {
            let latch = Latch::open(path)?;
            match latch.wait_deadline(soon()) {
                Err(Error::Broken) => Ok(()),
                other => bail!("its party has died: {other:?}"),
            }
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "what is done once, the next one at it",
        make: |path| Ok(Once::create(path, &options()).map(drop)?),
        hold: |path| {
            let mut once = Once::open(path)?;
            let (at_it, tells) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                once.call(|_| {
                    let _ = at_it.send(());
                    keep(())();
                })
            });
            tells.recv()?;
            Ok(keep(()))
        },
        is_held: None,
        wait: |path| {
            let mut once = Once::open(path)?;
            let mut attempts = 0;
            let is_mine = once.call_deadline(soon(), |state| attempts = state.attempts)?;
            ensure!(is_mine && attempts == 1, "{attempts} attempts, mine: {is_mine}");
            Ok(())
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "condition variable, told that the mutex is abandoned",
        make: |path| {
            drop(Mutex::create(path, &options(), &0_u64)?);
            Ok(Condvar::create(path.with_extension("condvar"), &options()).map(drop)?)
        },
        hold: |path| {
            let mut mutex = Mutex::<u64>::open(path)?;
            let condvar = Condvar::open(path.with_extension("condvar"))?;
            Ok(Box::new(move || {
                // It is the other one's until that one waits.
                while condvar.waiting().is_empty() {
                    std::thread::sleep(Duration::from_micros(200));
                }
                std::mem::forget(mutex.lock().expect("lock"));
                keep((mutex, condvar))();
            }))
        },
        is_held: Some(|path| {
            let holder = Mutex::<u64>::open(path)?.holder()?;
            // Before it waits, it is this process's.
            Ok(holder.is_some_and(|holder| holder.pid != std::process::id()))
        }),
        wait: |path| {
            let mut mutex = Mutex::<u64>::open(path)?;
            let condvar = Condvar::open(path.with_extension("condvar"))?;
            let guard = mutex.lock_deadline(soon())?;
            match condvar.wait_while_deadline(guard, soon(), |value| *value == 0).map(drop) {
                Err(Error::Abandoned) => Ok(()),
                other => bail!("the holder has died: {other:?}"),
            }
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "group, the first record of a dead member",
        make: |path| {
            let mut producer = Producer::create(path, &Options::new().capacity(4096))?;
            drop(GroupMember::join(path, &group())?);
            producer.send(b"a record")?;
            Ok(())
        },
        hold: |path| {
            let mut member = GroupMember::join(path, &group())?;
            let _ = member.recv_job(|_| {})?;
            Ok(keep(member))
        },
        is_held: None,
        wait: |path| {
            let mut member = GroupMember::join(path, &group())?;
            match member.recv_deadline(soon())? {
                GroupEvent::Job(job) => {
                    ensure!(job.deliveries() == 2, "{} deliveries", job.deliveries());
                    Ok(job.ack()?)
                }
                other => bail!("{other:?}"),
            }
        },
        promised_ms: WITHIN_MS,
    },
    Case {
        what: "service, a client told that the server is gone",
        make: |path| Ok(Server::create(path, &ServiceOptions::new().clients(2)).map(drop)?),
        hold: |path| {
            let server = Server::open(path)?;
            Ok(Box::new(move || {
                std::mem::forget(server.recv().expect("a request"));
                keep(server)();
            }))
        },
        is_held: Some(|path| {
            let snapshot = Inspector::open(path)?.snapshot()?;
            Ok(snapshot.clients.iter().any(|client| client.taken == 1))
        }),
        wait: |path| {
            let mut client = Client::open(path)?;
            client.start(b"a request", CallOptions::new())?;
            let answer = client.recv_deadline(soon())?.context("the call does not end")?;
            ensure!(matches!(answer.outcome(), Ended::ServerGone), "{answer:?}");
            Ok(())
        },
        // The longer it has waited, the less often it asks; but every 20 ms.
        promised_ms: 20.0,
    },
];

fn write(path: &Path) -> Result<()> {
    let mut lock = RwLock::<u64>::open(path)?;
    drop(lock.recover_deadline(soon())?);
    Ok(())
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(4)
}

fn group() -> Group {
    Group::new("workers").start(Start::Oldest).hold_forever().members(4)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Times of one kill, from just before it.
struct Times {
    /// The kernel has released the victim's lock.
    lock_free: Duration,
    /// The one that waited goes on.
    goes_on: Duration,
    /// For how long those who waited had no processor when the lock was free.
    kept: Duration,
}

pub(super) fn run(folder: &Path, kills: u32, args: &Args, outcome: &mut Outcome) -> Result<String> {
    let mut table =
        "\n| held by the dead, and waited for | kills | goes on (ms) | after the lock (ms) | floor: asked \
                     without a pause, after the lock (ms) | counted | promised (ms) |\n|---|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    let mut killed = 0;
    for case in CASES.iter().filter(|case| args.wants(case.what)) {
        let round = |times: &Times| (ms_of(times.goes_on) - ms_of(times.lock_free), times.kept);
        let (all, failed) = promise::kill_all(
            kills,
            case.promised_ms,
            |number| Ok((bury(folder, case, number)?, bury_bare(folder, number)?)),
            |(times, _)| round(times),
        );
        if let Some((number, error)) = failed {
            outcome.fail(format!("{}, kill {number}: {error:#} [cargo verify burial]", case.what));
        }
        let (held, floor): (Vec<Times>, Vec<Times>) = all.into_iter().unzip();
        killed += held.len() as u64;
        let after = |all: &[Times]| spread(all.iter().map(|times| round(times).0).collect());
        let counted = promise::judge(case.what, held.iter().map(round), case.promised_ms, outcome);
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} | {counted} | {} |\n",
            case.what,
            held.len(),
            spread(held.iter().map(|times| ms_of(times.goes_on)).collect()),
            after(&held),
            after(&floor),
            case.promised_ms,
        ));
    }
    outcome.count("holders of something else killed while another waited for it, and went on", killed);
    Ok(table)
}

/// One victim, one that waits for what it has, and one that waits for its lock on another file.
fn bury(folder: &Path, case: &Case, number: u32) -> Result<Times> {
    let (path, scratch) = (folder.join("object"), folder.join("scratch"));
    std::fs::write(&scratch, b"")?;
    (case.make)(&path)?;
    let lock = File::options().read(true).write(true).open(&scratch)?;
    let (waiter, locker) = (Waiting::default(), Waiting::default());
    let times = std::thread::scope(|scope| -> Result<Times> {
        let victim = start_victim(&scratch, 1, &|| (case.hold)(&path))?;
        let waiting = scope.spawn(|| waiter.run(|| (case.wait)(&path)));
        let locking = scope.spawn(|| (locker.run(|| wait_for_lock(&lock)), waiter.kept()));
        waiter.until_asleep()?;
        until_held(case, &path)?;
        std::thread::sleep(Duration::from_micros(6000 + u64::from(number) * 397 % 2000));
        let before = locker.kept();
        let began = Instant::now();
        kill(victim.pid(), Signal::SIGKILL)?;
        let went = waiting.join().expect("no panic");
        let (locked, waiter_then) = locking.join().expect("no panic");
        let kept = went.kept_since(waiter_then).max(locked.kept_since(before));
        went.result?;
        locked.result?;
        Ok(Times { lock_free: locked.at - began, goes_on: went.at - began, kept })
    });
    for entry in std::fs::read_dir(folder)? {
        std::fs::remove_file(entry?.path())?;
    }
    times
}

/// Waits until the victim has what it is to hold: on a busy machine that takes a while.
fn until_held(case: &Case, path: &Path) -> Result<()> {
    let Some(is_held) = case.is_held else { return Ok(()) };
    let end = soon();
    while !is_held(path)? {
        ensure!(Instant::now() < end, "the victim does not take what it is to hold");
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// The floor: the same with a bare lock.
fn bury_bare(folder: &Path, number: u32) -> Result<Times> {
    let (held, scratch) = (folder.join("held"), folder.join("scratch"));
    for path in [&held, &scratch] {
        std::fs::write(path, b"")?;
    }
    let victim = start_victim(&scratch, 1, &|| {
        let file = File::options().read(true).write(true).open(&held)?;
        ensure!(try_lock(&file)?, "somebody else has the lock");
        Ok(keep(file))
    })?;
    let (asked, lock) = (
        File::options().read(true).write(true).open(&held)?,
        File::options().read(true).write(true).open(&scratch)?,
    );
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| (ask_until_free(&asked), Instant::now()));
        let locking = scope.spawn(|| (wait_for_lock(&lock), Instant::now()));
        std::thread::sleep(Duration::from_micros(6000 + u64::from(number) * 397 % 2000));
        let began = Instant::now();
        kill(victim.pid(), Signal::SIGKILL)?;
        let (is_free, goes_on) = asking.join().expect("no panic");
        let (locked, lock_free) = locking.join().expect("no panic");
        is_free?;
        locked?;
        Ok(Times { lock_free: lock_free - began, goes_on: goes_on - began, kept: Duration::ZERO })
    })
}

fn ask_until_free(file: &File) -> Result<()> {
    loop {
        let mut range = whole(libc::F_WRLCK);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut range))?;
        if libc::c_int::from(range.l_type) == libc::F_UNLCK {
            return Ok(());
        }
    }
}
