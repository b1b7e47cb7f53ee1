//! Somebody writes garbage into the file of a lock, a value, a group or a service: before it is opened, between two calls,
//! before any single access within one, or all the time from another thread. Each call has an answer in time, or a typed
//! error; and with the bytes put back the object works as ever.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use quoit_tampered::tamper;

use super::input::{Garbage, Input};

mod kinds;

use kinds::{KINDS, Object};

/// One word of garbage.
#[derive(Clone, Copy, Debug)]
struct Poke {
    /// Before so many more accesses than the last.
    wait: u64,
    /// Byte of the file.
    byte: u64,
    garbage: Garbage,
}

/// Where the areas begin that participants write.
const CONTROL: u64 = 4096;
const DATA: u64 = 8192;

impl Poke {
    /// `first`: the first byte that may be hit.
    fn read(input: &mut Input<'_>, first: u64, bytes: u64) -> Self {
        let wait = u64::from(input.byte());
        let (choice, byte) = (input.byte(), u64::from(input.byte()));
        let word = match choice % 8 {
            // Seats, and the kind's own words.
            0..3 => CONTROL / 8 + byte % 64,
            3..6 => DATA / 8 + byte % 32,
            6 => DATA / 8 + byte,
            _ => first / 8 + byte * 7,
        };
        let (first, words) = (first / 8, (bytes - first) / 8);
        Self { wait, byte: 8 * (first + (word - first) % words), garbage: input.garbage() }
    }

    fn apply(&self, file: &File) {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, self.byte).expect("read a word");
        let spoilt = self.garbage.over(u64::from_le_bytes(word), 1024);
        file.write_all_at(&spoilt.to_le_bytes(), self.byte).expect("write a word");
    }
}

/// No call may take more accesses than this: a loop without an end would.
const MOST_ACCESSES: u64 = 1_000_000;

/// Writes each garbage word before its access from now on.
fn install(file: &File, pokes: Vec<Poke>) {
    let file = file.try_clone().expect("the same file");
    let begin = tamper::accesses();
    let end = begin + MOST_ACCESSES;
    let mut due = begin;
    let schedule: Vec<_> = pokes
        .into_iter()
        .map(|poke| {
            due += poke.wait;
            (due, poke)
        })
        .collect();
    let first = schedule.first().map_or(end, |(due, _)| *due);
    let mut next = 0;
    tamper::tamper_with(first, move |number| {
        assert!(number < end, "work without bound");
        while let Some((due, poke)) = schedule.get(next)
            && *due <= number
        {
            poke.apply(&file);
            next += 1;
        }
        schedule.get(next).map_or(end, |(due, _)| *due)
    });
}

/// How often another thread writes the garbage at most.
const ROUNDS: usize = 2000;

/// The files of an object, and what is in them.
fn images(directory: &Path) -> Vec<(File, Vec<u8>)> {
    let paths = std::fs::read_dir(directory).expect("list").map(|entry| entry.expect("an entry").path());
    let image = |path: PathBuf| {
        let file = File::options().write(true).open(&path).expect("open");
        (file, std::fs::read(path).expect("read"))
    };
    paths.map(image).collect()
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = &KINDS[input.below(KINDS.len())];
    let how = input.byte();
    let directory =
        tempfile::Builder::new().prefix("quoit-fuzz-").tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("object");
    (kind.make)(&path);
    let file = File::options().read(true).write(true).open((kind.file)(&path)).expect("open");
    let bytes = file.metadata().expect("its size").len();
    let whole = images(directory.path());
    // Nobody looks at the identity page of an object that is open, and a group's file with a bad one is made anew.
    let is_replaced = (kind.file)(&path).extension().is_some_and(|end| end == "group");
    let first = if how.is_multiple_of(4) && !is_replaced { 0 } else { CONTROL };
    let pokes: Vec<_> = (0..input.below(12)).map(|_| Poke::read(&mut input, first, bytes)).collect();
    let attack = |object: &mut dyn Object, input: &mut Input<'_>| {
        for _ in 0..24 {
            if input.is_empty() {
                break;
            }
            object.act(input.byte());
        }
    };
    match how % 4 {
        // At rest: opened as it is.
        0 => {
            pokes.iter().for_each(|poke| poke.apply(&file));
            install(&file, Vec::new());
            // Refused by whichever error says what is wrong with it, or used.
            if let Ok(mut object) = (kind.open)(&path) {
                attack(&mut *object, &mut input);
            }
        }
        1 | 2 => {
            let mut object = (kind.open)(&path).expect("an object in good order");
            install(&file, pokes);
            attack(&mut *object, &mut input);
        }
        _ => {
            let mut object = (kind.open)(&path).expect("an object in good order");
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        pokes.iter().for_each(|poke| poke.apply(&file));
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
                install(&file, Vec::new());
                attack(&mut *object, &mut input);
                done.store(true, Ordering::Relaxed);
            });
            drop(object);
        }
    }
    tamper::leave_alone();
    whole.iter().for_each(|(file, bytes)| file.write_all_at(bytes, 0).expect("put it back"));
    (kind.works)(&path);
}
