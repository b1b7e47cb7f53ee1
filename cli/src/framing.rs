//! Splits a stream of bytes into records.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// Bytes per read: enough to make the cost of the system call per record negligible.
const READ: usize = 256 << 10;

/// How many bytes of an overlong line are read to report its size.
const COUNTED: u64 = 64 << 20;

/// How standard input is split into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each line without its line feed. The last line may lack one.
    Lines,
    /// This many bytes each; the last record may be shorter.
    Chunks(usize),
    /// Each record follows its length, a little-endian `u32`.
    LengthPrefixed,
}

/// What to do with a record that is larger than the ring allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TooLong {
    /// Fail.
    #[default]
    Fail,
    /// Skip the record.
    Skip,
    /// Publish as much of it as fits, and drop the rest.
    Cut,
    /// Split it into several records.
    Split,
}

/// Splits its buffer into records. It reads only when called to.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    input: R,
    framing: Framing,
    too_long: TooLong,
    /// Maximum bytes of a record.
    max: usize,
    /// Bytes per read.
    at_once: usize,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not handed out yet.
    ready: Range<usize>,
    /// No line feed was found before this place.
    searched: usize,
    /// Bytes of an overlong line that are handled already: handed out, or dropped.
    over: u64,
    /// Bytes still to come of a length-prefixed record that is too long.
    left: usize,
    ended: bool,
    /// Complete records in the input.
    count: u64,
    /// How many of them were too long.
    too_long_count: u64,
}

/// Why the input cannot be split into records.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// A record is larger than the ring allows.
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
                     {max}; create it with a larger capacity, or see --too-long and --chunk"
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
    pub(crate) fn new(input: R, framing: Framing, too_long: TooLong, max: usize) -> Self {
        Self::reading(input, framing, too_long, max, READ)
    }

    /// Reads `at_once` bytes at a time, 2 or more.
    pub(crate) fn reading(input: R, framing: Framing, too_long: TooLong, max: usize, at_once: usize) -> Self {
        Self {
            input,
            framing,
            too_long,
            max,
            at_once,
            buffer: Vec::new(),
            ready: 0..0,
            searched: 0,
            over: 0,
            left: 0,
            ended: false,
            count: 0,
            too_long_count: 0,
        }
    }

    /// Has the input ended? Records may still be in the buffer.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Records of the input that were longer than the ring allows and did not count as a failure.
    pub(crate) fn too_long_count(&self) -> u64 {
        self.too_long_count
    }

    /// Counts the records that were read and not handed out, and the bytes of an incomplete record.
    pub(crate) fn discard(&mut self) -> (u64, u64) {
        let mut records = 0;
        loop {
            match self.next() {
                Ok(Some(_)) | Err(FrameError::TooLarge { at_least: false, .. }) => records += 1,
                Ok(None) | Err(_) => return (records, self.over + self.ready.len() as u64),
            }
        }
    }

    /// Fills `records` with the places of all records that were read and not handed out yet. On failure it holds
    /// those before the failure.
    pub(crate) fn at_hand(&mut self, records: &mut Vec<Range<usize>>) -> Result<(), FrameError> {
        records.clear();
        while let Some(record) = self.next()? {
            records.push(record);
        }
        Ok(())
    }

    /// The place of the next complete record in the buffer. `None`: read more, or the input has ended and nothing is
    /// left.
    fn next(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        match self.framing {
            Framing::Lines => self.next_line(),
            Framing::Chunks(size) => Ok(self.next_chunk(size)),
            Framing::LengthPrefixed => self.next_prefixed(),
        }
    }

    /// The bytes of a record of [`at_hand`](Self::at_hand), valid until the next [`fill`](Self::fill).
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
        loop {
            let start = self.ready.start;
            let found = memchr::memchr(b'\n', &self.buffer[self.searched..self.ready.end]);
            let end = found.map_or(self.ready.end, |place| self.searched + place);
            self.searched = end;
            let whole = found.is_some() || (self.ended && (!self.ready.is_empty() || self.over > 0));
            let bytes = self.over + (end - start) as u64;
            if bytes <= self.max as u64 {
                if whole {
                    self.end_line(end);
                }
                return Ok(whole.then_some(start..end));
            }
            match self.too_long {
                TooLong::Split if end - start > self.max => return Ok(Some(self.piece(start))),
                TooLong::Cut if self.over == 0 => return Ok(Some(self.piece(start))),
                TooLong::Split if whole => {
                    self.too_long_count += 1;
                    self.end_line(end);
                    return Ok(Some(start..end));
                }
                TooLong::Split => return Ok(None),
                TooLong::Fail | TooLong::Skip | TooLong::Cut => {
                    // It is not kept. Only its size is counted.
                    (self.over, self.ready.start) = (bytes, end);
                }
            }
            match (self.too_long, whole) {
                (TooLong::Fail, false) if bytes >= COUNTED => return Err(self.too_large("line", bytes, true)),
                (_, false) => return Ok(None),
                (TooLong::Fail, true) => {
                    let error = self.too_large("line", bytes, false);
                    self.end_line(end);
                    return Err(error);
                }
                (_, true) => {
                    self.too_long_count += 1;
                    self.end_line(end);
                }
            }
        }
    }

    /// A line is complete. The next one begins after its line feed, if it has one.
    fn end_line(&mut self, end: usize) {
        self.ready.start = (end + 1).min(self.ready.end);
        self.searched = self.ready.start;
        self.over = 0;
        self.count += 1;
    }

    /// As much of a line as fits a record.
    fn piece(&mut self, start: usize) -> Range<usize> {
        self.ready.start = start + self.max;
        self.over += self.max as u64;
        start..self.ready.start
    }

    fn next_chunk(&mut self, size: usize) -> Option<Range<usize>> {
        let at_hand = self.ready.len();
        if at_hand < size && !(self.ended && at_hand > 0) {
            return None;
        }
        self.count += 1;
        Some(self.take(at_hand.min(size)))
    }

    fn next_prefixed(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        loop {
            if self.left > 0 {
                let wanted = match self.too_long {
                    TooLong::Split => self.left.min(self.max),
                    _ => self.left.min(self.ready.len()).max(1),
                };
                if self.ready.len() < wanted {
                    return self.torn(self.left - self.ready.len());
                }
                self.left -= wanted;
                let piece = self.take(wanted);
                if self.too_long == TooLong::Split {
                    return Ok(Some(piece));
                }
                continue;
            }
            let at_hand = &self.buffer[self.ready.clone()];
            let Some((prefix, rest)) = at_hand.split_first_chunk::<4>() else {
                return match at_hand.len() {
                    0 => Ok(None),
                    short => self.torn(4 - short),
                };
            };
            let len = u32::from_le_bytes(*prefix) as usize;
            if len <= self.max {
                if rest.len() < len {
                    return self.torn(len - rest.len());
                }
                self.count += 1;
                self.take(4);
                return Ok(Some(self.take(len)));
            }
            let error = self.too_large("record", len as u64, false);
            let cut = if self.too_long == TooLong::Cut { self.max } else { 0 };
            if rest.len() < cut {
                return self.torn(len - rest.len());
            }
            self.count += 1;
            self.take(4);
            self.left = len - cut;
            let kept = self.take(cut);
            match self.too_long {
                TooLong::Fail => return Err(error),
                TooLong::Cut => {
                    self.too_long_count += 1;
                    return Ok(Some(kept));
                }
                TooLong::Skip | TooLong::Split => self.too_long_count += 1,
            }
        }
    }

    /// At most this many bytes of those that are ready.
    fn take(&mut self, bytes: usize) -> Range<usize> {
        let start = self.ready.start;
        self.ready.start += bytes;
        self.searched = self.ready.start;
        start..self.ready.start
    }

    /// A record is incomplete. If the input has ended it stays incomplete.
    fn torn(&self, missing: usize) -> Result<Option<Range<usize>>, FrameError> {
        // The rest of an overlong record belongs to one that was counted already.
        let number = self.count + u64::from(self.left == 0);
        match self.ended {
            true => Err(FrameError::Torn { number, missing: missing as u64 }),
            false => Ok(None),
        }
    }

    fn too_large(&self, what: &'static str, bytes: u64, at_least: bool) -> FrameError {
        FrameError::TooLarge { what, number: self.count + 1, bytes, at_least, max: self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns at most this many bytes per read, as pipes do.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    fn cut(input: &[u8], framing: Framing, max: usize, step: usize) -> Result<Vec<Vec<u8>>, String> {
        cut_or(TooLong::Fail, input, framing, max, step).map(|(records, _)| records)
    }

    /// All records, and how many were too long.
    fn cut_or(
        too_long: TooLong,
        input: &[u8],
        framing: Framing,
        max: usize,
        step: usize,
    ) -> Result<(Vec<Vec<u8>>, u64), String> {
        let mut frames = Frames::new(Slow(input, step), framing, too_long, max);
        let (mut records, mut places) = (Vec::new(), Vec::new());
        loop {
            let cut = frames.at_hand(&mut places);
            records.extend(places.iter().map(|place| frames.bytes(place).to_vec()));
            cut.map_err(|e| e.to_string())?;
            if frames.ended() {
                return Ok((records, frames.too_long_count()));
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
        let mut frames = Frames::new(io::repeat(b'x'), Framing::Lines, TooLong::Fail, 100);
        let error = loop {
            match frames.at_hand(&mut Vec::new()) {
                Ok(()) => frames.fill().unwrap(),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.starts_with("line 1 of the input has at least 67"), "{error}");
    }

    #[test]
    fn lines_too_long_are_left_out_cut_or_split() {
        let input = b"abc\nabcdefgh\n\nabcdef\nabcd";
        for step in steps() {
            let with = |too_long| cut_or(too_long, input, Framing::Lines, 3, step).unwrap();
            assert_eq!(with(TooLong::Skip), (vec![b"abc".to_vec(), b"".to_vec()], 3), "step {step}");
            let cut = [&b"abc"[..], b"abc", b"", b"abc", b"abc"].map(<[u8]>::to_vec);
            assert_eq!(with(TooLong::Cut), (cut.to_vec(), 3), "step {step}");
            let split = [&b"abc"[..], b"abc", b"def", b"gh", b"", b"abc", b"def", b"abc", b"d"];
            assert_eq!(with(TooLong::Split), (split.map(<[u8]>::to_vec).to_vec(), 3), "step {step}");
        }
    }

    #[test]
    fn records_too_long_are_left_out_cut_or_split() {
        let mut input = Vec::new();
        for record in [&b"abc"[..], b"abcdefgh", b"", b"abcdef"] {
            input.extend((record.len() as u32).to_le_bytes());
            input.extend(record);
        }
        for step in steps() {
            let with = |too_long| cut_or(too_long, &input, Framing::LengthPrefixed, 3, step).unwrap();
            assert_eq!(with(TooLong::Skip), (vec![b"abc".to_vec(), b"".to_vec()], 2), "step {step}");
            let cut = [&b"abc"[..], b"abc", b"", b"abc"].map(<[u8]>::to_vec);
            assert_eq!(with(TooLong::Cut), (cut.to_vec(), 2), "step {step}");
            let split = [&b"abc"[..], b"abc", b"def", b"gh", b"", b"abc", b"def"];
            assert_eq!(with(TooLong::Split), (split.map(<[u8]>::to_vec).to_vec(), 2), "step {step}");
            for too_long in [TooLong::Skip, TooLong::Cut, TooLong::Split] {
                let torn = cut_or(too_long, &input[..input.len() - 1], Framing::LengthPrefixed, 3, step);
                assert!(torn.unwrap_err().starts_with("the input ends inside record 4, 1 bytes short"));
            }
        }
    }

    #[test]
    fn what_is_not_handed_out_is_counted() {
        for (input, framing, counted) in [
            (&b"one\ntoo long\ntwo\npart"[..], Framing::Lines, (3, 4)),
            (b"one\n", Framing::Lines, (1, 0)),
            (b"one\npart that is too long", Framing::Lines, (1, 21)),
            (b"abcabcab", Framing::Chunks(3), (2, 2)),
            (b"\x03\0\0\0abc\x05\0\0\0abcde\x02\0", Framing::LengthPrefixed, (2, 2)),
        ] {
            let mut frames = Frames::new(input, framing, TooLong::Fail, 4);
            frames.fill().unwrap();
            assert_eq!(frames.discard(), counted, "{framing:?}");
        }
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
