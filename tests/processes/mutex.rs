//! A mutex between processes: its holders are killed anywhere, stopped, and forked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use quoit::Error;
use quoit::sync::{Mutex, MutexGuard, SyncOptions};
use rustix::io::FdFlags;

use crate::forks::split;
use crate::process::{Part, SOON, Stage, eventually, hear, kills_wanted, note, say};

/// Large enough that some kills meet a commit that is under way.
const WORDS: usize = 64;
type Value = [u64; WORDS];

/// Two numbers outside the mutex, which its holder alone may write. They pair up while nobody holds it.
struct Outside(File);

impl Outside {
    fn open(path: &Path) -> Self {
        Self(File::options().read(true).write(true).create(true).truncate(false).open(path).expect("open"))
    }

    fn set(&self, which: u64, number: u64) {
        self.0.write_all_at(&number.to_le_bytes(), 8 * which).expect("write");
    }

    fn get(&self, which: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 8 * which).expect("read");
        u64::from_le_bytes(bytes)
    }

    /// What the last holder left, with the value that it committed. After a death it may have come some steps further
    /// with the one than with the other: then it is put right.
    fn check(&self, guard: &mut MutexGuard<'_, Value>) {
        let number = guard[0];
        assert!(guard.iter().all(|word| *word == number), "half a value");
        let [before, after] = [self.get(0), self.get(1)];
        if guard.is_abandoned() {
            assert!(
                (before == number || before == number + 1) && (after == number || after + 1 == number),
                "{before}, {number}, {after}: not the steps of one holder"
            );
            self.set(0, number);
            self.set(1, number);
            guard.recovered();
        } else {
            assert_eq!([before, after], [number; 2], "another one was there");
        }
    }

    fn add_one(&self, mutex: &mut Mutex<Value>) {
        let mut guard = mutex.recover().expect("lock");
        self.check(&mut guard);
        let next = guard[0] + 1;
        self.set(0, next);
        *guard = [next; WORDS];
        guard.save().expect("commit");
        self.set(1, next);
    }
}

/// Adds one, again and again, until it is killed.
///
/// `ring`, `outside`.
pub(crate) fn contend(part: &Part) {
    let outside = Outside::open(&part.get::<std::path::PathBuf>("outside"));
    let mut mutex = Mutex::open(part.ring()).expect("open");
    say("contends");
    loop {
        outside.add_one(&mut mutex);
    }
}

/// Locks, says so, and holds the lock until it is told to go on.
///
/// `ring`.
pub(crate) fn hold(part: &Part) {
    let mut mutex = Mutex::<u64>::open(part.ring()).expect("open");
    say("waits");
    let mut guard = mutex.recover().expect("lock");
    guard.recovered();
    *guard += 1;
    say(format_args!("holds {}", *guard));
    hear();
    guard.commit().expect("commit");
    say("done");
}

/// Four contenders; one after the other is killed, wherever it is, and replaced.
#[test]
fn holders_and_waiters_are_killed() {
    let kills = kills_wanted(120);
    let stage = Stage::tmpfs(300);
    let (path, outside) = (stage.file("mutex"), stage.file("outside"));
    let ours = Outside::open(&outside);
    let mut mutex = Mutex::create(&path, &SyncOptions::new().seats(8), &[1_u64; WORDS]).expect("create");
    ours.set(0, 1);
    ours.set(1, 1);
    let start = || {
        let mut process =
            Part::new("contend for a mutex").on(&path).with("outside", outside.display()).start();
        process.says("contends");
        process
    };
    let mut contenders: Vec<_> = (0..4).map(|_| start()).collect();
    let (mut last, mut abandoned) = (1, 0);
    for kill in 0..kills {
        std::thread::sleep(Duration::from_micros(kill * 37 % 2000));
        let at = (kill % 4) as usize;
        contenders[at].kill();
        abandoned += u64::from(mutex.is_abandoned());
        contenders[at] = start();
        // It goes on, whoever was killed.
        let mut guard = mutex.recover_deadline(Instant::now() + SOON).expect("nobody keeps the lock");
        ours.check(&mut guard);
        assert!(guard[0] >= last, "a commit was lost: {} after {last}", guard[0]);
        last = guard[0];
    }
    contenders.iter_mut().for_each(|contender| drop(contender.kill()));
    let mut guard = mutex.recover_deadline(Instant::now() + SOON).expect("nobody keeps the lock");
    ours.check(&mut guard);
    assert_eq!(guard.version().unwrap(), guard[0], "a commit is missing");
    assert!(guard[0] > kills, "nobody worked");
    note(format_args!("mutex: {kills} kills, {} commits, {abandoned} told afterwards", guard[0]));
}

#[test]
fn who_waits_is_told_of_a_death() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("mutex");
    let mut mutex = Mutex::create(&path, &SyncOptions::new().seats(4), &1_u64).expect("create");
    for waits_ms in [0, 5, 300] {
        let mut holder = Part::new("hold a mutex").on(&path).start();
        holder.says("waits");
        let holds = holder.says("holds");
        assert_eq!(holds, [2], "nothing was ever committed");
        assert_eq!(mutex.holder().unwrap().expect("it is held").pid, holder.pid());
        let mut other = mutex.try_clone().expect("a handle");
        let waiting = std::thread::spawn(move || other.lock_deadline(Instant::now() + SOON).map(drop));
        eventually("a thread waits", || !mutex.waiting().is_empty());
        std::thread::sleep(Duration::from_millis(waits_ms));
        // Not reaped: what counts is that the kernel closed its files.
        holder.strike();
        let told = waiting.join().unwrap().unwrap_err();
        assert!(matches!(told, Error::Abandoned), "{told}");
        holder.reap();
        assert_eq!(*mutex.recover().expect("lock"), 1, "what was not committed is gone");
    }
}

/// Long into a wait a death is still noticed in milliseconds, not at the end of a long sleep.
#[test]
fn a_sleeper_watches_the_holder() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("mutex");
    let mut mutex = Mutex::create(&path, &SyncOptions::new().seats(4), &1_u64).expect("create");
    let mut delays: Vec<_> = (0..9)
        .map(|_| {
            let mut holder = Part::new("hold a mutex").on(&path).start();
            holder.says("waits");
            holder.says("holds");
            let mut other = mutex.try_clone().expect("a handle");
            let waiting = std::thread::spawn(move || {
                let told = other.lock_deadline(Instant::now() + SOON).map(drop);
                (told, Instant::now())
            });
            eventually("a thread waits", || !mutex.waiting().is_empty());
            std::thread::sleep(Duration::from_millis(150));
            let killed = Instant::now();
            holder.kill();
            let (told, at) = waiting.join().unwrap();
            assert!(matches!(told, Err(Error::Abandoned)), "{told:?}");
            mutex.recover().expect("lock").recovered();
            at.duration_since(killed)
        })
        .collect();
    delays.sort_unstable();
    note(format_args!("mutex: deaths noticed after {delays:?}"));
    // Sleeps of 100 ms would take 50 of them.
    assert!(delays[4] < Duration::from_millis(20), "{delays:?}");
}

/// A stopped process is alive, and has what it has.
#[test]
fn a_stopped_holder_keeps_the_lock() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("mutex");
    let mut mutex = Mutex::create(&path, &SyncOptions::new(), &1_u64).expect("create");
    let mut holder = Part::new("hold a mutex").on(&path).start();
    holder.says("waits");
    holder.says("holds");
    holder.stop();
    assert!(matches!(mutex.lock_timeout(Duration::from_millis(50)), Err(Error::TimedOut)));
    assert!(mutex.try_lock().expect("look").is_none());
    assert!(mutex.holder().unwrap().expect("it is held").is_alive);
    holder.cont();
    holder.tell("go on");
    holder.says("done");
    assert_eq!(*mutex.lock_deadline(Instant::now() + SOON).expect("lock"), 2);
    holder.finish();
}

/// Locks, starts a process that inherits what proves its life, and says that one's number.
///
/// `ring`.
pub(crate) fn lend(part: &Part) {
    let mut mutex = Mutex::<u64>::open(part.ring()).expect("open");
    let life = mutex.proof_of_life().expect("a descriptor");
    let guard = mutex.lock().expect("lock");
    rustix::io::fcntl_setfd(&life, FdFlags::empty()).expect("inheritable");
    let mut heir = Command::new("sleep")
        .arg("60")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("start a process");
    drop(life);
    say(format_args!("lends {}", heir.id()));
    hear();
    drop(guard);
    drop(mutex);
    say("done");
    heir.wait().expect("reap it");
}

/// What a child inherited keeps the lock when the holder is killed, and not when the holder gives it back.
#[test]
fn an_heir_keeps_the_lock_of_the_dead() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("mutex");
    let mut mutex = Mutex::create(&path, &SyncOptions::new(), &1_u64).expect("create");
    for is_killed in [true, false] {
        let mut holder = Part::new("lend a mutex").on(&path).start();
        let heir = Pid::from_raw(holder.says("lends")[0] as i32);
        if is_killed {
            holder.kill();
            assert!(matches!(mutex.lock_timeout(Duration::from_millis(50)), Err(Error::TimedOut)));
            assert!(mutex.holder().unwrap().expect("it is held").is_alive);
        } else {
            holder.tell("give it back");
            holder.says("done");
            assert!(mutex.lock_deadline(Instant::now() + SOON).is_ok());
        }
        kill(heir, Signal::SIGKILL).expect("kill the heir");
        if !is_killed {
            holder.finish();
        } else {
            assert!(matches!(mutex.lock_deadline(Instant::now() + SOON), Err(Error::Abandoned)));
            mutex.recover().expect("lock").recovered();
        }
    }
}

/// A file that is replaced is another mutex: who waits goes on waiting for the old one, gets that, and can find out.
#[test]
fn who_waits_while_the_file_is_replaced_gets_the_old_one() {
    let stage = Stage::tmpfs(120);
    let (path, next) = (stage.file("mutex"), stage.file("next"));
    let options = SyncOptions::new().seats(4);
    for dies in [false, true] {
        let old = Mutex::create(&path, &options, &1_u64).expect("create");
        let mut holder = Part::new("hold a mutex").on(&path).start();
        holder.says("waits");
        holder.says("holds");
        let mut other = old.try_clone().expect("a handle");
        let waiting = std::thread::spawn(move || {
            let told = other.lock_deadline(Instant::now() + SOON).map(|guard| *guard);
            (told, other)
        });
        eventually("a thread waits", || !old.waiting().is_empty());
        assert!(!old.is_stale());
        drop(Mutex::create(&next, &options, &7_u64).expect("create"));
        std::fs::rename(&next, &path).expect("replace it");
        assert!(old.is_stale());
        // Newcomers get the new one, which nobody has.
        let mut new = Mutex::<u64>::open(&path).expect("open");
        assert_eq!(*new.lock_deadline(Instant::now() + SOON).expect("lock"), 7);
        assert!(!new.is_stale());
        assert!(!waiting.is_finished() && !old.waiting().is_empty(), "the new one came between");
        if dies {
            holder.kill();
        } else {
            holder.tell("go on");
            holder.says("done");
            holder.finish();
        }
        let (told, other) = waiting.join().unwrap();
        match told {
            Ok(value) => assert!(!dies && value == 2, "{value}"),
            Err(error) => assert!(dies && matches!(error, Error::Abandoned), "{error}"),
        }
        assert!(other.is_stale() && !new.is_stale());
        assert_eq!(
            *new.lock_deadline(Instant::now() + SOON).expect("lock"),
            7,
            "it got something of the old one"
        );
        std::fs::remove_file(&path).expect("remove");
    }
}

/// A sleeper that is killed costs the others no more than a slice, wherever among them it was.
#[test]
fn killed_sleepers_keep_nobody() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("mutex");
    let mut mutex = Mutex::create(&path, &SyncOptions::new(), &1_u64).expect("create");
    for victim in 0..3 {
        let guard = mutex.lock().expect("lock");
        let mut sleepers: Vec<_> = (0..3)
            .map(|_| {
                let mut sleeper = Part::new("hold a mutex").on(&path).start();
                sleeper.says("waits");
                sleeper.falls_asleep();
                sleeper
            })
            .collect();
        sleepers[victim].kill();
        sleepers.remove(victim);
        drop(guard);
        // Whichever comes first.
        sleepers.iter_mut().for_each(|sleeper| sleeper.tell("go on"));
        for sleeper in &mut sleepers {
            sleeper.says("holds");
            sleeper.says("done");
        }
        assert!(mutex.lock_deadline(Instant::now() + SOON).is_ok());
    }
}

/// Holds a mutex, forks, and lets the child try. Then it is killed, and the child lives on.
///
/// `ring`.
pub(crate) fn fork_with_a_guard(part: &Part) {
    let mut mutex = Mutex::<u64>::open(part.ring()).expect("open");
    let mut idle = mutex.try_clone().expect("a handle");
    let mut guard = mutex.lock().expect("lock");
    *guard = 7;
    if let ForkResult::Parent { child } = split() {
        let ended = waitpid(child, None).expect("wait for the child");
        assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
        say("forked");
        hear();
        guard.commit().expect("commit");
        say("done");
        return;
    }
    assert!(matches!(guard.save(), Err(Error::Forked)));
    guard.recovered();
    assert!(matches!(guard.commit(), Err(Error::Forked)));
    assert!(matches!(idle.lock(), Err(Error::Forked)));
    assert!(matches!(idle.try_lock(), Err(Error::Forked)));
    assert!(matches!(idle.holder(), Err(Error::Forked)));
    assert!(matches!(idle.try_clone(), Err(Error::Forked)));
    assert!(idle.waiting().is_empty() && !idle.is_abandoned());
    drop((idle, mutex));
    // Of its own it may have one, and the parent has the lock.
    let mut own = Mutex::<u64>::open(part.ring()).expect("open");
    assert!(own.try_lock().expect("look").is_none());
    assert!(matches!(own.lock_timeout(Duration::from_millis(5)), Err(Error::TimedOut)), "taken for its own");
    drop(own);
    std::process::exit(0);
}

#[test]
fn a_child_owns_nothing() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("mutex");
    let mut mutex = Mutex::create(&path, &SyncOptions::new(), &1_u64).expect("create");
    let mut parent = Part::new("fork with a guard").on(&path).start();
    parent.says("forked");
    assert!(mutex.try_lock().expect("look").is_none(), "its child gave it back");
    parent.tell("go on");
    parent.says("done");
    assert_eq!(*mutex.lock_deadline(Instant::now() + SOON).expect("lock"), 7);
    parent.finish();
}
