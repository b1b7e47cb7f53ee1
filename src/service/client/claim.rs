//! A request, written in place.

use std::fmt;

use super::{CallId, Client};
use crate::atomics::{Word, copy};
use crate::service::options::CallOptions;
use crate::service::payload::fits;

/// A call whose request is being written. Dropping it calls nothing.
#[must_use = "a claim that is dropped calls nothing"]
pub struct RequestClaim<'a> {
    pub(super) client: &'a mut Client,
    pub(super) position: u64,
    pub(super) len: usize,
    pub(super) how: CallOptions,
}

impl RequestClaim<'_> {
    #[inline]
    pub(super) fn words(&self) -> &[Word] {
        self.client.channels().requests.payload(self.position, self.len)
    }

    /// Bytes of the request.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the request has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes `bytes` at `offset` bytes from the start of the request. `false`: they do not fit, and nothing is written.
    /// Bytes that are never written hold whatever was there before.
    #[must_use = "bytes that do not fit are not written"]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let fits = fits(self.len, offset, bytes.len()) && !self.client.region.broken();
        if fits {
            copy::write_at(self.words(), offset, bytes);
        }
        fits
    }

    /// Publishes the request. If the handle is of no use any more, the next call of a method says so.
    #[inline]
    pub fn start(self) -> CallId {
        self.client.publish(self.position, self.len, self.how)
    }
}

impl fmt::Debug for RequestClaim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestClaim").field("len", &self.len).finish_non_exhaustive()
    }
}
