//! The last reply to a request, written in place.

use std::fmt;

use super::Request;
use crate::atomics::{Word, copy};
use crate::error::ReplyError;
use crate::service::header::Part;
use crate::service::payload::fits;
use crate::service::server::claims::Claims;

/// The last reply to a call, while it is being written. A claim that is dropped is answered as dropped.
#[must_use = "a claim that is dropped is answered as dropped"]
pub struct ReplyClaim<'s> {
    request: Request<'s>,
    position: u64,
    len: usize,
}

impl<'s> ReplyClaim<'s> {
    /// `position`: where the next reply to this client begins.
    pub(super) fn new(request: Request<'s>, position: u64, len: usize) -> Self {
        let claim = Self { request, position, len };
        claim.claims().begin(claim.id(), position, len);
        claim
    }

    fn claims(&self) -> &Claims {
        &self.request.server.lanes[self.request.number].claims
    }

    fn id(&self) -> u64 {
        self.request.message.position
    }

    fn words(&self) -> &[Word] {
        self.request.served().channels.replies.payload(self.position, self.len)
    }

    /// Bytes of the reply.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the reply has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The request.
    pub fn request(&self) -> &Request<'_> {
        &self.request
    }

    /// Writes `bytes` at `offset` bytes from the start of the reply. `false`: they do not fit, and nothing is written.
    /// Bytes that are never written hold whatever was there before.
    #[must_use = "bytes that do not fit are not written"]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let fits = fits(self.len, offset, bytes.len()) && !self.request.server.region.broken();
        if fits && !self.claims().write_moved(self.id(), offset, bytes) {
            copy::write_at(self.words(), offset, bytes);
        }
        fits
    }

    /// Publishes the reply, and ends the call.
    ///
    /// # Errors
    ///
    /// [`ReplyError::ClientGone`] if the client has written garbage; [`ReplyError::Server`].
    pub fn send(mut self) -> Result<(), ReplyError> {
        self.request.server.check()?;
        if let Some(bytes) = self.claims().end(self.id()) {
            self.position = super::room(self.request.served(), self.len, 0)?;
            copy::write(self.words(), &bytes);
        }
        self.request.publish(self.request.served(), self.position, self.len, Part::Last);
        Ok(self.request.server.region.or_memory_gone(Ok(()))?)
    }
}

impl Drop for ReplyClaim<'_> {
    fn drop(&mut self) {
        self.claims().end(self.id());
    }
}

impl fmt::Debug for ReplyClaim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyClaim").field("len", &self.len).finish_non_exhaustive()
    }
}
