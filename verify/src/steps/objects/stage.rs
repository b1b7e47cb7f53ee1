//! The environment of a case: a folder with its objects, their image, and the board.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use quoit::Error;
use quoit::sync::SyncOptions;

use super::MOMENT;
use super::board::{Board, Word};
use crate::child::Shared;
use crate::place::Place;
use crate::steps::stage::{entries, until};
use crate::tracee::mark;

/// Seats of the objects: few, so that they are all used again in each run.
pub(crate) const SEATS: u32 = 5;

/// What a lock guards and what a value is: the same number in each word.
pub(crate) type Value = [u64; 8];

/// The number that is committed in the beginning.
pub(crate) const FIRST: u64 = 7;

pub(crate) const BEGIN: Value = [FIRST; 8];

pub(crate) fn options() -> SyncOptions {
    SyncOptions::new().seats(SEATS)
}

/// The number of a value that is whole.
pub(crate) fn whole(value: &Value) -> Result<u64> {
    ensure!(value.iter().all(|word| *word == value[0]), "half a value: {value:?}");
    Ok(value[0])
}

/// A file of the case, as it was made.
#[derive(Debug)]
struct Saved {
    name: String,
    file: File,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Stage {
    place: RefCell<Option<Place>>,
    board: &'static Board,
    image: RefCell<Vec<Saved>>,
    /// The point of the present run. Where there are several ways to check something, it decides which one is taken.
    point: Cell<u64>,
    checks: Cell<u64>,
    told: Cell<u64>,
}

impl Stage {
    /// It stays for the life of this process.
    pub(super) fn new() -> Result<&'static Self> {
        let place = Place::new("steps-objects")?;
        Ok(Box::leak(Box::new(Self {
            place: RefCell::new(Some(place)),
            board: Shared::<Board>::new()?.kept(),
            image: RefCell::default(),
            point: Cell::new(0),
            checks: Cell::new(0),
            told: Cell::new(0),
        })))
    }

    pub(super) fn close(&self) -> Result<()> {
        self.image.take();
        self.place.take().map_or(Ok(()), Place::close)
    }

    fn folder(&self) -> PathBuf {
        self.place.borrow().as_ref().expect("open until the last case").path().to_owned()
    }

    /// The object of the case.
    pub(crate) fn path(&self) -> PathBuf {
        self.at("object")
    }

    /// A second one.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Removes the objects of the last case.
    pub(super) fn clear(&self) -> Result<()> {
        self.image.take();
        for name in entries(&self.folder())? {
            std::fs::remove_file(self.at(&name))?;
        }
        std::fs::create_dir_all(self.kept())?;
        for name in entries(&self.kept())? {
            std::fs::remove_file(self.kept().join(name))?;
        }
        Ok(())
    }

    /// Where files stay that an operation may replace: the library knows a file from a copy of it.
    fn kept(&self) -> PathBuf {
        self.folder().with_file_name("kept")
    }

    /// `replaced`: the operation may replace some of the objects.
    pub(super) fn take_image(&self, replaced: bool) -> Result<()> {
        let mut image = Vec::new();
        for name in entries(&self.folder())? {
            let path = self.at(&name);
            let file = File::options().read(true).write(true).open(&path)?;
            if replaced {
                std::fs::hard_link(&path, self.kept().join(&name))?;
            }
            image.push(Saved { name, file, bytes: std::fs::read(path)? });
        }
        ensure!(!image.is_empty(), "there is no object");
        self.image.replace(image);
        Ok(())
    }

    /// Everything as it was made.
    pub(super) fn restore(&self, point: u64) -> Result<()> {
        self.board.clear();
        self.point.set(point);
        let image = self.image.borrow();
        for name in entries(&self.folder())? {
            if image.iter().all(|saved| saved.name != name) {
                std::fs::remove_file(self.at(&name))?;
            }
        }
        for saved in image.iter() {
            self.restore_name(saved).with_context(|| format!("restore {}", saved.name))?;
            saved.file.write_all_at(&saved.bytes, 0).context("restore an object")?;
        }
        Ok(())
    }

    /// The file may have been removed, and another may have its name by now.
    fn restore_name(&self, saved: &Saved) -> Result<()> {
        let (path, was) = (self.at(&saved.name), saved.file.metadata()?);
        let is_there = std::fs::metadata(&path).is_ok_and(|now| now.ino() == was.ino());
        if !is_there {
            let _ = std::fs::remove_file(&path);
            std::fs::hard_link(self.kept().join(&saved.name), &path)?;
        }
        Ok(())
    }

    /// All bytes of the objects. `others`: of those, too, that have been made since.
    pub(super) fn bytes(&self, others: bool) -> Result<Vec<Vec<u8>>> {
        let image = self.image.borrow();
        let read = |saved: &Saved| {
            let mut bytes = vec![0; saved.bytes.len()];
            saved.file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        let mut bytes = image.iter().map(read).collect::<Result<Vec<_>>>()?;
        if others {
            for name in entries(&self.folder())? {
                let inode = std::fs::metadata(self.at(&name))?.ino();
                if image.iter().all(|saved| saved.file.metadata().map_or(true, |old| old.ino() != inode)) {
                    bytes.push(std::fs::read(self.at(&name))?);
                }
            }
        }
        Ok(bytes)
    }

    pub(crate) fn get(&self, word: Word) -> u64 {
        self.board.get(word)
    }

    pub(crate) fn set(&self, word: Word, value: u64) {
        self.board.set(word, value);
    }

    pub(crate) fn add(&self, word: Word, value: u64) {
        self.board.add(word, value);
    }

    pub(crate) fn point(&self) -> u64 {
        self.point.get()
    }

    /// In the victim, when its operation is over. One that was never stopped is killed here.
    pub(crate) fn stay(&self) {
        while self.get(Word::LetGo) == 0 {
            mark();
        }
    }

    /// For the process beside the victim: it says that it is ready, and waits until the victim has noted that it may go on.
    pub(crate) fn until_first(&self) {
        self.set(Word::Ready, 1);
        self.until_set(Word::First);
    }

    /// For a process beside another one: waits until the other one has noted something.
    pub(crate) fn until_set(&self, word: Word) {
        while self.get(word) == 0 {
            std::thread::sleep(MOMENT);
        }
    }

    /// For the process beside the victim: it holds what the victim is to wait for, and gives it back a moment later.
    pub(crate) fn keep_a_while(&self, guard: impl Sized) {
        self.set(Word::Ready, 1);
        std::thread::sleep(Duration::from_millis(3));
        drop(guard);
        self.set(Word::Through, 1);
    }

    /// Was the victim stopped in between?
    pub(crate) fn is_let_go(&self) -> bool {
        self.get(Word::LetGo) == 1
    }

    /// One more thing that must hold.
    pub(crate) fn is(&self, holds: bool, what: impl FnOnce() -> String) -> Result<()> {
        self.checks.set(self.checks.get() + 1);
        ensure!(holds, "{}", what());
        Ok(())
    }

    /// Somebody was told of a death.
    pub(crate) fn note_told(&self) {
        self.told.set(self.told.get() + 1);
    }

    pub(super) fn checks(&self) -> u64 {
        self.checks.get()
    }

    pub(super) fn told(&self) -> u64 {
        self.told.get()
    }

    /// Waits until the process beside the victim got what it waited for.
    pub(crate) fn until_through(&self) -> Result<()> {
        until("the process beside the victim gets through", || self.get(Word::Through) == 1)
    }

    /// All seats, or slots of a ring, that are left, taken by handles of this process: those of the dead among them.
    pub(crate) fn take_seats<T>(&self, least: u32, open: impl Fn() -> Result<T, Error>) -> Result<Vec<T>> {
        let mut handles = Vec::new();
        loop {
            match open() {
                Ok(handle) => handles.push(handle),
                Err(Error::SeatsTaken { .. } | Error::SlotsTaken { .. }) => break,
                Err(error) => return Err(error).context("take a seat"),
            }
        }
        self.is(handles.len() as u32 >= least, || {
            format!("{} seats could be taken, not {least}", handles.len())
        })?;
        Ok(handles)
    }
}

/// Does this process sleep in the kernel for a word of memory?
pub(super) fn sleeps(pid: Pid) -> bool {
    const FUTEX: &str = "202 ";
    const FUTEX_WAITV: &str = "449 ";
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    call.starts_with(FUTEX) || call.starts_with(FUTEX_WAITV)
}
