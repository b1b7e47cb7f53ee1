//! What a handle, and a user, may do with a file.

use crate::error::Error;

/// How a handle maps an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything read-write.
    Writer,
    /// Head and data read-only, control read-write.
    Participant,
    /// Head read-only, control and data read-write.
    Peer,
    /// Everything read-only, the descriptor too.
    Reader,
}

/// Refuses permission bits that make no sense for a file of this library.
pub(crate) fn check_mode(mode: u32) -> Result<(), Error> {
    if mode & !0o666 != 0 || mode & 0o600 != 0o600 {
        return Err(Error::BadOption {
            what: "the mode has read and write bits only, and both of the owner's, as in 0600 or 0640",
        });
    }
    Ok(())
}
