//! The layout of a service: what each byte means. `docs/format.md` is the same in prose.
//!
//! | area | holds |
//! |---|---|
//! | head | the identity page |
//! | control | the server's words, then a seat for each client |
//! | data | for each seat a channel of requests, then one of replies |

use crossbeam_utils::CachePadded;

use crate::atomics::{AtomicU64, FutexWord, Word};
use crate::error::{Error, Kind};
use crate::limits::MIN_CAPACITY;
use crate::memory::block::block;
#[cfg(loom)]
use crate::memory::block::{Zeroed, zeroed};
use crate::memory::extents::Extents;
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::memory::format::SHAPE_WORDS;
use crate::memory::identity::IDENTITY_WORDS;
#[cfg(not(loom))]
use crate::memory::map::{Bytes, Lay};
use crate::service::channel::{Channel, largest};

/// Most clients of a service.
const MAX_CLIENTS: u64 = 1024;
/// Bytes of the largest channel.
const MAX_CHANNEL: u64 = 1 << 30;

block! {
    /// What is written once.
    pub(crate) struct Head: 4096 bytes, aligned to 128 {
        at 0: pub(crate) identity: [AtomicU64; IDENTITY_WORDS],
    }
}

block! {
    /// The words of the server.
    pub(crate) struct ServerWords: 384 bytes, aligned to 128 {
        /// The server sleeps here. Clients ring.
        at 0: pub(crate) bell: CachePadded<FutexWord>,
        /// How many clients have come. Clients add to it.
        at 128: pub(crate) arrivals: CachePadded<AtomicU64>,
        /// The generation of the server that came last; 0: none yet.
        at 256: pub(crate) generation: AtomicU64,
        /// The generation of the last one that has looked at all calls of those before it.
        at 264: pub(crate) ready: AtomicU64,
        /// Hints for people: its process, and when it came, wall, ns.
        at 272: pub(crate) pid: AtomicU64,
        at 280: pub(crate) since: AtomicU64,
    }
}

block! {
    /// The place of a client.
    pub(crate) struct Seat: 512 bytes, aligned to 128 {
        /// The generation of the client that had it last; 0: none yet.
        at 0: pub(crate) generation: AtomicU64,
        /// Where its requests begin: those before are of clients that are gone.
        at 8: pub(crate) origin: AtomicU64,
        /// Hints for people: its process, and when it came, wall, ns.
        at 16: pub(crate) pid: AtomicU64,
        at 24: pub(crate) since: AtomicU64,
        /// Not 0: the server waits for room for a reply. Written by the server, and read by the client with each reply: so it is
        /// apart from what changes with each call.
        at 32: pub(crate) starved: AtomicU64,
        /// The client sleeps here. The server rings.
        at 128: pub(crate) bell: CachePadded<FutexWord>,
        /// Replies below this position may be overwritten. Written by the client.
        at 256: pub(crate) replies_released: CachePadded<AtomicU64>,
        /// Requests below this position may be overwritten. Written by the server.
        at 384: pub(crate) requests_released: AtomicU64,
    }
}

/// What is fixed with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Most clients at a time: seats.
    pub(super) clients: u64,
    /// Bytes of each channel of requests, and of replies.
    pub(super) request_bytes: u64,
    pub(super) reply_bytes: u64,
    /// Bytes of the largest payload of a last reply: no call is taken without room for it.
    pub(super) largest_reply: u64,
    /// The types of requests and replies, encoded by `schema::Schema`; 0: of any kind.
    pub(super) requests: u64,
    pub(super) replies: u64,
    pub(super) alignment: u64,
}

impl Shape {
    fn words(&self) -> u64 {
        self.clients * (self.request_bytes + self.reply_bytes) / 8
    }
}

/// The parts of the areas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views<'a> {
    #[cfg(not(loom))]
    head: &'a Head,
    pub(super) server: &'a ServerWords,
    pub(super) seats: &'a [Seat],
    words: &'a [Word],
}

impl<'a> Views<'a> {
    /// The channels of a seat.
    pub(super) fn channels(self, shape: &Shape, seat: usize) -> Channels<'a> {
        self.channels_at(Place::of(shape, seat))
    }

    /// The channels of a seat, whose place is known.
    #[inline(always)]
    pub(super) fn channels_at(self, Place { first, middle, end }: Place) -> Channels<'a> {
        let words = |from: usize, to: usize| self.words.get(from..to).unwrap_or_default();
        Channels { requests: Channel::new(words(first, middle)), replies: Channel::new(words(middle, end)) }
    }
}

/// Where the channels of a seat are: the numbers of the first word of its requests, the first of its replies, and the one
/// behind. Handles keep it, since they look up channels for each message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    first: usize,
    middle: usize,
    end: usize,
}

impl Place {
    pub(super) fn of(shape: &Shape, seat: usize) -> Self {
        let (requests, replies) = ((shape.request_bytes / 8) as usize, (shape.reply_bytes / 8) as usize);
        let first = seat * (requests + replies);
        Self { first, middle: first + requests, end: first + requests + replies }
    }
}

/// The two channels of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channels<'a> {
    pub(super) requests: Channel<'a>,
    pub(super) replies: Channel<'a>,
}

#[cfg(not(loom))]
impl Lay for Shape {
    type Views<'a> = Views<'a>;

    fn views<'a>(&self, [head, control, data]: [Bytes<'a>; 3]) -> Option<Views<'a>> {
        Some(Views {
            head: head.view(0)?,
            server: control.view(0)?,
            seats: control.views(size_of::<ServerWords>(), usize::try_from(self.clients).ok()?)?,
            words: data.views(0, usize::try_from(self.words()).ok()?)?,
        })
    }

    #[inline(always)]
    fn shorten<'a>(views: Views<'static>) -> Views<'a> {
        views
    }
}

impl Format for Shape {
    const KIND: Kind = Kind::Service;

    #[cfg(loom)]
    type Views<'a> = Views<'a>;

    #[cfg(loom)]
    type Objects = (ServerWords, Vec<Seat>, Vec<Word>);

    #[cfg(loom)]
    fn objects(&self) -> Self::Objects {
        (ServerWords::zeroed(), zeroed(self.clients), zeroed(self.words()))
    }

    #[cfg(loom)]
    fn views((server, seats, words): &Self::Objects) -> Views<'_> {
        Views { server, seats, words }
    }

    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_CLIENTS).contains(&self.clients) {
            return Err(Error::BadOption { what: "a service has 1 to 1024 clients" });
        }
        for bytes in [self.request_bytes, self.reply_bytes] {
            if !bytes.is_power_of_two() || !(MIN_CAPACITY..=MAX_CHANNEL).contains(&bytes) {
                return Err(Error::BadOption {
                    what: "a channel of a service has a power of two of bytes, from 4 KiB to 1 GiB",
                });
            }
        }
        if self.largest_reply > largest(self.reply_bytes) as u64 {
            return Err(Error::BadOption {
                what: "the largest reply takes at most half the bytes for replies, less 24",
            });
        }
        Ok(())
    }

    fn extents(&self) -> Extents {
        let [head, server, seat] =
            [size_of::<Head>(), size_of::<ServerWords>(), size_of::<Seat>()].map(|bytes| bytes as u64);
        Extents::of([head, server + self.clients * seat, 8 * self.words()], self.alignment)
    }

    #[cfg(not(loom))]
    fn align(&mut self, alignment: u64) {
        self.alignment = self.alignment.max(alignment);
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; SHAPE_WORDS] {
        let mut words = [0; SHAPE_WORDS];
        words[..6].copy_from_slice(&[
            self.clients,
            self.request_bytes,
            self.reply_bytes,
            self.largest_reply,
            self.requests,
            self.replies,
        ]);
        words
    }

    #[cfg(not(loom))]
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str> {
        if words[6..].iter().any(|word| *word != 0) {
            return Err("a word that this version does not use");
        }
        Ok(Self {
            clients: words[0],
            request_bytes: words[1],
            reply_bytes: words[2],
            largest_reply: words[3],
            requests: words[4],
            replies: words[5],
            alignment,
        })
    }

    #[cfg(not(loom))]
    fn largest_within(&self, _: u64) -> Option<u64> {
        None
    }

    fn initialise(&self, _: u64, _: Views<'_>) {}

    #[cfg(not(loom))]
    fn identity_words<'a>(views: Self::Views<'a>) -> &'a [AtomicU64] {
        &views.head.identity
    }
}
