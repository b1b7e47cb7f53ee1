//! Receiving in two steps: take what there is, and lend it afterwards. For whoever looks at several rings before
//! one of them lends.

use super::{Received, Receiver};
use crate::error::RecvError;
use crate::ring::protocol::record::Event;

impl Receiver {
    /// As `try_recv`, without lending. The result is good for `lend_taken` until the next receive.
    pub(crate) fn try_take(&mut self) -> Result<Option<Received>, RecvError> {
        match self.take_record() {
            Ok(taken) => Ok(Some(Received::Record(taken))),
            Err(remaining) => self.take_any(remaining),
        }
    }

    pub(crate) fn lend_taken(&self, received: Received) -> Event<'_> {
        self.lend(received)
    }
}
