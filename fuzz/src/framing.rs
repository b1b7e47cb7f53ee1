//! The input framing of the command, cut up into reads of any size, against the plainest cutting of the whole.

use std::io::{self, Read};

use super::frames::{FrameError, Frames, Framing, TooLong};
use super::input::Input;

/// Hands out its bytes a few at a time, and is interrupted now and then.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: &'a [u8],
    turn: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.get(self.turn % self.sizes.len().max(1)).copied().unwrap_or(16);
        self.turn += 1;
        if size == 255 && self.turn % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = usize::from(size).max(1).min(buffer.len()).min(self.bytes.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

/// Why the cutting ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    TooLarge { number: u64, bytes: u64 },
    Torn { number: u64, missing: u64 },
}

/// The records of the whole input, how many were too long and no failure, and why there are no more.
fn expected(bytes: &[u8], framing: Framing, too_long: TooLong, max: usize) -> (Vec<&[u8]>, u64, End) {
    let (mut records, mut long) = (Vec::new(), 0);
    let mut rest = bytes;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        // What is there of the record, and how much of it is missing.
        let (record, missing) = match framing {
            Framing::Lines => {
                let end = rest.iter().position(|byte| *byte == b'\n');
                let line = &rest[..end.unwrap_or(rest.len())];
                rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
                (line, 0)
            }
            Framing::Chunks(size) => {
                let (chunk, left) = rest.split_at(size.min(rest.len()));
                rest = left;
                (chunk, 0)
            }
            Framing::LengthPrefixed => {
                let Some((prefix, left)) = rest.split_first_chunk::<4>() else {
                    return (records, long, End::Torn { number, missing: 4 - rest.len() as u64 });
                };
                let len = u32::from_le_bytes(*prefix) as usize;
                let (record, left) = left.split_at(len.min(left.len()));
                rest = left;
                (record, len - record.len())
            }
        };
        let len = record.len() + missing;
        if len <= max {
            match missing {
                0 => records.push(record),
                missing => return (records, long, End::Torn { number, missing: missing as u64 }),
            }
            continue;
        }
        match too_long {
            TooLong::Fail => return (records, long, End::TooLarge { number, bytes: len as u64 }),
            TooLong::Skip => {}
            TooLong::Cut => records.extend(record.get(..max)),
            // Of one that is torn, what is whole.
            TooLong::Split if missing > 0 => records.extend(record.chunks_exact(max)),
            TooLong::Split => records.extend(record.chunks(max)),
        }
        if missing > 0 {
            return (records, long, End::Torn { number, missing: missing as u64 });
        }
        long += 1;
    }
    (records, long, End::Whole)
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let max = usize::from(input.byte()) + 1;
    let framing = match flags % 3 {
        0 => Framing::Lines,
        1 => Framing::Chunks(1 + input.below(max)),
        _ => Framing::LengthPrefixed,
    };
    let too_long = [TooLong::Fail, TooLong::Skip, TooLong::Cut, TooLong::Split][usize::from(flags / 4 % 4)];
    // From a few bytes at once up to more than there is.
    let at_once = 2 << (flags / 16 % 8);
    let sizes: Vec<u8> = (0..input.below(8)).map(|_| input.byte()).collect();
    let bytes = input.rest();
    let pieces = Pieces { bytes, sizes: &sizes, turn: 0 };
    let (expected, long, end) = expected(bytes, framing, too_long, max);
    let mut frames = Frames::reading(pieces, framing, too_long, max, at_once);
    let mut places = Vec::new();
    let mut count = 0;
    let ended = loop {
        let result = frames.at_hand(&mut places);
        for place in &places {
            assert!(expected.get(count) == Some(&frames.bytes(place)), "record {count}");
            count += 1;
        }
        match result {
            Ok(()) if frames.ended() => break End::Whole,
            Ok(()) => frames.fill().expect("pieces do not fail"),
            Err(FrameError::TooLarge { number, bytes, .. }) => break End::TooLarge { number, bytes },
            Err(FrameError::Torn { number, missing }) => break End::Torn { number, missing },
        }
    };
    if ended == End::Whole {
        assert_eq!(frames.too_long_count(), long);
    }
    assert_eq!((count, ended), (expected.len(), end));
}
