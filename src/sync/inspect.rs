//! A read-only view of any object of this module, for people and tools.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Kind};
use crate::memory::file::kind_of;
use crate::memory::permissions::Access;
use crate::memory::region::Region;
use crate::sync::condvar::Meeting;
use crate::sync::event::Signal;
use crate::sync::look::{Look, Snapshot, checked, snapshot};
use crate::sync::once::Deed;
use crate::sync::semaphore::Permits;
use crate::sync::shape::Shape;
use crate::sync::table::Rows;
use crate::sync::{barrier, latch, latest, mutex, rwlock};

/// Shows the state of an object of this module, whatever its kind and type, through a read-only map. It takes no seat,
/// and nobody notices it. It needs permission to read.
///
/// ```
/// use quoit::sync::{Inspector, Mutex, SyncOptions};
///
/// let path = format!("/dev/shm/inspected-{}", std::process::id());
/// let mut mutex = Mutex::create(&path, &SyncOptions::new(), &0_u64)?;
/// let guard = mutex.lock()?;
///
/// // In any other process:
/// let snapshot = Inspector::open(&path)?.snapshot()?;
/// let holder = snapshot.participants.iter().find(|who| who.holds > 0);
/// assert_eq!(holder.and_then(|who| who.pid), Some(std::process::id()));
/// # drop(guard);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Inspector {
    object: Box<dyn Inspect + Send>,
}

/// An object of some kind, mapped read-only.
trait Inspect {
    fn snapshot(&self) -> Result<Snapshot, Error>;

    fn is_stale(&self) -> bool;
}

impl<K: Look> Inspect for Region<Shape<K>> {
    fn snapshot(&self) -> Result<Snapshot, Error> {
        checked(self, snapshot)
    }

    fn is_stale(&self) -> bool {
        self.is_stale()
    }
}

impl Inspect for latest::Region {
    fn snapshot(&self) -> Result<Snapshot, Error> {
        checked(self, latest::snapshot)
    }

    fn is_stale(&self) -> bool {
        self.is_stale()
    }
}

fn open<K: Look<Line: Sync, Item: Sync> + Send>(path: &Path) -> Result<Box<dyn Inspect + Send>, Error> {
    Ok(Box::new(Region::<Shape<K>>::open(path, Access::Reader)?))
}

impl Inspector {
    /// Opens the object at `path` read-only.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`] for a ring, which [`quoit::Inspector`](crate::Inspector) shows, and for a service, which
    /// [`service::Inspector`](crate::service::Inspector) shows; any other error of opening the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let object = match kind_of(path)? {
            Kind::Ring => {
                return Err(Error::BadOption { what: "this is a ring: open it with `quoit::Inspector`" });
            }
            Kind::Group => {
                return Err(Error::BadOption {
                    what: "this is a group of consumers: open it with `quoit::GroupInspector`",
                });
            }
            Kind::Service => {
                return Err(Error::BadOption {
                    what: "this is a service: open it with `quoit::service::Inspector`",
                });
            }
            Kind::Latest => Box::new(latest::Region::open(path, Access::Reader)?),
            Kind::Mutex => open::<mutex::Value>(path)?,
            Kind::Semaphore => open::<Permits>(path)?,
            Kind::Event => open::<Signal>(path)?,
            Kind::Barrier => open::<barrier::Parties>(path)?,
            Kind::Latch => open::<latch::Parties>(path)?,
            Kind::Once => open::<Deed>(path)?,
            Kind::Condvar => open::<Meeting>(path)?,
            Kind::RwLock => open::<rwlock::Value>(path)?,
            Kind::Table => open::<Rows>(path)?,
        };
        Ok(Self { object })
    }

    /// Reads everything once. Makes a system call for every seat that was ever used. Garbage in the object is not an
    /// error here: see [`Snapshot::garbage`].
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.object.snapshot()
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this object. Takes three system calls.
    pub fn is_stale(&self) -> bool {
        self.object.is_stale()
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").finish_non_exhaustive()
    }
}
