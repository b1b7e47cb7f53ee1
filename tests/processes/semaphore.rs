//! A semaphore between processes: holders and waiters are killed anywhere.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use quoit::sync::{Semaphore, SyncOptions};

use crate::process::{Part, SOON, Stage, eventually, hear, kills_wanted, note, say};

const PERMITS: u32 = 2;

/// As many places outside the semaphore as it has permits, each for one holder: locked bytes of a file. The kernel closes
/// the files of a process in the order of their numbers, so whoever opens this one first leaves its place before its
/// permit.
struct Places(File);

impl Places {
    fn open(path: &Path) -> Self {
        Self(File::options().read(true).write(true).create(true).truncate(false).open(path).expect("open"))
    }

    fn set(&self, kind: libc::c_int, place: u32) -> bool {
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: place.into(),
            l_len: 1,
            l_pid: 0,
        };
        match fcntl(self.0.as_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => true,
            Err(Errno::EAGAIN | Errno::EACCES) => false,
            Err(errno) => panic!("{errno}"),
        }
    }

    /// Takes a place, which must be there, and leaves it again.
    fn visit(&self) {
        let place = (0..PERMITS).find(|place| self.set(libc::F_WRLCK, *place));
        let place = place.expect("there are more holders than permits");
        std::thread::yield_now();
        self.set(libc::F_UNLCK, place);
    }
}

/// Takes a permit and a place, again and again, until it is killed.
///
/// `ring`, `places`.
pub(crate) fn contend(part: &Part) {
    let places = Places::open(&part.get::<PathBuf>("places"));
    let semaphore = Semaphore::open(part.ring()).expect("open");
    say("contends");
    for turn in 0_u64.. {
        // Now and then all of them.
        if turn % 7 == 6 {
            let all = semaphore.acquire_many(PERMITS).expect("all permits");
            places.visit();
            drop(all);
        } else {
            let permit = semaphore.acquire().expect("a permit");
            places.visit();
            drop(permit);
        }
        if turn == 0 {
            say("has had one");
        }
    }
}

/// Takes so many permits, says so, and holds them until it is told to go on.
///
/// `ring`, `permits`.
pub(crate) fn hold(part: &Part) {
    let semaphore = Semaphore::open(part.ring()).expect("open");
    let permits = semaphore.acquire_many(part.get("permits")).expect("permits");
    say(format_args!("holds {} {}", permits.count(), u32::from(permits.is_abandoned())));
    hear();
}

/// Five contenders for two permits; one after the other is killed, wherever it is, and replaced.
#[test]
fn holders_and_waiters_are_killed() {
    let kills = kills_wanted(120);
    let stage = Stage::tmpfs(300);
    let (path, file) = (stage.file("semaphore"), stage.file("places"));
    let semaphore = Semaphore::create(&path, &SyncOptions::new().seats(8), PERMITS).expect("create");
    let start = || {
        let mut process = Part::new("contend for permits").on(&path).with("places", file.display()).start();
        process.says("contends");
        process
    };
    let mut contenders: Vec<_> = (0..5).map(|_| start()).collect();
    let mut told = 0;
    for kill in 0..kills {
        std::thread::sleep(Duration::from_micros(kill * 37 % 2000));
        let at = (kill % 5) as usize;
        let said = contenders[at].kill();
        assert!(said.iter().all(|line| line == "has had one"), "{said:?}");
        contenders[at] = start();
        // It goes on, whoever was killed.
        let permit = semaphore.acquire_deadline(Instant::now() + SOON).expect("nobody keeps a permit");
        told += u64::from(permit.is_abandoned());
    }
    contenders.iter_mut().for_each(|contender| contender.says("has had one").clear());
    contenders.iter_mut().for_each(|contender| drop(contender.kill()));
    drop(semaphore.acquire_many_deadline(PERMITS, Instant::now() + SOON).expect("nobody keeps a permit"));
    assert!(semaphore.holders().expect("look").is_empty());
    note(format_args!("semaphore: {kills} kills, {told} permits of the dead came to the test itself"));
}

#[test]
fn who_waits_gets_the_permits_of_the_dead() {
    let stage = Stage::tmpfs(120);
    let path = stage.file("semaphore");
    let semaphore = Semaphore::create(&path, &SyncOptions::new(), 3).expect("create");
    for waits_ms in [0, 5, 300] {
        let mut holder = Part::new("hold permits").on(&path).with("permits", 2).start();
        assert_eq!(holder.says("holds"), [2, 0]);
        let other = semaphore.try_clone().expect("a handle");
        let waiting = std::thread::spawn(move || {
            let permits = other.acquire_many_deadline(3, Instant::now() + SOON).expect("what the dead had");
            assert!(permits.is_abandoned());
        });
        eventually("a thread waits", || !semaphore.waiting().is_empty());
        std::thread::sleep(Duration::from_millis(waits_ms));
        holder.strike();
        waiting.join().unwrap();
        holder.reap();
    }
    // Stopped is not dead.
    let mut holder = Part::new("hold permits").on(&path).with("permits", 3).start();
    assert_eq!(holder.says("holds"), [3, 0]);
    holder.stop();
    assert!(semaphore.acquire_timeout(Duration::from_millis(50)).is_err());
    assert!(semaphore.try_acquire().expect("look").is_none());
    holder.cont();
    holder.tell("go on");
    drop(semaphore.acquire_many_deadline(3, Instant::now() + SOON).expect("given back"));
    holder.finish();
}
