//! Every kind of lock between processes, one of which may not use futexes; and after a fork.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::unistd::ForkResult;
use quoit::Error;
use quoit::sync::{
    Barrier, Condvar, Event, Latch, Latest, LatestOptions, LatestReader, Mutex, Once, Reset, RwLock,
    Semaphore, SyncOptions, Table, TableOptions,
};

use crate::filters::install;
use crate::forks::{split, wait_for_file};
use crate::process::{Part, SOON, Stage, eventually, note, say};

/// How often the two sides meet at each kind.
const TURNS: u64 = 5;

/// Rows of the table: a message from each side, and two counts.
const COUNT: u32 = 2;
const DONE: u32 = 3;

fn soon() -> Instant {
    Instant::now() + SOON
}

/// What two processes share, in a directory.
struct Kit {
    mutex: Mutex<u64>,
    changed: Condvar,
    semaphore: Semaphore,
    /// A signal to each side.
    signals: [Event; 2],
    barrier: Barrier,
    latch: Latch,
    once: Once,
    rwlock: RwLock<u64>,
    table: Table<u64>,
}

impl Kit {
    fn create(directory: &Path) -> Self {
        let (file, options) = (|name: &str| directory.join(name), SyncOptions::new());
        let signal = |name: &str| Event::create(file(name), &options, Reset::Auto).expect("an event");
        Self {
            mutex: Mutex::create(file("mutex"), &options, &0).expect("a mutex"),
            changed: Condvar::create(file("condvar"), &options).expect("a condition variable"),
            semaphore: Semaphore::create(file("semaphore"), &options, 1).expect("a semaphore"),
            signals: [signal("event0"), signal("event1")],
            barrier: Barrier::create(file("barrier"), &options, 2).expect("a barrier"),
            latch: Latch::create(file("latch"), &options, 2).expect("a latch"),
            once: Once::create(file("once"), &options).expect("a once"),
            rwlock: RwLock::create(file("rwlock"), &options, &0).expect("a reader-writer lock"),
            table: Table::create(file("table"), &TableOptions::new(4), &0).expect("a table"),
        }
    }

    fn open(directory: &Path) -> Self {
        let file = |name: &str| directory.join(name);
        let signal = |name: &str| Event::open(file(name)).expect("an event");
        Self {
            mutex: Mutex::open(file("mutex")).expect("a mutex"),
            changed: Condvar::open(file("condvar")).expect("a condition variable"),
            semaphore: Semaphore::open(file("semaphore")).expect("a semaphore"),
            signals: [signal("event0"), signal("event1")],
            barrier: Barrier::open(file("barrier")).expect("a barrier"),
            latch: Latch::open(file("latch")).expect("a latch"),
            once: Once::open(file("once")).expect("a once"),
            rwlock: RwLock::open(file("rwlock")).expect("a reader-writer lock"),
            table: Table::open(file("table")).expect("a table"),
        }
    }

    /// Meets the other side at everything. Whoever is asleep at each is now the one side and now the other.
    fn meet(&mut self, side: u64) {
        // The value is even while it is the turn of side 0.
        for turn in 0..TURNS {
            let guard = self.mutex.lock_deadline(soon()).expect("lock");
            let mut guard =
                self.changed.wait_while_deadline(guard, soon(), |value| value % 2 != side).expect("a turn");
            assert_eq!(*guard, 2 * turn + side);
            *guard += 1;
            guard.commit().expect("commit");
            self.changed.notify_one().expect("notify");
        }
        for _ in 0..TURNS {
            let permit = self.semaphore.acquire_deadline(soon()).expect("a permit");
            let count = self.table.get(COUNT).expect("read");
            std::thread::sleep(Duration::from_millis(1));
            self.table.set(COUNT, &(count + 1)).expect("alone with the permit");
            drop(permit);
        }
        for _ in 0..TURNS {
            if side == 0 {
                self.signals[1].set().expect("set");
                self.signals[0].wait_deadline(soon()).expect("a signal");
            } else {
                self.signals[1].wait_deadline(soon()).expect("a signal");
                self.signals[0].set().expect("set");
            }
        }
        for turn in 0..TURNS {
            if turn % 2 == side {
                std::thread::sleep(Duration::from_millis(2));
            }
            self.barrier.wait_deadline(soon()).expect("a round");
        }
        let mine = self.once.call_deadline(soon(), |_| {
            std::thread::sleep(Duration::from_millis(5));
            self.table.set(DONE, &(self.table.get(DONE).expect("read") + 1)).expect("set");
        });
        mine.expect("done");
        assert_eq!(self.table.get(DONE).expect("read"), 1, "done once");
        for _ in 0..TURNS {
            let mut guard = self.rwlock.write_deadline(soon()).expect("write");
            *guard += 1;
            std::thread::sleep(Duration::from_millis(1));
            drop(guard);
            drop(self.rwlock.read_deadline(soon()).expect("read"));
        }
        let mut reader = self.table.reader().expect("a reader");
        for turn in 1..=TURNS {
            self.table.set(side as u32, &turn).expect("set");
            while reader.get(1 - side as u32).expect("read") < turn {
                reader.next_deadline(soon()).expect("read").expect("a change in time");
            }
        }
        let party = self.latch.join().expect("join");
        if side == 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
        party.arrive().expect("arrive");
        self.latch.wait_deadline(soon()).expect("it opens");
    }

    /// What both have done.
    fn check(&mut self) {
        assert_eq!(*self.mutex.lock().expect("lock"), 2 * TURNS);
        assert_eq!(self.table.get(COUNT).expect("read"), 2 * TURNS, "both had the permit at a time");
        assert_eq!(self.rwlock.get().expect("read"), 2 * TURNS);
    }
}

/// Side 1 without futexes.
///
/// `ring`: the directory; `errno`.
pub(crate) fn without_futexes(part: &Part) {
    let calls = [libc::SYS_futex, libc::SYS_futex_waitv, libc::SYS_membarrier];
    if !install(&calls, part.get("errno")) {
        return say("skipped");
    }
    let mut kit = Kit::open(&part.ring());
    say("meets");
    kit.meet(1);
    say("met");
}

/// It polls, and who waits for it is woken by nobody: that costs a slice each time, and nothing else.
#[test]
fn locks_work_without_futexes() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let stage = Stage::tmpfs(120);
        let mut kit = Kit::create(stage.path());
        let mut other = Part::new("locks without futexes").on(stage.path()).with("errno", errno).start();
        if other.line(SOON) == "skipped" {
            return note(format_args!(
                "SKIPPED, no system-call filter can be installed: locks without futexes"
            ));
        }
        kit.meet(0);
        other.says("met");
        other.finish();
        kit.check();
    }
    note("locks without futexes: work");
}

fn is_forked<T>(what: &str, tried: Result<T, Error>) {
    assert!(matches!(tried, Err(Error::Forked)), "{what} in a child");
}

/// Holds something of every kind, and forks. The child is refused, drops what it has, and lives on.
///
/// `ring`: the directory.
pub(crate) fn fork_with_locks(part: &Part) {
    let directory = part.ring();
    let mut kit = Kit::open(&directory);
    let mut latest =
        Latest::create(directory.join("latest"), &LatestOptions::new(), &1_u64).expect("a value");
    let mut reader = LatestReader::<u64>::open(directory.join("latest")).expect("a reader");
    let mut rows = kit.table.reader().expect("a reader");
    let other = kit.rwlock.try_clone().expect("a handle");
    let mut reading = kit.rwlock.try_clone().expect("a handle");
    let permit = kit.semaphore.acquire().expect("a permit");
    let mut row = kit.table.row(0).expect("a row");
    let read = reading.read().expect("read");
    let guard = kit.mutex.lock().expect("lock");
    let party = kit.latch.join().expect("join");
    if let ForkResult::Parent { child } = split() {
        wait_for_file(&directory.join("child is done"));
        say(format_args!("holds {child}"));
        // Killed here.
        wait_for_file(&directory.join("never"));
        drop((permit, row, read, guard, party));
        return;
    }
    is_forked("Condvar::wait", kit.changed.wait_deadline(guard, soon()));
    is_forked("Condvar::notify_all", kit.changed.notify_all());
    is_forked("Mutex::lock", kit.mutex.lock_deadline(soon()));
    is_forked("Semaphore::acquire", kit.semaphore.acquire_deadline(soon()));
    is_forked("Semaphore::try_acquire", kit.semaphore.try_acquire());
    is_forked("Semaphore::try_clone", kit.semaphore.try_clone());
    is_forked("TableRow::set", row.set(&7));
    is_forked("Table::set", kit.table.set(1, &7));
    is_forked("TableReader::next", rows.next());
    is_forked("RwLock::get", other.get());
    is_forked("RwLock::write", kit.rwlock.write_deadline(soon()));
    is_forked("RwLock::read", kit.rwlock.read_anyway());
    is_forked("Event::set", kit.signals[0].set());
    is_forked("Event::wait", kit.signals[0].wait_deadline(soon()));
    is_forked("Barrier::wait", kit.barrier.wait_deadline(soon()));
    is_forked("Barrier::abort", kit.barrier.abort());
    is_forked("LatchParty::arrive", party.arrive());
    is_forked("Latch::wait", kit.latch.wait_deadline(soon()));
    is_forked("Once::call", kit.once.call_deadline(soon(), |_| unreachable!("in a child")));
    is_forked("Latest::set", latest.set(&7));
    is_forked("LatestReader::get", reader.get());
    drop((permit, row, read));
    drop((other, reading, rows, latest, reader, kit));
    std::fs::write(directory.join("child is done"), b"").expect("a file");
    wait_for_file(&directory.join("child may go"));
    std::process::exit(0);
}

#[test]
fn a_child_owns_none_of_its_parents_locks() {
    let stage = Stage::tmpfs(120);
    let mut kit = Kit::create(stage.path());
    let mut parent = Part::new("fork with locks").on(stage.path()).start();
    let child = parent.says("holds")[0];
    let mut latest = LatestReader::<u64>::open(stage.file("latest")).expect("a reader");
    assert!(kit.semaphore.try_acquire().expect("look").is_none(), "the child gave the permit back");
    assert!(kit.table.try_row(0).expect("look").is_none(), "the child gave the row back");
    assert!(kit.rwlock.try_write().expect("look").is_none(), "the child stopped reading");
    assert!(kit.mutex.try_lock().expect("look").is_none(), "the child gave the lock back");
    assert!(!kit.latch.try_wait().expect("the child's drop is no death of a party"));
    assert_eq!((latest.get().expect("read"), latest.writer_alive()), (1, true));
    assert_eq!(
        (kit.table.get(0).expect("read"), kit.barrier.missing(), kit.signals[0].count().expect("look")),
        (0, 2, 0)
    );
    parent.strike();
    // Its child lives, and keeps nothing of it.
    assert!(kit.semaphore.acquire_deadline(soon()).expect("a permit").is_abandoned());
    assert!(kit.table.row_deadline(0, soon()).expect("a row").was_abandoned());
    assert!(!kit.rwlock.write_deadline(soon()).expect("write").is_abandoned(), "it only read");
    assert!(matches!(kit.mutex.lock_deadline(soon()), Err(Error::Abandoned)));
    assert!(matches!(kit.latch.wait_deadline(soon()), Err(Error::Broken)));
    eventually("the value has no writer", || !latest.writer_alive());
    assert!(Path::new(&format!("/proc/{child}")).exists(), "although its child lives");
    std::fs::write(stage.file("child may go"), b"").expect("a file");
    parent.reap();
}
