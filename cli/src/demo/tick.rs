//! What the producer publishes: a market-data-like tick that carries a checksum.
//!
//! A tick carries its own number, its publish time and a checksum, so consumers need not trust the ring. Its length
//! is a function of its number, so the bytes of a span of ticks are known without receiving them.
//!
//! ```text
//!  0 number   8 published, ns   16 symbol    24 bid       32 ask (1/10,000)
//! 40 bid size, ask size         48 epoch, flags           56 checksum of all the rest
//! 64 up to two trades of 16 bytes: price, size
//! ```

/// Maximum bytes of a tick. It still fits the ring's inline block.
pub(crate) const MAX_LEN: usize = 96;

const CHECKSUM: usize = 56;
const BASE_LEN: usize = 64;
const TRADE_LEN: usize = 16;

/// Trades carried by the ticks of one period, by number.
const TRADES: [u8; 8] = [0, 0, 1, 0, 0, 0, 2, 0];

/// The producer was not pacing itself: the age of such a tick measures the queue, not the ring.
const FLAT_OUT: u32 = 1;

const SYMBOLS: [&[u8; 8]; 8] =
    [b"ACME    ", b"BOLT    ", b"CRANE   ", b"DELFT   ", b"EMBER   ", b"FJORD   ", b"GROVE   ", b"HELIX   "];

/// One quote of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    /// The producer's own count, which must agree with the ring's sequence.
    pub(crate) number: u64,
    /// `CLOCK_MONOTONIC`, in nanoseconds, right before the send.
    pub(crate) published_ns: u64,
    pub(crate) symbol: [u8; 8],
    pub(crate) bid: u64,
    pub(crate) ask: u64,
    pub(crate) bid_size: u32,
    pub(crate) ask_size: u32,
    pub(crate) epoch: u32,
    pub(crate) flat_out: bool,
}

/// Bytes of the tick with this number.
pub(crate) fn len(number: u64) -> usize {
    BASE_LEN + TRADE_LEN * usize::from(TRADES[(number % 8) as usize])
}

/// Bytes of all ticks from `first` up to, but not including, `next`.
pub(crate) fn span_bytes(first: u64, next: u64) -> u64 {
    bytes_before(next).wrapping_sub(bytes_before(first))
}

/// Mean bytes a tick takes in the ring, its 8-byte header included.
pub(crate) fn mean_footprint() -> u64 {
    bytes_before(8) / 8 + 8
}

fn bytes_before(number: u64) -> u64 {
    let started: u64 = (0..number % 8).map(|n| len(n) as u64).sum();
    let period: u64 = (0..8).map(|n| len(n) as u64).sum();
    (number / 8).wrapping_mul(period).wrapping_add(started)
}

impl Tick {
    /// Writes the tick and answers its length.
    pub(crate) fn encode(&self, buffer: &mut [u8; MAX_LEN]) -> usize {
        let len = len(self.number);
        put(buffer, 0, self.number);
        put(buffer, 8, self.published_ns);
        buffer[16..24].copy_from_slice(&self.symbol);
        put(buffer, 24, self.bid);
        put(buffer, 32, self.ask);
        put(buffer, 40, pair(self.bid_size, self.ask_size));
        put(buffer, 48, pair(self.epoch, u32::from(self.flat_out) * FLAT_OUT));
        for trade in 0..usize::from(TRADES[(self.number % 8) as usize]) {
            put(buffer, BASE_LEN + TRADE_LEN * trade, if trade == 0 { self.bid } else { self.ask });
            put(buffer, BASE_LEN + TRADE_LEN * trade + 8, self.number.wrapping_add(trade as u64));
        }
        let checksum = checksum(&buffer[..len]);
        put(buffer, CHECKSUM, checksum);
        len
    }

    /// Reads a tick. `None` if any bit of it differs from what was written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < BASE_LEN || !bytes.len().is_multiple_of(8) {
            return None;
        }
        let number = get(bytes, 0);
        if bytes.len() != len(number) || get(bytes, CHECKSUM) != checksum(bytes) {
            return None;
        }
        let (bid_size, ask_size) = halves(get(bytes, 40));
        let (epoch, flags) = halves(get(bytes, 48));
        Some(Self {
            number,
            published_ns: get(bytes, 8),
            symbol: get(bytes, 16).to_le_bytes(),
            bid: get(bytes, 24),
            ask: get(bytes, 32),
            bid_size,
            ask_size,
            epoch,
            flat_out: flags & FLAT_OUT != 0,
        })
    }
}

/// Prices that walk at random, one instrument after the other.
#[derive(Debug)]
pub(crate) struct Market {
    prices: [u64; SYMBOLS.len()],
    dice: u64,
}

impl Market {
    pub(crate) fn new(seed: u64) -> Self {
        Self { prices: [1_000_000; SYMBOLS.len()], dice: seed | 1 }
    }

    /// The next quote, not stamped with its time yet.
    pub(crate) fn quote(&mut self, number: u64, epoch: u32, flat_out: bool) -> Tick {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let which = (self.dice >> 8) as usize % SYMBOLS.len();
        let step = 100 * (self.dice >> 16 & 3);
        let price = &mut self.prices[which];
        *price = if self.dice & 1 == 0 { *price + step } else { (*price - step).max(10_000) };
        Tick {
            number,
            published_ns: 0,
            symbol: *SYMBOLS[which],
            bid: *price,
            ask: *price + 100,
            bid_size: 100 * (1 + (self.dice >> 24 & 15) as u32),
            ask_size: 100 * (1 + (self.dice >> 32 & 15) as u32),
            epoch,
            flat_out,
        }
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes.len() as u64;
    for at in (0..bytes.len()).step_by(8).filter(|at| *at != CHECKSUM) {
        sum = (sum ^ get(bytes, at)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31);
    }
    sum ^ sum >> 29
}

fn put(buffer: &mut [u8], at: usize, word: u64) {
    buffer[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

fn get(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut market = Market::new(7);
        let mut buffer = [0; MAX_LEN];
        for number in (0..1000).chain(u64::MAX - 20..u64::MAX) {
            let mut tick = market.quote(number, 3, number % 3 == 0);
            tick.published_ns = number.wrapping_mul(17);
            let len = tick.encode(&mut buffer);
            assert_eq!(Tick::decode(&buffer[..len]), Some(tick));
            assert!(tick.ask > tick.bid);
        }
    }

    #[test]
    fn any_flipped_bit_and_any_other_length_shows() {
        for number in 0..8 {
            let mut buffer = [0; MAX_LEN];
            let len = Market::new(9).quote(number, 1, false).encode(&mut buffer);
            for bit in 0..len * 8 {
                buffer[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Tick::decode(&buffer[..len]), None, "tick {number}, bit {bit}");
                buffer[bit / 8] ^= 1 << (bit % 8);
            }
            for other in (0..=MAX_LEN).filter(|other| *other != len) {
                assert_eq!(Tick::decode(&buffer[..other]), None, "tick {number}, {other} bytes");
            }
        }
    }

    #[test]
    fn halves_of_two_ticks_show() {
        let (mut one, mut two) = ([0; MAX_LEN], [0; MAX_LEN]);
        let mut market = Market::new(11);
        let len = market.quote(8, 1, false).encode(&mut one);
        market.quote(16, 1, false).encode(&mut two);
        for cut in (8..len).step_by(8) {
            let mixed = [&one[..cut], &two[cut..len]].concat();
            assert!(
                Tick::decode(&mixed).is_none() || mixed == one[..len] || mixed == two[..len],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn spans_weigh_what_their_ticks_weigh() {
        for first in 0..20 {
            for next in first..40 {
                assert_eq!(span_bytes(first, next), (first..next).map(|n| len(n) as u64).sum::<u64>());
            }
        }
    }
}
