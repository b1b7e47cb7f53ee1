//! Reads and writes a ring's words in the file, without taking part: for the watchdog, and to place values.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use support::offsets::{self, ALIGNMENT, CURSOR, DATA_WORD, PUBLISHED, RESERVE, SEGMENTS, SPACE_WORD};

/// Where somebody sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Data,
    Space,
}

/// A ring's file.
#[derive(Debug)]
pub(crate) struct Peek {
    file: File,
    control: u64,
}

impl Peek {
    pub(crate) fn open(ring: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(ring).context("look into a ring")?;
        let mut peek = Self { file, control: 0 };
        peek.control = offsets::control(peek.long(SEGMENTS)?, peek.long(ALIGNMENT)?);
        Ok(peek)
    }

    fn long(&self, offset: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Offset of a sleep word in the file.
    pub(crate) fn offset(&self, word: Word) -> u64 {
        match word {
            Word::Data => self.control + DATA_WORD,
            Word::Space => self.control + SPACE_WORD,
        }
    }

    pub(crate) fn word(&self, word: Word) -> Result<u32> {
        let mut bytes = [0; 4];
        self.file.read_exact_at(&mut bytes, self.offset(word))?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn set_word(&self, word: Word, value: u32) -> Result<()> {
        Ok(self.file.write_all_at(&value.to_le_bytes(), self.offset(word))?)
    }

    /// Everything a lost wake shows in.
    pub(crate) fn dump(&self) -> Result<String> {
        let mut text = format!(
            "published {}, reserve {}, data word {:#010x}, space word {:#010x}",
            self.long(PUBLISHED)?,
            self.long(RESERVE)?,
            self.word(Word::Data)?,
            self.word(Word::Space)?
        );
        for slot in 0..4 {
            let at = self.control + offsets::slot(slot);
            let (state, cursor) = (self.long(at)?, self.long(at + CURSOR)?);
            if state & 0xff != 0 {
                write!(text, ", slot {slot} state {} cursor {}", state & 0xff, cursor & !7)?;
            }
        }
        Ok(text)
    }
}
