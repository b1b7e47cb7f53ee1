//! A ring in this process's own memory: for threads, for tests, and for the models, which know no files.

use std::rc::Rc;

use crate::attach::{Attach, Start};
use crate::consumer::Consumer;
use crate::error::Error;
use crate::inspect::Inspector;
use crate::observer::Observer;
use crate::options::Options;
use crate::producer::Producer;
use crate::region::Region;

/// A ring on the heap, in the same bytes as a file. Clones share it; it goes with its last handle. It stays on one
/// thread, and the handles that it makes may go to others.
#[derive(Clone, Debug)]
pub struct Local {
    region: Rc<Region>,
}

impl Options {
    /// Makes a ring on the heap.
    ///
    /// # Errors
    ///
    /// [`Error::Capacity`], [`Error::BadOption`].
    pub fn local(&self) -> Result<Local, Error> {
        Ok(Local { region: Rc::new(Region::heap(self.geometry()?)?) })
    }
}

impl Local {
    /// As [`Producer::open`].
    ///
    /// # Errors
    ///
    /// [`Error::ProducerAlive`] while there is one.
    pub fn producer(&self) -> Result<Producer, Error> {
        Producer::take_over(self.region.share()?)
    }

    /// As [`Consumer::open`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::open`], without those of files.
    pub fn consumer(&self, attach: &Attach) -> Result<Consumer, Error> {
        Consumer::attach(self.region.share()?, attach)
    }

    /// As [`Observer::open`].
    ///
    /// # Errors
    ///
    /// As [`Observer::open`], without those of files.
    pub fn observer(&self, start: Start) -> Result<Observer, Error> {
        Observer::attach(self.region.share()?, start)
    }

    /// As [`Inspector::open`].
    ///
    /// # Errors
    ///
    /// As [`Inspector::open`], without those of files.
    pub fn inspector(&self) -> Result<Inspector, Error> {
        Ok(Inspector::attach(self.region.share()?))
    }

    /// As [`forget`](crate::forget).
    ///
    /// # Errors
    ///
    /// As [`forget`](crate::forget), without those of files.
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        crate::inspect::forget_name(&self.region.share()?, name)
    }
}
