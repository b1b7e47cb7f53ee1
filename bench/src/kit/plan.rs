//! What of the kit is measured, by which floor, and what it is to reach.

use quoit_floors::units;

use super::Task;
use super::calls::{self, Route};
use super::groups::Sharing;
use super::latest::{Kept, Writing};
use super::locks::{self, Lock};
use super::meetings::Meeting;
use super::sleeping::Sleeping;
use super::waits::Waiter;
use crate::job::Job;
use crate::plan::{Group, Row, Workload, group, row};
use crate::ratio::Ratio;

/// Whose figures go by no floor: whether the machine kept still is told by a line that goes there and back.
const STILL: Job = Job::BounceLines { bytes: 8, count: 2_000 };

/// Those of these workloads that are the kit's, in the order in which they are shown; half of a window's counts if it is to
/// be `quick`.
pub(crate) fn plan(workloads: &[Workload], quick: bool) -> Vec<Group> {
    let scaled = &|count: u64| if quick { count / 2 } else { count };
    let mut groups = alone(scaled(40_000));
    groups.extend(contended(scaled));
    groups.extend(hand_over(scaled));
    groups.push(fairness(if quick { 50 } else { 1000 }));
    groups.extend(latest(scaled));
    groups.push(waits(scaled(40)));
    groups.push(idle(if quick { 100 } else { 1000 }));
    groups.extend(round_trips(scaled));
    groups.extend(rates(scaled));
    groups.extend(hand_outs(scaled(20_000)));
    groups.retain(|group| workloads.iter().any(|workload| workload.has(group.workload)));
    groups
}

fn by(workload: Workload, floor: Task, rows: Vec<Row>) -> Group {
    group(workload, 64, Ratio::Time, Job::Kit(floor), rows)
}

fn kit(label: impl Into<String>, task: Task, target: Option<f64>) -> Row {
    row(label, Job::Kit(task), target)
}

fn alone(count: u64) -> Vec<Group> {
    let alone = |lock, changes| Task::Alone { lock, changes, count };
    let mut groups = Vec::new();
    for (lock, name) in [(Lock::ParkingLot, "parking_lot"), (Lock::Robust, "a robust mutex")] {
        for (changes, what) in [(false, "the value read"), (true, "the value changed")] {
            let target = Some(1.5).filter(|_| lock == Lock::ParkingLot);
            let label = format!("mutex by {name}, {what}");
            groups.push(by(
                Workload::Locks,
                alone(lock, changes),
                vec![kit(label, alone(Lock::Quoit, changes), target)],
            ));
        }
    }
    groups.push(by(
        Workload::Locks,
        alone(Lock::PosixSemaphore, true),
        vec![kit("semaphore by a POSIX semaphore", alone(Lock::QuoitSemaphore, true), None)],
    ));
    groups
}

fn contended(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let mut groups = Vec::new();
    for (members, count) in [(2, 4_000), (4, 2_000)] {
        let locks = |lock| Task::Contended { lock, members, count: scaled(count) };
        for (floor, name, ours, what, target) in [
            (Lock::Futex, "a futex mutex", Lock::Quoit, "mutex", Some(1.2)),
            (Lock::Robust, "a robust mutex", Lock::Quoit, "mutex", None),
            (Lock::PosixSemaphore, "a POSIX semaphore", Lock::QuoitSemaphore, "semaphore", None),
        ] {
            let label = format!("{what}, {members} processes, by {name}");
            groups.push(by(Workload::Contended, locks(floor), vec![kit(label, locks(ours), target)]));
        }
        let meet = |meeting| Task::Barrier { meeting, members, count: scaled(200) };
        let label = format!("barrier, {members} processes, by pthread's");
        groups.push(by(
            Workload::Contended,
            meet(Meeting::Posix),
            vec![kit(label, meet(Meeting::Quoit), None)],
        ));
    }
    groups
}

fn hand_over(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let count = scaled(200) / 5;
    let lock = |lock| Task::HandOver { lock, count };
    let mutex = |floor, name: &str, target| {
        let row = kit(format!("mutex by {name}"), lock(Lock::Quoit), target);
        by(Workload::Handover, lock(floor), vec![row])
    };
    let semaphore = kit("semaphore by a POSIX semaphore", lock(Lock::QuoitSemaphore), None);
    let asleep = |sleeping| Task::Asleep { sleeping, count };
    let event = kit("there and back by events, by two futex words", asleep(Sleeping::Events), None);
    vec![
        mutex(Lock::Futex, "a futex mutex", Some(1.2)),
        mutex(Lock::Robust, "a robust mutex", None),
        by(Workload::Handover, lock(Lock::PosixSemaphore), vec![semaphore]),
        by(Workload::Handover, asleep(Sleeping::Futexes), vec![event]),
    ]
}

fn fairness(millis: u64) -> Group {
    let lock = |lock| Task::Fairness { lock, members: 8, millis };
    let rows = vec![
        kit("mutex, 8 processes", lock(Lock::Quoit), Some(0.25)),
        kit("semaphore, 8 processes", lock(Lock::QuoitSemaphore), None),
        kit("a futex mutex, to compare", lock(Lock::Futex), None),
    ];
    group(Workload::Fairness, 64, Ratio::Share, STILL, rows)
}

fn latest(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let two_cells = Kept::Latest { cells: 2 };
    let mut groups = Vec::new();
    for (workload, writing, count, rows) in [
        (Workload::Latest, Writing::Never, 60_000, vec![("nobody writes", two_cells, Some(1.2))]),
        (
            Workload::Latest,
            Writing::Always,
            10_000,
            vec![
                ("a writer at full speed", two_cells, None),
                ("a writer at full speed, 8 cells", Kept::Latest { cells: 8 }, None),
            ],
        ),
        (Workload::Changed, Writing::Between, 2_000, vec![("64 B", two_cells, Some(1.4))]),
    ] {
        let read = |kept| Task::Read { kept, writing, count: scaled(count) };
        let rows = rows.into_iter().map(|(label, kept, target)| kit(label, read(kept), target)).collect();
        groups.push(by(workload, read(Kept::Seqlock), rows));
    }
    groups
}

fn waits(count: u64) -> Group {
    let wake = |waiter| Task::Wake { waiter, count };
    let set = |rings| {
        let label = if rings == 1 { "WaitSet, 1 ring".to_owned() } else { format!("WaitSet, {rings} rings") };
        kit(label, wake(Waiter::Set { rings }), None)
    };
    let rows = vec![set(1), set(16), set(128), kit("AsyncConsumer", wake(Waiter::Task), None)];
    by(Workload::Waits, wake(Waiter::Recv), rows)
}

fn idle(millis: u64) -> Group {
    let rows = [1, 16, 128].map(|rings| {
        let label = if rings == 1 { "1 ring".to_owned() } else { format!("{rings} rings") };
        kit(label, Task::Idle { rings, millis }, Some(0.1))
    });
    group(Workload::Idle, 64, Ratio::Part, STILL, rows.into())
}

fn round_trips(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let mut groups = Vec::new();
    for (bytes, count) in [(8, 4_000), (64, 4_000), (1024, 2_000)] {
        let count = scaled(count);
        let calls = |route, clients| Task::InTurn { route, clients, bytes, count };
        let size = units::bytes(bytes as u64);
        let label = format!("{size}, by two ring hops");
        let row = kit(label, calls(Route::Service, 1), Some(1.3));
        groups.push(group(Workload::Calls, bytes, Ratio::Time, Job::Kit(calls(Route::Rings, 1)), vec![row]));
    }
    let count = scaled(4_000);
    let calls = |route, clients| Task::InTurn { route, clients, bytes: calls::BYTES, count };
    let lines = Job::BounceLines { bytes: calls::BYTES, count };
    let many = kit("16 clients in turn, by two ring hops", calls(Route::Service, 16), Some(1.6));
    groups.push(by(Workload::Calls, calls(Route::Rings, 16), vec![many]));
    let bare = vec![
        kit("64 B, by plain atomics", calls(Route::Service, 1), None),
        kit("16 clients in turn, by plain atomics", calls(Route::Service, 16), None),
    ];
    groups.push(group(Workload::Calls, 64, Ratio::Time, lines, bare));
    let count = scaled(200) / 5;
    let asleep = |sleeping| Task::Asleep { sleeping, count };
    for (floor, name, target) in [
        (Sleeping::Futexes, "two futex words", Some(1.15)),
        (Sleeping::Socket, "a Unix socket pair", None),
        (Sleeping::Pipes, "two pipes", None),
    ] {
        let row = kit(format!("asleep, by {name}"), asleep(Sleeping::Service), target);
        groups.push(by(Workload::Calls, asleep(floor), vec![row]));
    }
    groups
}

fn rates(scaled: impl Fn(u64) -> u64) -> Vec<Group> {
    let mut groups = Vec::new();
    for (clients, flight, count) in [(1, 1, 4_000), (4, 1, 500), (16, 1, 100), (1, 64, 10_000), (16, 4, 100)]
    {
        let calls = |route| Task::Crowd { route, clients, flight, count: scaled(count) };
        let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        let label = if flight == 1 { who } else { format!("{who}, {} in flight", clients * flight) };
        groups.push(by(
            Workload::Serving,
            calls(Route::Rings),
            vec![kit(label + ", by rings", calls(Route::Service), None)],
        ));
    }
    let count = scaled(100);
    let large = kit("requests of 1 MiB, by bare copies", Task::LargeCalls { count }, None);
    groups.push(group(
        Workload::Serving,
        crate::large::BYTES,
        Ratio::Time,
        Job::LargeCopy { count },
        vec![large],
    ));
    groups
}

fn hand_outs(count: u64) -> Vec<Group> {
    let mut groups = Vec::new();
    for members in [1, 2, 4, 8] {
        let share = |sharing, count| Task::HandOut { sharing, members, count };
        let who = if members == 1 { "1 member".to_owned() } else { format!("{members} members") };
        // Beside a channel records take so little time that a window of `count` would be mostly its beginning and its end.
        for (floor, name, count, target) in [
            (Sharing::Channel, "crossbeam-channel", 4 * count, Some(1.0)),
            (Sharing::Pipe { in_batches: false }, "a pipe", count, Some(10.0)),
            (Sharing::Pipe { in_batches: true }, "a pipe, 16 a read", count, None),
        ] {
            let row = kit(format!("{who}, by {name}"), share(Sharing::Group, count), target);
            groups.push(group(
                Workload::Groups,
                locks::BYTES,
                Ratio::Throughput,
                Job::Kit(share(floor, count)),
                vec![row],
            ));
        }
    }
    groups
}
