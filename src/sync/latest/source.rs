//! A reader of a latest value, as one of the things that a thread waits for.

use super::reading::Reader;
use super::{LatestBytesReader, LatestReader};
use crate::schema::Typed;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable, Waker};
use crate::wait::doorbell;

/// Ready when there is a value that this handle has not returned yet, or when [`get`](LatestReader::get) would fail.
impl<T: Typed> Waitable for LatestReader<T> {
    fn source(&mut self) -> &mut dyn Source {
        &mut self.reader
    }
}

/// As [`LatestReader`].
impl Waitable for LatestBytesReader {
    fn source(&mut self) -> &mut dyn Source {
        &mut self.reader
    }
}

impl Source for Reader {
    fn look(&mut self) -> bool {
        self.is_ready()
    }

    fn arm(&mut self) -> Arming {
        let word = &self.region.views().control.change;
        if self.is_woken {
            Arming::woken(doorbell::arm(word), Waker::Fences)
        } else {
            Arming::unarmed(doorbell::unarmed(word))
        }
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.region.views().control.change))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.region.share_word(&self.region.views().control.change).map(SharedBell)
    }
}
