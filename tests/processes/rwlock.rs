//! Reader-writer locks and condition variables between processes: readers, writers and waiters are killed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::Error;
use quoit::sync::{Condvar, Mutex, RwLock, SyncOptions};

use crate::process::{Part, SOON, Stage, eventually, hear, note, say};

/// Large enough that some kills meet a commit that is under way.
const WORDS: usize = 64;
type Value = [u64; WORDS];

fn number(value: &Value) -> u64 {
    assert!(value.iter().all(|word| *word == value[0]), "half a value");
    value[0]
}

/// Reads, and now and then adds one, until it is killed.
///
/// `ring`.
pub(crate) fn contend(part: &Part) {
    let mut lock = RwLock::<Value>::open(part.ring()).expect("open");
    say("contends");
    let mut last = 0;
    for turn in 0_u64.. {
        if turn % 4 == 0 {
            let mut guard = lock.recover().expect("write");
            guard.recovered();
            let next = number(&guard) + 1;
            *guard = [next; WORDS];
            continue;
        }
        match lock.read() {
            Ok(guard) => {
                assert!(number(&guard) >= last, "it went back");
                last = number(&guard);
            }
            Err(Error::Abandoned) => {}
            Err(error) => panic!("{error}"),
        }
        match lock.get() {
            Ok(value) => assert!(number(&value) >= last, "it went back"),
            Err(Error::Busy) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until the value is not 0, and takes one from it, again and again.
///
/// `ring`: the mutex; `condvar`.
pub(crate) fn take(part: &Part) {
    let mut mutex = Mutex::<u64>::open(part.ring()).expect("open");
    let condvar = Condvar::open(part.get::<PathBuf>("condvar")).expect("open");
    say("waits");
    loop {
        let guard = mutex.lock().expect("lock");
        match condvar.wait_while(guard, |stock| *stock == 0) {
            Ok(mut guard) => {
                *guard -= 1;
                guard.commit().expect("commit");
                say("took one");
            }
            Err(Error::Abandoned) => {
                say("told");
                hear();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn readers_and_writers_are_killed() {
    let stage = Stage::tmpfs(300);
    let path = stage.file("rwlock");
    let mut lock = RwLock::create(&path, &SyncOptions::new().seats(8), &[1_u64; WORDS]).expect("create");
    let start = || {
        let mut process = Part::new("read and write").on(&path).start();
        process.says("contends");
        process
    };
    let mut contenders: Vec<_> = (0..4).map(|_| start()).collect();
    let kills = std::env::var("QUOIT_KILLS").map_or(120, |text| text.parse().expect("a number"));
    let mut last = 1;
    for kill in 0_u64..kills {
        std::thread::sleep(Duration::from_micros(kill * 37 % 2000));
        let at = (kill % 4) as usize;
        contenders[at].kill();
        contenders[at] = start();
        let mut guard = lock.recover_deadline(Instant::now() + SOON).expect("the dead keep nobody out");
        guard.recovered();
        let found = number(&guard);
        drop(guard);
        assert!(found >= last, "a commit was lost: {found} after {last}");
        last = found;
    }
    contenders.iter_mut().for_each(|contender| drop(contender.kill()));
    let guard = lock.recover().expect("write");
    assert_eq!(guard.version().expect("look"), number(&guard), "a commit is missing");
    assert!(number(&guard) > kills, "nobody wrote");
    note(format_args!("rwlock: {kills} kills, {} commits", number(&guard)));
}

#[test]
fn who_waits_for_a_change_is_told_of_a_death() {
    let stage = Stage::tmpfs(120);
    let (path, file) = (stage.file("mutex"), stage.file("condvar"));
    let mut mutex = Mutex::create(&path, &SyncOptions::new(), &0_u64).expect("create");
    let condvar = Condvar::create(&file, &SyncOptions::new()).expect("create");
    let mut taker = Part::new("take what there is").on(&path).with("condvar", file.display()).start();
    taker.says("waits");
    eventually("it waits", || !condvar.waiting().is_empty());
    *mutex.lock().expect("lock") = 1;
    condvar.notify_one().expect("notify");
    taker.says("took one");
    for _ in 0..3 {
        eventually("it waits", || !condvar.waiting().is_empty());
        let mut holder = Part::new("hold a mutex").on(&path).start();
        holder.says("waits");
        holder.says("holds");
        holder.kill();
        taker.says("told");
        mutex.recover().expect("lock").recovered();
        taker.tell("go on");
    }
    // A waiter that is killed is nobody's loss.
    let mut other = Part::new("take what there is").on(&path).with("condvar", file.display()).start();
    other.says("waits");
    eventually("both wait", || condvar.waiting().len() == 2);
    taker.kill();
    *mutex.lock().expect("lock") = 1;
    condvar.notify_one().expect("notify");
    other.says("took one");
}
