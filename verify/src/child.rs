//! Child processes that die with this one, and memory shared with them.

#![allow(unsafe_code, reason = "fork, shared memory")]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::set_parent_process_death_signal;

/// Forks a child that runs `body` and exits with the code it returns, or with 1 after a panic. This process must have one
/// thread.
pub(crate) fn fork(body: impl FnOnce() -> i32) -> Result<Pid> {
    let parent = Pid::this();
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { nix::unistd::fork() }.context("start a child")? {
        ForkResult::Child => {
            let _ = set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            // A parent that died before has sent no signal.
            if Pid::parent() != parent {
                leave(0);
            }
            leave(catch_unwind(AssertUnwindSafe(body)).unwrap_or(1))
        }
        ForkResult::Parent { child } => Ok(child),
    }
}

/// Ends a child: destructors and buffers belong to the parent.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: `_exit` is always allowed.
    unsafe { nix::libc::_exit(code) }
}

/// A child process. Killed and reaped when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    ended: Option<WaitStatus>,
}

impl Child {
    /// Forks a child that runs `body` and exits: 0, or 1 after a panic. This process must have one thread.
    pub(crate) fn start(body: impl FnOnce()) -> Result<Self> {
        fork(|| {
            body();
            0
        })
        .map(Self::adopt)
    }

    /// Takes charge of a child that runs already.
    pub(crate) fn adopt(pid: Pid) -> Self {
        Self { pid, ended: None }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<WaitStatus>> {
        if self.ended.is_none() {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::StillAlive => {}
                status => self.ended = Some(status),
            }
        }
        Ok(self.ended)
    }

    /// Waits for its end: `None`, it lives on.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> Result<Option<WaitStatus>> {
        let begin = Instant::now();
        loop {
            let ended = self.ended()?;
            if ended.is_some() || begin.elapsed() >= patience {
                return Ok(ended);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end, however long.
    pub(crate) fn end(&mut self) -> Result<WaitStatus> {
        let status = match self.ended {
            Some(status) => status,
            None => waitpid(self.pid, None)?,
        };
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// What can lie in memory that processes share.
///
/// # Safety
///
/// A value of zeros is one, and every part of it is atomic.
pub(crate) unsafe trait Shareable: Sync {}

/// A value, at first of zeros, in memory that children share.
#[derive(Debug)]
pub(crate) struct Shared<T: Shareable>(NonNull<T>);

impl<T: Shareable> Shared<T> {
    pub(crate) fn new() -> Result<Self> {
        let (rights, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address that the kernel chooses touches nothing that is there.
        let memory = unsafe { mmap_anonymous(std::ptr::null_mut(), size_of::<T>(), rights, flags) }
            .context("memory to share with children")?;
        NonNull::new(memory.cast()).map(Self).context("memory to share with children is nowhere")
    }

    /// It stays for the life of this process.
    pub(crate) fn kept<'a>(self) -> &'a T {
        // SAFETY: as below, and never unmapped.
        unsafe { ManuallyDrop::new(self).0.as_ref() }
    }
}

impl<T: Shareable> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: mapped until drop, aligned to a page, large enough, and a value by what the trait promises.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Shareable> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size, and no borrow outlives this.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), size_of::<T>()) };
    }
}
