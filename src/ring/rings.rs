//! `Ring`: a ring in a file, on the heap or sealed, from which every handle is opened.

#[cfg(not(loom))]
use std::os::fd::{BorrowedFd, OwnedFd};
#[cfg(not(loom))]
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
#[cfg(not(loom))]
use std::time::Instant;

// In the models, waiting for a lock of the standard library would deadlock.
#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(not(loom))]
use std::sync::Mutex;

use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::arrival::open_or_create;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::attach::{Attach, Start};
use crate::ring::consumer::Consumer;
use crate::ring::evict::{self, Evicted};
use crate::ring::forget::{self, Forgotten};
#[cfg(not(loom))]
use crate::ring::geometry::Geometry;
use crate::ring::inspect::Inspector;
use crate::ring::observer::Observer;
use crate::ring::options::Options;
use crate::ring::producer::Producer;
#[cfg(not(loom))]
use crate::ring::sealed::Sealed;
use crate::schema::Schema;

/// A ring: in a file, on the heap, or sealed. Every handle can be opened from it.
///
/// A `Ring` is not a participant: it holds no lock, takes no slot and does not prevent a producer from opening the
/// ring. Several threads may use it at once (`Send` and `Sync`); clones refer to the same ring.
///
/// * In a file ([`create`](Self::create), [`open`](Self::open), [`open_or_create`](Self::open_or_create)) it refers
///   to the path: each handle opens the file that is there at that time. After a `fork` the child may use it.
///   [`Producer::open`], [`Consumer::open`] and similar functions are shorthands for `Ring::open` and one of its
///   methods.
/// * On the heap ([`heap`](Self::heap)) it serves threads of this process, and is freed with its last clone and
///   handle.
/// * Sealed ([`sealed`](Self::sealed)) it is for peers that are not trusted, which receive it as descriptors.
///
/// ```no_run
/// use quoit::{Attach, Options, Ring, Start};
///
/// let ring = Ring::open_or_create("/dev/shm/prices", &Options::new())?;
/// let mut producer = ring.producer()?;
/// let mut consumer = ring.consumer(&Attach::gated().start(Start::Oldest))?;
/// # Ok::<(), quoit::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ring {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Heap(Arc<Mutex<Region>>),
    #[cfg(not(loom))]
    File(Arc<File>),
    #[cfg(not(loom))]
    Sealed(Arc<Sealed>),
}

#[cfg(not(loom))]
#[derive(Debug)]
struct File {
    path: PathBuf,
    owners: Owners,
}

impl Ring {
    /// Makes a ring at `path` that has no producer yet. No file may exist there. The file appears at the path only
    /// once it is complete, with every block allocated.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is a file at the path, [`Error::NotRegular`] if there is anything else;
    /// [`Error::NoSpace`] if there is no room for the whole ring, [`Error::FileSizeLimit`] if the process may not
    /// create a file of this size; [`Error::Filesystem`] if the file system does not keep memory and locks coherent
    /// between processes; [`Error::Capacity`] or [`Error::BadOption`] for invalid options; [`Error::Permission`],
    /// [`Error::NoDirectory`], [`Error::ReadOnly`], [`Error::Io`]. An error leaves no file behind.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let path = path.as_ref();
        options.create(path)?;
        Ok(Self::at(path, Owners::Any))
    }

    /// The ring at `path`, whichever user owns it. Checks it once; it may be gone by the time a handle is opened.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and any other error of opening the file as a ring.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Region::open(path, Access::Reader)?;
        Ok(Self::at(path, Owners::Any))
    }

    /// As [`open`](Self::open), for a ring that may not exist yet; waits as [`Consumer::open_wait`] does.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was no ring by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    /// The ring at `path`, or a new one if there is none. The owner is checked, and a leftover of an earlier boot is
    /// replaced, as by [`Producer::open_or_create`]. Every handle opened from this `Ring` checks the owner again.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`];
    /// [`Error::EarlierBoot`] only if another process takes too long to remove the leftover.
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let path = path.as_ref();
        let ring = Self::at(path, options.owners());
        open_or_create::<Geometry, _>(
            path,
            options.owners(),
            || ring.region(Access::Reader).map(drop),
            || options.create(path),
        )?;
        Ok(ring)
    }

    /// Makes a ring on the heap, with the same layout as a file.
    ///
    /// # Errors
    ///
    /// [`Error::Capacity`], [`Error::BadOption`]; [`Error::NoSpace`] if there is no memory for it.
    pub fn heap(options: &Options) -> Result<Self, Error> {
        Ok(Self::on(Region::heap(options.geometry()?)?))
    }

    /// Makes a sealed ring and becomes its producer. Other processes reach it only through its two descriptors:
    /// [`records`](Self::records), which others can only read, and [`control`](Self::control). Send them over a Unix
    /// socket (`SCM_RIGHTS`) or by inheritance; the receiver checks them with
    /// [`from_descriptors`](Self::from_descriptors). The memory is freed with the last descriptor and the last map,
    /// so no handle has to stay open.
    ///
    /// No producer can take over: no process, not even this one, can map the records for writing a second time. When
    /// the producer has ended or died, consumers receive what is left, and the next producer makes a new ring. The
    /// [mode](Options::mode) is not used: a process that has the descriptors may use them.
    ///
    /// A malicious consumer cannot change, cut short, or punch holes into what was published, nor into the producer's
    /// own words. So it cannot make another consumer receive a wrong record, nor crash a process. Every consumer can
    /// write and lock the control area, so a malicious one still can:
    ///
    /// * hold the producer up while it lives, as any gated consumer may: permanently without a [hard
    ///   limit](Options::hard_limit), so set one. With a hard limit: for that time in each lap and for each slot
    ///   whose lock it holds, whatever it writes there. A slot that has used up its budget gates nothing until the
    ///   lap is over, even if another consumer takes it;
    /// * slow others down, by marking the sleep words as if a process always slept there: every publish then makes a
    ///   system call, and takes a few hundred nanoseconds instead of a few, and every gated consumer takes a slower
    ///   path for each record;
    /// * move or open another consumer's gate, which then receives a loss, never a wrong record;
    /// * make another consumer report an eviction, delay its wake-ups by up to a tenth of a second, wake it without
    ///   reason, lock all slots so that no other consumer can attach, and write garbage that an [`Inspector`] shows;
    /// * if it runs under the producer's user id: change the mode of the files, and lock the producer's byte once the
    ///   producer is dead, so that the producer seems alive.
    ///
    /// ```
    /// use quoit::{Attach, Options, Ring};
    /// use std::time::Duration;
    ///
    /// let options = Options::new().capacity(1 << 16).hard_limit(Duration::from_millis(5));
    /// let (mut producer, ring) = Ring::sealed(&options)?;
    /// let [records, control] = [ring.records(), ring.control()].map(|file| file.expect("it is sealed"));
    /// // Here they would go through a socket.
    /// let (records, control) = (records.try_clone_to_owned()?, control.try_clone_to_owned()?);
    ///
    /// let ring = Ring::from_descriptors(records, control)?;
    /// let mut consumer = ring.consumer(&Attach::gated())?;
    /// producer.send(b"for anybody")?;
    /// assert_eq!(consumer.recv_record(|_| {})?.to_vec(), b"for anybody");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Capacity`]; [`Error::BadOption`], also for [`gated_only`](Options::gated_only), which requires
    /// consumers that trust each other; [`Error::NoSpace`]; [`Error::FileSizeLimit`]; [`Error::Io`] if the kernel
    /// lacks the seals (Linux 5.1 added them) or `/proc` is not mounted.
    #[cfg(not(loom))]
    pub fn sealed(options: &Options) -> Result<(Producer, Self), Error> {
        let (producer, sealed) = Sealed::create(options)?;
        Ok((producer, Self { place: Place::Sealed(Arc::new(sealed)) }))
    }

    /// A sealed ring whose descriptors another process handed over.
    ///
    /// # Errors
    ///
    /// [`Error::NotSealed`] if a seal is missing, or the two do not belong together; any error of opening the
    /// contents as a ring.
    #[cfg(not(loom))]
    pub fn from_descriptors(records: OwnedFd, control: OwnedFd) -> Result<Self, Error> {
        let sealed = Sealed::from_descriptors(records, control)?;
        Ok(Self { place: Place::Sealed(Arc::new(sealed)) })
    }

    /// The descriptor of a sealed ring's records, open for reading only. `None`: the ring is not sealed.
    #[cfg(not(loom))]
    pub fn records(&self) -> Option<BorrowedFd<'_>> {
        self.as_sealed().map(Sealed::records)
    }

    /// The descriptor of a sealed ring's control area, open for reading and writing. `None`: the ring is not sealed.
    #[cfg(not(loom))]
    pub fn control(&self) -> Option<BorrowedFd<'_>> {
        self.as_sealed().map(Sealed::control)
    }

    /// The path of a ring in a file, as it was given. `None`: the ring is not in a file.
    #[cfg(not(loom))]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(file) => Some(&file.path),
            _ => None,
        }
    }

    /// Becomes the ring's next producer: as [`Producer::open`].
    ///
    /// # Errors
    ///
    /// [`Error::ProducerAlive`] while another producer lives; [`Error::BadOption`] on a sealed ring, whose only
    /// producer is the one returned by [`sealed`](Self::sealed); in a file, as [`Producer::open`].
    pub fn producer(&self) -> Result<Producer, Error> {
        Producer::take_over(self.region(Access::Writer)?)
    }

    /// Attaches a consumer: as [`Consumer::open`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::open`]; on a sealed ring [`Error::BadOption`] for a name, since every consumer could overwrite
    /// what the ring keeps under it, and [`Error::Io`] if `/proc` is not mounted.
    pub fn consumer(&self, attach: &Attach) -> Result<Consumer, Error> {
        Consumer::attach(self.region(Access::Participant)?, attach)
    }

    /// Opens an observer: as [`Observer::open`].
    ///
    /// # Errors
    ///
    /// As [`Observer::open`].
    pub fn observer(&self, start: Start) -> Result<Observer, Error> {
        Observer::attach(self.region(Access::Reader)?, start)
    }

    /// Opens a read-only view of the ring's state: as [`Inspector::open`].
    ///
    /// # Errors
    ///
    /// As [`Inspector::open`].
    pub fn inspector(&self) -> Result<Inspector, Error> {
        Ok(Inspector::attach(self.region(Access::Reader)?))
    }

    /// The type of its records, if the ring was made for one: [`Options::schema`].
    ///
    /// # Errors
    ///
    /// Any error of opening the ring.
    pub fn schema(&self) -> Result<Option<Schema>, Error> {
        let region = self.region(Access::Reader)?;
        Ok(Schema::from_word(region.geometry().schema))
    }

    /// Frees the slot that is kept for a name: as [`forget`](crate::forget).
    ///
    /// # Errors
    ///
    /// As [`forget`](crate::forget).
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        forget::forget_name(&self.region(Access::Participant)?, name)
    }

    /// As [`forget_slot`](crate::forget_slot).
    ///
    /// # Errors
    ///
    /// As [`forget_slot`](crate::forget_slot).
    pub fn forget_slot(&self, slot: u32) -> Result<(), Error> {
        forget::forget_number(&self.region(Access::Participant)?, slot)
    }

    /// As [`forget_away`](crate::forget_away).
    ///
    /// # Errors
    ///
    /// As [`forget_away`](crate::forget_away).
    pub fn forget_away(&self, away_for: Duration) -> Result<Vec<Forgotten>, Error> {
        forget::forget_absent(&self.region(Access::Participant)?, away_for)
    }

    /// Requests that the producer take the gate from the consumer in a slot: as [`evict`](crate::evict).
    ///
    /// # Errors
    ///
    /// As [`evict`](crate::evict).
    pub fn evict(&self, slot: u32, wait: Duration) -> Result<Evicted, Error> {
        evict::ask(&self.region(Access::Participant)?, slot, wait)
    }

    /// A ring on the heap.
    pub(crate) fn on(region: Region) -> Self {
        #[cfg_attr(loom, allow(clippy::arc_with_non_send_sync, reason = "loom's threads take turns on one"))]
        Self { place: Place::Heap(Arc::new(Mutex::new(region))) }
    }

    #[cfg(not(loom))]
    fn at(path: &Path, owners: Owners) -> Self {
        Self { place: Place::File(Arc::new(File { path: path.to_owned(), owners })) }
    }

    #[cfg(not(loom))]
    fn as_sealed(&self) -> Option<&Sealed> {
        match &self.place {
            Place::Sealed(sealed) => Some(sealed),
            _ => None,
        }
    }

    /// Opens the ring for one more handle.
    pub(crate) fn region(&self, access: Access) -> Result<Region, Error> {
        match &self.place {
            // Nothing under this lock can be left inconsistent by a panic.
            Place::Heap(region) => {
                let _ = access;
                region.lock().unwrap_or_else(PoisonError::into_inner).share()
            }
            #[cfg(not(loom))]
            Place::File(file) => Region::open_of(&file.path, access, file.owners),
            #[cfg(not(loom))]
            Place::Sealed(_) if access == Access::Writer => Err(Error::BadOption {
                what: "a sealed ring has one producer, which came with it; make another ring for another one",
            }),
            #[cfg(not(loom))]
            Place::Sealed(sealed) => sealed.region(access),
        }
    }

    /// The region of a heap ring that has neither another clone nor a handle.
    #[cfg(tampered)]
    pub(crate) fn sole_region(&mut self) -> Option<&mut Region> {
        match &mut self.place {
            Place::Heap(region) => Arc::get_mut(region)?.get_mut().ok(),
            _ => None,
        }
    }
}
