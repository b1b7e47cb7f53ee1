//! A latest value between processes: its writer is killed anywhere.

use std::time::Duration;

use quoit::sync::{Latest, LatestOptions, LatestReader};

use crate::process::{Part, Stage, eventually, kills_wanted, say};

/// Large enough that most kills meet a write that is under way.
const WORDS: usize = 512;
type Value = [u64; WORDS];

/// Commits the numbers that follow the one it finds, each in every word, until it is killed.
pub(crate) fn write(part: &Part) {
    let mut latest = Latest::<Value>::open(part.ring()).expect("become the writer");
    let mut number = latest.get().expect("the value")[0];
    say(format_args!("writes {number}"));
    loop {
        number += 1;
        latest.set(&[number; WORDS]).expect("commit");
    }
}

#[test]
fn a_writer_that_is_killed_leaves_a_whole_value() {
    let kills = kills_wanted(60);
    let stage = Stage::tmpfs(120);
    let path = stage.file("latest");
    let options = LatestOptions::new();
    drop(Latest::create(&path, &options, &[1_u64; WORDS]).expect("create"));
    let mut reader = LatestReader::<Value>::open(&path).expect("open to read");
    let mut last = 0;
    for kill in 0..kills {
        let mut writer = Part::new("write latest").on(&path).start();
        assert_eq!(writer.says("writes"), [last.max(1)], "it did not find what was committed last");
        std::thread::sleep(Duration::from_micros(kill * 37 % 2000));
        // Beside the writer, and when it is gone.
        for _ in 0..20 {
            let Ok(value) = reader.get() else { continue };
            assert!(value.iter().all(|word| *word == value[0]), "half a value");
            assert!(value[0] >= last, "it went back");
            last = value[0];
        }
        writer.kill();
        eventually("the kernel drops its lock", || !reader.writer_alive());
        let value = reader.get().expect("nobody writes");
        assert!(value.iter().all(|word| *word == value[0]), "half a value is left");
        assert!(value[0] >= last && Some(value[0]) == reader.version(), "{} after {last}", value[0]);
        last = value[0];
    }
    assert!(last > kills, "nobody wrote");
}
