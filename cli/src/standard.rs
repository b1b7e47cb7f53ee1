//! The three descriptors that a process is started with, as they were at its start.
//!
//! A closed one is opened on /dev/null before `main` by Rust's runtime, so that no file gets its number. What is
//! written there is lost without an error: `sub` would release what nobody has got. So it is looked at before that.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};

use crate::exit::{Exit, Failure};

/// A bit for each of the three that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

extern "C" fn look() {
    for (number, fd) in [stdin(), stdout(), stderr()].into_iter().enumerate() {
        if fcntl_getfd(fd) == Err(Errno::BADF) {
            CLOSED.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

/// Called before the runtime has started, so it does nothing but ask the kernel.
#[expect(unsafe_code, reason = "nothing else runs before the runtime opens what is closed")]
#[used]
// What stands in this section is called once, by the loader, as a function of this very type.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// Fails if one of the three was closed, or if standard output cannot be written to.
pub(crate) fn check() -> Result<(), Failure> {
    let closed = CLOSED.load(Ordering::Relaxed);
    for (number, name) in ["standard input", "standard output", "standard error"].into_iter().enumerate() {
        if closed & (1 << number) != 0 {
            let message = format!("{name} is closed; open it, on /dev/null if it is not wanted");
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    if !is_open_for(stdout(), OFlags::WRONLY) {
        return Err(Failure::new(
            Exit::Failed,
            "standard output is not open for writing; redirect it with >",
        ));
    }
    Ok(())
}

/// Fails if standard input cannot be read: before a ring is opened for what is in it.
pub(crate) fn check_input() -> Result<(), Failure> {
    match is_open_for(stdin(), OFlags::RDONLY) {
        true => Ok(()),
        false => {
            Err(Failure::new(Exit::Failed, "standard input is not open for reading; redirect it with <"))
        }
    }
}

fn is_open_for(fd: BorrowedFd<'_>, access: OFlags) -> bool {
    fcntl_getfl(fd).is_ok_and(|flags| {
        let granted = flags & OFlags::RWMODE;
        !flags.contains(OFlags::PATH) && (granted == access || granted == OFlags::RDWR)
    })
}
