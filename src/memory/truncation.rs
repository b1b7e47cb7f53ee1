//! Optional: an error instead of death by SIGBUS.

use crate::error::Error;
use crate::memory::handler::handle_sigbus;
use crate::memory::sigbus;

/// Turns SIGBUS into an error for handles that are opened after this call. It applies when memory of their ring is
/// gone because another process cut its file short, or punched a hole into it that a full file system cannot fill.
///
/// Call it once per process; it is permanent. It installs a handler for SIGBUS, which a library must not do unasked.
/// The handler acts only on faults in the maps of guarded handles. It maps private zeros over the whole area of the
/// ring (head, control or data) and returns. The handle then returns `Truncated` from this call and every later one
/// ([`Error::Truncated`], [`SendError::Truncated`](crate::SendError::Truncated),
/// [`RecvError::Truncated`](crate::RecvError::Truncated)), and delivers nothing that was read from the zeros. Other
/// handles, on this ring or another, continue until they touch missing memory. Every other SIGBUS goes to the
/// previous handler, or has its default effect.
///
/// * Sends check once before they make a record visible and once after. A claim or a batch, whose `publish` cannot
///   fail, then publishes nothing, and the next call returns the error. A record for which `Ok` was returned is in
///   the file, if the file still has that part.
/// * A guarded consumer copies every record. An unguarded gated one lends the ring's own memory.
/// * Only a fault reveals that memory is gone. A file cut within a page reads as zeros up to the end of that page. A
///   file that is grown again reads as zeros throughout, as if a process had written them.
/// * A handler installed later replaces this one, and must pass on faults that are not its own. Install other
///   handlers before this call.
/// * The handler calls `mmap` and `madvise`. POSIX does not list them as safe in handlers. On Linux they are plain
///   system calls, and the handler makes them without the C library.
/// * Any thread may call this, at any time and repeatedly. A child made by `fork` inherits the guard for its own
///   handles; `exec` ends it.
///
/// # Errors
///
/// [`Error::Io`] if the system refuses the handler.
///
/// ```
/// quoit::guard_against_truncation()?;
/// # Ok::<(), quoit::Error>(())
/// ```
pub fn guard_against_truncation() -> Result<(), Error> {
    handle_sigbus()?;
    sigbus::turn_on();
    Ok(())
}
