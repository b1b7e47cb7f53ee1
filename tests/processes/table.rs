//! Tables between processes: writers of rows are killed anywhere.

use std::time::{Duration, Instant};

use quoit::sync::{Table, TableOptions, TableReader};

use crate::process::{Part, SOON, Stage, eventually, note, say};

/// Large enough that some kills meet a commit that is under way.
const WORDS: usize = 64;
type Value = [u64; WORDS];
const ROWS: u32 = 3;

/// Commits the numbers that follow the one it finds, each in every word: mostly in a row of its own, and now and then, for a
/// moment, in row 0.
///
/// `ring`; `row`.
pub(crate) fn write(part: &Part) {
    let table = Table::<Value>::open(part.ring()).expect("open");
    let mut own = table.row(part.get::<u32>("row")).expect("nobody else writes it");
    let mut number = own.get().expect("the value")[0];
    say(format_args!("writes {number} {}", u32::from(own.was_abandoned())));
    loop {
        number += 1;
        own.set(&[number; WORDS]).expect("commit");
        if number.is_multiple_of(4) {
            let mut shared = table.row(0).expect("the dead keep no row");
            let next = shared.get().expect("the value")[0] + 1;
            assert_eq!(shared.set(&[next; WORDS]).expect("commit"), next, "a commit was lost");
        }
    }
}

/// Reads without the right to write, until it is killed, and says what it has seen when it is asked.
///
/// `ring`.
pub(crate) fn read(part: &Part) {
    let mut reader = TableReader::<Value>::open(part.ring()).expect("open");
    say("reads");
    let mut last = [0; ROWS as usize];
    loop {
        let Ok((row, value)) = reader.next() else { continue };
        assert!(value.iter().all(|word| *word == value[0]), "half a value");
        assert_eq!(reader.version(row), Some(value[0]), "another commit's value");
        let last = &mut last[row as usize];
        assert!(value[0] > *last, "it went back, or came twice");
        *last = value[0];
    }
}

fn number(value: &Value) -> u64 {
    assert!(value.iter().all(|word| *word == value[0]), "half a value is left");
    value[0]
}

/// Two writers have a row each, and share one; a reader is there all the time. The writers are killed in turn.
#[test]
fn a_writer_that_is_killed_leaves_whole_rows() {
    let stage = Stage::tmpfs(300);
    let path = stage.file("table");
    let table = Table::create(&path, &TableOptions::new(ROWS).seats(8), &[1_u64; WORDS]).expect("create");
    let mut reader = table.reader().expect("read");
    let start = |row: u32| Part::new("write a row").on(&path).with("row", row).start();
    let mut reading = Part::new("read rows").on(&path).start();
    reading.says("reads");
    let mut writers = [1, 2].map(start);
    writers.iter_mut().for_each(|writer| assert_eq!(writer.says("writes"), [1, 0]));
    let kills = std::env::var("QUOIT_KILLS").map_or(60, |text| text.parse().expect("a number"));
    let mut last = [1; ROWS as usize];
    let mut shared = 0;
    for kill in 0_u64..kills {
        std::thread::sleep(Duration::from_micros(kill * 37 % 2000));
        let row = (kill % 2) as u32 + 1;
        let writer = &mut writers[row as usize - 1];
        writer.kill();
        eventually("the kernel drops its lock", || !reader.writer_alive(row).expect("ask"));
        let left = number(&reader.get(row).expect("nobody writes it"));
        assert!(left >= last[row as usize] && Some(left) == reader.version(row), "{left} after {last:?}");
        last[row as usize] = left;
        // Whoever comes next has the shared row, and is told if the dead one had it.
        let common = table.row_deadline(0, Instant::now() + SOON).expect("the dead keep no row");
        shared += u64::from(common.was_abandoned());
        let found = number(&common.get().expect("the value"));
        assert!(found >= last[0] && found == common.version(), "{found} after {last:?}");
        last[0] = found;
        drop(common);
        *writer = start(row);
        assert_eq!(writer.says("writes"), [left, 1], "it did not find what was committed last");
    }
    writers.iter_mut().for_each(|writer| drop(writer.kill()));
    assert!(last[1] > kills && last[2] > kills, "nobody wrote");
    reading.kill();
    note(format_args!("table: {kills} kills, {shared} with the shared row, commits {last:?}"));
}
