//! The processes of the demo.

use clap::ValueEnum;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Answers calls. It is killed with calls in its hands, and replaced.
    Server,
    /// Calls the server, with several calls in flight.
    Caller,
    /// Publishes what the workers share.
    Feed,
    /// A member of the group. One is killed with records in its hands, and replaced.
    Worker,
    /// A party of the barrier. One is killed in its phase, and replaced.
    Party,
}

/// A process in its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) number: u32,
}

pub(crate) const PARTIES: u32 = 3;

const fn part(role: Role, number: u32) -> Part {
    Part { role, number }
}

pub(crate) const SERVER: Part = part(Role::Server, 1);
pub(crate) const SUCCESSOR: Part = part(Role::Server, 2);
pub(crate) const FEED: Part = part(Role::Feed, 1);
/// Who is killed, and who comes for it.
pub(crate) const WORKER: Part = part(Role::Worker, 2);
pub(crate) const NEWCOMER: Part = part(Role::Worker, 4);
pub(crate) const PARTY: Part = part(Role::Party, 3);
pub(crate) const REPLACEMENT: Part = part(Role::Party, 4);
/// Who resets the barrier once the replacement is there.
pub(crate) const RESETS: Part = part(Role::Party, 1);

/// Who is there from the beginning.
pub(crate) const CAST: [Part; 10] = [
    SERVER,
    part(Role::Caller, 1),
    part(Role::Caller, 2),
    part(Role::Worker, 1),
    WORKER,
    part(Role::Worker, 3),
    RESETS,
    part(Role::Party, 2),
    PARTY,
    FEED,
];

impl Part {
    pub(crate) fn name(self) -> String {
        match self.role {
            Role::Server if self == SUCCESSOR => "the next server".into(),
            Role::Server => "the server".into(),
            Role::Caller => format!("caller {}", self.number),
            Role::Feed => "the feed".into(),
            Role::Worker => format!("worker {}", self.number),
            Role::Party => format!("party {}", self.number),
        }
    }
}
