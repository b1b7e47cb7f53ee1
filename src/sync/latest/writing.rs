//! The writing handle of a latest value, whatever its type.

#[cfg(not(loom))]
use std::path::Path;

use super::{LatestOptions, Region, WRITER, cells_in};
use crate::atomics::at;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::memory::permissions::Access;
use crate::schema::Schema;
use crate::sync::bell;
use crate::sync::latest::reading::Reader;
#[cfg(not(loom))]
use crate::sync::latest::shape::Shape;

/// The one writer.
pub(super) struct Writer {
    region: Region,
    version: u64,
}

impl Writer {
    #[cfg(not(loom))]
    pub(super) fn create(
        path: &Path,
        options: &LatestOptions,
        schema: Schema,
        first: &[u8],
    ) -> Result<Self, Error> {
        let (region, draft) = Region::create(path, &options.shape(schema)?, options.mode)?;
        let mut writer = Self::take_over(region)?;
        writer.set(first)?;
        writer.region.publish(draft)?;
        Ok(writer)
    }

    /// Opens the value at `path` as its next writer, if `check` accepts its type.
    #[cfg(not(loom))]
    pub(super) fn open(
        path: &Path,
        owners: Owners,
        check: impl Fn(Schema) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let region = Region::open_of(path, Access::Writer, owners)?;
        check(region.shape().schema)?;
        Self::take_over(region)
    }

    #[cfg(not(loom))]
    pub(super) fn open_or_create(
        path: &Path,
        options: &LatestOptions,
        schema: Schema,
        first: &[u8],
        check: impl Fn(Schema) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let open = || Self::open(path, Owners::Trusted, &check);
        let create = || Self::create(path, options, schema, first);
        arrival::open_or_create::<Shape, _>(path, Owners::Trusted, open, create)
    }

    pub(super) fn local(options: &LatestOptions, schema: Schema, first: &[u8]) -> Result<Self, Error> {
        let mut writer = Self::take_over(Region::heap(options.shape(schema)?)?)?;
        writer.set(first)?;
        Ok(writer)
    }

    pub(super) fn take_over(region: Region) -> Result<Self, Error> {
        let pid = &region.views().head.writer.pid;
        if !region.lock(WRITER)? {
            let pid = pid.load(at!(L_PID, Relaxed)) as u32;
            return Err(region.refusal(WRITER, "the writer's place", Error::WriterAlive { pid }));
        }
        pid.store(std::process::id().into(), at!(L_PID_WRITE, Relaxed));
        let version = cells_in(&region).version();
        region.or_memory_gone(Ok(()))?;
        Ok(Self { region, version })
    }

    /// A reader of the same value.
    pub(super) fn reader(&self) -> Result<Reader, Error> {
        Ok(Reader::new(self.region.reopen(Access::Participant)?, true))
    }

    /// The next writer of a reader's value.
    pub(super) fn after(reader: &Reader) -> Result<Self, Error> {
        Self::take_over(reader.region.reopen(Access::Writer)?)
    }

    #[cfg(not(loom))]
    pub(super) fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    /// The number of commits.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Commits a value, and wakes readers that wait for a change. Returns its version.
    #[inline(always)]
    pub(super) fn set(&mut self, value: &[u8]) -> Result<u64, Error> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        self.version = cells_in(&self.region).commit(self.version, value);
        bell::ring(&self.region.views().control.change);
        self.region.or_memory_gone(Ok(self.version))
    }
}
