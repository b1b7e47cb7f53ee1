//! Groups: consumers of a ring that share its records among them. Each record goes to one member, which acknowledges it
//! when it is done; what a member leaves behind goes to another.

mod acknowledging;
mod error;
mod holding;
mod joining;
mod layout;
mod leases;
mod member;
mod options;
mod turn;
mod waiting;

pub use error::GroupError;
pub use member::job::{Job, JobId};
pub use member::{GroupEvent, GroupMember, Lost};
pub use options::Group;
