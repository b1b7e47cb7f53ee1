//! The first word of a message: what it is, how long, and of which place. That of a request is the state of its call.
//!
//! ```text
//! 63          40 39    37     36         35        34    32 31           0
//! [ position / 8 ][ 0 ][ cancelled ][ repeatable ][ kind   ][ payload bytes ]
//! ```
//!
//! A call is named by the position of its request, which never comes again. Who may change its state, always by a
//! compare-exchange of exactly the word that was seen, except for the store of `Answered`:
//!
//! ```text
//!            client: publishes
//!                    │
//!                    ▼      client, or server: the deadline is over
//!                 Queued ─────────────────────────────────────────► Withdrawn   it never runs
//!                    │
//!                    │ server: takes it, and runs it
//!                    ▼
//!        ┌─────►  Taken ───────────────────────────────────────────► Answered   its last reply is published
//!        │           │          server
//!        │           │ the next server: the one that took it is dead
//! server │           ├─────────────────────────────────────────────► Lost       it may have run
//!        │           │ repeatable, and not cancelled
//!        │           ▼         client: cancels; or client, or server: the deadline is over; or server: the client is gone
//!        └────────  Again ─────────────────────────────────────────► Lost
//! ```
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | Q3 → Q3 | the new server's generation before it takes a call | the state of the call before that generation | a call that the new server runs is taken for one of the dead server |
//! | Q4 → Q4 | the new server's look at all calls before `ready` | `ready` before the states and the dead server's replies | a client does not notice that its call was lost |

use crate::atomics::{Word, at};

/// The state of a call: what the header of its request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Queued = 1,
    Taken = 2,
    Withdrawn = 3,
    Answered = 4,
    Lost = 5,
    Again = 6,
}

/// What a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The last reply to a call.
    Last = 1,
    /// One of several before it.
    More = 2,
    /// The last one, and an error.
    Failed = 3,
    /// The server has dropped the request.
    Dropped = 4,
}

/// Instead of a state or part: nothing but padding up to the end of the channel.
const PADDING: u64 = 7;

const LEN_BITS: u32 = 32;
const KIND_MASK: u64 = 7 << LEN_BITS;
const REPEATABLE: u64 = 1 << 35;
const CANCELLED: u64 = 1 << 36;
const PLACE_SHIFT: u32 = 40;

/// A header word, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header(pub(super) u64);

impl Header {
    #[inline]
    fn new(kind: u64, position: u64, len: usize) -> Self {
        let place = (position / 8) << PLACE_SHIFT;
        Self(place | kind << LEN_BITS | u64::from(len as u32))
    }

    pub(super) fn padding(position: u64) -> Self {
        Self::new(PADDING, position, 0)
    }

    #[inline]
    pub(super) fn request(position: u64, len: usize) -> Self {
        Self::new(State::Queued as u64, position, len)
    }

    #[inline]
    pub(super) fn reply(part: Part, position: u64, len: usize) -> Self {
        Self::new(part as u64, position, len)
    }

    /// The call may run more than once. Of a reply: the first one of a run after another.
    #[inline]
    pub(super) fn repeatable(self, is_so: bool) -> Self {
        Self(if is_so { self.0 | REPEATABLE } else { self.0 })
    }

    #[inline]
    pub(super) fn is_repeatable(self) -> bool {
        self.0 & REPEATABLE != 0
    }

    pub(super) fn is_cancelled(self) -> bool {
        self.0 & CANCELLED != 0
    }

    #[inline]
    fn kind(self) -> u64 {
        (self.0 & KIND_MASK) >> LEN_BITS
    }

    #[inline]
    pub(super) fn is_padding(self) -> bool {
        self.kind() == PADDING
    }

    /// Whether it is of a request or a reply.
    #[inline]
    pub(super) fn is_message(self) -> bool {
        self.kind() != 0 && !self.is_padding()
    }

    /// `None`: garbage.
    #[inline]
    pub(super) fn state(self) -> Option<State> {
        match self.kind() {
            1 => Some(State::Queued),
            2 => Some(State::Taken),
            3 => Some(State::Withdrawn),
            4 => Some(State::Answered),
            5 => Some(State::Lost),
            6 => Some(State::Again),
            _ => None,
        }
    }

    /// `None`: garbage.
    #[inline]
    pub(super) fn part(self) -> Option<Part> {
        match self.kind() {
            1 => Some(Part::Last),
            2 => Some(Part::More),
            3 => Some(Part::Failed),
            4 => Some(Part::Dropped),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        self.0 as u32 as usize
    }

    /// Whether it was written for this position.
    #[inline]
    pub(super) fn is_at(self, position: u64) -> bool {
        self.0 >> PLACE_SHIFT == (position / 8) & (u64::MAX >> PLACE_SHIFT)
    }

    #[inline]
    fn with(self, state: State) -> Self {
        Self(self.0 & !KIND_MASK | (state as u64) << LEN_BITS)
    }

    /// Whether nobody changes the state any more.
    #[inline]
    pub(super) fn is_over(self) -> bool {
        matches!(self.state(), Some(State::Withdrawn | State::Answered | State::Lost))
    }
}

/// A look at the state of a call.
pub(super) fn look(state: &Word) -> Header {
    // [Q3] Acquire. Pairs with the exchange in `take`.
    // Orders: the state before the generation of the server.
    // Without it: the client sees that the call was taken, and not that there is another server by now.
    Header(state.load(at!(Q3_LOOK, Acquire)))
}

/// The server takes a call as it was seen. `None`: its state has changed.
#[inline]
pub(super) fn take(state: &Word, seen: Header) -> Option<Header> {
    let taken = seen.with(State::Taken);
    // [Q3] Release. Pairs with the load in `look`.
    // Orders: the server's generation before the state.
    // Without it: see there.
    state
        .compare_exchange(seen.0, taken.0, at!(Q3_TAKE, Release), at!(Q3_TAKE_FAILED, Relaxed))
        .is_ok()
        .then_some(taken)
}

/// Ends a call that nobody has taken, from exactly the state that was seen. `true`: it never runs, or not again.
pub(super) fn end(state: &Word, seen: Header) -> bool {
    let ended = match seen.state() {
        Some(State::Queued) => seen.with(State::Withdrawn),
        Some(State::Again) => seen.with(State::Lost),
        _ => return false,
    };
    change(state, seen, ended)
}

/// Whether a call that a dead server has taken is run by the next one. Nobody wants to know what a cancelled call comes to.
pub(super) fn may_run_again(seen: Header) -> bool {
    seen.is_repeatable() && !seen.is_cancelled()
}

/// The next server finds a call that a dead one has taken.
pub(super) fn lose(state: &Word, seen: Header) -> bool {
    let next = if may_run_again(seen) { State::Again } else { State::Lost };
    change(state, seen, seen.with(next))
}

/// The client tells the server that it does not wait for the call any more.
pub(super) fn cancel(state: &Word, seen: Header) -> bool {
    change(state, seen, Header(seen.0 | CANCELLED))
}

fn change(state: &Word, seen: Header, new: Header) -> bool {
    state.compare_exchange(seen.0, new.0, at!(Q_CHANGE, Relaxed), at!(Q_CHANGE_FAILED, Relaxed)).is_ok()
}

/// The server has published the last reply to a call that it has taken: nobody runs it again.
#[inline]
pub(super) fn answer(state: &Word, taken: Header) {
    state.store(taken.with(State::Answered).0, at!(Q_ANSWERED, Relaxed));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_was_put_into_it() {
        let header = Header::request(u64::MAX - 7, 0xffff_fff0).repeatable(true);
        assert_eq!((header.state(), header.len()), (Some(State::Queued), 0xffff_fff0));
        assert!(header.is_repeatable() && !header.is_cancelled() && !header.is_over());
        assert!(header.is_at(u64::MAX - 7) && !header.is_at(0) && !header.is_at(u64::MAX - 15));
        assert!(header.with(State::Lost).is_over() && header.with(State::Lost).is_at(u64::MAX - 7));
        assert_ne!(Header::request(0, 0).0, 0, "the word behind the last message");
    }
}
