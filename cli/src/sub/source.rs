//! A consumer or an observer. They differ in whether they can be overwritten and have anything to release.

use std::path::Path;

use quoit::{Attach, Consumer, Error, Observer, Receive, Start};

pub(crate) type Source = Box<dyn Receive>;

/// Attaches. Nothing received is released before [`Receive::release`].
pub(crate) fn open(path: &Path, attach: Option<&Attach>, start: Start) -> Result<Source, Error> {
    let mut source: Source = match attach {
        None => Box::new(Observer::open(path, start)?),
        Some(attach) => Box::new(Consumer::open(path, attach)?),
    };
    source.keep(true);
    Ok(source)
}
