//! A producer that waits for space together with other things.

use std::fmt;

use crate::ring::producer::Producer;
use crate::ring::send::Sender;
use crate::ring::typed::TypedProducer;
use crate::schema::Typed;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable};
use crate::wait::doorbell::PROBE_NS;

/// A producer that waits for the space of a record: from [`Producer::space`], for a [`WaitSet`](crate::WaitSet). It is
/// ready when a `try_send` of that length would not be refused as full, or would return another error.
///
/// While it waits, it takes the gates of consumers that are dead or over their budget, as a waiting `send` does. The ring
/// does not count the wait among its stalls.
pub struct Space<'a> {
    sender: &'a mut Sender,
    len: usize,
    /// What the claim that was refused last needs; `None`: there was space.
    end: Option<u64>,
}

impl Producer {
    /// The space of a record of `len` payload bytes, to be waited for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use quoit::{Attach, Options, Ring, WaitSet};
    ///
    /// let ring = Ring::heap(&Options::new().capacity(4096))?;
    /// let mut slow = ring.consumer(&Attach::gated())?;
    /// let mut producer = ring.producer()?;
    /// while producer.try_send(&[0; 1000]).is_ok() {}
    ///
    /// let mut set = WaitSet::new();
    /// assert!(set.wait_timeout(&mut [&mut producer.space(1000)], Duration::ZERO).is_empty());
    /// while slow.try_recv()?.is_some() {}
    /// assert!(set.wait(&mut [&mut producer.space(1000)]).contains(0));
    /// producer.try_send(&[0; 1000])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn space(&mut self, len: usize) -> Space<'_> {
        Space { sender: &mut self.sender, len, end: None }
    }
}

impl<T: Typed> TypedProducer<T> {
    /// The space of a record, to be waited for: as [`Producer::space`].
    pub fn space(&mut self) -> Space<'_> {
        self.as_untyped().space(size_of::<T>())
    }
}

impl Waitable for Space<'_> {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Source for Space<'_> {
    fn settle(&mut self) {
        self.end = self.sender.lacks_space(self.len, false);
    }

    fn look(&mut self) -> bool {
        self.end.is_none_or(|end| self.sender.may_have_space(end))
    }

    fn probe(&mut self) -> bool {
        if self.end.is_some() {
            self.end = self.sender.lacks_space(self.len, true);
        }
        self.end.is_none()
    }

    fn longest_ns(&self) -> u64 {
        PROBE_NS
    }

    fn arm(&mut self) -> Arming {
        self.sender.arm_for_space()
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(self.sender.space_bell()))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.sender.region().share_word(self.sender.space_bell()).map(SharedBell)
    }

    fn disarm(&mut self) {
        self.sender.disarm_for_space();
    }
}

impl fmt::Debug for Space<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("len", &self.len).finish_non_exhaustive()
    }
}
