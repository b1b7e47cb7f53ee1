//! The environment: one ring file, restored for every kill from its state's image, and a board on which processes
//! leave numbers for each other.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use support::offsets;

use super::making::Making;
use super::notes::Notes;
use super::states::State;
use crate::child::Child;
use crate::place::Place;

/// Long enough for anything that happens at all on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Byte of the file that the producer locks.
const PRODUCER_BYTE: u64 = 1 << 62;

/// Words of the board.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// The victim was stopped, and then let go.
    LetGo,
    /// Where the stopped victim has to get to.
    Target,
    /// The sleeper's next sequence.
    Slept,
    /// The blocked producer got through.
    Through,
}

/// Numbers that processes leave for each other.
#[derive(Debug)]
pub(crate) struct Board(File);

impl Board {
    pub(crate) fn set(&self, word: Word, value: u64) {
        self.0.write_all_at(&value.to_le_bytes(), 8 * word as u64).expect("the board");
    }

    pub(crate) fn get(&self, word: Word) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 8 * word as u64).expect("the board");
        u64::from_le_bytes(bytes)
    }

    fn clear(&self) {
        self.0.write_all_at(&[0; 64], 0).expect("the board");
    }
}

/// A directory in memory.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: Place,
    pub(crate) board: Board,
}

/// A state's ring.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) path: PathBuf,
    file: File,
    image: Vec<u8>,
    pub(crate) notes: Notes,
    /// Where the control area begins.
    control: u64,
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        let directory = Place::new("steps")?;
        let board = directory.path().join("board");
        let board = File::options().read(true).write(true).create(true).truncate(true).open(board)?;
        let board = Board(board);
        board.clear();
        std::fs::create_dir(directory.path().join("new"))?;
        Ok(Self { directory, board })
    }

    /// A directory for rings to be created in, empty.
    pub(crate) fn nursery(&self) -> PathBuf {
        self.directory.path().join("new")
    }

    /// Makes the state, by processes that are killed.
    pub(crate) fn make(&self, state: &State) -> Result<Ring> {
        let path = self.directory.path().join("ring");
        let _ = std::fs::remove_file(&path);
        state.shape.options().create(&path)?;
        let file = File::options().read(true).write(true).open(&path)?;
        let control = offsets::CONTROL;
        let mut ring = Ring { path, file, image: Vec::new(), notes: Notes::default(), control };
        let last = state.make.len() - 1;
        for (number, make) in state.make.iter().enumerate() {
            let asleep = state.asleep.filter(|_| number == last);
            ring.notes = self.run(&ring, state, make, asleep)?;
        }
        ring.image = ring.bytes()?;
        Ok(ring)
    }

    /// One process makes its part and is killed.
    fn run(
        &self,
        ring: &Ring,
        state: &State,
        make: &dyn Fn(&mut Making),
        asleep: Option<u64>,
    ) -> Result<Notes> {
        let notes_path = self.directory.path().join("notes");
        let _ = std::fs::remove_file(&notes_path);
        let mut making = Making::new(&ring.path, &notes_path, ring.notes.clone(), &state.shape);
        let mut process = Child::start(move || {
            make(&mut making);
            making.ready();
            loop {
                std::thread::sleep(PATIENCE);
            }
        })?;
        until("a state is made", || notes_path.exists() || !matches!(process.ended(), Ok(None)))?;
        if let Some(word) = asleep {
            until("the process sleeps", || ring.is_armed(word))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        ensure!(process.ended()?.is_none(), "the state could not be made");
        drop(process);
        Ok(serde_json::from_str(&std::fs::read_to_string(&notes_path)?)?)
    }
}

impl Ring {
    /// As the state was made.
    pub(crate) fn restore(&self, board: &Board) -> Result<()> {
        board.clear();
        Ok(self.file.write_all_at(&self.image, 0)?)
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.file.metadata()?.len() as usize];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn read(&self, bytes: &mut [u8]) -> Result<()> {
        Ok(self.file.read_exact_at(bytes, 0)?)
    }

    fn word(&self, byte: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, byte).expect("the ring");
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn published(&self) -> u64 {
        self.word(offsets::PUBLISHED)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.word(offsets::EPOCH)
    }

    /// Is somebody armed on the word at this byte of the control area?
    pub(crate) fn is_armed(&self, byte: u64) -> bool {
        self.word(self.control + byte) & 1 == 1
    }

    /// The state word of a slot.
    pub(crate) fn slot_state(&self, slot: u32) -> u64 {
        self.word(self.control + offsets::slot(slot.into()))
    }

    /// Does anybody hold the producer's lock?
    pub(crate) fn has_producer(&self) -> Result<bool> {
        let mut range = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: PRODUCER_BYTE as libc::off_t,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&self.file, FcntlArg::F_OFD_GETLK(&mut range))?;
        Ok(libc::c_int::from(range.l_type) != libc::F_UNLCK)
    }
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    for turn in 0u32.. {
        if is_so() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("never happened: {what}");
        }
        if turn < 100 {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    unreachable!()
}

/// Names of what is in a directory.
pub(crate) fn entries(directory: &Path) -> Result<Vec<String>> {
    let list = std::fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    list.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
