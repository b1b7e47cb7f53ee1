//! A reading handle of a latest value, whatever its type.

#[cfg(not(loom))]
use std::path::Path;

use crossbeam_utils::Backoff;

use super::{Region, WRITER, cells};
use crate::atomics::FutexWord;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
#[cfg(not(loom))]
use crate::schema::Schema;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// Attempts to copy a value that keeps changing, before the reader gets [`Error::Busy`].
const TRIES: u32 = if cfg!(loom) { 3 } else { 1000 };

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

    /// Copies the latest value.
    #[inline(always)]
    pub(super) fn get(&mut self, value: &mut [u8]) -> Result<(), Error> {
        self.seen = Some(read(&self.region, value)?);
        Ok(())
    }

    /// Waits for a value that was not returned yet. False: the time is over.
    pub(super) fn wait(&self, until_ns: u64) -> Result<bool, Error> {
        let backoff = Backoff::new();
        let begin_ns = clock::monotonic_ns();
        loop {
            if self.region.broken() {
                return Err(self.region.fault().into());
            }
            if self.has_changed() {
                return Ok(true);
            }
            if clock::is_past(until_ns) {
                return Ok(false);
            }
            if cfg!(loom) || backoff.is_completed() {
                self.sleep(begin_ns, until_ns);
            } else {
                backoff.snooze();
            }
        }
    }

    fn sleep(&self, begin_ns: u64, until_ns: u64) {
        let word = &self.region.views().control.change;
        let is_true = || self.has_changed() || self.region.memory_gone();
        if self.is_woken {
            let heavy = |word: &FutexWord| doorbell::heavy_for(word, Some(WaitMode::Fence));
            doorbell::sleep(word, heavy, is_true, until_ns);
        } else {
            let now = clock::monotonic_ns();
            let nap_ns = doorbell::nap_ns(now.saturating_sub(begin_ns));
            doorbell::doze(word, is_true, until_ns.min(now.saturating_add(nap_ns)));
        }
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.region.broken() && self.seen != Some(cells(&self.region).version())
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
pub(super) fn read(region: &Region, value: &mut [u8]) -> Result<u64, Error> {
    if region.broken() {
        return Err(region.fault().into());
    }
    let backoff = Backoff::new();
    for _ in 0..TRIES {
        let version = cells(region).read(value);
        if region.memory_gone() {
            return Err(region.fault().into());
        }
        if let Some(version) = version {
            return Ok(version);
        }
        if !cfg!(loom) {
            backoff.spin();
        }
    }
    Err(Error::Busy)
}
