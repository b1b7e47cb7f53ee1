//! A latest value: a reader gets a whole one that was committed, a dead writer leaves the last one, a change wakes.
mod common;

use common::{dies_after, for_each_crash, model};
use quoit::fate::crash_after;
use quoit::sync::{Latest, LatestOptions};

type Value = [u64; 2];

/// Both words tell which commit this is.
fn value(number: u64) -> Value {
    [number, !number]
}

fn number(value: Value) -> u64 {
    assert_eq!(value[1], !value[0], "half a value");
    value[0]
}

/// A reader beside two commits: the second one goes into the cell that it may be reading.
fn read_beside(name: &'static str, cells: u32, commits: u64, preemptions: usize) {
    model(name, preemptions, move || {
        let mut latest = Latest::local(&LatestOptions::new().cells(cells), &value(1)).unwrap();
        let mut reader = latest.reader().unwrap();
        let writer = common::spawn(move || {
            for commit in 2..2 + commits {
                assert_eq!(latest.set(&value(commit)).unwrap(), commit);
            }
            latest
        });
        let mut last = 0;
        for _ in 0..2 {
            // Busy is an answer; a wrong value is not.
            if let Ok(value) = reader.get() {
                let now = number(value);
                assert_eq!(Some(now), reader.version(), "another commit's value");
                assert!(now >= last, "it went back");
                last = now;
            }
        }
        let _latest = writer.join().unwrap();
        assert_eq!(number(reader.get().unwrap()), 1 + commits);
    });
}

#[test]
fn a_read_is_whole() {
    read_beside("latest_two_cells", 2, 2, 3);
}

#[test]
fn a_read_is_whole_with_three_cells() {
    read_beside("latest_three_cells", 3, 3, 2);
}

/// Killed before any of its stores, with a reader beside it: the value is one of the two, whole, and the next writer goes
/// on from there.
#[test]
fn a_dead_writer_leaves_the_last_value() {
    for_each_crash("latest_crash", 2, |stores| {
        let mut latest = Latest::local(&LatestOptions::new(), &value(1)).unwrap();
        let mut reader = latest.reader().unwrap();
        let mut after = latest.reader().unwrap();
        let heir = latest.reader().unwrap();
        let writer = dies_after(stores, move || {
            let _ = latest.set(&value(2));
            let _ = latest.set(&value(3));
            drop(latest);
        });
        if let Ok(value) = reader.get() {
            assert!((1..=3).contains(&number(value)));
        }
        let lived = writer.join().unwrap();
        assert!(!heir.writer_alive(), "its lock outlived it");
        let left = number(after.get().unwrap());
        let mut next = heir.next_writer().unwrap();
        assert_eq!(next.version(), left);
        next.set(&value(left + 1)).unwrap();
        assert_eq!(number(after.get().unwrap()), left + 1);
        lived
    });
}

/// The writer is killed right after its commit, before the fence of the wake check. The next writer's first commit goes
/// into the cell that a reader may be copying, which knows of neither.
#[test]
fn a_successor_commits_beside_a_reader() {
    model("latest_successor", 3, || {
        let mut latest = Latest::local(&LatestOptions::new(), &value(1)).unwrap();
        let mut reader = latest.reader().unwrap();
        let heir = latest.reader().unwrap();
        let writer = common::spawn(move || {
            // Two words, and the version.
            crash_after(3, move || {
                let _ = latest.set(&value(2));
                drop(latest);
            });
            let mut next = heir.next_writer().unwrap();
            assert_eq!(next.version(), 2, "not killed where it should be");
            next.set(&value(3)).unwrap();
            next
        });
        if let Ok(value) = reader.get() {
            assert_eq!(Some(number(value)), reader.version());
        }
        let _next = writer.join().unwrap();
    });
}

/// Sleeps in the models have no end: a change that is slept through is a deadlock.
#[test]
fn a_change_wakes() {
    model("latest_wake", 3, || {
        let mut latest = Latest::local(&LatestOptions::new(), &value(1)).unwrap();
        let mut reader = latest.reader().unwrap();
        assert_eq!(number(reader.next().unwrap()), 1);
        let writer = common::spawn(move || {
            latest.set(&value(2)).unwrap();
            latest
        });
        assert_eq!(number(reader.next().unwrap()), 2);
        let _latest = writer.join().unwrap();
    });
}

/// Two readers sleep on the same word.
#[test]
fn a_change_wakes_both() {
    model("latest_wake_both", 2, || {
        let mut latest = Latest::local(&LatestOptions::new(), &value(1)).unwrap();
        let (mut first, mut second) = (latest.reader().unwrap(), latest.reader().unwrap());
        first.get().unwrap();
        second.get().unwrap();
        let writer = common::spawn(move || {
            latest.set(&value(2)).unwrap();
            latest
        });
        let sleeper = common::spawn(move || assert_eq!(number(second.next().unwrap()), 2));
        assert_eq!(number(first.next().unwrap()), 2);
        sleeper.join().unwrap();
        let _latest = writer.join().unwrap();
    });
}
