//! Locks of the C library between processes: a robust mutex, a semaphore and a barrier, in the ground that the processes
//! share. A semaphore with a name is the same words in a file of its own.
#![allow(unsafe_code, reason = "the C library's locks are functions of raw memory")]

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use anyhow::{Result, ensure};
use libc::c_int;
use quoit_floors::ground::{APART, Word};
use quoit_floors::scene::{Scene, Side};

/// A lock of the C library at the beginning of the ground's room. The left side makes it, once everybody is here.
pub(crate) struct Shared<'a, T> {
    place: *mut T,
    _ground: PhantomData<&'a Word>,
}

/// Where it begins: the first words of the room are its value's.
const PLACE: usize = 4 * APART;

impl<'a, T> Shared<'a, T> {
    fn new(scene: &'a Scene, make: impl FnOnce(*mut T) -> Result<()>) -> Result<Self> {
        let room = &scene.ground.room(8 * (PLACE + 4 * APART))[PLACE..];
        ensure!(size_of::<T>() <= size_of_val(room), "a lock of the C library has no room");
        let place = room.as_ptr().cast_mut().cast::<T>();
        scene.meet();
        if scene.side == Side::Left {
            make(place)?;
        }
        scene.meet();
        Ok(Self { place, _ground: PhantomData })
    }
}

fn check(code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code).into()) }
}

/// For functions that put their error aside.
fn check_last(code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

pub(crate) type Mutex<'a> = Shared<'a, libc::pthread_mutex_t>;

impl<'a> Mutex<'a> {
    /// Robust, and for several processes.
    pub(crate) fn robust(scene: &'a Scene) -> Result<Self> {
        Self::new(scene, |place| {
            let mut attributes = MaybeUninit::uninit();
            let attributes = attributes.as_mut_ptr();
            // SAFETY: it initialises what it is given.
            check(unsafe { libc::pthread_mutexattr_init(attributes) })?;
            // SAFETY: initialised above.
            check(unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) })?;
            // SAFETY: as above.
            check(unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) })?;
            // SAFETY: the place has room for it, is aligned, and nobody uses it before all have met again.
            check(unsafe { libc::pthread_mutex_init(place, attributes) })
        })
    }

    #[inline(always)]
    pub(crate) fn lock(&self) -> Result<()> {
        // SAFETY: `robust` has initialised it, and the ground is mapped as long as this lives.
        check(unsafe { libc::pthread_mutex_lock(self.place) })
    }

    #[inline(always)]
    pub(crate) fn unlock(&self) -> Result<()> {
        // SAFETY: as above; this thread has locked it.
        check(unsafe { libc::pthread_mutex_unlock(self.place) })
    }
}

pub(crate) type Semaphore<'a> = Shared<'a, libc::sem_t>;

impl<'a> Semaphore<'a> {
    /// With one permit, for several processes.
    pub(crate) fn of_one(scene: &'a Scene) -> Result<Self> {
        Self::new(scene, |place| {
            // SAFETY: the place has room for it, is aligned, and nobody uses it before all have met again.
            check_last(unsafe { libc::sem_init(place, 1, 1) })
        })
    }

    #[inline(always)]
    pub(crate) fn wait(&self) -> Result<()> {
        // SAFETY: `of_one` has initialised it, and the ground is mapped as long as this lives.
        check_last(unsafe { libc::sem_wait(self.place) })
    }

    #[inline(always)]
    pub(crate) fn post(&self) -> Result<()> {
        // SAFETY: as above.
        check_last(unsafe { libc::sem_post(self.place) })
    }
}

pub(crate) type Barrier<'a> = Shared<'a, libc::pthread_barrier_t>;

impl<'a> Barrier<'a> {
    /// For all that take part.
    pub(crate) fn of_all(scene: &'a Scene) -> Result<Self> {
        Self::new(scene, |place| {
            let mut attributes = MaybeUninit::uninit();
            let attributes = attributes.as_mut_ptr();
            // SAFETY: it initialises what it is given.
            check(unsafe { libc::pthread_barrierattr_init(attributes) })?;
            // SAFETY: initialised above.
            check(unsafe { libc::pthread_barrierattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) })?;
            // SAFETY: the place has room for it, is aligned, and nobody uses it before all have met again.
            check(unsafe { libc::pthread_barrier_init(place, attributes, scene.members() as u32) })
        })
    }

    #[inline(always)]
    pub(crate) fn wait(&self) -> Result<()> {
        // SAFETY: `of_all` has initialised it, and the ground is mapped as long as this lives.
        match unsafe { libc::pthread_barrier_wait(self.place) } {
            libc::PTHREAD_BARRIER_SERIAL_THREAD => Ok(()),
            code => check(code),
        }
    }
}
