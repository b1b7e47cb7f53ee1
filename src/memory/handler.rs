//! The handler of SIGBUS, for a process that asked for it: `sigbus.rs` says what it does, and which addresses it looks for.

#![allow(unsafe_code)]

use std::io;
use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use nix::libc;
use rustix::mm::{self, MapFlags, ProtFlags};

use crate::atomics::{AtomicU64, at};
use crate::error::Error;
use crate::memory::extents::HUGE_PAGE;
use crate::memory::map::{CUT, EMPTY, io_error};
use crate::memory::sigbus;

/// Makes `on_sigbus` handle SIGBUS from now on.
pub(crate) fn handle_sigbus() -> Result<(), Error> {
    static HANDLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let handled = HANDLED.get_or_init(|| {
        let before = sigbus_action(None)?;
        sigbus::set_previous(before.sa_sigaction as u64, before.sa_flags);
        sigbus_action(Some(&own_action(&before))).map(drop)
    });
    (*handled)
        .map_err(|errno| io_error(EMPTY, "install a handler for SIGBUS", io::Error::from_raw_os_error(errno)))
}

/// Runs this handler like the previous one, with the same signals blocked, since this one calls it.
fn own_action(before: &libc::sigaction) -> libc::sigaction {
    let kept = libc::SA_NODEFER | libc::SA_RESTART;
    libc::sigaction {
        sa_sigaction: on_sigbus as *const () as usize,
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK | (before.sa_flags & kept),
        ..*before
    }
}

/// Sets the handler of SIGBUS if one is given, and returns the previous one.
fn sigbus_action(action: Option<&libc::sigaction>) -> Result<libc::sigaction, i32> {
    let mut before = std::mem::MaybeUninit::uninit();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are null or lead to an action. The handler is `on_sigbus`, or nobody's: the default.
    let refused = unsafe { libc::sigaction(libc::SIGBUS, action, before.as_mut_ptr()) };
    if refused != 0 {
        return Err(nix::errno::Errno::last_raw());
    }
    // SAFETY: the call succeeded, so it was filled in.
    Ok(unsafe { before.assume_init() })
}

/// Handles SIGBUS. Takes no lock, allocates nothing, and leaves `errno` as it was.
extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = nix::errno::Errno::last_raw();
    // SAFETY: the handler was installed with SA_SIGINFO, so the kernel passes this.
    let told = unsafe { &*info };
    // SAFETY: the field is there for every signal; it means something for those that a fault raised.
    let address = unsafe { told.si_addr() }.expose_provenance() as u64;
    let ours = told.si_code == libc::BUS_ADRERR
        && sigbus::find(address).filter(is_of_this_process).take(1).any(|range| replace(&range, address));
    if !ours {
        pass_on(signal, told.si_code, info, context);
    }
    nix::errno::Errno::set_raw(errno);
}

fn tripwire_of(range: &sigbus::Range) -> &AtomicU64 {
    // SAFETY: a range leaves the table before its handle's tripwire is unmapped; this one is of a handle that the
    // interrupted thread is using, or, in a child, of its copy.
    unsafe { &*ptr::with_exposed_provenance(range.tripwire as usize) }
}

/// Not in a child, for its parent's handles: their maps do not exist there, and the addresses may be reused.
fn is_of_this_process(range: &sigbus::Range) -> bool {
    tripwire_of(range).load(at!(TRIPWIRE_LOOK, Relaxed)) != 0
}

/// Replaces a map with zeros and changes the handle's tripwire. It replaces all of the map, so that neither huge
/// pages nor the limit on the number of maps interfere; failing that, the part that the fault was in.
fn replace(range: &sigbus::Range, address: u64) -> bool {
    // Locked memory counts against the limit: unlock it, so that there is room for the replacement.
    let start: *mut c_void = ptr::with_exposed_provenance_mut(range.start as usize);
    // SAFETY: the range is one of our own maps, of a handle that the interrupted thread is using. No byte changes.
    let _ = unsafe { mm::munlock(start, range.bytes as usize) };
    let page = rustix::param::page_size() as u64;
    // A part of a map of huge pages is at least one such page.
    let is_replaced = put_zeros(range, range.start, range.bytes)
        || [page, HUGE_PAGE].iter().any(|bytes| {
            let at = address - address % bytes;
            at >= range.start && at + bytes <= range.start + range.bytes && put_zeros(range, at, *bytes)
        });
    if is_replaced {
        tripwire_of(range).store(CUT, at!(TRIPWIRE_CUT, Relaxed));
    }
    is_replaced
}

/// Shared with no process, in spite of the flag: shared memory does not count against `RLIMIT_DATA`, and is charged
/// as it is touched. If that is refused, private memory, which is charged differently.
fn put_zeros(range: &sigbus::Range, start: u64, bytes: u64) -> bool {
    let start: *mut c_void = ptr::with_exposed_provenance_mut(start as usize);
    let write = if range.write { ProtFlags::WRITE } else { ProtFlags::empty() };
    [MapFlags::SHARED, MapFlags::PRIVATE].iter().any(|kind| {
        let flags = *kind | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: inside the range, which is one of our own maps, of a handle that the interrupted thread is using. It
        // is reached through atomics alone, so its bytes may change at any time, and is unmapped as it would have been.
        let zeros = unsafe { mm::mmap_anonymous(start, bytes as usize, ProtFlags::READ | write, flags) };
        if zeros.is_ok() {
            for advice in [mm::Advice::LinuxDontFork, mm::Advice::LinuxDontDump] {
                // SAFETY: the map that was just made; as for the one before it.
                let _ = unsafe { mm::madvise(start, bytes as usize, advice) };
            }
        }
        zeros.is_ok()
    })
}

/// Handles a foreign SIGBUS as it would be handled without this handler.
fn pass_on(signal: c_int, code: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let (handler, flags) = sigbus::previous();
    let is_sent = code <= 0;
    match handler as libc::sighandler_t {
        libc::SIG_IGN if is_sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: all zeros is a value of it: the default, nothing held back.
            let default = unsafe { std::mem::zeroed() };
            let _ = sigbus_action(Some(&default));
            // A fault recurs as soon as the handler returns. A signal that was sent must be sent again; it arrives
            // then.
            if is_sent || code == libc::BUS_MCEERR_AO {
                // SAFETY: signals the thread itself.
                let _ = unsafe { libc::raise(signal) };
            }
        }
        handler => {
            let handler: *const () = ptr::with_exposed_provenance(handler);
            if flags & libc::SA_SIGINFO != 0 {
                type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
                // SAFETY: the function that was installed as a handler of this kind.
                let handler: Handler = unsafe { std::mem::transmute(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: likewise.
                let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
                handler(signal);
            }
            // The handler returned. A signal that was sent does not recur, so the process lives on, and stays
            // guarded.
            if is_sent || code == libc::BUS_MCEERR_AO {
                rearm();
            }
        }
    }
}

/// Installs this handler again if the previous one reset the default action, as Rust's does.
fn rearm() {
    let Ok(now) = sigbus_action(None) else { return };
    // Another handler was installed meanwhile, on purpose; its author must pass on signals that are not its own.
    if matches!(now.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
        sigbus::set_previous(now.sa_sigaction as u64, now.sa_flags);
        let _ = sigbus_action(Some(&own_action(&now)));
    }
}
