//! What is wrong with a handle, or with the ring it is on.

use core::fmt;

/// What makes a handle permanently unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Forked,
    Truncated,
}

pub(super) const FORKED: &str =
    "this handle came over a fork and belongs to the parent; open it again in the child";

pub(super) const TRUNCATED: &str = "memory of the handle is gone: its file was cut short, or the disk is full; drop the handle, check the file \
                         and the free space of its file system, and create it again";

/// Where the ring contradicts itself, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// Byte position in the stream.
    pub position: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the ring contradicts itself at position {}: {}; another process wrote garbage into it: remove the \
             file and create the ring again",
            self.position, self.what
        )
    }
}

impl std::error::Error for Corruption {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Corruption;
    use crate::{Error, RecvError};

    #[test]
    fn corruption_says_what_to_do_in_a_line() {
        let corruption = Corruption { position: 8, what: "a record out of sequence" };
        for text in [Error::Corrupt(corruption).to_string(), RecvError::Corrupt(corruption).to_string()] {
            assert!(text.contains("remove the file") && text.lines().count() == 1, "{text:?}");
        }
    }
}
