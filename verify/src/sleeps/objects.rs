//! The loads of locks, values, groups and services: one process sleeps for each hand-over, and the other makes the
//! next when it has been received. No sleep that somebody has to end has a time limit.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use delayed::delays::Sleeps;
use delayed::service::{CallOptions, Client, Server, ServiceOptions};
use delayed::sync::{
    Barrier, Condvar, Event, Latch, Latest, LatestOptions, LatestReader, Mutex, Once, Reset, RwLock,
    Semaphore, SyncOptions, Table, TableOptions, TableReader,
};
use delayed::{Group, GroupEvent, GroupMember, Options, Producer, WaitMode};
use support::dice::Dice;

use super::board::Board;
use super::loads::{MOST_SEEDS, dawdle, until};
use super::watch::{Limits, Run, Trouble, watch};
use super::{Bench, Progress, woken};
use crate::child::Shared;
use crate::outcome::{Outcome, grouped};

/// A load, by what one process sleeps for.
#[derive(Clone, Copy)]
pub(super) struct Load {
    what: &'static str,
    /// Makes the objects.
    make: fn(&Path),
    /// The process that hands over.
    give: fn(&mut Turns<'_>),
    /// The one that sleeps.
    take: fn(&mut Turns<'_>),
    /// Sleeps that nobody has to end may have a limit: a newcomer lets an impatient sleeper pass.
    may_nap: bool,
}

const ALL: [Load; 13] = [
    Load {
        what: "asleep for a mutex",
        make: |path| drop(Mutex::create(path, &options(), &0_u64).expect("create")),
        give: |turns| {
            let mut mutex = Mutex::<u64>::open(&turns.path).expect("open");
            turns.begin();
            loop {
                let mut guard = mutex.lock().expect("lock");
                turns.ask();
                *guard += 1;
                guard.commit().expect("commit");
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let mut mutex = Mutex::<u64>::open(&turns.path).expect("open");
            turns.begin();
            while turns.is_asked() {
                assert_eq!(*mutex.lock().expect("lock"), turns.number());
                turns.received();
            }
        },
        may_nap: true,
    },
    Load {
        what: "asleep for a permit",
        make: |path| drop(Semaphore::create(path, &options(), 1).expect("create")),
        give: |turns| {
            let semaphore = Semaphore::open(&turns.path).expect("open");
            turns.begin();
            loop {
                let permit = semaphore.acquire().expect("acquire");
                turns.ask();
                drop(permit);
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let semaphore = Semaphore::open(&turns.path).expect("open");
            turns.begin();
            while turns.is_asked() {
                drop(semaphore.acquire().expect("acquire"));
                turns.received();
            }
        },
        may_nap: true,
    },
    Load {
        what: "a writer asleep for a reader to leave",
        make: |path| drop(RwLock::create(path, &options(), &0_u64).expect("create")),
        give: |turns| {
            let mut lock = RwLock::<u64>::open(&turns.path).expect("open");
            turns.begin();
            loop {
                let guard = lock.read().expect("read");
                turns.ask();
                drop(guard);
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let mut lock = RwLock::<u64>::open(&turns.path).expect("open");
            turns.begin();
            while turns.is_asked() {
                *lock.write().expect("write") += 1;
                turns.received();
            }
        },
        may_nap: true,
    },
    Load {
        what: "a reader asleep for a writer to leave",
        make: |path| drop(RwLock::create(path, &options(), &0_u64).expect("create")),
        give: |turns| {
            let mut lock = RwLock::<u64>::open(&turns.path).expect("open");
            turns.begin();
            loop {
                let mut guard = lock.write().expect("write");
                turns.ask();
                *guard += 1;
                guard.commit().expect("commit");
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let mut lock = RwLock::<u64>::open(&turns.path).expect("open");
            turns.begin();
            while turns.is_asked() {
                assert_eq!(*lock.read().expect("read"), turns.number());
                turns.received();
            }
        },
        may_nap: true,
    },
    Load {
        what: "asleep for a change under a mutex",
        make: |path| {
            drop(Mutex::create(path, &options(), &0_u64).expect("create"));
            drop(Condvar::create(path.with_extension("condvar"), &options()).expect("create"));
        },
        give: |turns| {
            let mut mutex = Mutex::<u64>::open(&turns.path).expect("open");
            let condvar = Condvar::open(turns.path.with_extension("condvar")).expect("open");
            turns.begin();
            loop {
                turns.ask();
                *mutex.lock().expect("lock") = turns.number();
                condvar.notify_one().expect("notify");
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let mut mutex = Mutex::<u64>::open(&turns.path).expect("open");
            let condvar = Condvar::open(turns.path.with_extension("condvar")).expect("open");
            turns.begin();
            while turns.is_asked() {
                let number = turns.number();
                let guard = mutex.lock().expect("lock");
                drop(condvar.wait_while(guard, |value| *value < number).expect("wait"));
                turns.received();
            }
        },
        may_nap: true,
    },
    Load {
        what: "asleep for an event",
        make: |path| drop(Event::create(path, &options(), Reset::Auto).expect("create")),
        give: |turns| {
            let event = Event::open(&turns.path).expect("open");
            turns.begin();
            loop {
                turns.ask();
                assert!(event.set().expect("set"), "its last signal was taken");
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let event = Event::open(&turns.path).expect("open");
            turns.begin();
            while turns.is_asked() {
                event.wait().expect("wait");
                turns.received();
            }
        },
        may_nap: false,
    },
    Load {
        what: "asleep at a barrier",
        make: |path| drop(Barrier::create(path, &options(), 2).expect("create")),
        give: |turns| {
            let barrier = Barrier::open(&turns.path).expect("open");
            turns.begin();
            loop {
                turns.ask();
                barrier.wait().expect("both are there");
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let barrier = Barrier::open(&turns.path).expect("open");
            turns.begin();
            while turns.is_asked() {
                barrier.wait().expect("both are there");
                turns.received();
            }
        },
        may_nap: false,
    },
    LATEST,
    Load {
        what: "asleep for a row of a table",
        make: |path| drop(Table::create(path, &TableOptions::new(2).seats(4), &0_u64).expect("create")),
        give: |turns| {
            let table = Table::<u64>::open(&turns.path).expect("open");
            turns.begin();
            loop {
                turns.ask();
                table.set(1, &turns.number()).expect("set");
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let mut reader = TableReader::<u64>::open(&turns.path).expect("open");
            for row in 0..2 {
                reader.get(row).expect("its first value");
            }
            turns.begin();
            while turns.is_asked() {
                assert_eq!(reader.next().expect("next"), (1, turns.number()));
                turns.received();
            }
        },
        may_nap: false,
    },
    Load {
        what: "asleep for the last party of a latch",
        make: |path| drop(new_latch(path, 1)),
        give: |turns| {
            let mut latch = Latch::open(latch_path(&turns.path, 1)).expect("open");
            turns.begin();
            loop {
                // One that is open stays so: the next one is there before it opens.
                let next = turns.number() + 2;
                let party = latch.join().expect("join");
                let next_latch = new_latch(&turns.path, next);
                turns.ask();
                // The other one is late more often than not, and finds it open.
                if next.is_multiple_of(4) {
                    until(|| !latch.waiting().is_empty());
                }
                party.arrive().expect("arrive");
                latch = next_latch;
                if !turns.next() {
                    break;
                }
                std::fs::remove_file(latch_path(&turns.path, next - 1)).expect("remove");
            }
        },
        take: |turns| {
            let open =
                |turns: &Turns<'_>| Latch::open(latch_path(&turns.path, turns.number() + 1)).expect("open");
            let mut latch = open(turns);
            turns.begin();
            while turns.is_asked() {
                latch.wait().expect("it opens");
                latch = open(turns);
                turns.received();
            }
        },
        may_nap: false,
    },
    Load {
        what: "asleep for one that is at what is done once",
        make: |path| drop(Once::create(path, &options()).expect("create")),
        give: |turns| {
            let mut once = Once::open(&turns.path).expect("open");
            turns.begin();
            loop {
                attempt(&mut once, || turns.ask());
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let mut once = Once::open(&turns.path).expect("open");
            turns.begin();
            while turns.is_asked() {
                attempt(&mut once, || {});
                turns.received();
            }
        },
        may_nap: true,
    },
    Load {
        what: "a member asleep for a record",
        make: |path| {
            Options::new().capacity(4096).slots(2).wait(WaitMode::Fence).create(path).expect("create");
            drop(GroupMember::join(path, &group()).expect("join"));
        },
        give: |turns| {
            let mut producer = Producer::open(&turns.path).expect("become the producer");
            turns.begin();
            loop {
                turns.ask();
                producer.send(&turns.number().to_le_bytes()).expect("send");
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let mut member = GroupMember::join(&turns.path, &group()).expect("join");
            member.set_spins(0);
            turns.begin();
            while turns.is_asked() {
                match member.recv().expect("recv") {
                    GroupEvent::Job(job) => {
                        assert_eq!(job.record().to_vec(), turns.number().to_le_bytes());
                        job.ack().expect("its own");
                    }
                    other => panic!("{other:?}"),
                }
                turns.received();
            }
        },
        may_nap: false,
    },
    Load {
        what: "a server asleep for a call, and its client for the reply",
        make: |path| drop(Server::create(path, &ServiceOptions::new().clients(2)).expect("create")),
        give: |turns| {
            let mut client = Client::open(&turns.path).expect("open");
            turns.begin();
            loop {
                turns.ask();
                let number = turns.number().to_le_bytes();
                let reply = client.call(&number, CallOptions::new()).expect("call");
                assert_eq!(reply.to_vec(), number);
                if !turns.next() {
                    break;
                }
            }
        },
        take: |turns| {
            let server = Server::open(&turns.path).expect("serve");
            turns.begin();
            while turns.is_asked() {
                let request = server.recv().expect("recv");
                let number = request.payload().to_vec();
                turns.dawdle();
                request.reply(&number).expect("reply");
                turns.received();
            }
        },
        may_nap: false,
    },
];

/// The control as well: its writer's store is no locked instruction, so the fence after it is one that counts.
pub(super) const LATEST: Load = Load {
    what: "asleep for a latest value",
    make: |path| drop(Latest::create(path, &LatestOptions::new(), &0_u64).expect("create")),
    give: |turns| {
        let mut latest = Latest::<u64>::open(&turns.path).expect("become the writer");
        turns.begin();
        loop {
            turns.ask();
            latest.set(&turns.number()).expect("set");
            if !turns.next() {
                break;
            }
        }
    },
    take: |turns| {
        let mut reader = LatestReader::<u64>::open(&turns.path).expect("open");
        reader.get().expect("the first value");
        turns.begin();
        while turns.is_asked() {
            assert_eq!(reader.next().expect("next"), turns.number());
            turns.received();
        }
    },
    may_nap: false,
};

/// The latch of a hand-over.
fn latch_path(path: &Path, number: u64) -> PathBuf {
    path.with_extension(format!("latch{number}"))
}

fn new_latch(path: &Path, number: u64) -> Latch {
    Latch::create(latch_path(path, number), &options(), 1).expect("create")
}

/// Is at it, and does not do it: what is done once would be so for good. Without the words of a panic.
fn attempt(once: &mut Once, mut meanwhile: impl FnMut()) {
    let mut began = false;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        once.call(|_| {
            meanwhile();
            began = true;
            resume_unwind(Box::new(()));
        })
    }));
    assert!(began && ended.is_err(), "{ended:?}");
}

fn options() -> SyncOptions {
    SyncOptions::new().seats(4)
}

fn group() -> Group {
    Group::new("workers").members(4)
}

/// Which hand-over it is. The giver asks for one when the taker is to wait for it, and makes it a moment later; the taker
/// says when it has it.
struct Turns<'a> {
    path: PathBuf,
    board: &'a Board,
    /// 0 gives, and 1 takes.
    who: usize,
    turn: u64,
    dice: Dice,
}

impl Turns<'_> {
    /// Both are there.
    fn begin(&mut self) {
        self.board.received[self.who].set_fenced(1);
        until(|| self.board.received[1 - self.who].get() > 0);
    }

    fn number(&self) -> u64 {
        self.turn
    }

    fn dawdle(&mut self) {
        dawdle(&mut self.dice, WaitMode::Fence);
    }

    fn ask(&mut self) {
        self.turn += 1;
        self.board.begun.set_fenced(self.turn);
        self.dawdle();
    }

    /// It was received, and there is to be one more.
    fn next(&mut self) -> bool {
        until(|| self.board.received[1].get() == self.turn + 1);
        self.board.tallies[0].show(self.turn);
        let goes_on = self.board.stop.get() == 0;
        if !goes_on {
            self.board.begun.set_fenced(u64::MAX);
        }
        goes_on
    }

    /// Waits until it is asked for one more; not in the kernel.
    fn is_asked(&mut self) -> bool {
        until(|| self.board.begun.get() > self.turn);
        self.turn += 1;
        self.board.begun.get() != u64::MAX
    }

    fn received(&mut self) {
        self.board.tallies[1].show(self.turn);
        self.board.received[1].set(self.turn + 1);
    }
}

/// Makes the objects of a load anew.
fn make(load: &Load, directory: &Path) -> PathBuf {
    let path = directory.join("object");
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("object") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    (load.make)(&path);
    path
}

/// One process of a load. `weak`: the site that it leaves out.
fn play_one(load: &Load, path: &Path, seed: u64, who: usize, board: &Board, weak: Option<&'static str>) {
    delayed::delays::begin(seed.wrapping_mul(MOST_SEEDS).wrapping_add(who as u64), true);
    if let Some(site) = weak.filter(|_| who == 0) {
        delayed::delays::weaken(site);
    }
    let dice = Dice(seed ^ (who as u64) << 32);
    let mut turns = Turns { path: path.to_owned(), board, who, turn: 0, dice };
    match who {
        0 => (load.give)(&mut turns),
        _ => (load.take)(&mut turns),
    }
}

/// The loads of locks, values, groups and services.
pub(super) fn hand_over(bench: &mut Bench, quick: bool, handovers: u64, outcome: &mut Outcome) -> Result<()> {
    let mut text = String::from(
        "\n| load | woken | caught at the door | found on looking again | naps | delays | s |\n|---|---|---|---|---|---|---|\n",
    );
    let mut total = 0;
    for load in &ALL {
        let limits = Limits {
            enough: handovers / ALL.len() as u64,
            longest: if quick { Duration::from_millis(500) } else { Duration::from_secs(1 << 20) },
            patience: Duration::from_secs(if quick { 10 } else { 30 }),
        };
        let mut progress = Progress::new(load.what.to_owned(), limits.enough);
        let (run, seed) = run(bench, load, limits, None, |woken| progress.tell(woken))?;
        let sum = |of: fn(&Sleeps) -> u64| run.sum(of);
        let woken = sum(|sleeps| sleeps.woken);
        progress.end(woken);
        total += woken;
        let place = format!("{}, seed {seed}", load.what);
        match &run.trouble {
            Some(Trouble::Hung(state)) => {
                outcome.fail(format!("{place}: a wake was lost, nothing moves: {state}"));
            }
            Some(Trouble::Broken(what)) => outcome.fail(format!("{place}: {what}")),
            None if woken == 0 => outcome.fail(format!("{place}: nobody ever slept")),
            None => {}
        }
        let naps = sum(|sleeps| sleeps.naps);
        let timed = sum(|sleeps| sleeps.timed_out + sleeps.broken + sleeps.unbarriered);
        if timed > if load.may_nap { naps } else { 0 } {
            outcome.fail(format!("{place}: {timed} sleeps had a time limit, which hides a lost wake"));
        }
        let [changed, found, delays] =
            [sum(|sleeps| sleeps.changed), sum(|sleeps| sleeps.found), sum(|sleeps| sleeps.delays)]
                .map(grouped);
        text += &format!(
            "| {} | {} | {changed} | {found} | {} | {delays} | {:.0} |\n",
            load.what,
            grouped(woken),
            grouped(naps),
            run.took.as_secs_f64(),
        );
    }
    outcome
        .count("hand-overs by locks, values, groups and services: sleeps without a time limit, woken", total);
    outcome.table.get_or_insert_default().push_str(&text);
    Ok(())
}

/// One such load, and the seed that it began with.
pub(super) fn run(
    bench: &mut Bench,
    load: &Load,
    limits: Limits,
    weak: Option<&'static str>,
    look: impl FnMut(u64),
) -> Result<(Run, u64)> {
    bench.seed = bench.seed.wrapping_add(1);
    let (seed, path) = (bench.seed, make(load, bench.path()));
    let board = Shared::<Board>::new()?;
    let play = |who: usize, board: &Board| play_one(load, &path, seed, who, board, weak);
    Ok((watch(2, &board, limits, woken, play, look)?, seed))
}
