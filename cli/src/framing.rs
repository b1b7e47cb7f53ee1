//! Where one record ends and the next begins in a stream of bytes.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// Bytes asked for at once: enough that a system call costs nothing per record.
const READ: usize = 256 << 10;

/// How many bytes of a line without end are looked at to tell its size.
const COUNTED: u64 = 64 << 20;

/// How standard input is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each line without its line feed. A last line may lack it.
    Lines,
    /// So many bytes each; the last record has what is left.
    Chunks(usize),
    /// Each record behind its length, a little-endian `u32`.
    LengthPrefixed,
}

/// Cuts what it has read into records; reads only when told.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    input: R,
    framing: Framing,
    /// Most bytes of a record.
    max: usize,
    /// Bytes asked for at once.
    at_once: usize,
    buffer: Vec<u8>,
    /// What of the buffer was read and not handed out yet.
    ready: Range<usize>,
    /// Up to here no line feed was found.
    searched: usize,
    /// Bytes of a line that are not kept, since it is too long.
    skipped: u64,
    ended: bool,
    /// Records handed out.
    count: u64,
}

/// Why the input cannot be cut into records.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// A record is larger than the ring takes.
    TooLarge { what: &'static str, number: u64, bytes: u64, at_least: bool, max: usize },
    /// The input ended inside a record.
    Torn { number: u64, missing: u64 },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { what, number, bytes, at_least, max } => {
                let least = if *at_least { "at least " } else { "" };
                write!(
                    f,
                    "{what} {number} of the input has {least}{bytes} bytes, and this ring takes records of up to \
                     {max}; create it with a larger capacity, or cut the input with --chunk"
                )
            }
            Self::Torn { number, missing } => write!(
                f,
                "the input ends inside record {number}, {missing} bytes short; the records before it were \
                 published, check what writes the input"
            ),
        }
    }
}

impl std::error::Error for FrameError {}

impl<R: Read> Frames<R> {
    pub(crate) fn new(input: R, framing: Framing, max: usize) -> Self {
        Self::reading(input, framing, max, READ)
    }

    /// Asks for `at_once` bytes at a time, 2 or more.
    pub(crate) fn reading(input: R, framing: Framing, max: usize, at_once: usize) -> Self {
        Self {
            input,
            framing,
            max,
            at_once,
            buffer: Vec::new(),
            ready: 0..0,
            searched: 0,
            skipped: 0,
            ended: false,
            count: 0,
        }
    }

    /// Has the input ended? Records may be left all the same.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Fills `records` with the places of all records that were read and not handed out yet; also when it fails, then
    /// with those before the failure.
    pub(crate) fn at_hand(&mut self, records: &mut Vec<Range<usize>>) -> Result<(), FrameError> {
        records.clear();
        while let Some(record) = self.next()? {
            records.push(record);
        }
        Ok(())
    }

    /// The place of the next record that is at hand. `None`: read on, or nothing is left if the input has ended.
    fn next(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        let record = match self.framing {
            Framing::Lines => self.next_line()?,
            Framing::Chunks(size) => self.next_chunk(size),
            Framing::LengthPrefixed => self.next_prefixed()?,
        };
        self.count += u64::from(record.is_some());
        Ok(record)
    }

    /// The bytes of a record of [`at_hand`](Self::at_hand); good until the next [`fill`](Self::fill).
    pub(crate) fn bytes(&self, record: &Range<usize>) -> &[u8] {
        &self.buffer[record.clone()]
    }

    /// Reads once. Call it only after [`at_hand`](Self::at_hand).
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        if self.ready.start > 0 {
            self.buffer.copy_within(self.ready.clone(), 0);
            self.searched -= self.ready.start;
            self.ready = 0..self.ready.len();
        }
        let wanted = (self.ready.len() + self.at_once / 2).next_multiple_of(self.at_once);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let count = loop {
            match self.input.read(&mut self.buffer[self.ready.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.ready.end += count;
        self.ended = count == 0;
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        let start = self.ready.start;
        let end = match memchr::memchr(b'\n', &self.buffer[self.searched..self.ready.end]) {
            Some(place) => self.searched + place,
            None if self.ended && (!self.ready.is_empty() || self.skipped > 0) => self.ready.end,
            None => return self.unfinished_line(),
        };
        let bytes = self.skipped + (end - start) as u64;
        if bytes > self.max as u64 {
            return Err(self.too_large("line", bytes, false));
        }
        self.ready.start = (end + 1).min(self.ready.end);
        self.searched = self.ready.start;
        Ok(Some(start..end))
    }

    /// No end in sight. A line that is too long already is not kept, only counted, to tell its size.
    fn unfinished_line(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        self.searched = self.ready.end;
        let bytes = self.skipped + self.ready.len() as u64;
        if bytes > self.max as u64 {
            self.skipped = bytes;
            self.ready.start = self.ready.end;
        }
        match self.skipped {
            0..COUNTED => Ok(None),
            bytes => Err(self.too_large("line", bytes, true)),
        }
    }

    fn next_chunk(&mut self, size: usize) -> Option<Range<usize>> {
        let at_hand = self.ready.len();
        if at_hand < size && !(self.ended && at_hand > 0) {
            return None;
        }
        let start = self.ready.start;
        self.ready.start += at_hand.min(size);
        self.searched = self.ready.start;
        Some(start..self.ready.start)
    }

    fn next_prefixed(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        let at_hand = &self.buffer[self.ready.clone()];
        let torn = |missing| Err(FrameError::Torn { number: self.count + 1, missing });
        let Some((prefix, rest)) = at_hand.split_first_chunk::<4>() else {
            return match at_hand.len() {
                short @ 1..4 if self.ended => torn(4 - short as u64),
                _ => Ok(None),
            };
        };
        let len = u32::from_le_bytes(*prefix) as usize;
        if len > self.max {
            return Err(self.too_large("record", len as u64, false));
        }
        if rest.len() < len {
            return if self.ended { torn((len - rest.len()) as u64) } else { Ok(None) };
        }
        let start = self.ready.start + 4;
        self.ready.start = start + len;
        self.searched = self.ready.start;
        Ok(Some(start..start + len))
    }

    fn too_large(&self, what: &'static str, bytes: u64, at_least: bool) -> FrameError {
        FrameError::TooLarge { what, number: self.count + 1, bytes, at_least, max: self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out at most so many bytes a time, as pipes do.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    fn cut(input: &[u8], framing: Framing, max: usize, step: usize) -> Result<Vec<Vec<u8>>, String> {
        let mut frames = Frames::new(Slow(input, step), framing, max);
        let (mut records, mut places) = (Vec::new(), Vec::new());
        loop {
            let cut = frames.at_hand(&mut places);
            records.extend(places.iter().map(|place| frames.bytes(place).to_vec()));
            cut.map_err(|e| e.to_string())?;
            if frames.ended() {
                return Ok(records);
            }
            frames.fill().unwrap();
        }
    }

    fn steps() -> [usize; 5] {
        [1, 2, 3, 7, 1 << 20]
    }

    #[test]
    fn lines() {
        for step in steps() {
            let records = cut(b"one\n\nthree\r\n four", Framing::Lines, 100, step).unwrap();
            assert_eq!(records, [&b"one"[..], b"", b"three\r", b" four"], "step {step}");
            assert_eq!(cut(b"", Framing::Lines, 100, step).unwrap(), Vec::<Vec<u8>>::new());
            assert_eq!(cut(b"\n", Framing::Lines, 100, step).unwrap(), [b""]);
            assert_eq!(cut(b"x\n", Framing::Lines, 1, step).unwrap(), [b"x"]);
        }
    }

    #[test]
    fn a_line_longer_than_the_buffer() {
        let long = vec![b'x'; 3 * READ + 5];
        assert_eq!(cut(&long, Framing::Lines, usize::MAX, 1 << 20).unwrap(), [long]);
    }

    #[test]
    fn a_line_too_long_is_told_with_number_and_size() {
        let mut input = b"ok\nfine\n".to_vec();
        input.resize(input.len() + 700_000, b'x');
        for tail in [&b""[..], b"\nmore\n"] {
            let mut input = input.clone();
            input.extend(tail);
            for step in [1, 4096, 1 << 20] {
                let error = cut(&input, Framing::Lines, 100, step).unwrap_err();
                assert!(error.starts_with("line 3 of the input has 700000 bytes"), "{error}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut frames = Frames::new(io::repeat(b'x'), Framing::Lines, 100);
        let error = loop {
            match frames.at_hand(&mut Vec::new()) {
                Ok(()) => frames.fill().unwrap(),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.starts_with("line 1 of the input has at least 67"), "{error}");
    }

    #[test]
    fn chunks() {
        for step in steps() {
            let records = cut(b"abcdefgh", Framing::Chunks(3), 100, step).unwrap();
            assert_eq!(records, [&b"abc"[..], b"def", b"gh"], "step {step}");
            assert_eq!(cut(b"abcd", Framing::Chunks(2), 100, step).unwrap(), [b"ab", b"cd"]);
            assert!(cut(b"", Framing::Chunks(2), 100, step).unwrap().is_empty());
        }
    }

    #[test]
    fn length_prefixed() {
        let mut input = Vec::new();
        for record in [&b"one"[..], b"", b"a longer one"] {
            input.extend((record.len() as u32).to_le_bytes());
            input.extend(record);
        }
        for step in steps() {
            let records = cut(&input, Framing::LengthPrefixed, 100, step).unwrap();
            assert_eq!(records, [&b"one"[..], b"", b"a longer one"], "step {step}");
            let torn = cut(&input[..input.len() - 2], Framing::LengthPrefixed, 100, step).unwrap_err();
            assert!(torn.starts_with("the input ends inside record 3, 2 bytes short"), "{torn}");
            let torn = cut(&input[..9], Framing::LengthPrefixed, 100, step).unwrap_err();
            assert!(torn.starts_with("the input ends inside record 2, 2 bytes short"), "{torn}");
            let large = cut(&input, Framing::LengthPrefixed, 10, step).unwrap_err();
            assert!(large.starts_with("record 3 of the input has 12 bytes"), "{large}");
        }
    }
}
