//! The ring: its layout, its protocol, and the handles that people hold.

pub(crate) mod attach;
pub(crate) mod blocker;
pub(crate) mod claim;
pub(crate) mod consumer;
pub(crate) mod evict;
pub(crate) mod forget;
pub(crate) mod inspect;
pub(crate) mod layout;
pub(crate) mod local;
pub(crate) mod locks;
pub(crate) mod names;
pub(crate) mod observer;
pub(crate) mod options;
pub(crate) mod producer;
pub(crate) mod protocol;
pub(crate) mod receive;
#[cfg(not(loom))]
pub(crate) mod sealed;
pub(crate) mod takeover;
#[cfg(tampered)]
pub mod tamper;

use layout::{Areas, Geometry, Views};

/// A handle's hold on a ring.
pub(crate) type Region = crate::memory::region::Region<Geometry>;

impl Region {
    #[inline(always)]
    pub(crate) fn geometry(&self) -> &Geometry {
        self.shape()
    }

    /// The ring's memory.
    #[inline(always)]
    pub(crate) fn areas(&self) -> Areas<'_> {
        let Views { head, index, control, slots, data } = self.views();
        Areas { geometry: self.shape(), head, index, control, slots, data }
    }
}
