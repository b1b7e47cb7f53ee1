//! Replies that are being written.
//!
//! One of each client stands in the channel, where the client's next reply begins. If another request of that client is
//! answered first, that reply begins there, and what is written of the claim moves to private memory.

use std::cell::{Cell, RefCell};

use crate::service::channel::Channel;
use crate::service::payload::Payload;

/// The claims of one client's requests. The position of a request says whose each is.
#[derive(Debug, Default)]
pub(super) struct Claims {
    in_place: Cell<Option<InPlace>>,
    moved: RefCell<Vec<Moved>>,
}

#[derive(Clone, Copy, Debug)]
struct InPlace {
    request: u64,
    position: u64,
    len: usize,
}

#[derive(Debug)]
struct Moved {
    request: u64,
    bytes: Vec<u8>,
}

impl Claims {
    /// A claim begins where the next reply would. Room has been made for it.
    pub(super) fn begin(&self, request: u64, position: u64, len: usize) {
        self.in_place.set(Some(InPlace { request, position, len }));
    }

    /// Another reply begins where the claim in place does.
    #[inline]
    pub(super) fn make_room(&self, replies: Channel<'_>) {
        if let Some(claim) = self.in_place.take() {
            self.move_away(claim, replies);
        }
    }

    #[cold]
    fn move_away(&self, InPlace { request, position, len }: InPlace, replies: Channel<'_>) {
        let bytes = Payload::lent(replies.payload(position, len), len).to_vec();
        self.moved.borrow_mut().push(Moved { request, bytes });
    }

    /// Writes into a claim that has moved. `false`: it has not.
    pub(super) fn write_moved(&self, request: u64, offset: usize, bytes: &[u8]) -> bool {
        let mut moved = self.moved.borrow_mut();
        let Some(claim) = moved.iter_mut().find(|moved| moved.request == request) else { return false };
        let to = claim.bytes.get_mut(offset..).unwrap_or_default();
        to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        true
    }

    /// The claim is over. What is written of it, if it has moved.
    pub(super) fn end(&self, request: u64) -> Option<Vec<u8>> {
        if self.in_place.get().is_some_and(|claim| claim.request == request) {
            self.in_place.set(None);
            return None;
        }
        let mut moved = self.moved.borrow_mut();
        let at = moved.iter().position(|moved| moved.request == request)?;
        Some(moved.swap_remove(at).bytes)
    }
}
