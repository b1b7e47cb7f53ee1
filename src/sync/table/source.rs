//! A reader of a table, as one of the things that a thread waits for.

use super::TableReader;
use crate::schema::Typed;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable, Waker};
use crate::wait::doorbell;

/// Ready when a row has a value that this handle has not returned yet, or when [`get`](TableReader::get) would fail.
impl<T: Typed> Waitable for TableReader<T> {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl<T: Typed> Source for TableReader<T> {
    fn look(&mut self) -> bool {
        self.is_ready()
    }

    fn arm(&mut self) -> Arming {
        let word = &self.region.views().line.change;
        if self.is_woken {
            Arming::woken(doorbell::arm(word), Waker::Fences)
        } else {
            Arming::unarmed(doorbell::unarmed(word))
        }
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.region.views().line.change))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.region.share_word(&self.region.views().line.change).map(SharedBell)
    }
}
