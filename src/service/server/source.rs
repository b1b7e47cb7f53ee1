//! A server, as one of the things that a thread waits for.

use super::Server;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable, Waker};
use crate::wait::doorbell;

/// Ready when there is a request that can be taken, or when [`try_recv`](Server::try_recv) would fail.
impl Waitable for Server {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

/// As the server, while it has requests that are not answered: they borrow it.
impl Waitable for &Server {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Source for Server {
    fn look(&mut self) -> bool {
        (&*self).look()
    }

    fn arm(&mut self) -> Arming {
        (&*self).arm()
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.region.views().server.bell))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        (&self).share_bell()
    }
}

impl Source for &Server {
    fn look(&mut self) -> bool {
        self.region.broken() || self.may_find() || self.region.memory_gone()
    }

    fn arm(&mut self) -> Arming {
        Arming::woken(doorbell::arm(&self.region.views().server.bell), Waker::InEitherMode)
    }

    fn bell(&self) -> Option<Bell<'_>> {
        Some(Bell(&self.region.views().server.bell))
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        self.region.share_word(&self.region.views().server.bell).map(SharedBell)
    }
}
