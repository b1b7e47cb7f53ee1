//! The input framing of the command, cut up into reads of any size, against the plainest cutting of the whole.

use std::io::{self, Read};

use super::frames::{FrameError, Frames, Framing};
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

/// The records of the whole input, and why there are no more.
fn expected(bytes: &[u8], framing: Framing, max: usize) -> (Vec<&[u8]>, End) {
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let number = records.len() as u64 + 1;
        let record = match framing {
            Framing::Lines => {
                let end = rest.iter().position(|byte| *byte == b'\n');
                let line = &rest[..end.unwrap_or(rest.len())];
                rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
                line
            }
            Framing::Chunks(size) => {
                let (chunk, left) = rest.split_at(size.min(rest.len()));
                rest = left;
                chunk
            }
            Framing::LengthPrefixed => {
                let Some((prefix, left)) = rest.split_first_chunk::<4>() else {
                    return (records, End::Torn { number, missing: 4 - rest.len() as u64 });
                };
                let len = u32::from_le_bytes(*prefix) as usize;
                if len > max {
                    return (records, End::TooLarge { number, bytes: len as u64 });
                }
                if len > left.len() {
                    return (records, End::Torn { number, missing: (len - left.len()) as u64 });
                }
                let (record, left) = left.split_at(len);
                rest = left;
                record
            }
        };
        if record.len() > max && framing == Framing::Lines {
            return (records, End::TooLarge { number, bytes: record.len() as u64 });
        }
        records.push(record);
    }
    (records, End::Whole)
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
    // From a few bytes at once up to more than there is.
    let at_once = 2 << (flags / 16 % 8);
    let sizes: Vec<u8> = (0..input.below(8)).map(|_| input.byte()).collect();
    let bytes = input.rest();
    let pieces = Pieces { bytes, sizes: &sizes, turn: 0 };
    let (expected, end) = expected(bytes, framing, max);
    let mut frames = Frames::reading(pieces, framing, max, at_once);
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
    assert_eq!((count, ended), (expected.len(), end));
}
