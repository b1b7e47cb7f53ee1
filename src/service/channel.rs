//! A channel: messages of any length from one sender to one receiver, over a power of two of words.
//!
//! ```text
//! sender, message of footprint f at position p       receiver at position p
//!
//! 1  p + f + 8 - released within the capacity [Q2]   1  h = header at p                          [Q1]
//! 2  note and payload behind p                          0: nothing yet
//! 3  0 at p + f                                      2  h is judged by p and by private numbers alone
//! 4  header at p                          [Q1]       3  read, and at some time released = p + f  [Q2]
//! ```
//!
//! The header is what publishes a message: it and a short payload come with one cache line. Step 3 clears the place of
//! the next header first, so what a receiver finds behind the last message is 0, and not a word of an earlier lap. A
//! sender that dies before step 4 has sent nothing, and whoever sends next begins at the same place.
//!
//! A message never wraps. If it does not fit before the end of the channel, padding goes before it.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | Q1 → Q1 | note and payload before the header | the header before note and payload | a message is read that was not written |
//! | Q2 → Q2 | reads before `released` | `released` before the next lap's stores | a message is overwritten while it is read |

use crate::atomics::{AtomicU64, Word, at, copy};
use crate::service::header::Header;

/// Bytes of the header and of the note.
const PREFIX_BYTES: u64 = 16;
/// Most bytes of a message that are asked for at once.
const FETCH: u64 = 512;
/// Bytes of the word that is cleared behind a message.
const END_BYTES: u64 = 8;

/// Bytes that a message takes up.
#[inline]
pub(super) fn footprint(len: usize) -> u64 {
    (len as u64).saturating_add(PREFIX_BYTES + 7) & !7
}

/// The largest payload in a channel of so many bytes: its message, the clear word and padding always fit.
#[inline]
pub(super) fn largest(capacity: u64) -> usize {
    (capacity / 2).saturating_sub(PREFIX_BYTES + END_BYTES) as usize
}

/// The largest payload that always fits beside so many bytes. `None`: not even an empty one.
pub(super) fn largest_beside(capacity: u64, kept: u64) -> Option<usize> {
    // Twice the footprint: padding takes up less than one.
    let footprint = (capacity.saturating_sub(kept) / 2) & !7;
    footprint.checked_sub(PREFIX_BYTES).map(|len| largest(capacity).min(len as usize))
}

/// Room for so many messages with payloads of `len` bytes each, however they lie.
#[inline]
pub(super) fn room_for(messages: u64, len: usize) -> u64 {
    // One more, for padding: so many messages pass the end of the channel once.
    footprint(len).saturating_mul(messages.saturating_add(1)).saturating_add(END_BYTES)
}

/// The words of one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel<'a> {
    words: &'a [Word],
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) position: u64,
    pub(super) header: Header,
}

impl Message {
    pub(super) fn len(self) -> usize {
        self.header.len()
    }

    /// The position behind it.
    pub(super) fn end(self) -> u64 {
        self.position.wrapping_add(footprint(self.len()))
    }
}

/// What a receiver finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing more; the next message will begin here.
    Nothing {
        position: u64,
    },
    Message(Message),
    /// Something that no sender of this library writes.
    Garbage,
}

impl<'a> Channel<'a> {
    /// `words`: a power of two.
    #[inline]
    pub(super) fn new(words: &'a [Word]) -> Self {
        Self { words }
    }

    #[inline]
    pub(super) fn capacity(self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// Bytes from a position to the end of the channel.
    #[inline]
    fn room(self, position: u64) -> u64 {
        self.capacity() - (position & (self.capacity() - 1))
    }

    #[inline]
    fn number(self, position: u64) -> usize {
        ((position & (self.capacity() - 1)) / 8) as usize
    }

    #[inline]
    fn word(self, position: u64) -> &'a Word {
        &self.words[self.number(position)]
    }

    /// The words of a payload; fewer if there are not so many.
    #[inline]
    pub(super) fn payload(self, position: u64, len: usize) -> &'a [Word] {
        let first = self.number(position) + (PREFIX_BYTES / 8) as usize;
        let last = self.words.len().min(first + len.div_ceil(8));
        self.words.get(first..last).unwrap_or_default()
    }

    /// The second word of a message.
    #[inline]
    pub(super) fn note(self, message: Message) -> u64 {
        self.word(message.position.wrapping_add(8)).load_gated(at!(Q_NOTE_READ, Relaxed))
    }

    /// The header word of a message, which both sides may change while it is a request.
    #[inline]
    pub(super) fn state(self, message: Message) -> &'a Word {
        self.word(message.position)
    }

    /// Receiver that will change the header: gets its line for writing at once, with the message, and not once for the look
    /// and once more for the change.
    #[inline(always)]
    pub(super) fn expect(self, position: u64) {
        copy::will_write(self.word(position));
    }

    /// Receiver: asks for the lines of the payload beside the one that the header is in, before it waits for anything else.
    #[inline(always)]
    pub(super) fn fetch(self, message: Message) {
        let bytes = footprint(message.len()).min(FETCH);
        for at in (64..bytes + 56).step_by(64) {
            copy::will_read(self.word(message.position.wrapping_add(at.min(bytes - 8))));
        }
    }

    /// Sender: prefetches, for writing, the lines that another message of this length would take, except the first, which the
    /// receiver polls. The receiver's cache has had them since the last lap.
    #[inline(always)]
    pub(super) fn prepare(self, end: u64, len: usize) {
        let lines = ((end & 63) + footprint(len).min(FETCH) + END_BYTES - 1) / 64;
        for line in 1..=lines {
            copy::will_write(self.word(end.wrapping_add(64 * line) & !63));
        }
    }

    /// Receiver: what is at a position, behind padding if there is any.
    #[inline]
    pub(super) fn look(self, position: u64) -> Found {
        // [Q1] Acquire. Pairs with the store in `publish`.
        // Orders: the header before note and payload.
        // Without it: the receiver reads what was there before the message.
        self.find(position, |word| word.load(at!(Q1_LOOK, Acquire)))
    }

    /// The same for people, who read neither note nor payload. Orders nothing.
    #[cfg(not(loom))]
    pub(super) fn peek(self, position: u64) -> Found {
        self.find(position, |word| word.load(at!(Q_PEEK, Relaxed)))
    }

    #[inline]
    fn find(self, mut position: u64, load: impl Fn(&Word) -> u64) -> Found {
        for _ in 0..2 {
            let header = Header(load(self.word(position)));
            let room = self.room(position);
            if header.0 == 0 {
                return Found::Nothing { position };
            }
            let fits = header.len() <= largest(self.capacity()) && footprint(header.len()) <= room;
            if header.is_padding() && header.is_at(position) && room < self.capacity() / 2 {
                position = position.wrapping_add(room);
            } else if header.is_message() && header.is_at(position) && fits {
                return Found::Message(Message { position, header });
            } else {
                return Found::Garbage;
            }
        }
        Found::Garbage
    }

    /// Receiver: whether there may be something at a position. Orders nothing.
    pub(super) fn has_some(self, position: u64) -> bool {
        self.word(position).load(at!(Q_PEEK, Relaxed)) != 0
    }

    /// Where the next message begins, from a position not behind that. `None`: garbage.
    pub(super) fn end(self, from: u64) -> Option<u64> {
        let mut position = Some(from).filter(|from| from.is_multiple_of(8))?;
        loop {
            match self.look(position) {
                Found::Nothing { position } => return Some(position),
                Found::Message(message) if message.end().wrapping_sub(from) <= self.capacity() => {
                    position = message.end();
                }
                Found::Message(_) | Found::Garbage => return None,
            }
        }
    }

    /// Receiver: everything below the position may be overwritten.
    pub(super) fn release(released: &AtomicU64, position: u64) {
        // [Q2] Release. Pairs with the load in `released`.
        // Orders: the reads of what is released before it.
        // Without it: a message is overwritten while it is read.
        released.store(position, at!(Q2_RELEASE, Release));
    }

    /// Sender at `next`: up to where the receiver has released. `None`: garbage.
    pub(super) fn released(self, released: &AtomicU64, next: u64) -> Option<u64> {
        // [Q2] Acquire. Pairs with the store in `release`.
        // Orders: what was released before the stores of the next lap.
        // Without it: see there.
        let position = released.load(at!(Q2_RELEASED, Acquire));
        (position.is_multiple_of(8) && next.wrapping_sub(position) <= self.capacity()).then_some(position)
    }

    /// Sender at `next`: where a payload of `len` bytes would begin, if `keep` more bytes stay free behind it. The
    /// receiver has released everything below `released`.
    #[inline]
    pub(super) fn fit(self, next: u64, released: u64, len: usize, keep: u64) -> Option<u64> {
        let room = self.room(next);
        let position = if footprint(len) > room { next.wrapping_add(room) } else { next };
        let end = position.wrapping_add(footprint(len)).wrapping_add(END_BYTES);
        (end.wrapping_sub(released).saturating_add(keep) <= self.capacity()).then_some(position)
    }

    /// Sender: bytes that are free.
    #[inline]
    pub(super) fn free(self, next: u64, released: u64) -> u64 {
        self.capacity() - next.wrapping_sub(released)
    }

    /// Sender at `next`: puts padding up to `position`, which `fit` has returned.
    #[inline]
    pub(super) fn pad(self, next: u64, position: u64) {
        if next != position {
            self.word(position).store(0, at!(Q_CLEAR, Relaxed));
            self.word(next).store(Header::padding(next).0, at!(Q1_PUBLISH, Release));
        }
    }

    /// Sender: publishes the message whose payload is there. Returns the position behind it.
    #[inline]
    pub(super) fn publish(self, position: u64, header: Header, note: u64) -> u64 {
        let end = position.wrapping_add(footprint(header.len()));
        self.word(position.wrapping_add(8)).store(note, at!(Q_NOTE, Relaxed));
        self.word(end).store(0, at!(Q_CLEAR, Relaxed));
        // [Q1] Release. Pairs with the load in `look`.
        // Orders: note, payload and the clear word behind them before the header.
        // Without it: see there.
        self.word(position).store(header.0, at!(Q1_PUBLISH, Release));
        end
    }
}
