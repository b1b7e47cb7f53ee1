//! The three standard descriptors, as they were when the process started.
//!
//! Rust's runtime opens a closed one on /dev/null before `main`, so that no file gets its number. Output written
//! there is lost without an error, and `sub` would release records that no reader got. So the check runs before the
//! runtime.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};

use crate::exit::{Exit, Failure};

/// One bit for each of the three that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

extern "C" fn look() {
    for (number, fd) in [stdin(), stdout(), stderr()].into_iter().enumerate() {
        if fcntl_getfd(fd) == Err(Errno::BADF) {
            CLOSED.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

/// Runs before Rust's runtime, so it only calls the kernel.
#[expect(unsafe_code, reason = "nothing else runs before the runtime opens what is closed")]
#[used]
// The loader calls every function in this section once, with this type.
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

/// Fails if standard input cannot be read. Called before a ring is opened for it.
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
