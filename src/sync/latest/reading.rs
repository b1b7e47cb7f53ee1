//! A reading handle of a latest value, whatever its type.

#[cfg(not(loom))]
use std::path::Path;

use super::shape::cell_bytes;
use super::{Region, WRITER, cells_in, cells_of};
use crate::error::Error;
use crate::memory::permissions::Access;
#[cfg(not(loom))]
use crate::schema::Schema;
use crate::schema::Typed;
use crate::sync::bell;
use crate::sync::cells::{NoValue, get, whole};

pub(super) struct Reader {
    pub(super) region: Region,
    /// Whether this handle may write the word that it sleeps on. If not, no writer wakes it.
    pub(super) is_woken: bool,
    seen: Option<u64>,
}

impl Reader {
    /// Opens the value at `path`, if `check` accepts its type.
    #[cfg(not(loom))]
    pub(super) fn open(path: &Path, check: impl Fn(Schema) -> Result<(), Error>) -> Result<Self, Error> {
        let (region, is_woken) = match Region::open(path, Access::Participant) {
            Err(Error::Permission { .. } | Error::ReadOnly { .. }) => {
                (Region::open(path, Access::Reader)?, false)
            }
            region => (region?, true),
        };
        check(region.shape().schema)?;
        Ok(Self::new(region, is_woken))
    }

    pub(super) fn new(region: Region, is_woken: bool) -> Self {
        Self { region, is_woken, seen: None }
    }

    /// Another handle on the same value, which has returned none.
    pub(super) fn try_clone(&self) -> Result<Self, Error> {
        let access = if self.is_woken { Access::Participant } else { Access::Reader };
        Ok(Self::new(self.region.reopen(access)?, self.is_woken))
    }

    /// Copies the latest value.
    #[inline(always)]
    pub(super) fn get(&mut self, value: &mut [u8]) -> Result<(), Error> {
        self.seen = Some(read(&self.region, value)?);
        Ok(())
    }

    /// The latest value, of the type that was checked.
    #[inline(always)]
    pub(super) fn get_typed<T: Typed>(&mut self) -> Result<T, Error> {
        let (value, version) = read_typed(&self.region)?;
        self.seen = Some(version);
        Ok(value)
    }

    /// Waits for a value that was not returned yet, or for something to be wrong with the handle. False: the time is
    /// over.
    pub(super) fn wait(&self, until_ns: u64) -> bool {
        bell::listen(&self.region.views().control.change, self.is_woken, until_ns, || self.is_ready())
    }

    /// Whether there is something to read, or something is wrong with the handle.
    pub(super) fn is_ready(&self) -> bool {
        self.region.broken() || self.has_changed() || self.region.memory_gone()
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.region.broken() && self.seen != Some(cells_in(&self.region).version())
    }

    /// The version of the value that was returned last.
    pub(super) fn version(&self) -> Option<u64> {
        self.seen
    }

    pub(super) fn writer_alive(&self) -> bool {
        self.region.locked(WRITER)
    }
}

/// Copies the current value, and returns its version.
#[inline(always)]
pub(super) fn read(region: &Region, value: &mut [u8]) -> Result<u64, NoValue> {
    let cells = cells_in(region);
    whole(region, || cells.read(value))
}

/// The current value and its version, of the type that was checked.
#[inline(always)]
pub(super) fn read_typed<T: Typed>(region: &Region) -> Result<(T, u64), NoValue> {
    let words = const { (cell_bytes(size_of::<T>() as u64) / 8) as usize };
    let cells = cells_of(region, words);
    get(region, cells)
}
