//! An error in place of death by SIGBUS, for whoever asks for it.

use crate::error::Error;
use crate::memory::map::handle_sigbus;
use crate::memory::sigbus;

/// From now on, an error in place of death by SIGBUS: for handles that are opened after this, when memory of their
/// ring is gone because somebody cut its file short, or punched a hole into it that a full file system cannot fill.
///
/// Once for the process, and for good. It installs a handler for SIGBUS, which is why a library does not do it
/// unasked. The handler acts on faults in the maps of guarded handles alone. It maps private zeros over the whole area
/// of the ring (head, control or data) and returns; the handle then answers `Truncated` to this call and every later one ([`Error::Truncated`],
/// [`SendError::Truncated`](crate::SendError::Truncated), [`RecvError::Truncated`](crate::RecvError::Truncated)), and
/// nothing that was read from the zeros is delivered. Other handles, on this ring or another, go on until they touch
/// what is gone. Every other SIGBUS goes to the handler that was there before, or has its default effect.
///
/// * Sends check once before they make a record visible and once after. A claim or a batch, whose `publish` cannot
///   fail, publishes nothing then, and the next call says so. A record for which `Ok` was returned is in the file, if
///   the file still has that part.
/// * A guarded consumer copies every record, where an unguarded gated one would lend the ring's own memory.
/// * Only a fault tells that memory is gone. A file cut within a page reads as zeros up to the end of that page, and one
///   that is grown again reads as zeros throughout: as if somebody had written them.
/// * A handler installed later takes this one's place: it must pass on the faults that are not its own. Before this
///   call is the better time for it.
/// * The handler calls `mmap` and `madvise`. POSIX does not list them as safe in handlers; on Linux they are plain
///   system calls, and this one makes them without the C library.
/// * Any thread may call this, at any time, and again. A child made by `fork` inherits it for handles of its own; `exec`
///   ends it.
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
