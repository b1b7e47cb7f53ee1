//! Groups: consumers of a ring that share its records among them. Each record goes to one member, which acknowledges it
//! when it is done; what a member leaves behind goes to another.

mod acknowledging;
mod aside;
mod dead_letters;
mod error;
mod holding;
#[cfg(not(loom))]
mod inspect;
mod joining;
mod layout;
mod leases;
mod member;
mod options;
mod tries;
mod turn;
mod until;
mod waitable;
mod waiting;

pub use dead_letters::{DeadLetter, DeadLetterError};
pub use error::GroupError;
#[cfg(not(loom))]
pub use inspect::{GroupInspector, GroupSnapshot, Unacknowledged};
pub use member::job::{Job, JobId};
pub use member::{GroupEvent, GroupMember, Lost};
pub use options::Group;
