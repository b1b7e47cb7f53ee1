//! Bytes read as numbers, places and values. Where they end, zeros follow.

/// What is left of an input.
#[derive(Clone, Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(super) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(super) fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A payload's length: short ones, those about the inline copy's, and up to `most` and past it.
    pub(super) fn len(&mut self, most: usize) -> usize {
        let byte = usize::from(self.byte());
        match byte {
            0..200 => byte,
            200..240 => (byte - 199) * (most / 40),
            240..250 => most - (byte - 240),
            _ => most + (byte - 250),
        }
    }

    pub(super) fn garbage(&mut self) -> Garbage {
        let kind = self.byte();
        let argument = match kind % 12 {
            0 => self.word(),
            4 | 9 => u64::from(self.short()),
            7 => u64::from(u32::from_le_bytes(std::array::from_fn(|_| self.byte()))),
            _ => u64::from(self.byte()),
        };
        Garbage { kind: kind % 12, argument }
    }
}

/// What hurts most where a value stands.
const WORST: [u64; 16] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    u64::MAX,
    u64::MAX - 7,
    1 << 63,
    (1 << 63) - 1,
    1 << 31,
    0x7fff_ffff,
    1 << 32,
    (1 << 63) + 8,
    12,
];

/// A value to be written, given the one that stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Garbage {
    kind: u8,
    argument: u64,
}

impl Garbage {
    pub(super) fn over(self, now: u64, capacity: u64) -> u64 {
        let Self { kind, argument } = self;
        let signed = argument as u8 as i8 as i64 as u64;
        match kind {
            0 => argument,
            1 => now ^ 1 << (argument % 64),
            2 => now.wrapping_add(signed.wrapping_mul(8)),
            3 => now.wrapping_add(signed.wrapping_mul(capacity)),
            4 => now.wrapping_add((argument as u16 as i16 as i64 as u64).wrapping_mul(8)),
            5 => WORST[(argument % 16) as usize],
            6 => now & !0xff | argument,
            7 => now & 0xffff_ffff_0000_0000 | argument,
            8 => now.wrapping_add(signed),
            9 => argument,
            10 => now.wrapping_add(1u64 << (argument % 64)),
            _ => now.wrapping_sub(1u64 << (argument % 64)),
        }
    }
}
