//! What everybody has noted, and the sums of it.

use super::cast::{Part, Role};
use super::notes::{self, ENDS, Note};

/// One process: what it noted, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) part: Part,
    pub(crate) notes: Vec<Note>,
    pub(crate) was_killed: bool,
    /// It came to its end as it was asked to.
    pub(crate) is_done: bool,
}

impl Witness {
    /// The numbers of its notes of one sort.
    pub(crate) fn noted(&self, what: u64) -> impl Iterator<Item = [u64; 3]> {
        self.notes.iter().filter(move |note| note.what == what).map(|note| note.numbers)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) witnesses: Vec<Witness>,
    /// What must not have happened.
    pub(crate) mishaps: Vec<String>,
    /// When all were asked to end, ns.
    pub(crate) end_ns: u64,
}

impl Account {
    pub(crate) fn of(&self, role: Role) -> impl Iterator<Item = &Witness> {
        self.witnesses.iter().filter(move |witness| witness.part.role == role)
    }

    fn count(&self, role: Role, what: u64) -> u64 {
        self.of(role).map(|witness| witness.noted(what).count() as u64).sum()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.count(Role::Caller, notes::CALLED)
    }

    /// How many calls ended in each way.
    pub(crate) fn ends(&self) -> [u64; ENDS.len()] {
        let mut ends = [0; ENDS.len()];
        for [_, end, _] in self.of(Role::Caller).flat_map(|caller| caller.noted(notes::ENDED)) {
            if let Some(count) = ends.get_mut(end as usize) {
                *count += 1;
            }
        }
        ends
    }

    /// Calls that ran once more, with another server.
    pub(crate) fn ran_again(&self) -> u64 {
        let ran = self.of(Role::Server).flat_map(|server| server.noted(notes::RAN));
        ran.filter(|[.., again]| *again != 0).count() as u64
    }

    pub(crate) fn sent(&self) -> u64 {
        self.count(Role::Feed, notes::SENT)
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.count(Role::Worker, notes::ACKNOWLEDGED)
    }

    /// Records that were handed out once more.
    pub(crate) fn handed_out_again(&self) -> u64 {
        let received = self.of(Role::Worker).flat_map(|worker| worker.noted(notes::RECEIVED));
        received.filter(|[_, deliveries, _]| *deliveries > 1).count() as u64
    }

    /// Phases that a party has passed.
    pub(crate) fn phases(&self) -> u64 {
        let passed = self.of(Role::Party).flat_map(|party| party.noted(notes::PASSED));
        let rounds: std::collections::BTreeSet<u64> = passed.map(|[_, round, _]| round).collect();
        rounds.len() as u64
    }
}
