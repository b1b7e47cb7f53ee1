//! A table: one writer to a row, readers get whole values that were committed, a dead writer leaves the last one, a change
//! of any row wakes.
mod common;

use common::{dies_after, for_each_crash, model};
use quoit::fate::{crash_after, slice_sleeps};
use quoit::sync::{Table, TableOptions, TableReader};

type Value = [u64; 2];

/// Both words tell which commit this is.
fn value(number: u64) -> Value {
    [number, !number]
}

fn number(value: Value) -> u64 {
    assert_eq!(value[1], !value[0], "half a value");
    value[0]
}

fn table(rows: u32, handles: u32) -> Table<Value> {
    Table::local(&TableOptions::new(rows).seats(handles), &value(1)).unwrap()
}

fn add_one(table: &Table<Value>, row: u32) {
    let mut row = table.row(row).unwrap();
    let next = number(row.get().unwrap()) + 1;
    assert_eq!(row.set(&value(next)).unwrap(), next, "another commit's version");
}

/// Reads a row as often as that, beside whoever writes it.
fn read(reader: &mut TableReader<Value>, row: u32, times: usize) {
    let mut last = 0;
    for _ in 0..times {
        // Busy is an answer; a wrong value is not.
        if let Ok(value) = reader.get(row) {
            let now = number(value);
            assert_eq!(Some(now), reader.version(row), "another commit's value");
            assert!(now >= last, "it went back");
            last = now;
        }
    }
}

/// The second commit goes into the cell that the reader may be copying.
#[test]
fn a_read_is_whole() {
    model("table_read", 3, || {
        let table = table(1, 1);
        let mut reader = table.reader().unwrap();
        let reading = common::spawn(move || {
            read(&mut reader, 0, 2);
            reader
        });
        let mut row = table.row(0).unwrap();
        for commit in 2..4 {
            assert_eq!(row.set(&value(commit)).unwrap(), commit);
        }
        let mut reader = reading.join().unwrap();
        assert_eq!(number(reader.get(0).unwrap()), 3);
    });
}

/// Two write the same row. Each goes on from the other's commit.
fn two_writers(name: &'static str, preemptions: usize, do_sleeps_end: bool) {
    model(name, preemptions, move || {
        slice_sleeps(do_sleeps_end);
        let first = table(1, 2);
        let second = first.try_clone().unwrap();
        let other = common::spawn(move || {
            add_one(&second, 0);
            second
        });
        add_one(&first, 0);
        let _second = other.join().unwrap();
        assert_eq!(number(first.get(0).unwrap()), 3);
    });
}

/// Sleeps end by themselves, so that nothing but the words orders the two.
#[test]
fn a_row_has_one_writer() {
    two_writers("table_writers", 3, true);
}

/// Sleeps have no end: who sleeps through its turn at the row is a deadlock.
#[test]
fn who_waits_for_a_row_is_woken() {
    two_writers("table_turn", 2, false);
}

/// A change of any row wakes, and each row's value is returned once.
#[test]
fn a_change_of_any_row_wakes() {
    model("table_wake", 2, || {
        let first = table(2, 2);
        let second = first.try_clone().unwrap();
        let mut reader = first.reader().unwrap();
        for row in 0..2 {
            assert_eq!(reader.next().unwrap(), (row, value(1)));
        }
        let writers = [(0, first), (1, second)].map(|(row, table)| {
            common::spawn(move || {
                table.set(row, &value(2)).unwrap();
                table
            })
        });
        let changed = [(); 2].map(|()| reader.next().unwrap());
        assert!(changed.contains(&(0, value(2))) && changed.contains(&(1, value(2))));
        assert!(!reader.has_changed());
        let _writers = writers.map(|writer| writer.join().unwrap());
    });
}

/// Killed before any of its stores, with a reader beside it: the value is one of the two, whole, and the next writer goes on
/// from there and is told.
#[test]
fn a_dead_writer_leaves_the_last_value() {
    // The word; two words of the value, the version; the word is given back.
    for_each_crash("table_crash", 2, |stores| {
        slice_sleeps(true);
        let first = table(1, 2);
        let second = first.try_clone().unwrap();
        let mut reader = first.reader().unwrap();
        let reading = common::spawn(move || {
            read(&mut reader, 0, 1);
            reader
        });
        let lived = crash_after(stores, move || {
            let _ = second.set(0, &value(2));
            drop(second);
        });
        let mut reader = reading.join().unwrap();
        let mut row = first.row(0).unwrap();
        assert_eq!(row.was_abandoned(), (1..5).contains(&stores));
        let left = if stores < 4 { 1 } else { 2 };
        assert_eq!((number(row.get().unwrap()), row.version()), (left, left));
        row.set(&value(left + 1)).unwrap();
        drop(row);
        assert_eq!(number(reader.get(0).unwrap()), left + 1);
        lived.is_some()
    });
}

/// The writer is killed right after its commit. The next writer's first commit goes into the cell that a reader may be
/// copying, which knows of neither.
#[test]
fn a_successor_commits_beside_a_reader() {
    model("table_successor", 3, || {
        slice_sleeps(true);
        let first = table(1, 2);
        let second = first.try_clone().unwrap();
        let mut reader = first.reader().unwrap();
        let writer = common::spawn(move || {
            crash_after(4, move || {
                let _ = second.set(0, &value(2));
                drop(second);
            });
            add_one(&first, 0);
            first
        });
        read(&mut reader, 0, 1);
        let first = writer.join().unwrap();
        assert_eq!(number(first.get(0).unwrap()), 3, "not killed where it should be");
    });
}

/// The same with another writer that waits for the row: no commit is lost, and the row is to be had.
#[test]
fn a_row_is_taken_from_the_dead() {
    for_each_crash("table_crash_beside", 2, |stores| {
        slice_sleeps(true);
        let first = table(1, 2);
        let second = first.try_clone().unwrap();
        let dying = dies_after(stores, move || {
            let _ = second.set(0, &value(2));
            drop(second);
        });
        let mut row = first.row(0).unwrap();
        let found = number(row.get().unwrap());
        assert!(found == row.version() && (1..=2).contains(&found));
        assert_eq!(row.set(&value(found + 1)).unwrap(), found + 1);
        drop(row);
        let lived = dying.join().unwrap();
        assert!(number(first.get(0).unwrap()) > found);
        lived
    });
}
